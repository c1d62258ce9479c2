from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.workflow.validation import FAULT_CODES, ProviderKind, Stage, Validation, parse_document, validate
from tests.examples import examples
from tests.runtime.workflow.configs import drop, good, path_to, put

Json = Any
A, P = "$.agents[0]", "$.agents[0].paths[0]"


def found(result: Validation) -> list[tuple[str, str, str]]:
    return [(fault.path, fault.code, fault.severity) for fault in result.faults]


def test_the_good_config_has_no_fault() -> None:
    result = validate(good())
    assert result.faults == ()
    assert result.valid
    assert result.config is not None
    assert result.config.agents[0].paths[0].required_variables[0].max_length == 8


def test_the_domain_models_payload_is_valid() -> None:
    class Tools:
        def tool_types(self) -> Collection[str]:
            return {"check_order"}

        def config_faults(
            self, tool_type: str, config: Mapping[str, Json]
        ) -> Sequence[tuple[tuple[str | int, ...], str]]:
            return ()

    variable = {"name": "customer_id", "is_required": True}
    path = {"id": "p1", "name": "To Billing", "description": "Use when customer mentions invoices"}
    intake = {
        "id": "a1",
        "name": "Intake",
        "instructions": "Collect customer intent...",
        "llm": {"provider": "openai", "model": "gpt-4o-mini"},
        "stt": {"provider": "assemblyai", "model": "universal-streaming"},
        "tts": {"provider": "cartesia", "voice_id": "sonic-2"},
        "tools": [{"tool_type": "check_order", "config": {}}],
        "paths": [{**path, "target_agent_id": "a2", "required_variables": [variable]}],
    }
    billing = {"id": "a2", "name": "Billing", "instructions": "Help.", "tools": [], "paths": []}
    assert found(validate({"agents": [intake, billing]}, tools=Tools())) == []


