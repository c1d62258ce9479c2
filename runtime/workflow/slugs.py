"""Names as a model may call them: lower-case words with underscores, unique where they stand together."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["slug", "unique_slugs"]

_LONGEST = 56  # model servers allow 64 characters; the rest is room for a number


def slug(text: str, *, otherwise: str) -> str:
    """Return `text` as a function's name (`To Billing` → `to_billing`); `otherwise` where no letter is left."""
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:_LONGEST].rstrip("_")
    if not name:
        return otherwise
    return f"{otherwise}_{name}" if name[0].isdigit() else name


def unique_slugs(texts: Iterable[str], *, otherwise: str, taken: Iterable[str] = ()) -> tuple[str, ...]:
    """Return a slug for each text in order, with a number (from 2) where one is taken already."""
    used = set(taken)
    names: list[str] = []
    for text in texts:
        name = base = slug(text, otherwise=otherwise)
        number = 2
        while name in used:
            name, number = f"{base}_{number}", number + 1
        used.add(name)
        names.append(name)
    return tuple(names)
