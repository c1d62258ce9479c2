"""The tools of the telephone: what they ask for, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.session.ports import TransferOutcome
from tests.tools.conftest import NewRunner, call, compiled
from tools.registry import default_registry

Json = Any


class Keys:
    """A telephone that remembers the keys it was told to send."""

    def __init__(self, fault: str | None = None) -> None:
        self.sent: list[str] = []
        self.fault = fault

    async def send_keys(self, keys: str) -> str | None:
        self.sent.append(keys)
        return self.fault

    async def transfer(self, to: str) -> TransferOutcome:
        raise AssertionError(f"the engine transfers, not the tool: {to}")


async def test_keys_are_sent(new_runner: NewRunner) -> None:
    telephone = Keys()
    runner = new_runner(telephone=telephone)
    tool = compiled("send_dtmf")
    outcome = await runner.run(call(tool, {"digits": "1w2#"}))
    assert (telephone.sent, outcome.error_code) == (["1w2#"], "")
    assert "digits" in runner.faults(tool, tool.function_name, {"digits": "one"})
    assert "digits" in runner.faults(tool, tool.function_name, {})


async def test_keys_that_were_not_sent_are_no_success(new_runner: NewRunner) -> None:
    outcome = await new_runner(telephone=Keys("the room is gone")).run(call(compiled("send_dtmf"), {"digits": "1"}))
    assert outcome.error_code == "keys_not_sent"
    assert "the room is gone" in outcome.text


async def test_without_a_telephone_no_key_is_sent(new_runner: NewRunner) -> None:
    outcome = await new_runner().run(call(compiled("send_dtmf"), {"digits": "1"}))
    assert outcome.error_code == "no_telephone"


@pytest.mark.parametrize(
    ("config", "arguments", "to", "say"),
    [
        ({"to": "+49 30 123456"}, {}, "+4930123456", ""),
        ({"to": "{{ caller.number }}", "say": "One moment, {{ customer_id }}."}, {}, "+15550199", "One moment, 4271."),
        (
            {"destinations": {"billing": "+4930111111", "support": "sip:help@acme.example"}},
            {"destination": "support"},
            "sip:help@acme.example",
            "",
        ),
    ],
)
async def test_a_caller_is_put_through(
    new_runner: NewRunner, config: dict[str, Json], arguments: dict[str, Json], to: str, say: str
) -> None:
    runner, tool = new_runner(), compiled("transfer_call", config)
    assert runner.faults(tool, tool.function_name, arguments) == ""
    outcome = await runner.run(call(tool, arguments))
    assert (outcome.transfer_to, outcome.say, outcome.hang_up) == (to, say, False)


async def test_only_the_builders_destinations_are_called(new_runner: NewRunner) -> None:
    runner, tool = new_runner(), compiled("transfer_call", {"destinations": {"billing": "+4930111111"}})
    assert "destination" in runner.faults(tool, tool.function_name, {"destination": "+19005550100"})
    assert "destination" in runner.faults(tool, tool.function_name, {"to": "+19005550100"})
    nowhere = await runner.run(call(compiled("transfer_call", {"to": "{{ workspace.desk }}"})))
    assert (nowhere.error_code, nowhere.transfer_to) == ("no_number", "")


@pytest.mark.parametrize(
    ("tool_type", "config"),
    [
        ("transfer_call", {}),
        ("transfer_call", {"to": "+4930123456", "destinations": {"a": "+4930123456"}}),
        ("transfer_call", {"to": "{{ caller.number"}),
        ("wait", {"max_s": 500}),
        ("send_dtmf", {"digits": "1"}),
    ],
)
def test_a_config_that_does_not_fit_is_a_fault(tool_type: str, config: dict[str, Json]) -> None:
    assert default_registry().config_faults(tool_type, config)


async def test_a_moment_is_as_long_as_was_asked_for(new_runner: NewRunner) -> None:
    runner, tool = new_runner(), compiled("wait", {"max_s": 60})
    assert (await runner.run(call(tool, {"seconds": 20}))).hold_s == 20
    assert (await runner.run(call(tool))).hold_s == 60
    assert "seconds" in runner.faults(tool, tool.function_name, {"seconds": 600})
