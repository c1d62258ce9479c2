"""The pages for users, held to the code: what they name exists, and what exists is named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from fastapi.routing import APIRoute, APIWebSocketRoute
from pydantic import BaseModel

from api.access import PERMISSIONS
from api.problems import Code
from api.routes import ROUTERS
from cli.main import VERBS, _load
from runtime.conversation import events as ev
from runtime.errors import UsageFault
from runtime.harness.script import parse_script
from runtime.settings import Settings
from runtime.workflow.schema import json_schema
from runtime.workflow.validation import validate
from tools.http_request import HttpRequestConfig

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
COMMON = {*ev.Fact.model_fields, "agent_id", "agent_name"} - {"at", "hidden"}
NESTED: tuple[type[BaseModel], ...] = (ev.TakenVariable, ev.GuardRead, ev.InvalidValue, ev.Usage)


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def sections(text: str, level: int) -> Mapping[str, str]:
    """The texts below the headings of a level whose title is code, by title."""
    marks = "#" * level
    found = re.finditer(rf"(?ms)^{marks} `([^`]+)`$\n(.*?)(?=^#{{1,{level}}} |\Z)", text)
    return {match[1]: match[2] for match in found}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", text)


def named(text: str) -> set[str]:
    """Every word that stands inside backticks."""
    return {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(r"[\w-]+", code)}


# ---------------------------------------------------------------- events


@pytest.mark.parametrize("event_type", ev.FACTS)
def test_an_event_has_a_section_that_names_every_key(event_type: str) -> None:
    section = sections(page("docs/events.md"), 3)[event_type]
    own = set(ev.FACTS[event_type].model_fields) - COMMON - {"at", "hidden"}
    assert own <= named(section)


def test_no_section_is_of_an_event_that_does_not_exist() -> None:
    assert set(sections(page("docs/events.md"), 3)) == set(ev.FACTS)


def test_the_common_keys_the_parts_and_the_reasons_are_named() -> None:
    words = named(page("docs/events.md"))
    parts = {name for model in NESTED for name in model.model_fields}
    closed = {*get_args(ev.Reason), *get_args(ev.RefusalReason), *get_args(ev.By), *get_args(ev.Source)}
    assert COMMON | parts | closed <= words


# ---------------------------------------------------------------- workflows


def keys() -> Iterator[tuple[str, str]]:
    schema = json_schema()
    for model, definition in {"WorkflowConfig": schema, **schema["$defs"]}.items():
        for key in definition.get("properties", {}):
            yield model, key


def test_every_key_of_a_workflow_is_named() -> None:
    words = named(page("docs/workflow.md"))
    assert not [f"{model}.{key}" for model, key in keys() if key not in words]


def test_the_files_own_keys_have_rows() -> None:
    text = page("docs/workflow.md").partition("## The file")[2].partition("\n## ")[0]
    rows = set(re.findall(r"(?m)^\| `(\w+)` \|", text))
    assert rows == set(json_schema()["properties"])


def test_the_keys_of_http_request_and_the_data_types_are_named() -> None:
    words = named(page("docs/workflow.md"))
    config = {info.alias or name for name, info in HttpRequestConfig.model_fields.items()}
    assert config <= words
    assert set(json_schema()["$defs"]["PathVariable"]["properties"]["data_type"]["enum"]) <= words


@pytest.mark.parametrize("text", [block for block in blocks(page("README.md"), "yaml") if "agents:" in block])
def test_a_workflow_of_the_readme_has_no_fault(text: str) -> None:
    assert validate(yaml.safe_load(text)).faults == ()


@pytest.mark.parametrize("name", ["README.md", "docs/scripts.md"])
def test_a_script_can_be_played(name: str) -> None:
    assert [parse_script(text) for text in blocks(page(name), "text")]


def test_the_steps_of_scripts_are_shown_as_they_are_written() -> None:
    rows = re.findall(r"(?m)^\| `([^`]+)` \|", page("docs/scripts.md"))
    assert len(rows) == 5
    for row in rows:
        assert parse_script(row)
    with pytest.raises(UsageFault):
        parse_script("[nothing of the kind]")


# ---------------------------------------------------------------- the command line


def options(command: Any) -> Iterator[str]:
    for each in getattr(command, "commands", {}).values():
        yield from options(each)
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts) if parameter.param_type_name == "option" else ()


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_a_section_that_names_its_commands_and_options(verb: str) -> None:
    command: Any = _load(verb)
    section = sections(page("docs/cli.md"), 2)[f"patchbay {verb}"]
    wanted = {option for option in options(command) if option.startswith("--")} - {"--help"}
    assert wanted <= {word for code in re.findall(r"`([^`\n]+)`", section) for word in code.replace(",", " ").split()}
    assert set(getattr(command, "commands", {})) <= named(section)


def test_every_setting_and_exit_code_is_named() -> None:
    text = page("docs/cli.md")
    assert set(Settings.names()) <= named(text)
    told = text.partition("Exit codes:")[2].partition("\n\n")[0]
    assert [int(code) for code in re.findall(r"\b(\d+) \w", told)] == [0, 1, 2, 3, 130]


# ---------------------------------------------------------------- the control API


def endpoints() -> set[str]:
    """Each route of the API as its page names it: `GET /api/workflows`."""
    routes = [route for router in ROUTERS for route in router.routes]
    sockets = {f"WEBSOCKET /api{route.path_format}" for route in routes if isinstance(route, APIWebSocketRoute)}
    return sockets | {
        f"{method} /api{route.path_format}"
        for route in routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }


def test_every_endpoint_has_a_row_with_what_it_asks_for() -> None:
    table = page("docs/api.md").partition("## Endpoints")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| `([A-Z]+ /[^`]+)` \| ([^|]+) \| [^|]+ \|$", table)
    assert len(rows) == len(dict(rows))
    assert set(dict(rows)) == endpoints()
    asked = {permission.strip("`") for _, permission in rows if permission.startswith("`")}
    assert asked == PERMISSIONS


def test_every_permission_is_in_the_table_of_roles() -> None:
    assert all(f"`{each}`" in page("docs/access.md") for each in PERMISSIONS)


def test_every_code_of_a_problem_is_named() -> None:
    assert set(get_args(Code)) <= named(page("docs/api.md"))


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("name", PAGES)
def test_a_link_leads_to_a_file_and_a_heading(name: str) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", page(name)):
        file = (ROOT / name).parent / target if target else ROOT / name
        assert file.exists(), f"{name} links to {target}"
        if anchor:
            headings = re.findall(r"(?m)^#+ (.+)$", file.read_text(encoding="utf-8"))
            assert anchor in {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("name", [*PAGES, "Dockerfile", "compose.yaml"])
def test_a_page_ends_with_a_line_and_has_no_trailing_space(name: str) -> None:
    text = page(name)
    assert text.endswith("\n")
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)
