"""What is wrong with a config, found on a thread of its own: a large one takes longer than a request may be kept waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from api.problems import Problem
from runtime.voice.catalogue import InstalledProviders, provider_catalogue
from runtime.voice.providers import import_all
from runtime.workflow.documents import TooLarge, read_values
from runtime.workflow.faults import Fault
from runtime.workflow.validation import Validation, validate
from tools.registry import default_registry

__all__ = ["checked", "faults_of", "load_providers", "refuse_unstorable"]

Json = Any
# Told by validation too, and no obstacle to keeping a draft.
_STORABLE = frozenset({"duplicate_key"})


@cache
def load_providers() -> InstalledProviders:
    """Import the plugins, once and for seconds; on the main thread, where alone LiveKit lets them be imported."""
    import_all()
    return provider_catalogue()


async def checked(config: Mapping[str, Json]) -> Validation:
    """Return what saving checks: plugins that are not installed are warnings."""
    return await asyncio.to_thread(validate, config, providers=load_providers(), tools=default_registry())


async def refuse_unstorable(config: Mapping[str, Json]) -> None:
    """Raise the problem 422 for a config that the database cannot hold."""
    try:
        reading = await asyncio.to_thread(read_values, config)
    except TooLarge:
        raise Problem(
            422, "invalid_request", "The config is nested too deeply or has too many values.", remedy="Make it smaller."
        ) from None
    faults = [fault for fault in reading.faults if fault.code not in _STORABLE]
    if faults:
        raise Problem(
            422, "invalid_request", "The config cannot be stored.", remedy=faults[0].remedy, faults=faults_of(faults)
        )


def faults_of(faults: list[Fault] | tuple[Fault, ...]) -> list[dict[str, Json]]:
    """Return faults as answers have them."""
    return [asdict(fault) for fault in faults]
