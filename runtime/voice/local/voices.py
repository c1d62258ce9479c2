"""The voices espeak-ng has: languages and variants, read from its data, because it accepts variants it does not have."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from runtime.errors import ConfigRefused
from runtime.voice.local.extra import package_folder

__all__ = ["CALLER_SPEED", "CALLER_VOICE", "default_voice", "languages", "resolve_voice", "variants"]

CALLER_VOICE = "en-us+klatt4"
"""The voice the local recogniser understands best, at `CALLER_SPEED`."""
CALLER_SPEED = 1.2

_AGENT_VARIANT = "f3"
_LANGUAGE = re.compile(r"^language\s+(\S+)", re.MULTILINE)


def default_voice(language: str) -> str:
    """Return the agent's voice for a language tag (`en`, `de-AT`); the local recogniser never has to hear it."""
    known, wanted = languages(), language.lower().replace("_", "-")
    base = "en-us" if wanted == "en" else wanted
    while base and base not in known:
        base = base.rpartition("-")[0]
    if not base:
        raise ConfigRefused(
            f"The local voice does not speak '{language}'.", remedy=f"Languages: {', '.join(sorted(known))}"
        )
    return f"{base}+{_AGENT_VARIANT}"


def resolve_voice(voice: str) -> str:
    """Return `language` or `language+variant` as espeak-ng spells it; ConfigRefused lists voices there are."""
    language, plus, variant = voice.strip().partition("+")
    if language.lower() not in languages():
        some = ", ".join(sorted(languages())[:40])
        raise ConfigRefused(
            f"The local provider has no voice '{voice}'.",
            remedy=f"Voices are a language, e.g. {CALLER_VOICE}: {some} …",
        )
    if not plus:
        return language.lower()
    spelled = {name.lower(): name for name in variants()}.get(variant.lower())
    if spelled is None:
        some = ", ".join(sorted(variants())[:40])
        raise ConfigRefused(
            f"The local provider has no voice '{voice}'.", remedy=f"After the + stands one of: {some} …"
        )
    return f"{language.lower()}+{spelled}"


@cache
def languages() -> frozenset[str]:
    """Return the language tags espeak-ng speaks, in lower case."""
    files = (path for path in _data().joinpath("lang").rglob("*") if path.is_file())
    return frozenset(tag.lower() for path in files for tag in _LANGUAGE.findall(path.read_text(encoding="utf-8")))


@cache
def variants() -> frozenset[str]:
    """Return the names that may stand after the + of a voice."""
    return frozenset(path.name for path in _data().joinpath("voices", "!v").iterdir())


def _data() -> Path:
    return package_folder("espeakng_loader") / "espeak-ng-data"
