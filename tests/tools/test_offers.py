"""What a version's calls share of their tools: schemas and what checks arguments."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.tools.conftest import NewRunner, compiled
from tools.offers import Offers
from tools.registry import default_registry

Json = Any
SCHEMA = {"type": "object", "properties": {"number": {"type": "string"}}, "required": ["number"]}


def named(name: str) -> list[dict[str, Json]]:
    return [{"name": name, "description": "", "parameters": dict(SCHEMA)}]


def test_the_same_schemas_are_the_same_objects() -> None:
    offers, tool = Offers(), compiled("http_request")
    first = offers.shared(tool, named("a"))
    assert offers.shared(tool, named("a")) is first


def test_other_schemas_of_the_same_tool_take_their_place() -> None:
    offers, tool = Offers(), compiled("http_request")
    first = offers.shared(tool, named("a"))
    changed = offers.shared(tool, named("b"))
    assert (first[0]["name"], changed[0]["name"]) == ("a", "b")
    assert offers.shared(tool, named("b")) is changed


def test_two_versions_share_nothing() -> None:
    offers, tool = Offers(), compiled("http_request")
    assert offers.shared(tool, named("a")) is not offers.shared(replace(tool), named("a"))


def test_so_many_are_kept_and_the_least_recently_used_go() -> None:
    offers = Offers(most=2)
    tools = [compiled("http_request") for _ in range(3)]
    first = [offers.shared(tool, named("a")) for tool in tools[:2]]
    offers.shared(tools[0], named("a"))
    offers.shared(tools[2], named("a"))
    assert offers.shared(tools[0], named("a")) is first[0]
    assert offers.shared(tools[1], named("a")) is not first[1]


async def test_a_validator_is_made_once_for_all_calls(new_runner: NewRunner) -> None:
    registry = default_registry()
    tool = compiled("http_request", {"url": "https://x.example/", "parameters": SCHEMA, "description": "Looks it up."})
    runners = [new_runner(registry=registry) for _ in range(2)]
    first, second = (runner.schemas(tool)[0] for runner in runners)
    assert first is second
    for runner in runners:
        assert runner.faults(tool, "http_request", {"number": "1"}) == ""
        assert "number" in runner.faults(tool, "http_request", {})
    validator = registry.offers.validator(first["parameters"])
    assert registry.offers.validator(second["parameters"]) is validator
