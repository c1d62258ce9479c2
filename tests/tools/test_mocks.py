"""Results that stand in for tools: by order, by arguments, failures, and files that are wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.errors import UsageFault
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow
from tests.tools.conftest import NewRunner, call, compiled
from tools.mocks import Mocks, parse_mocks

Json = Any
TAKES = {"type": "object", "properties": {"number": {"type": "string"}}}
ORDER = {
    "tool_type": "http_request",
    "display_name": "Check order",
    "config": {"url": "https://api.example/{{ arguments.number }}", "parameters": TAKES},
}
SERVER = {"tool_type": "mcp", "config": {"url": "https://mcp.example/", "tools": ["find", "book"], "prefix": "cal_"}}


def workflow() -> Workflow:
    agent = {"id": "a", "name": "Desk", "instructions": "x", "tools": [ORDER, SERVER]}
    return compile_workflow(WorkflowConfig.model_validate({"agents": [agent]}), version_id="v")


def mocks(raw: Json) -> Mocks:
    return parse_mocks({"tools": raw}, workflow(), "mocks.yaml")


async def outcomes(new_runner: NewRunner, raw: Json, *numbers: str) -> list[str]:
    desk = workflow()
    tool, runner = desk.entry.tools[0], new_runner(mocks=parse_mocks({"tools": raw}, desk))
    found = [await runner.run(call(tool, {"number": number})) for number in numbers]
    assert all(outcome.mocked for outcome in found)
    return [outcome.error_code or outcome.text for outcome in found]


async def test_in_order_and_the_last_again_and_again(new_runner: NewRunner) -> None:
    raw = {"check_order": [{"result": "one"}, {"error": "down"}, {"result": {"n": 3}}]}
    assert await outcomes(new_runner, raw, *"1234") == ["one", "down", '{"n": 3}', '{"n": 3}']


async def test_by_matching_arguments(new_runner: NewRunner) -> None:
    raw = {"http_request": [{"arguments": {"number": 7}, "result": "seven"}, {"result": "other"}]}
    assert await outcomes(new_runner, raw, "7", "8", "7") == ["seven", "other", "seven"]
    alone = {"check_order": [{"arguments": {"number": "7"}, "result": "seven"}]}
    assert await outcomes(new_runner, alone, "7", "8") == ["seven", "no_mock"]


async def test_failures_have_a_code_and_words(new_runner: NewRunner) -> None:
    tool, replaced = workflow().entry.tools[0], mocks({"check_order": [{"error": {"code": "gone", "message": "No."}}]})
    outcome = await new_runner(mocks=replaced).run(call(tool, {"number": "1"}))
    assert (outcome.error_code, outcome.text, outcome.mocked) == ("gone", "No.", True)


async def test_a_mock_is_held_to_the_timeout_and_the_arguments(new_runner: NewRunner) -> None:
    replaced = mocks({"check_order": [{"result": 1, "delay_s": 5}]})
    tool = compiled("http_request", ORDER["config"], timeout_s=0.02)
    late = await new_runner(mocks=Mocks({"http_request": replaced._tools["check_order"]})).run(call(tool))
    assert late.error_code == "timeout"
    wrong = await new_runner(mocks=replaced).run(call(workflow().entry.tools[0], {"number": 5}))
    assert wrong.error_code == "invalid_arguments"


async def test_what_is_assigned_and_done_is_as_with_the_tool(new_runner: NewRunner) -> None:
    tool = compiled("http_request", ORDER["config"], assign={"status": "$.status"})
    replaced = Mocks(mocks({"http_request": [{"result": {"status": "shipped"}, "transfer_to": "+15550100"}]})._tools)
    outcome = await new_runner(mocks=replaced).run(call(tool))
    assert (dict(outcome.assigned), outcome.transfer_to) == ({"status": "shipped"}, "+15550100")


async def test_a_server_that_is_not_there_is_offered_where_it_is_mocked(new_runner: NewRunner) -> None:
    runner, tool = new_runner(mocks=mocks({"cal_book": [{"result": "booked"}]})), workflow().entry.tools[1]
    assert [schema["name"] for schema in runner.schemas(tool)] == ["cal_book"]
    assert (await runner.run(call(tool, {"day": "monday"}, function="cal_book"))).text == "booked"


async def test_tools_that_are_not_named_are_real(new_runner: NewRunner) -> None:
    runner = new_runner(mocks=mocks({"cal_book": [{"result": "booked"}]}))
    tool = workflow().entry.tools[0]
    assert not runner.is_mocked(tool)
    outcome = await asyncio.wait_for(runner.run(call(compiled("end_call"))), 5)
    assert not outcome.mocked


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ([], "valid dictionary"),
        ({"tool": {}}, "tool"),
        ({"tools": {"check_order": []}}, "check_order"),
        ({"tools": {"check_order": [{"result": 1, "error": "x"}]}}, "an error or a result"),
        ({"tools": {"check_order": [{"reslt": 1}]}}, "tools.check_order.0.reslt"),
        ({"tools": {"check_ordr": [{"result": 1}]}}, "Did you mean “check_order”?"),
        ({"tools": {"check_order": [{"delay_s": -1}]}}, "delay_s"),
    ],
)
def test_a_file_that_is_wrong(raw: Json, told: str) -> None:
    with pytest.raises(UsageFault, match=r"mocks\.yaml") as fault:
        parse_mocks(raw, workflow(), "mocks.yaml")
    assert told in str(fault.value)
