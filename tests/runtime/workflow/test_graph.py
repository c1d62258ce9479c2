from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from runtime.errors import ConfigRefused
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow
from tests.runtime.workflow.configs import good, path_to, put


def compiled(config: dict[str, Any]) -> Workflow:
    return compile_workflow(WorkflowConfig.model_validate(config), version_id="v1")


def test_a_workflow_is_indexed() -> None:
    workflow = compiled(good())
    assert workflow.version_id == "v1"
    assert workflow.entry is workflow.agents["intake"]
    assert list(workflow.agents) == ["intake", "billing", "support"]
    assert sorted(workflow.paths) == ["done", "human", "to-billing", "to-support"]
    assert sorted(workflow.variables) == ["customer_id", "order_status", "paid", "vip"]
    assert workflow.variables["order_status"].data_type == "string"
    assert (str(workflow.zone), workflow.language, workflow.region) == ("Europe/Berlin", "en", "DE")
    assert workflow.instructions is not None
    assert workflow.instructions.names == ("customer_id", "workspace.company")
    assert [prompt.text for prompt in workflow.silence_prompts] == ["Are you still there?"]
    assert workflow.voicemail_text is not None
    assert [tool.function_name for tool in (*workflow.on_start, *workflow.on_end)] == ["http_request", "webhook"]


def test_an_agent_has_what_it_offers() -> None:
    agent = compiled(good()).entry
    assert (agent.id, agent.name, agent.slug, agent.language, agent.is_end) == (
        "intake",
        "Intake",
        "intake",
        "en",
        False,
    )
    assert [path.id for path in agent.own] == ["to-billing", "to-support"]
    assert [path.id for path in agent.offered] == ["to-billing", "to-support", "human"]
    assert {key: path.id for key, path in agent.dtmf.items()} == {"0": "human"}
    assert [tool.function_name for tool in agent.tools] == ["check_order"]
    assert agent.tools[0].tool.id == "orders"
    assert agent.greeting_text is not None
    assert agent.greeting_text.render({}) == "Hello, this is Acme."
    assert compiled(good()).agents["support"].is_end


def test_a_path_has_its_parts() -> None:
    path = compiled(good()).paths["to-billing"]
    assert (path.name, path.function_name, path.trigger, path.target_agent_id) == (
        "To Billing",
        "to_billing",
        "model",
        "billing",
    )
    assert path.description == "Use when the customer mentions invoices"
    assert path.guard is not None
    assert path.guard.reads == ("customer_id",)
    assert path.say is not None
    assert (path.required, path.optional) == (("customer_id",), ())
    assert path.variables[0].min_length == 4
    done = compiled(good()).paths["done"]
    assert (done.required, done.optional) == ((), ("paid",))
    assert not done.variables[0].is_required
    assert done.end_call is not None
    assert done.end_say is not None
    assert done.end_say.names == ("customer_id",)


def test_a_variable_declared_once_is_the_same_everywhere() -> None:
    config = put("variables.1", {"name": "customer_id", "data_type": "digits", "min_length": 4})
    config["agents"][0]["paths"][0]["required_variables"] = [
        {"name": "customer_id", "is_required": False, "fallback_path_id": "to-support"}
    ]
    workflow = compiled(config)
    path = workflow.paths["to-billing"]
    assert path.variables[0] == dataclasses.replace(workflow.variables["customer_id"], is_required=False)
    assert path.variables[0].data_type == "digits"
    assert path.fallbacks == {"customer_id": "to-support"}
    assert workflow.variables["customer_id"].is_required


def test_global_paths_are_offered_everywhere_but_at_their_target() -> None:
    config = put("global_paths.1", path_to("support", name="Help", trigger="automatic", priority=5))
    config["agents"][1]["paths"].append(path_to("support", name="Last", trigger="automatic", **{"else": True}))
    agents = compiled(config).agents
    assert [path.name for path in agents["support"].offered] == ["Human"]
    assert [path.name for path in agents["billing"].automatic] == ["Help", "Done"]
    assert agents["billing"].otherwise is not None
    assert agents["billing"].otherwise.name == "Last"
    assert agents["billing"].automatic[0].is_global


def test_function_names_are_unique_at_an_agent() -> None:
    config = put("global_paths.1", path_to("support", name="check order"))
    config = put("agents.0.paths.2", path_to("support", name="Remember"), config)
    config = put("agents.0.paths.1.name", "To-Billing", config)
    agent = compiled(config).entry
    names = [path.function_name for path in agent.offered] + [tool.function_name for tool in agent.tools]
    assert names == ["to_billing", "to_billing_2", "remember_2", "human", "check_order", "check_order_2"]


def test_a_node_overrides_the_defaults_key_by_key() -> None:
    config = put("defaults.turn", {"endpointing": {"min_delay_s": 1, "max_delay_s": 4}, "detection": "vad"})
    config = put("agents.0.turn", {"endpointing": {"min_delay_s": 0.5}, "interruption": {"min_words": 2}}, config)
    config = put("agents.0.llm", {"model": "other", "options": {"top_p": 1}}, config)
    agent = compiled(config).entry
    assert (agent.llm.provider, agent.llm.model, agent.llm.timeout_s) == ("openai", "other", 10)
    assert agent.llm.options == {"temperature": 0.2, "top_p": 1}
    assert (agent.turn.endpointing.min_delay_s, agent.turn.endpointing.max_delay_s) == (0.5, 4)
    assert (agent.turn.detection, agent.turn.interruption.min_words) == ("vad", 2)
    assert agent.turn.interruption.enabled


def test_the_first_agent_is_the_entry_unless_one_is_named() -> None:
    config = good()
    del config["entry_agent_id"]
    assert compiled(config).entry.id == "intake"
    assert compiled(put("entry_agent_id", "billing")).entry.id == "billing"


@pytest.mark.parametrize(
    ("path", "value", "places"),
    [
        ("agents.0.instructions", "{{ x", ["$.agents[0].instructions"]),
        ("agents.0.paths.0.guard_condition", "x ==", ["$.agents[0].paths[0].guard_condition"]),
        ("agents.0.paths.0.target_agent_id", "x", ["$.agents[0].paths[0].target_agent_id"]),
        ("entry_agent_id", "x", ["$.entry_agent_id"]),
        ("agents", [], ["$.entry_agent_id"]),
        ("agents.0.tools.0.tool_id", "x", ["$.agents[0].tools[0].tool_id"]),
        ("session.time_zone", "Mars", ["$.session.time_zone"]),
    ],
)
def test_what_does_not_compile_is_refused(path: str, value: object, places: list[str]) -> None:
    with pytest.raises(ConfigRefused) as refused:
        compiled(put(path, value))
    assert [fault.path for fault in refused.value.faults] == places  # type: ignore[attr-defined]
    assert refused.value.remedy


def test_a_workflow_cannot_be_changed() -> None:
    workflow = compiled(good())
    with pytest.raises(dataclasses.FrozenInstanceError):
        workflow.version_id = "v2"  # type: ignore[misc]
    with pytest.raises(TypeError):
        workflow.agents["x"] = workflow.entry  # type: ignore[index]
