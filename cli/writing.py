"""Files that commands write for people, and never over another."""

from __future__ import annotations

from pathlib import Path

from runtime.errors import UsageFault

__all__ = ["write_new"]


def write_new(path: Path, text: str) -> None:
    """Write a file and the folders above it. Raises UsageFault where it is there already or cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageFault(f"{path} cannot be written: {why}.", remedy="Name a folder you may write to.") from None
