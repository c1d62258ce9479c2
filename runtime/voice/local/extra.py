"""Where the packages of the optional extra `local` lie, and one clear fault when they are not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from runtime.errors import ProviderMissing

__all__ = ["REMEDY", "package_folder"]

REMEDY = "Install the offline providers: pip install 'patchbay[local]'"


def package_folder(module: str) -> Path:
    """Return the folder of an installed package without importing it; ProviderMissing names the extra otherwise."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ProviderMissing(
            f"The local speech provider needs the package '{module}', which is not installed.", remedy=REMEDY
        )
    return Path(next(iter(spec.submodule_search_locations)))
