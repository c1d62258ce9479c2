"""The published JSON Schema of a workflow's config: `python -m runtime.workflow.schema > docs/workflow.schema.json`."""

from __future__ import annotations

import json
import sys
from typing import Any

from runtime.workflow.config import SCHEMA_VERSION, WorkflowConfig

__all__ = ["json_schema", "schema_text"]


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12), made from the models."""
    schema = WorkflowConfig.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"https://patchbay.dev/schemas/workflow.v{SCHEMA_VERSION}.json",
        **schema,
        "title": "Patchbay workflow",
        "description": f"The payload of workflow_version.config, schema version {SCHEMA_VERSION}.",
    }


def schema_text() -> str:
    """Return the schema as the text of its file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_text())