VARIABLE = "agents.0.paths.0.required_variables.0"
V = f"{P}.required_variables[0]"
BAD: list[tuple[str, Json, list[tuple[str, str, str]]]] = [
    # shape
    ("colour", 1, [("$.colour", "unknown_key", "error")]),
    ("agents.0.instructons", "x", [(f"{A}.instructons", "unknown_key", "error")]),
    ("agents.0.strange key", "x", [(f"{A}['strange key']", "unknown_key", "error")]),
    ("agents.0.tools.0.config", {}, [(f"{A}.tools[0].config", "unknown_key", "error")]),
    ("agents.0.name", 5, [(f"{A}.name", "wrong_type", "error")]),
    ("agents.0.name", None, [(f"{A}.name", "wrong_type", "error")]),
    ("agents.2", 5, [("$.agents[2]", "wrong_type", "error"), (f"{A}.paths[1].target_agent_id", "unknown_target", "error")]),
    ("agents.0.paths", {"required_variables": {"name": "customer_id"}}, [(f"{A}.paths", "wrong_type", "error")]),
    ("session.max_duration_s", "60", [("$.session.max_duration_s", "wrong_type", "error")]),
    ("session.max_duration_s", True, [("$.session.max_duration_s", "wrong_type", "error")]),
    ("agents.0.paths.1.else", "yes", [(f"{A}.paths[1].else", "wrong_type", "error")]),
    ("agents.0.paths.1.otherwise", True, [(f"{A}.paths[1].otherwise", "unknown_key", "error")]),
    ("session.max_duration_s", 0, [("$.session.max_duration_s", "out_of_range", "error")]),
    ("session.silence.after_s", -1, [("$.session.silence.after_s", "out_of_range", "error")]),
    ("session.silence.after_s", float("nan"), [("$.session.silence.after_s", "out_of_range", "error")]),
    ("agents.0.tts.speed", 0, [(f"{A}.tts.speed", "out_of_range", "error")]),
    (f"{VARIABLE}.max_attempts", 0, [(f"{V}.max_attempts", "out_of_range", "error")]),
    (f"{VARIABLE}.data_type", "digit", [(f"{V}.data_type", "unknown_value", "error")]),
    ("agents.0.paths.1.trigger", "automatik", [(f"{A}.paths[1].trigger", "unknown_value", "error")]),
    ("schema_version", 2, [("$.schema_version", "newer_schema_version", "error")]),
    ("schema_version", "1", [("$.schema_version", "wrong_type", "error")]),
    ("agents.0.metadata", {"x": ["a\0"]}, [(f"{A}.metadata.x[0]", "unstorable_text", "error")]),
    ("agents.0.metadata", {"x\ud800": 1}, [(f"{A}.metadata['x\\ud800']", "unstorable_text", "error")]),
    ("agents.0.llm.options.user", "\udfff", [(f"{A}.llm.options.user", "unstorable_text", "error")]),
    ("agents.0.llm.options.top_p", float("inf"), [(f"{A}.llm.options.top_p", "out_of_range", "error")]),
    ("agents.0.name", "In\0take", [(f"{A}.name", "unstorable_text", "error")]),
    ("tools.0.config.url", "https://a.example/\0", [("$.tools[0].config.url", "unstorable_text", "error")]),
    # names
    ("agents.2.name", " ", [("$.agents[2].name", "empty_name", "error")]),
    ("agents.2.name", "Intake", [("$.agents[2].name", "duplicate_name", "error")]),
    ("tools.1", {"id": "", "tool_type": "http_request", "config": {"url": "https://a.example"}}, [
        ("$.tools[1].id", "empty_name", "error")
    ]),
    ("tools.1", {"id": "orders", "tool_type": "http_request"}, [("$.tools[1].id", "duplicate_id", "error")]),
    ("agents.0.paths.1.id", "done", [("$.agents[1].paths[0].id", "duplicate_id", "error")]),
    ("agents.0.paths.1.name", "To Billing", [(f"{A}.paths[1].name", "duplicate_name", "error")]),
    ("entry_agent_id", "Intake", [("$.entry_agent_id", "unknown_agent", "error")]),
    ("agents.0.paths.1.target_agent_id", "x", [
        (f"{A}.paths[1].target_agent_id", "unknown_target", "error"),
        ("$.agents[2]", "agent_unreachable", "warning"),
    ]),
    ("global_paths.0.transfer_call.on_failure_agent_id", "x", [
        ("$.global_paths[0].transfer_call.on_failure_agent_id", "unknown_agent", "error")
    ]),
    ("agents.1.tools", [{"tool_id": "order"}], [("$.agents[1].tools[0].tool_id", "unknown_tool", "error")]),
    (f"{VARIABLE}.fallback_path_id", "done", [(f"{V}.fallback_path_id", "unknown_path", "error")]),
    ("tools.0.on_failure_path_id", "done", [("$.tools[0].on_failure_path_id", "unknown_path", "error")]),
    # variables
    (f"{VARIABLE}.name", "Customer", [
        (f"{V}.name", "variable_name", "error"),
        (f"{P}.guard_condition", "unknown_variable", "error"),
        ("$.instructions", "unknown_variable", "error"),
        ("$.agents[1].instructions", "unknown_variable", "error"),
        ("$.agents[1].paths[0].end_call.say", "unknown_variable", "error"),
    ]),
    ("variables.0.name", "caller", [("$.variables[0].name", "reserved_name", "error")]),
    ("variables.0.name", "type", [("$.variables[0].name", "reserved_name", "error")]),
    ("variables.1", {"name": "vip"}, [("$.variables[1].name", "duplicate_name", "error")]),
    (f"{VARIABLE}.min_length", 9, [(f"{V}.min_length", "limits_contradict", "error"), (f"{V}.examples[0]", "example_invalid", "warning")]),
    (f"{VARIABLE}.pattern", "[0-9", [(f"{V}.pattern", "pattern_invalid", "error")]),
    (f"{VARIABLE}.default", "abc", [(f"{V}.default", "default_invalid", "error")]),
    (f"{VARIABLE}.examples", ["12"], [(f"{V}.examples[0]", "example_invalid", "warning")]),
    (f"{VARIABLE}.enum", ["1234"], [(f"{V}.enum", "enum_unused", "warning")]),
    ("variables.1", {"name": "c", "data_type": "enum"}, [("$.variables[1].enum", "enum_empty", "error")]),
    ("variables.1", {"name": "c", "data_type": "enum", "enum": []}, [("$.variables[1].enum", "enum_empty", "error")]),
    ("variables.1", {"name": "c", "data_type": "enum", "enum": ["red"], "default": "rde"}, [
        ("$.variables[1].default", "default_invalid", "error")
    ]),
    ("variables.1", {"name": "c", "data_type": "date", "confirm": "spell"}, [
        ("$.variables[1].confirm", "confirm_spell", "warning")
    ]),
    ("agents.1.paths.0.required_variables.1", {"name": "customer_id", "data_type": "string"}, [
        ("$.agents[1].paths[0].required_variables[1].data_type", "variable_conflict", "error")
    ]),
    ("agents.1.paths.0.required_variables.1", {"name": "customer_id", "is_required": False}, []),
    ("session.analysis.fields.0.enum", [], [("$.session.analysis.fields[0].enum", "enum_empty", "error")]),
    # paths
    ("agents.0.paths.1.end_call", {}, [(f"{A}.paths[1].end_call", "path_target", "error")]),
    ("agents.0.paths.1.end_call", 5, [(f"{A}.paths[1].end_call", "wrong_type", "error")]),
    ("session.failure", {"transfer_to": "Berlin"}, [("$.session.failure.transfer_to", "transfer_number", "error")]),
    ("global_paths.0.transfer_call.to", "Berlin", [("$.global_paths[0].transfer_call.to", "transfer_number", "error")]),
    ("global_paths.0.dtmf", "11", [("$.global_paths[0].dtmf", "dtmf_key", "error")]),
    ("global_paths.0.dtmf", None, [("$.global_paths[0].dtmf", "dtmf_key", "error")]),
    ("agents.0.paths.1.dtmf", "1", [(f"{A}.paths[1].dtmf", "dtmf_key", "warning")]),
    ("agents.0.paths.2", path_to("support", trigger="dtmf", dtmf="0"), [(f"{A}.paths[2].dtmf", "dtmf_twice", "error")]),
    ("agents.0.paths.1.else", True, [(f"{A}.paths[1].else", "else_not_automatic", "error")]),
    ("agents.1.paths.1", path_to("support", trigger="automatic", **{"else": True}), []),
    ("agents.0.paths.1.cooldown_turns", 2, [(f"{A}.paths[1].cooldown_turns", "cooldown_own_path", "error")]),
    # guards
    ("agents.0.paths.0.guard_condition", "customer_id ==", [(f"{P}.guard_condition", "guard_invalid", "error")]),
    ("agents.0.paths.0.guard_condition", "customer_id > 3", [(f"{P}.guard_condition", "guard_invalid", "error")]),
    ("agents.0.paths.0.guard_condition", "customer_id", [(f"{P}.guard_condition", "guard_not_boolean", "error")]),
    ("agents.0.paths.0.guard_condition", "customer == ''", [(f"{P}.guard_condition", "unknown_variable", "error")]),
    ("agents.0.paths.0.guard_condition", "is_set('nobody')", [(f"{P}.guard_condition", "unknown_variable", "error")]),
    ("agents.0.paths.0.guard_condition", "caller.name == ''", [(f"{P}.guard_condition", "unknown_variable", "error")]),
    ("agents.0.paths.0.guard_condition", "secrets.X == ''", [(f"{P}.guard_condition", "secret_exposed", "error")]),
    ("agents.0.paths.0.guard_condition", "vip && !vip", [(f"{P}.guard_condition", "guard_never_holds", "warning")]),
    ("agents.0.paths.0.guard_condition", "1 > 2", [(f"{P}.guard_condition", "guard_never_holds", "warning")]),
    ("agents.0.paths.0.guard_condition", "paid", [(f"{P}.guard_condition", "never_set", "error")]),
    ("agents.0.paths.0.guard_condition", "customer_id.matches('(')", [(f"{P}.guard_condition", "guard_invalid", "error")]),
    ("agents.0.paths.0.guard_condition", "now > timestamp('x')", [(f"{P}.guard_condition", "guard_invalid", "error")]),
    ("agents.0.paths.0.guard_condition", "duration('zz') > duration('1s')", [(f"{P}.guard_condition", "guard_invalid", "error")]),
    # flow
    ("agents.1.paths.1", path_to("support", trigger="automatic"), [
        ("$.agents[1].paths[1].guard_condition", "guard_overlap", "error")
    ]),
    ("agents.1.paths.1", path_to("support", trigger="automatic", guard_condition="is_set('paid') && !paid"), []),
    ("agents.1.paths.1", path_to("support", trigger="automatic", priority=1), []),
    ("agents.1.paths.1", path_to("billing", trigger="automatic", priority=1), [("$.agents[1].paths[1]", "automatic_ring", "error")]),
    ("agents.1.paths.1", path_to("billing", trigger="automatic", priority=1, guard_condition="visits < 3"), []),
    ("agents.1.paths.1", path_to("billing", trigger="automatic", priority=1, required_variables=[{"name": "x"}]), [
        ("$.agents[1].paths[1]", "automatic_ring", "error")
    ]),
    ("agents.3", {"id": "x", "name": "X", "instructions": ""}, [("$.agents[3]", "agent_unreachable", "warning")]),
    # templates
    ("agents.0.instructions", "{{ x", [(f"{A}.instructions", "template_invalid", "error")]),
    ("agents.0.instructions", "{% include 'x' %}", [(f"{A}.instructions", "template_invalid", "error")]),
    ("agents.0.instructions", "{{ vip | shout }}", [(f"{A}.instructions", "template_invalid", "error")]),
    ("agents.0.instructions", "{{ vipp }}", [(f"{A}.instructions", "unknown_variable", "error")]),
    ("agents.0.instructions", "{{ caller.name }}", [(f"{A}.instructions", "unknown_variable", "error")]),
    ("agents.0.instructions", "{{ arguments.x }}", [(f"{A}.instructions", "unknown_variable", "error")]),
    ("agents.0.instructions", "{{ secrets.X }}", [(f"{A}.instructions", "secret_exposed", "error")]),
    ("agents.0.instructions", "{{ paid }}", [(f"{A}.instructions", "never_set", "error")]),
    ("agents.0.greeting.text", "{{ secrets.X }}", [(f"{A}.greeting.text", "secret_exposed", "error")]),
    ("agents.0.paths.0.say", "{{ secrets.X }}", [(f"{P}.say", "secret_exposed", "error")]),
    ("session.silence.prompts", ["{{ secrets.X }}"], [("$.session.silence.prompts[0]", "secret_exposed", "error")]),
    ("tools.0.config.description", "{{ secrets.X }}", [("$.tools[0].config.description", "secret_exposed", "error")]),
    ("tools.0.say_while_running", "{{ secrets.X }}", [("$.tools[0].say_while_running", "secret_exposed", "error")]),
    ("tools.0.config.url", "{{ paid }}", [("$.tools[0].config.url", "never_set", "error")]),
    ("session.on_start.0.config.url", "{{ customer_id }}", [("$.session.on_start[0].config.url", "never_set", "error")]),
    ("agents.0.llm.base_url", "https://{{ secrets.X }}", [(f"{A}.llm.base_url", "secret_exposed", "error")]),
    ("agents.0.llm.api_key", "{{ vip }}", [(f"{A}.llm.api_key", "unknown_variable", "error")]),
    # session
    ("session.time_zone", "Europe/Berln", [("$.session.time_zone", "unknown_time_zone", "error")]),
    ("session.region", "de", [("$.session.region", "unknown_region", "error")]),
    ("session.language", "English (US)", [("$.session.language", "unknown_language", "error")]),
    ("session.voicemail.text", "", [("$.session.voicemail.text", "missing_text", "error")]),
    ("agents.0.greeting.text", None, [(f"{A}.greeting.text", "missing_text", "warning")]),
    ("agents.0.turn.endpointing.min_delay_s", 3, [(f"{A}.turn.endpointing.min_delay_s", "limits_contradict", "error")]),
    ("session.on_end.0.tool_type", "http_request", [("$.session.on_end[0].tool_type", "tool_not_allowed", "error")]),
    # providers and tools
    ("agents.0.llm.provider", "opnai", [(f"{A}.llm.provider", "unknown_provider", "error")]),
    ("agents.0.vad.provider", "openai", [(f"{A}.vad.provider", "unknown_provider", "error")]),
    ("agents.0.tts.fallbacks", [{"provider": "x"}], [(f"{A}.tts.fallbacks[0].provider", "unknown_provider", "error")]),
    ("tools.0.tool_type", "htp_request", [("$.tools[0].tool_type", "unknown_tool_type", "error")]),
    ("tools.0.assign", {"order_status": "$.["}, [("$.tools[0].assign.order_status", "json_path_invalid", "error")]),
    ("tools.0.assign.now", "$.x", [("$.tools[0].assign.now", "reserved_name", "error")]),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "expected"), BAD, ids=lambda item: item if isinstance(item, str) else "")
