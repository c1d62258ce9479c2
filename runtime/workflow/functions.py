"""What a model is offered of a workflow, as JSON Schema: its paths, and `remember`; made once for each version."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.variables import VariableSpec, json_schema
from runtime.workflow.config import AgentPath

__all__ = ["parameters", "path_schema", "remember_schema"]

Json = Any


def parameters(specs: Sequence[VariableSpec]) -> dict[str, Json]:
    """Return the JSON Schema of a function that takes these variables; none is required, for the engine asks."""
    return {
        "type": "object",
        "properties": {spec.name: json_schema(spec) for spec in specs},
        "additionalProperties": False,
    }


def path_schema(path: AgentPath, function_name: str, specs: Sequence[VariableSpec]) -> dict[str, Json]:
    """Return a path as a model is offered it."""
    description = path.description or path.name
    if path.examples:
        description += " For example: " + "; ".join(f'"{example}"' for example in path.examples)
    return {"name": function_name, "description": description, "parameters": parameters(specs)}


def remember_schema(specs: Sequence[VariableSpec]) -> dict[str, Json]:
    """Return the function that records any declared variable."""
    return {
        "name": "remember",
        "description": "Record what the caller has told you, as soon as you hear it.",
        "parameters": parameters(specs),
    }
