"""What happens to a call once it has ended: the ended call, its analysis, and the Protocol of whoever analyses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from runtime.session.ports import CallRow, EventRow

if TYPE_CHECKING:  # the rules take half a second to import, and a command that only reads rows needs none of them
    from runtime.workflow.graph import Workflow

__all__ = ["Analysis", "Analyst", "EndedCall"]

Json = Any


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A call that has ended, as it is stored: its row, its events by seq, and the workflow it ran on."""

    row: CallRow
    events: Sequence[EventRow]
    workflow: Workflow
    workflow_name: str


@dataclass(frozen=True, slots=True)
class Analysis:
    """What a model made of a call; `error_code` is empty where it succeeded, and the tokens are those it cost."""

    summary: str | None
    outcome: str | None
    fields: Mapping[str, Json]
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    error_code: str = ""


class Analyst(Protocol):
    """Analyses ended calls as `session.analysis` of their workflow asks."""

    async def analyse(self, call: EndedCall) -> Analysis:
        """Return the analysis of `call`. Never raises; a failure is an `error_code`."""
        ...