def test_a_fault_is_found_at_its_place(path: str, value: Json, expected: list[tuple[str, str, str]]) -> None:
    result = validate(put(path, value))
    assert sorted(found(result)) == sorted(expected)
    assert result.valid == all(severity == "warning" for _, _, severity in expected)
    for fault in result.faults:
        assert fault.code in FAULT_CODES
        assert fault.message
        assert fault.remedy


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("agents", ("$.agents", "no_agents", "error")),
        ("agents.0.id", (f"{A}.id", "missing_key", "error")),
        ("agents.0.paths.1.target_agent_id", (f"{A}.paths[1].target_agent_id", "path_target", "error")),
        ("tools.0.tool_type", ("$.tools[0].tool_type", "missing_key", "error")),
        ("tools.0.id", ("$.tools[0].id", "missing_key", "error")),
    ],
)
def test_a_missing_key_is_named(path: str, expected: tuple[str, str, str]) -> None:
    assert expected in found(validate(drop(path)))


@pytest.mark.parametrize("raw", [None, 5, "x", [], [good()]])
def test_what_is_no_object_is_one_fault(raw: Json) -> None:
    assert found(validate(raw)) == [("$", "wrong_type", "error")]


def test_a_config_nested_too_deeply_is_one_fault() -> None:
    raw: Json = []
    for _ in range(5000):
        raw = [raw]
    assert found(validate({"agents": raw})) == [("$", "too_large", "error")]


