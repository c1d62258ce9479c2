"""Calls that nothing can answer: the caller hears a short apology, and the reason is an event."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from runtime.conversation.events import Reason
from runtime.conversation.wordings import Wording, wording
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow

__all__ = ["Sorry", "apology_workflow"]


@dataclass(frozen=True, slots=True)
class Sorry:
    """Why a call is not answered by its workflow: for the caller in words, for the event with its cause."""

    reason: Reason
    wording: Wording
    component: str
    code: str
    message: str

    def text(self, language: str) -> str:
        """Return what the caller hears."""
        return wording(self.wording, language)


@functools.lru_cache(maxsize=64)
def apology_workflow(language: str) -> Workflow:
    """Return a workflow that says nothing by itself, for a call that has none of its own."""
    config = WorkflowConfig.model_validate(
        {
            "session": {"language": language},
            "agents": [{"id": "apology", "name": "Apology", "instructions": "", "greeting": {"mode": "wait"}}],
        }
    )
    return compile_workflow(config)
