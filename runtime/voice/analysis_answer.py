"""What a model answered about a call: read, normalised as a caller's words are, and what of it will not do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.conversation.masking import MASK
from runtime.conversation.scene import storable
from runtime.conversation.values import MUST_BE_GIVEN
from runtime.variables import Accepted, VariableSpec, given, is_empty, normalise
from runtime.voice.analysis_names import OUTCOME, SUMMARY
from runtime.voice.analysis_request import Request

__all__ = ["Reading", "read_answer"]

Json = Any

_SUMMARY: Final = 2000  # characters
_PART: Final = 40  # lines that are searched at once: each search costs, and reads no more than the end of a long text
_NOTHING: Final = frozenset({"null", "n/a"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What can be used of an answer.

    `faults` holds by parameter why there is no value, in words a model can act on; none of it repeats what was given.
    """

    summary: str | None = None
    outcome: str | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """The faults as the model is told of them."""
        listed = " ".join(f"{name} {why}." for name, why in self.faults.items())
        return f"Not recorded. {listed} Call the function again with every parameter; null where nothing was said."

    @property
    def usable(self) -> bool:
        """Whether at least the summary and the outcome are as asked for."""
        return not self.faults.keys() & {SUMMARY, OUTCOME}


def read_answer(request: Request, arguments: str) -> Reading | None:
    """Read the arguments of the call; None where they are no JSON object."""
    try:
        raw = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    values = {str(name): _given(storable(value)) for name, value in raw.items()}
    faults: dict[str, str] = {}
    summary = _summary(values.get(SUMMARY), faults) if request.summary else None
    outcome = _outcome(request, values.get(OUTCOME), faults)
    fields = {spec.name: _field(request, name, values.get(name), faults) for name, spec in request.fields.items()}
    return Reading(summary, outcome, fields, faults)


def _given(value: Json) -> Json:
    """Return the value; None for what stands for none."""
    if is_empty(value) or (isinstance(value, str) and value.strip().lower() in _NOTHING):
        return None
    return value


def _summary(value: Json, faults: dict[str, str]) -> str | None:
    if not isinstance(value, str):
        faults[SUMMARY] = "must be given as text"
        return None
    return " ".join(value.split())[:_SUMMARY]


def _outcome(request: Request, value: Json, faults: dict[str, str]) -> str | None:
    if not request.outcomes or value is None:
        return None
    result = normalise(VariableSpec(OUTCOME, "enum", enum=request.outcomes), value, request.context)
    if isinstance(result, Accepted):
        return str(result.value)
    faults[OUTCOME] = f"must be one of: {', '.join(request.outcomes)}; or null"
    return None


def _field(request: Request, name: str, value: Json, faults: dict[str, str]) -> Json:
    if value is None or MASK in str(value):
        return None
    spec = request.fields[name]
    result = normalise(spec, value, request.context)
    if not isinstance(result, Accepted):
        faults[name] = result.why
    elif spec.data_type in MUST_BE_GIVEN and not _was_said(request, spec, result.value):
        faults[name] = "is in no line of the transcript"
    else:
        return result.value
    return None


def _was_said(request: Request, spec: VariableSpec, value: Json) -> bool:
    """Tell whether the call contains the value: numbers and addresses are what models make up."""
    texts = [line.text for line in request.lines]
    parts = ("\n".join(texts[at : at + _PART]) for at in range(0, len(texts), _PART))
    return any(given(spec, value, [part], request.context) for part in parts)