def test_faults_of_shape_hide_no_faults_of_meaning() -> None:
    config = put("agents.0.llm.temprature", 1)
    config = put("agents.1.paths.0.guard_condition", "paid ==", config)
    config = put("agents.2.name", "Intake", config)
    config = put("agents.0.instructions", "{{ vipp }} {{ secrets.X }}", config)
    assert sorted(found(validate(config))) == [
        ("$.agents[0].instructions", "secret_exposed", "error"),
        ("$.agents[0].instructions", "unknown_variable", "error"),
        ("$.agents[0].llm.temprature", "unknown_key", "error"),
        ("$.agents[1].paths[0].guard_condition", "guard_invalid", "error"),
        ("$.agents[2].name", "duplicate_name", "error"),
    ]


def test_a_repeated_key_hides_no_other_fault() -> None:
    text = json.dumps(put("agents.2.paths", [path_to("nobody")])).replace(
        '"name": "Intake"', '"name": "X", "name": "Y"'
    )
    assert found(validate(parse_document(text))) == [
        (f"{A}.name", "duplicate_key", "error"),
        ("$.agents[2].paths[0].target_agent_id", "unknown_target", "error"),
    ]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (
            "agents.0.paths.1.target_agent_id",
            "supprt",
            ["Path “To Support” of agent “Intake”", "“supprt”", "“support”"],
        ),
        ("agents.0.paths.1.target_agent_id", "Support", ["An agent is named by its id: “support”"]),
        ("agents.0.instructons", "", ["Agent “Intake”", "Did you mean “instructions”?"]),
        (
            "agents.0.paths.0.required_variables.0.data_typ",
            "",
            ["Variable “customer_id” of path “To Billing”", "“data_type”"],
        ),
        ("agents.0.tools.0.tool_idd", "", ["“tool_id”"]),
        ("agents.0.paths.0.guard_condition", "customer_idd == ''", ["column 1", "“customer_id”"]),
        ("agents.0.llm.provider", "opnai", ["“openai”"]),
        ("agents.0.vad.provider", "openai", ["no vad, only llm and stt and tts"]),
        ("session.region", "de", ["“DE”"]),
        ("session.silence.prompts", ["Hm.", "{{ vipp }}"], ["The workflow: “prompts[1]” reads “vipp”"]),
        ("session.silence.prompts", ["{{ vip"], ["“prompts[0]” is no Liquid template"]),
        (
            "tools.0.config.parameters",
            {"properties": {"ordr": {}}},
            ["“arguments.order”", "Did you mean “arguments.ordr”?"],
        ),
        (
            "agents.1.paths.1",
            path_to("billing", trigger="automatic", priority=1, required_variables=[{"name": "x"}]),
            ["needs no new input from the second round on, when it has x:"],
        ),
        ("session.time_zone", "Europe/Berln", ["“Europe/Berlin”"]),
    ],
)
def test_messages_name_the_place_and_the_remedy(path: str, value: Json, words: list[str]) -> None:
    fault = validate(put(path, value)).faults[0]
    for word in words:
        assert word in f"{fault.message} {fault.remedy}"


