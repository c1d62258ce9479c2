"""An analysis as it is stored with its call."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from runtime.session.after_call_ports import Analysis

__all__ = ["stored_analysis"]

Json = Any


def stored_analysis(analysis: Analysis, at: datetime) -> dict[str, Json]:
    """Return the JSON object of `call_session.analysis`, version 1; `at` (aware) is when the call was analysed.

    `error_code` is null where it succeeded, and `provider` and `model` where no model was asked.
    """
    return {
        "v": 1,
        "summary": analysis.summary,
        "outcome": analysis.outcome,
        "fields": dict(analysis.fields),
        "provider": analysis.provider or None,
        "model": analysis.model or None,
        "input_tokens": analysis.input_tokens,
        "output_tokens": analysis.output_tokens,
        "error_code": analysis.error_code or None,
        "at": at.isoformat(),
    }
