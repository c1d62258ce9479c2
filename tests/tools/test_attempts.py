"""Retries, concurrency and the circuit breaker, on tools that fail as they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from runtime.tasks import spawn
from tests.tools.conftest import NewRunner, call, compiled
from tools.attempts import Attempts
from tools.base import Tool, ToolConfig, ToolContext, ToolError
from tools.guard import open_client
from tools.registry import Registry
from tools.services import Services

Json = Any


class Flaky(Tool[ToolConfig]):
    """Fails in passing as often as `failing` says, then succeeds."""

    tool_type: ClassVar[str] = "flaky"
    Config: ClassVar[type[BaseModel]] = ToolConfig
    failing: ClassVar[float] = 0
    passing: ClassVar[bool] = True
    repeatable: ClassVar[bool] = True
    runs: ClassVar[int] = 0
    at_once: ClassVar[int] = 0
    most_at_once: ClassVar[int] = 0
    takes_s: ClassVar[float] = 0.0
    ids: ClassVar[list[str]] = []

    def is_repeatable(self, arguments: Mapping[str, Json]) -> bool:
        del arguments
        return self.repeatable

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> Json:
        del arguments
        kind = type(self)
        kind.runs += 1
        kind.ids.append(context.tool_call_id)
        kind.at_once += 1
        kind.most_at_once = max(kind.most_at_once, kind.at_once)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            kind.at_once -= 1
        if kind.runs <= self.failing:
            raise ToolError("down", "It is down.", passing=self.passing)
        return {"runs": kind.runs, "left_s": context.remaining_s()}


@pytest.fixture
def flaky() -> type[Flaky]:
    """A class of its own, so that no test sees another's runs."""
    return type("Own", (Flaky,), {"ids": []})


async def test_what_is_safe_is_tried_again(new_runner: NewRunner, flaky: type[Flaky]) -> None:
    flaky.failing = 2
    outcome = await new_runner(registry=Registry([flaky])).run(call(compiled("flaky", retries=3)))
    assert (outcome.error_code, flaky.runs) == ("", 3)
    assert len(set(flaky.ids)) == 1, "the idempotency key is the same for all tries"


@pytest.mark.parametrize(
    ("passing", "repeatable", "retries", "runs"),
    [(True, True, 1, 2), (False, True, 3, 1), (True, False, 3, 1), (True, True, 0, 1)],
)
async def test_how_often_it_is_tried(
    new_runner: NewRunner, flaky: type[Flaky], passing: bool, repeatable: bool, retries: int, runs: int
) -> None:
    flaky.failing, flaky.passing, flaky.repeatable = 99, passing, repeatable
    outcome = await new_runner(registry=Registry([flaky])).run(call(compiled("flaky", retries=retries)))
    assert (outcome.error_code, flaky.runs) == ("down", runs)


async def test_repeats_end_at_the_deadline(new_runner: NewRunner, flaky: type[Flaky]) -> None:
    flaky.failing, flaky.takes_s = 99, 0.1
    loop = asyncio.get_running_loop()
    began = loop.time()
    outcome = await new_runner(registry=Registry([flaky])).run(call(compiled("flaky", retries=5, timeout_s=0.25)))
    assert outcome.error_code in {"down", "timeout"}
    assert flaky.runs < 4
    assert loop.time() - began < 0.6


async def test_a_service_that_keeps_failing_is_left_alone_for_a_while(
    new_runner: NewRunner, flaky: type[Flaky]
) -> None:
    flaky.failing, flaky.repeatable = 3, False
    async with open_client() as http:
        services = Services(http, attempts=Attempts(failures=3, cooling_s=0.3))
        runner, tool = new_runner(registry=Registry([flaky]), services=services), compiled("flaky")
        codes = [(await runner.run(call(tool))).error_code for _ in range(5)]
        assert codes == ["down", "down", "down", "circuit_open", "circuit_open"]
        assert flaky.runs == 3
        other = await new_runner(registry=Registry([flaky]), services=services).run(call(tool))
        assert other.error_code == "circuit_open", "the calls of a process share what they know of a service"
        await asyncio.sleep(0.35)
        assert (await runner.run(call(tool))).error_code == ""
        assert (await runner.run(call(tool))).error_code == ""


async def test_a_timeout_counts_and_a_wrong_argument_does_not(new_runner: NewRunner, flaky: type[Flaky]) -> None:
    async with open_client() as http:
        services = Services(http, attempts=Attempts(failures=2, cooling_s=30))
        runner = new_runner(registry=Registry([flaky]), services=services)
        flaky.failing, flaky.passing = 4, False
        told = compiled("flaky", {"description": "refuses"})
        assert [(await runner.run(call(told))).error_code for _ in range(4)] == ["down"] * 4
        flaky.takes_s = 5.0
        slow = compiled("flaky", {"description": "is slow"}, timeout_s=0.03)
        assert [(await runner.run(call(slow))).error_code for _ in range(3)] == ["timeout", "timeout", "circuit_open"]


async def test_so_many_at_once_and_the_others_wait(new_runner: NewRunner, flaky: type[Flaky]) -> None:
    flaky.takes_s = 0.05
    async with open_client() as http:
        services = Services(http)
        registry, tool = Registry([flaky]), compiled("flaky", max_concurrency=2)
        runners = [new_runner(registry=registry, services=services) for _ in range(6)]
        outcomes = await asyncio.gather(*(runner.run(call(tool)) for runner in runners))
        assert {outcome.error_code for outcome in outcomes} == {""}
        assert flaky.most_at_once == 2


async def test_who_waits_too_long_is_told_that_it_is_busy(new_runner: NewRunner, flaky: type[Flaky]) -> None:
    flaky.takes_s = 0.3
    async with open_client() as http:
        runner = new_runner(registry=Registry([flaky]), services=Services(http))
        first = spawn(runner.run(call(compiled("flaky", max_concurrency=1, timeout_s=2))), name="first")
        await asyncio.sleep(0.02)
        outcome = await runner.run(call(compiled("flaky", max_concurrency=1, timeout_s=0.05)))
        assert outcome.error_code == "busy"
        assert (await first).error_code == ""
