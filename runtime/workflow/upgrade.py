"""Brings a stored config to the schema version of this release, one version at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from runtime.errors import ConfigRefused
from runtime.workflow.config import SCHEMA_VERSION
from runtime.workflow.faults import error

__all__ = ["UPGRADES", "Upgrade", "stated_version", "upgrade"]

Upgrade: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

UPGRADES: Mapping[int, Upgrade] = {}
"""From a version to the function that makes the next one of it; version 1 is the first."""


def upgrade(
    raw: Mapping[str, Any], *, steps: Mapping[int, Upgrade] = UPGRADES, newest: int = SCHEMA_VERSION
) -> dict[str, Any]:
    """Return `raw` as a config of schema version `newest`; `raw` itself stays as it is.

    A `schema_version` that is no whole number, or that no step leads on from, is left for validation to report.
    Raises `ConfigRefused` for a version newer than this release knows.
    """
    document = dict(raw)
    version = stated_version(document)
    if version is not None and version > newest:
        raise _newer(version, newest)
    while version is not None and version < newest and version in steps:
        version, document = version + 1, {**steps[version](document), "schema_version": version + 1}
    return document


def stated_version(raw: Mapping[str, Any]) -> int | None:
    """Return the document's schema version (1 where it states none), or None where it is no whole number."""
    version = raw.get("schema_version", 1)
    return version if isinstance(version, int) and not isinstance(version, bool) else None


def _newer(version: int, newest: int) -> ConfigRefused:
    fault = error(
        ("schema_version",),
        "newer_schema_version",
        f"The config has schema version {version}; this release knows versions up to {newest}.",
        f"Run it with a newer release of Patchbay, or write it for schema version {newest}.",
    )
    return ConfigRefused(fault.message, faults=(fault,), remedy=fault.remedy)
