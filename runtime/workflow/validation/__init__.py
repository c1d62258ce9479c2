"""Every fault of a config in one run, each with its JSON path and its remedy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from runtime.errors import ConfigRefused
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.documents import TooLarge, load, parse_document, read_values
from runtime.workflow.faults import FAULT_CODES, Fault, Loc, Severity, error, json_path, nearest
from runtime.workflow.upgrade import upgrade
from runtime.workflow.validation.catalogues import (
    BuiltInTools,
    KnownProviders,
    ProviderCatalogue,
    ProviderKind,
    ToolCatalogue,
)
from runtime.workflow.validation.rules_flow import flow_faults
from runtime.workflow.validation.rules_names import name_faults
from runtime.workflow.validation.rules_parts import Stage, provider_faults, tool_faults
from runtime.workflow.validation.rules_paths import path_faults
from runtime.workflow.validation.rules_reading import reading_faults
from runtime.workflow.validation.rules_session import session_faults
from runtime.workflow.validation.rules_variables import variable_faults
from runtime.workflow.validation.shape import Shape, read_shape
from runtime.workflow.validation.survey import Survey

__all__ = [
    "FAULT_CODES",
    "Fault",
    "ProviderCatalogue",
    "ProviderKind",
    "Severity",
    "Stage",
    "ToolCatalogue",
    "Validation",
    "load",
    "parse_document",
    "validate",
]

# Without these the graph is not the builder's, and what it seems to lack may stand in what could not be read.
_STRUCTURE = frozenset(
    {
        *("agents", "paths", "global_paths", "variables", "required_variables", "tools", "on_start", "assign"),
        *("id", "tool_id", "tool_type", "entry_agent_id", "target_agent_id", "end_call", "transfer_call"),
        "on_failure_agent_id",
    }
)


@dataclass(frozen=True, slots=True)
class Validation:
    """What validation found: `valid` where no fault is an error; `config` where it is valid."""

    valid: bool
    faults: tuple[Fault, ...]
    config: WorkflowConfig | None


def validate(
    raw: object,
    *,
    providers: ProviderCatalogue | None = None,
    tools: ToolCatalogue | None = None,
    stage: Stage = "save",
) -> Validation:
    """Find every fault of a config, given as plain JSON values of any schema version. Never raises.

    `providers` and `tools` are what can run here; without them the known plugins and the built-in tools count.
    At `start` a plugin that is not installed is an error.
    """
    try:
        reading = read_values(raw)
    except TooLarge:
        message = "The config is nested too deeply or has too many values."
        return _refused(error((), "too_large", message, "Make it smaller."))
    document = reading.value
    if not isinstance(document, dict):
        return _refused(
            *reading.faults, error((), "wrong_type", "The config is no object.", "Write an object with “agents”.")
        )
    try:
        shape = read_shape(upgrade(document))
    except ConfigRefused as newer:
        return _refused(*reading.faults, *(fault for fault in newer.faults if isinstance(fault, Fault)))
    further = (*shape.faults, *_meaning(shape, providers or KnownProviders(), tools, stage))
    told = {fault.path for fault in reading.faults if fault.code != "duplicate_key"}
    faults = list(dict.fromkeys((*reading.faults, *(fault for fault in further if fault.path not in told))))
    valid = not any(fault.severity == "error" for fault in faults)
    return Validation(valid, tuple(faults), shape.config if valid else None)


def _refused(*faults: Fault) -> Validation:
    return Validation(valid=False, faults=faults, config=None)


def _meaning(shape: Shape, providers: ProviderCatalogue, tools: ToolCatalogue | None, stage: Stage) -> Iterator[Fault]:
    """Yield what is wrong beyond the shape, but nothing about places whose shape is a fault already."""
    if shape.config is None:
        return
    is_whole = not any(map(_touches_structure, shape.repaired))
    survey = Survey(shape.config, shape, is_whole=is_whole)
    repaired = tuple(json_path(loc) for loc in shape.repaired)
    for fault in _all_faults(survey, providers, tools or BuiltInTools(), stage):
        if not any(fault.path == path or fault.path.startswith((f"{path}.", f"{path}[")) for path in repaired):
            yield fault


def _all_faults(survey: Survey, providers: ProviderCatalogue, tools: ToolCatalogue, stage: Stage) -> Iterator[Fault]:
    yield from name_faults(survey)
    yield from variable_faults(survey)
    yield from path_faults(survey)
    yield from flow_faults(survey)
    yield from reading_faults(survey)
    yield from session_faults(survey)
    yield from provider_faults(survey, providers, stage)
    yield from tool_faults(survey, tools)


def _touches_structure(loc: Loc) -> bool:
    """Tell whether what a repair left out or put in could be part of the graph; `pathes` could be."""
    named = [part for part in loc if isinstance(part, str)]
    is_variable = named[-1:] == ["name"] and "variables" in named[-2:-1][0] if len(named) > 1 else False
    return is_variable or (bool(named) and nearest(named[-1], _STRUCTURE) is not None)
