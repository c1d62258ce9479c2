"""Secrets blotted out of what a tool brings back, and texts cut to what a model and an event can take."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["MASK", "Scrubber", "cut"]

Json = Any
MASK = "•••"
_SHORTEST = 4  # a shorter secret would blot out half of every answer, and is none
_CUT = " … (cut off)"


class Scrubber:
    """Replaces secrets by `•••`, also where a service echoes them in a URL's or in JSON's escapes."""

    def __init__(self, secrets: Iterable[str]) -> None:
        told = sorted({secret for secret in secrets if len(secret) >= _SHORTEST}, key=len, reverse=True)
        self._found = re.compile("|".join(map(_pattern, told))) if told else None

    def text(self, text: str) -> str:
        return text if self._found is None else self._found.sub(MASK, text)

    def value(self, value: Json) -> Json:
        """Return the JSON with every text in it scrubbed, keys too."""
        if self._found is None:
            return value
        match value:
            case str():
                return self.text(value)
            case Mapping():
                return {self.text(str(key)): self.value(inner) for key, inner in value.items()}
            case list() | tuple():
                return [self.value(inner) for inner in value]
            case _:
                return value


def cut(text: str, most: int) -> str:
    """Return at most `most` characters, and say so where something is missing."""
    return text if len(text) <= most else text[: most - len(_CUT)] + _CUT


def _pattern(secret: str) -> str:
    return "".join(f"(?:{'|'.join(map(re.escape, forms))})" for forms in map(_forms, secret))


def _forms(character: str) -> list[str]:
    """Return the character as it may stand in a text: itself, in a URL, in JSON."""
    percent = "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
    forms = {character, percent, percent.lower(), json.dumps(character)[1:-1]}
    if character in " /":
        forms.add("+" if character == " " else "\\/")
    return sorted(forms, key=len, reverse=True)
