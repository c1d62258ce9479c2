"""Functions of tools as models are offered them, and what checks their arguments: the same objects for all calls."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator

from runtime.workflow.graph import CompiledTool
from tools.schema import validator_of

__all__ = ["Offers"]

Json = Any
_MOST: int = 2000


class Offers:
    """Belongs to a process. A compiled tool stands for itself: a version's calls share it, and two versions do not."""

    def __init__(self, *, most: int = _MOST) -> None:
        self._most = most
        self._schemas: OrderedDict[int, tuple[CompiledTool, Sequence[dict[str, Json]]]] = OrderedDict()
        self._validators: OrderedDict[int, tuple[Mapping[str, Json], Draft202012Validator]] = OrderedDict()

    def shared(self, tool: CompiledTool, schemas: Sequence[dict[str, Json]]) -> Sequence[dict[str, Json]]:
        """Return the schemas, as the objects that were offered before where they are the same; nobody changes them."""
        known = self._schemas.get(id(tool))
        if known is None or known[1] != schemas:
            known = self._schemas[id(tool)] = (tool, schemas)  # held, so that no other gets its identity
        self._schemas.move_to_end(id(tool))
        if len(self._schemas) > self._most:
            self._schemas.popitem(last=False)
        return known[1]

    def validator(self, schema: Mapping[str, Json]) -> Draft202012Validator:
        """Return what checks arguments against `schema`, which is one of the shared."""
        known = self._validators.get(id(schema))
        if known is None:
            known = self._validators[id(schema)] = (schema, validator_of(schema))
        self._validators.move_to_end(id(schema))
        if len(self._validators) > self._most:
            self._validators.popitem(last=False)
        return known[1]
