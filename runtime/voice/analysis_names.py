"""The names of the function that records an analysis, and of its two parameters that every workflow's has."""

from __future__ import annotations

from typing import Final

__all__ = ["OUTCOME", "RECORD", "SUMMARY"]

RECORD: Final = "record_analysis"
SUMMARY: Final = "summary"
OUTCOME: Final = "outcome"
