"""`patchbay validate`: the exact object, the exit codes, and input that cannot be opened."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Patchbay

GOOD = """
agents:
  - id: a
    name: Desk
    instructions: Help.
    llm: {provider: openai, model: gpt-4o-mini}
"""
BAD = GOOD + "    nam: x\n"
KEYS = ["path", "code", "severity", "message", "remedy"]


def test_what_init_writes_is_valid(patchbay: Patchbay) -> None:
    patchbay("init")
    result = patchbay("validate", "workflow.yaml", "--json")
    assert json.loads(result.stdout) == {"schema_version": 1, "valid": True, "faults": []}
    assert result.exit_code == 0
    people = patchbay("validate", "workflow.yaml")
    assert (people.exit_code, people.stdout.strip()) == (0, "workflow.yaml is valid")


def test_a_fault_has_its_place_and_its_remedy(patchbay: Patchbay) -> None:
    Path("a.yaml").write_text(BAD)
    result = patchbay("validate", "a.yaml", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["schema_version"], found["valid"]) == (1, 1, False)
    assert [list(fault) for fault in found["faults"]] == [KEYS]
    assert found["faults"][0]["path"] == "$.agents[0].nam"
    people = patchbay("validate", "a.yaml")
    assert people.exit_code == 1
    for word in ("$.agents[0].nam", found["faults"][0]["remedy"], "a.yaml is not valid: 1 error"):
        assert word in people.stdout


def test_tools_are_those_registered_here(patchbay: Patchbay) -> None:
    Path("a.yaml").write_text(GOOD + "    tools: [{tool_type: http_request, config: {}}, {tool_type: chekc_order}]\n")
    found = json.loads(patchbay("validate", "a.yaml", "--json").stdout)
    assert {fault["code"] for fault in found["faults"]} == {"tool_config", "unknown_tool_type"}


def test_warnings_leave_it_valid(patchbay: Patchbay) -> None:
    Path("a.yaml").write_text(GOOD + "  - {id: b, name: Alone, instructions: Never reached.}\n")
    result = patchbay("validate", "a.yaml", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["valid"]) == (0, True)
    assert {fault["severity"] for fault in found["faults"]} == {"warning"}
    assert "is valid: 1 warning" in patchbay("validate", "a.yaml").stdout


@pytest.mark.parametrize("text", [GOOD, "\ufeff" + GOOD.replace("\n", "\r\n"), json.dumps({"agents": []})])
def test_standard_input_is_a_file_too(patchbay: Patchbay, text: str) -> None:
    assert json.loads(patchbay("validate", "-", "--json", stdin=text).stdout)["schema_version"] == 1


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b'{"agents": [}', "line 1, column 13"),
        (b"agents: [\n  {id: a,\n", "line"),
        (b"\x7fELF\x02\x01\x00\x00", "line 1"),
        (b"agents: []\nname: \xff\xfe", "line 2, column 7"),
        ("agents: []".encode("utf-16"), "line 1, column 1"),
        (b"", ""),
        (b"just words", ""),
        (b"[1, 2]", ""),
    ],
)
def test_what_is_no_workflow_is_one_fault_at_the_root(patchbay: Patchbay, data: bytes, place: str) -> None:
    result = patchbay("validate", "-", "--json", stdin=data)
    found = json.loads(result.stdout)
    assert (result.exit_code, found["valid"]) == (1, False)
    assert [fault["path"] for fault in found["faults"]] == ["$"]
    assert place in found["faults"][0]["message"].lower()
    assert "Traceback" not in patchbay("validate", "-", stdin=data).output


@pytest.mark.parametrize("file", ["missing.yaml", ".", "file/below", "", "nul\0", "x" * 5000])
def test_input_that_cannot_be_opened_is_2(patchbay: Patchbay, file: str) -> None:
    Path("file").write_text("")
    for args in (["validate", file], ["validate", file, "--json"], ["workflow", "publish", file]):
        result = patchbay(*args)
        assert (result.exit_code, result.stdout) == (2, "")
        assert "cannot be opened" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_2(patchbay: Patchbay) -> None:
    Path("a.yaml").touch(mode=0o000)
    assert patchbay("validate", "a.yaml").exit_code == 2


def test_what_is_far_too_large_is_2(patchbay: Patchbay) -> None:
    with Path("a.yaml").open("wb") as file:
        file.truncate(17 * 1024 * 1024)
    result = patchbay("validate", "a.yaml")
    assert result.exit_code == 2
    assert "larger than 16 MB" in result.stderr


def test_a_fault_that_quotes_the_file_cannot_steer_a_terminal(patchbay: Patchbay) -> None:
    result = patchbay("validate", "-", stdin='{"agents": [], "\\u001b]0;owned\\u0007": 1}')
    assert result.exit_code == 1
    assert not {"\x1b", "\x07"} & set(result.output)
