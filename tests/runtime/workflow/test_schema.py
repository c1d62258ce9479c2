from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from runtime.workflow.schema import json_schema, schema_text
from tests.runtime.workflow.configs import good, put

PUBLISHED = Path(__file__).parents[3] / "docs" / "workflow.schema.json"


def test_the_published_schema_is_the_models() -> None:
    stale = "docs/workflow.schema.json is stale; run: python -m runtime.workflow.schema > docs/workflow.schema.json"
    assert PUBLISHED.read_text(encoding="utf-8") == schema_text(), stale


def test_the_schema_is_one_and_takes_the_good_config() -> None:
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(good(), schema)
    assert schema["title"] == "Patchbay workflow"
    assert schema["$id"]


def test_the_schema_takes_the_domain_models_payload() -> None:
    path = {
        "id": "uuid",
        "name": "To Billing",
        "description": "Use when customer mentions invoices",
        "target_agent_id": "uuid",
        "required_variables": [{"name": "customer_id", "is_required": True}],
    }
    agent = {
        "id": "uuid",
        "name": "Intake",
        "instructions": "Collect customer intent...",
        "llm": {"provider": "openai", "model": "gpt-4o-mini"},
        "stt": {"provider": "assemblyai", "model": "universal-streaming"},
        "tts": {"provider": "cartesia", "voice_id": "sonic-2"},
        "tools": [{"tool_type": "check_order", "config": {}}],
        "paths": [path],
    }
    jsonschema.validate({"agents": [agent]}, json_schema())


@pytest.mark.parametrize(
    ("path", "value"),
    [("colour", 1), ("agents.0.name", 5), ("agents.0.paths.0.otherwise", True), ("agents.0.tts.speed", 0)],
)
def test_the_schema_refuses_what_the_models_refuse(path: str, value: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(put(path, value), json_schema())