@pytest.mark.parametrize(
    ("more", "is_told"),
    [
        ({}, True),
        ({"additionalProperties": False}, True),
        ({"additionalProperties": True}, False),
        ({"additionalProperties": {"type": "string"}}, False),
        ({"allOf": [{"properties": {"order": {}}}]}, False),
        ({"patternProperties": {"^o": {}}}, False),
        ({"properties": {"order": {}}}, False),
        ({"properties": None}, False),
    ],
)
def test_arguments_are_the_tools_parameters(more: dict[str, Json], is_told: bool) -> None:
    parameters = {"type": "object", "properties": {"number": {"type": "string"}}, **more}
    faults = [
        fault for fault in found(validate(put("tools.0.config.parameters", parameters))) if fault[1] != "tool_config"
    ]
    assert faults == ([("$.tools[0].config.url", "unknown_variable", "error")] if is_told else [])


def test_an_end_out_of_reach_is_a_fault() -> None:
    one = {"id": "a", "name": "A", "instructions": "", "paths": [path_to("b")]}
    two = {"id": "b", "name": "B", "instructions": "", "paths": [path_to("a")]}
    assert found(validate({"agents": [one, two]})) == [("$.agents", "no_end", "error")]
    ways: list[dict[str, Json]] = [{"end_call": {}}, {"transfer_call": {"to": "+15550100"}}]
    for way in ways:
        ending = {"id": "e", "name": "End", **way}
        assert found(validate({"agents": [one, {**two, "paths": [ending, path_to("a")]}]})) == []
    assert found(validate({"agents": [one, {**two, "tools": [{"tool_type": "end_call"}]}]})) == []


