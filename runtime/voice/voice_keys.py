"""Names for voices: whoever has the same one sounds the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from runtime.workflow.config import TtsConfig

__all__ = ["voice_key"]

Json = Any
_SHARED: Final = frozenset({"model", "voice", "voice_id", "language"})
"""Options whose texts say which voice it is, and never whose."""


def voice_key(config: TtsConfig, language: str, organization_id: str) -> str:
    """Return the name of a config's voice.

    Organizations share a voice of the worker's own account. A config that brings a text which could be a key, a
    template of one, or an address, speaks with an account of its organization's, where the same name may be another voice.
    """
    owner = organization_id if any(map(_brings_its_own, (config, *config.fallbacks))) else ""
    return json.dumps([config.model_dump(mode="json"), language, owner], sort_keys=True)


def _brings_its_own(config: TtsConfig) -> bool:
    return any(name not in _SHARED and any(_texts(value)) for name, value in config.options.items())


def _texts(value: Json) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for inner in value.values():
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner)
        case _:
            return
