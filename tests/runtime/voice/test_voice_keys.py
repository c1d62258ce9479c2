"""Names for voices: whoever has the same one sounds the same."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.voice.voice_keys import voice_key
from runtime.workflow.config import TtsConfig


def key(organization: str, language: str = "en", **tts: Any) -> str:
    return voice_key(TtsConfig.model_validate({"provider": "cartesia", "voice_id": "v", **tts}), language, organization)


@pytest.mark.parametrize(
    "tts",
    [{}, {"speed": 1.2}, {"pronunciations": {"Acme": "ACK-mee"}}, {"options": {"model": "sonic-2", "volume": 0.5}}],
)
def test_organizations_share_a_voice_of_the_workers_account(tts: dict[str, Any]) -> None:
    assert key("one", **tts) == key("two", **tts)


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": "{{ secrets.CARTESIA }}"},
        {"base_url": "https://voices.acme.example"},
        {"headers": {"Authorization": "Bearer x"}},
        {"servers": ["https://voices.acme.example"]},
    ],
)
@pytest.mark.parametrize("as_fallback", [False, True])
def test_an_account_of_their_own_is_nobody_elses(options: dict[str, Any], as_fallback: bool) -> None:
    tts = {"fallbacks": [{"provider": "openai", "options": options}]} if as_fallback else {"options": options}
    assert key("one", **tts) != key("two", **tts)
    assert key("one", **tts) == key("one", **tts)


def test_what_sounds_different_has_another_name() -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"voice_id": "w"},
        {"speed": 1.1},
        {"provider": "openai"},
        {"options": {"volume": 1}},
        {"language": "de"},
    ]
    assert len({key("one", **way) for way in ways}) == len(ways)