def test_a_ring_over_several_agents_is_told_once_at_its_first_path() -> None:
    agents: list[dict[str, Json]] = [
        {"id": name, "name": name, "instructions": "", "paths": [path_to(then, trigger="automatic", **more)]}
        for name, then, more in (
            ("a", "b", {}),
            ("b", "c", {"guard_condition": "call.channel == 'phone'"}),
            ("c", "a", {"required_variables": []}),
        )
    ]
    agents[0]["paths"].append({"id": "e", "name": "End", "end_call": {}})
    assert found(validate({"agents": agents})) == [("$.agents[0].paths[0]", "automatic_ring", "error")]
    agents[2]["paths"][0]["guard_condition"] = "call.channel == 'web'"
    assert found(validate({"agents": agents})) == []
    agents[2]["paths"][0]["guard_condition"] = None
    agents[2]["paths"][0]["else"] = True
    assert found(validate({"agents": agents})) == []


def test_two_else_paths_of_one_agent() -> None:
    more = {"trigger": "automatic", "else": True}
    config = put("agents.1.paths.1", path_to("support", **more))
    config = put("agents.1.paths.2", path_to("support", name="again", **more), config)
    assert found(validate(config)) == [("$.agents[1].paths[2].else", "else_twice", "error")]


class Plugins:
    """OpenAI is installed and has two parameters; Deepgram is known."""

    def providers(self, kind: ProviderKind) -> Collection[str]:
        return {"openai", "deepgram", "local"}

    def is_installed(self, kind: ProviderKind, provider: str) -> bool:
        return provider == "openai"

    def parameters(self, kind: ProviderKind, provider: str) -> Collection[str] | None:
        return {"temperature", "max_tokens"}


