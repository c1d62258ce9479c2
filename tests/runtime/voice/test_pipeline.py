"""Providers built from nodes' configs: which object for which node, and turn handling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from livekit.agents import llm, stt, tts
from livekit.plugins import silero

from runtime.errors import ConfigRefused, ProviderMissing
from runtime.voice.chat_completions import ChatModel
from runtime.voice.local.rules import RulesLLM
from runtime.voice.local.stt import PocketsphinxSTT
from runtime.voice.local.tts import EspeakTTS
from runtime.voice.pipeline import connect_options, turn_options
from runtime.voice.vad import InlineVad
from tests.runtime.voice.nodes import LOCAL_SERVER, OPENAI, PLUGINS_OWN, Make, agent, agents, client_of, connections_of

# ------------------------------------------------------------ one object a config, never across calls


async def test_nodes_with_equal_config_share_an_object_within_a_call(make: Make) -> None:
    one, two, other = agents(
        {"llm": LOCAL_SERVER}, {"llm": dict(reversed(LOCAL_SERVER.items()))}, {"llm": LOCAL_SERVER | {"model": "n"}}
    )
    providers_ = make(stored=False)
    assert providers_.llm(one) is providers_.llm(two)
    assert providers_.llm(one) is not providers_.llm(other)


async def test_two_calls_share_the_client_and_never_the_object(make: Make) -> None:
    node, other = agent(llm=LOCAL_SERVER), agent(llm=LOCAL_SERVER | PLUGINS_OWN)
    first, second = make(stored=False), make(stored=False)
    assert first.llm(node) is not second.llm(node)
    assert connections_of(first.llm(node)) is connections_of(second.llm(node))
    assert client_of(first.llm(other)) is client_of(second.llm(other))


async def test_the_last_call_closes_the_client(make: Make) -> None:
    node, other = agent(llm=LOCAL_SERVER), agent(llm=LOCAL_SERVER | PLUGINS_OWN)
    one, two = make(stored=False), make(stored=False)
    connections, client = connections_of(one.llm(node)), client_of(one.llm(other))
    two.llm(node)
    two.llm(other)
    await one.aclose()
    await one.aclose()
    assert not connections.closed
    assert not client.is_closed()
    await two.aclose()
    assert connections.closed
    assert client.is_closed()


@pytest.mark.parametrize(
    ("options", "lean"),
    [
        ({}, True),
        ({"temperature": 0.2, "extra_body": {"min_p": 0.1}, "reasoning_effort": "low"}, True),
        ({"base_url": "http://127.0.0.1:9/v1"}, True),
        ({"temperature": 0.2, "max_retries": 3}, False),
        ({"prompt_cache_breakpoints": True}, False),
    ],
)
async def test_a_node_that_needs_what_only_the_plugin_has_gets_it(
    make: Make, options: Mapping[str, Any], lean: bool
) -> None:
    model = make(stored=False).llm(agent(llm=LOCAL_SERVER | {"options": options}))
    assert isinstance(model, ChatModel) is lean
    assert model.model == "m"
    assert model.provider == "127.0.0.1:9"


@pytest.mark.parametrize(
    ("variable", "value", "lean"),
    [
        ("HTTPS_PROXY", "http://127.0.0.1:8", False),
        ("ALL_PROXY", "http://127.0.0.1:8", False),
        ("NO_PROXY", "api.example", True),
    ],
)
async def test_behind_a_proxy_the_plugin_is_asked(
    make: Make, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, lean: bool
) -> None:
    if variable == "NO_PROXY":
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:8")
    monkeypatch.setenv(variable, value)
    node = agent(llm=OPENAI | {"api_key": "k", "base_url": "https://api.example/v1"})
    assert isinstance(make(stored=False).llm(node), ChatModel) is lean
    assert isinstance(make(stored=True).llm(node), ChatModel), "a server of a stored config has no proxy"


async def test_a_plugin_that_cannot_be_closed_keeps_nothing_open(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    node = agent(llm=LOCAL_SERVER | PLUGINS_OWN)
    one = make(stored=False)
    model = one.llm(node)
    client = client_of(model)

    async def broken() -> None:
        raise RuntimeError

    monkeypatch.setattr(model, "aclose", broken)
    await one.aclose()
    assert client.is_closed()


# ------------------------------------------------------------ local and offline


@pytest.mark.parametrize("config", [{}, OPENAI, {"provider": "no-such-plugin"}])
async def test_offline_puts_local_providers_in_place(make: Make, config: Mapping[str, Any]) -> None:
    node = agent(
        llm=config, stt={"provider": config.get("provider")}, tts={"provider": "cartesia", "voice_id": "sonic-2"}
    )
    offline = make(offline=True, vocabulary=lambda _agent: (("billing please",), ("acme",)))
    assert offline.offline
    assert isinstance(offline.llm(node), RulesLLM)
    assert isinstance(offline.stt(node), PocketsphinxSTT)
    assert isinstance(offline.tts(node), EspeakTTS)
    assert isinstance(offline.vad(node), InlineVad)


async def test_the_local_recogniser_listens_for_each_agents_words(make: Make) -> None:
    one, two, same = agents({}, {}, {})
    words = {one.id: "billing", two.id: "support", same.id: "billing"}
    offline = make(offline=True, vocabulary=lambda node: ((), (words[node.id],)))
    assert offline.stt(one) is offline.stt(same)
    assert offline.stt(one) is not offline.stt(two)


async def test_options_of_local_providers(make: Make) -> None:
    model = make().llm(agent(llm={"provider": "local", "options": {"delay_s": 0.25}}))
    assert isinstance(model, RulesLLM)
    assert model.delay_s == 0.25
    with pytest.raises(ConfigRefused, match="delay"):
        make().llm(agent(llm={"provider": "local", "options": {"delay": 1}}))


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({}, InlineVad),
        ({"provider": "silero"}, InlineVad),
        ({"provider": "local"}, InlineVad),
        ({"provider": "silero", "options": {"min_silence_duration": 0.4}}, InlineVad),
        ({"provider": "silero", "options": {"sample_rate": 8000}}, silero.VAD),
    ],
)
async def test_voice_activity(make: Make, config: Mapping[str, Any], kind: type) -> None:
    detector = make().vad(agent(vad=config))
    assert isinstance(detector, kind)
    if silence := config.get("options", {}).get("min_silence_duration"):
        assert isinstance(detector, InlineVad)
        assert detector.min_silence_duration == silence


# ------------------------------------------------------------ plugins, arguments, faults


@pytest.mark.parametrize("provider", ["cartesia", "opnai"])
async def test_a_plugin_that_is_not_installed(make: Make, provider: str) -> None:
    with pytest.raises(ProviderMissing) as caught:
        make().tts(agent(tts={"provider": provider}))
    assert f"pip install livekit-plugins-{provider}" in caught.value.remedy
    assert ("'openai'" in caught.value.remedy) == (provider == "opnai")


@pytest.mark.parametrize("provider", ["openai.realtime", "../x", "", "Open AI"])
async def test_what_is_no_name(make: Make, provider: str) -> None:
    with pytest.raises(ConfigRefused, match="no provider's name"):
        make().llm(agent(llm={"provider": provider}))


async def test_no_provider_at_all(make: Make) -> None:
    with pytest.raises(ConfigRefused, match="llm of agent 'Agent 0' names no provider"):
        make().llm(agent())


async def test_a_plugin_without_this_kind(make: Make) -> None:
    with pytest.raises(ConfigRefused, match="'silero' has no llm"):
        make().llm(agent(llm={"provider": "silero"}))


async def test_an_unknown_option_names_the_nearest(make: Make) -> None:
    with pytest.raises(ConfigRefused) as caught:
        make(stored=False).llm(agent(llm=LOCAL_SERVER | {"options": {"temprature": 1}}))
    assert "temperature" in caught.value.remedy


async def test_what_a_constructor_refuses(make: Make) -> None:
    node = agent(stt=dict(OPENAI) | {"options": {"api_key": "k", "turn_detection": {"type": "odd"}}})
    with pytest.raises(ConfigRefused, match="stt of agent 'Agent 0'"):
        make().stt(node)


# ------------------------------------------------------------ fallbacks, timeouts, turns


async def test_fallbacks(make: Make) -> None:
    node = agent(
        llm=LOCAL_SERVER | {"timeout_s": 3, "fallbacks": [{"provider": "local"}]},
        stt={
            "provider": "openai",
            "options": {"base_url": "http://127.0.0.1:9/v1"},
            "fallbacks": [{"provider": "local"}],
        },
        tts={
            "provider": "openai",
            "options": {"base_url": "http://127.0.0.1:9/v1"},
            "fallbacks": [{"provider": "local"}],
        },
    )
    mine = make(stored=False)
    model = mine.llm(node)
    assert isinstance(model, llm.FallbackAdapter)
    assert model._attempt_timeout == 3
    assert isinstance(mine.stt(node), stt.FallbackAdapter)
    assert isinstance(mine.tts(node), tts.FallbackAdapter)


@pytest.mark.parametrize(("fallbacks", "retries"), [([], 1), ([{"provider": "local"}], 0)])
def test_connect_options(fallbacks: list[Any], retries: int) -> None:
    options = connect_options(agent(llm=OPENAI | {"timeout_s": 7, "fallbacks": fallbacks}))
    assert (options.timeout, options.max_retry) == (7, retries)


@pytest.mark.parametrize(
    ("detection", "offline", "mode"), [("auto", False, "vad"), ("stt", False, "stt"), ("stt", True, "vad")]
)
def test_turn_detection(detection: str, offline: bool, mode: str) -> None:
    assert turn_options(agent(turn={"detection": detection}), offline=offline)["turn_detection"] == mode


def test_turn_options() -> None:
    node = agent(
        turn={
            "endpointing": {"min_delay_s": 0.4, "max_delay_s": 0.1},
            "interruption": {"enabled": False, "min_duration_s": 0.7, "min_words": 2, "resume_after_s": 0},
        }
    )
    assert turn_options(node) == {
        "turn_detection": "vad",
        "endpointing": {"mode": "fixed", "min_delay": 0.4, "max_delay": 0.4},
        "interruption": {
            "enabled": False,
            "mode": "vad",
            "discard_audio_if_uninterruptible": False,
            "min_duration": 0.7,
            "min_words": 2,
            "resume_false_interruption": False,
            "false_interruption_timeout": None,
        },
        "preemptive_generation": {"enabled": False},
    }
