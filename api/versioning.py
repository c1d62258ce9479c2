"""What the routes of versions have in common: which columns are read, and how a version is answered."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Response

from api.checking import faults_of
from api.preconditions import tag_of
from runtime.workflow.validation import Validation

__all__ = ["SUMMARY", "version_answer"]

Json = Any
Row = dict[str, Json]

SUMMARY: Final = (
    "id",
    "workflow_id",
    "organization_id",
    "version",
    "status",
    "revision",
    "created_at",
    "updated_at",
    "published_at",
)


def version_answer(row: Row, validation: Validation, response: Response) -> Row:
    """Return a version's row with its faults, its ETag in the answer's headers."""
    response.headers["ETag"] = tag_of(row)
    return row | {"valid": validation.valid, "faults": faults_of(validation.faults)}
