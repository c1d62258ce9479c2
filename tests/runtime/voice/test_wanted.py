"""A config's keys as constructor arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from livekit.agents import inference
from livekit.plugins import openai as openai_plugin

from runtime.errors import ConfigRefused
from runtime.voice import clients
from runtime.voice.wanted import arguments, key_of, wanted
from runtime.workflow.config import LlmConfig, SttConfig, TtsConfig, VadConfig


class Cartesian:
    """A constructor as many plugins have it."""

    def __init__(
        self, *, api_key: str | None = None, model: str = "sonic", voice: str = "v", language: str = "en-US"
    ) -> None: ...


class Eleven:
    def __init__(
        self, *, voice_id: str = "v", language: str | None = None, speed: float = 1.0, http_session: Any = None
    ) -> None: ...


class Hearing:
    def __init__(self, *, model: str = "nova", keyterm: list[str] | None = None, language: str = "en") -> None: ...


class Mute:
    def __init__(self, *, speed: float = 1.0) -> None: ...


class Anything:
    def __init__(self, **options: Any) -> None: ...


@pytest.mark.parametrize(
    ("kind", "config", "language", "constructor", "expected"),
    [
        ("tts", TtsConfig(provider="x", voice_id="a"), "en", Cartesian, {"voice": "a"}),
        ("tts", TtsConfig(provider="x", voice_id="a"), "de", Cartesian, {"voice": "a", "language": "de"}),
        ("tts", TtsConfig(provider="x", voice_id="a", speed=1.2), "en", Eleven, {"voice_id": "a", "language": "en", "speed": 1.2}),
        ("tts", TtsConfig(provider="x", options={"model": "m"}), "en-US", Cartesian, {"model": "m"}),
        ("stt", SttConfig(provider="x", model="m", keyterms=("Acme",)), "en", Hearing, {"model": "m", "keyterm": ["Acme"]}),
        ("stt", SttConfig(provider="x", options={"language": "multi"}), "fr", Hearing, {"language": "multi"}),
        ("llm", LlmConfig(provider="x", model="m", options={"odd": 1}), "en", Anything, {"model": "m", "odd": 1}),
        ("tts", TtsConfig(provider="inference", voice_id="a/b:c"), "en", inference.TTS, {"model": "a/b:c", "language": "en"}),
        ("stt", SttConfig(provider="openai", keyterms=("A", "B")), "en", openai_plugin.STT, {"prompt": "A, B"}),
        ("stt", SttConfig(provider="openai", model="gpt-transcribe", keyterms=("A",)), "en", openai_plugin.STT, {"model": "gpt-transcribe", "keywords": ["A"]}),
    ],
)  # fmt: skip
def test_arguments(kind: Any, config: Any, language: str, constructor: Any, expected: Mapping[str, Any]) -> None:
    ask = wanted("x", kind, config, language)
    assert arguments(ask, constructor, None, foreign=False) == expected


@pytest.mark.parametrize(
    ("config", "constructor"),
    [
        (TtsConfig(provider="x", speed=2.0), Cartesian),
        (LlmConfig(provider="x", base_url="https://x.example"), Cartesian),
        (LlmConfig(provider="x", api_key="k"), Eleven),
        (TtsConfig(provider="x", options={"http_session": 1}), Eleven),
        (TtsConfig(provider="x", voice_id="a"), Mute),
    ],
)
def test_arguments_a_constructor_does_not_take(config: Any, constructor: Any) -> None:
    ask = wanted("x", "tts", config, "en")
    with pytest.raises(ConfigRefused):
        arguments(ask, constructor, key_of(ask, {}), foreign=False)


def test_a_foreign_server_gets_placeholders_or_nothing_at_all() -> None:
    ask = wanted("x", "tts", TtsConfig(provider="x", options={"endpoint": "evil.example"}), "en")
    assert ask.addresses() == ("evil.example",)
    with pytest.raises(ConfigRefused):
        arguments(ask, Eleven, None, foreign=True)
    gateway = wanted("x", "llm", LlmConfig(provider="inference", model="m", base_url="https://evil.example"), "en")
    assert arguments(gateway, inference.LLM, None, foreign=True) == {
        "model": "m",
        "base_url": "https://evil.example",
        "api_key": clients.NO_KEY,
        "api_secret": clients.NO_KEY,
    }


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"temperature": 1}, ()),
        ({"extra": {"list": ["wss://a.example"]}}, ("wss://a.example",)),
        ({"proxy": "a.example:1"}, ("a.example:1",)),
        ({"hostile": "x"}, ()),
    ],
)
def test_addresses_in_options(options: Mapping[str, Any], found: tuple[str, ...]) -> None:
    assert wanted("x", "vad", VadConfig(provider="x", options=dict(options)), "en").addresses() == found
