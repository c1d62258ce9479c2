"""Where the shipped workflows are."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from runtime.errors import UsageFault

__all__ = ["examples"]


def examples() -> Path:
    """Return the folder of the shipped workflows: in a checkout beside the packages, in a wheel inside `cli`."""
    for folder in (Path(__file__).parent.parent / "examples", Path(str(files("cli"))) / "_examples"):
        if (folder / "front_desk").is_dir():
            return folder
    raise UsageFault("The example workflows are missing.", remedy="Install Patchbay again.")