@pytest.mark.parametrize(("stage", "severity"), [("save", "warning"), ("start", "error")])
def test_a_plugin_that_is_not_installed(stage: Stage, severity: str) -> None:
    result = validate(put("agents.0.stt.provider", "deepgram"), providers=Plugins(), stage=stage)
    assert found(result) == [(f"{A}.stt.provider", "provider_missing", severity)]
    assert "pip install livekit-plugins-deepgram" in result.faults[0].remedy


def test_options_are_checked_where_the_plugin_is_installed() -> None:
    config = put("agents.0.llm.options", {"temprature": 1})
    result = validate(config, providers=Plugins())
    assert found(result) == [(f"{A}.llm.options.temprature", "unknown_option", "error")]
    assert "“temperature”" in result.faults[0].remedy


def test_a_tools_config_is_checked_by_its_tool() -> None:
    class Tools:
        def tool_types(self) -> Collection[str]:
            return {"http_request", "webhook"}

        def config_faults(
            self, tool_type: str, config: Mapping[str, Json]
        ) -> Sequence[tuple[tuple[str | int, ...], str]]:
            return [(("headers", "X-Y"), "must be text.")] if "headers" in config else []

    result = validate(good(), tools=Tools())
    assert found(result) == [("$.tools[0].config.headers['X-Y']", "tool_config", "error")]


def test_twenty_agents_are_checked_in_a_moment() -> None:
    config = good()
    for number in range(20):
        paths = [
            path_to(target, name=f"{number} to {target}", guard_condition="is_set('paid') && vip")
            for target in ("intake", "billing", "support")
        ]
        config["agents"].append({"id": f"{number}", "name": f"{number}", "instructions": "{{ vip }}", "paths": paths})
        config["agents"][0]["paths"].append(path_to(f"{number}"))
    assert validate(config).valid
    took = []
    for _ in range(5):
        start = time.perf_counter()
        validate(config)
        took.append(time.perf_counter() - start)
    assert min(took) < 0.1


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        [
            "intake",
            "billing",
            "customer_id",
            "{{ customer_id }}",
            "{% if",
            "customer_id == 'x'",
            "automatic",
            "dtmf",
            "enum",
            "\ud800",
        ]
    )
)
_KEYS = st.sampled_from(
    ["agents", "id", "name", "instructions", "paths", "tools", "tool_id", "trigger", "guard_condition", "required_variables", "data_type", "enum", "else", "target_agent_id", "end_call", "llm", "provider", "options", "session", "silence", "variables", "default", "pattern", "assign", "config", "x"]
)  # fmt: skip
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | st.text(max_size=4), inner, max_size=4),
)


@given(_JSON | st.fixed_dictionaries({"agents": st.lists(_JSON, max_size=3)}))
@settings(max_examples=examples(60), deadline=None)
def test_no_json_makes_validation_raise(raw: Json) -> None:
    assert isinstance(validate(raw), Validation)


@given(st.data())
@settings(max_examples=examples(80), deadline=None)
def test_no_mutation_of_a_good_config_makes_validation_raise(data: st.DataObject) -> None:
    config = good()
    for _ in range(data.draw(st.integers(1, 3))):
        at: Json = config
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(at[key], dict | list) and data.draw(st.integers(0, 4)) > 0:
                at = at[key]
                continue
            at[key] = data.draw(_JSON)
            break
    result = validate(config)
    assert result.valid or result.faults
    assert (result.config is not None) == result.valid
    assert {fault.code for fault in result.faults} <= FAULT_CODES.keys()
