"""Workflows that the tests run on."""

from __future__ import annotations

import copy
from typing import Any

from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Workflow, compile_workflow

__all__ = ["FRONT_DESK", "compiled", "front_desk"]

Json = Any

FRONT_DESK: dict[str, Json] = {
    "schema_version": 1,
    "session": {"language": "en", "time_zone": "Europe/Berlin", "region": "DE", "max_duration_s": 600},
    "variables": [
        {"name": "vip", "data_type": "boolean", "description": "a regular customer"},
        {"name": "pin", "data_type": "digits", "min_length": 4, "max_length": 4, "sensitive": True, "dtmf": True},
    ],
    "global_paths": [
        {
            "id": "p-human",
            "name": "To a person",
            "description": "The caller wants a person",
            "target_agent_id": "a-human",
            "cooldown_turns": 2,
        }
    ],
    "agents": [
        {
            "id": "a-intake",
            "name": "Intake",
            "instructions": "Find out what the caller wants.",
            "greeting": {"mode": "say", "text": "Hello, this is Acme."},
            "paths": [
                {
                    "id": "p-billing",
                    "name": "To Billing",
                    "description": "Questions about invoices",
                    "examples": ["I have a question about my bill"],
                    "target_agent_id": "a-billing",
                    "say": "I'll put you through to billing.",
                    "guard_condition": "customer_id != '0000' && attempts < 3",
                    "required_variables": [
                        {
                            "name": "customer_id",
                            "data_type": "digits",
                            "min_length": 4,
                            "max_length": 8,
                            "dtmf": True,
                            "description": "the customer number",
                            "fallback_path_id": "p-no-number",
                        }
                    ],
                },
                {
                    "id": "p-no-number",
                    "name": "No number",
                    "description": "The caller has no number",
                    "target_agent_id": "a-human",
                },
                {"id": "p-menu", "name": "Menu", "trigger": "dtmf", "dtmf": "9", "target_agent_id": "a-human"},
                {
                    "id": "p-vip",
                    "name": "VIP",
                    "trigger": "automatic",
                    "target_agent_id": "a-human",
                    "guard_condition": "is_set('vip') && vip",
                },
            ],
        },
        {
            "id": "a-billing",
            "name": "Billing",
            "instructions": "Help {{ customer_id }}.",
            "greeting": {"mode": "say", "text": "Billing here."},
            "paths": [
                {
                    "id": "p-pay",
                    "name": "Pay",
                    "description": "The caller pays",
                    "end_call": {"say": "Thank you, goodbye."},
                    "required_variables": [
                        {"name": "email", "data_type": "email", "confirm": "once"},
                        {"name": "pin"}
                        | {"data_type": "digits", "min_length": 4, "max_length": 4}
                        | {"sensitive": True, "dtmf": True},
                    ],
                },
                {"id": "p-back", "name": "Back", "description": "Something else", "target_agent_id": "a-intake"},
            ],
        },
        {
            "id": "a-human",
            "name": "Human",
            "instructions": "Take a message.",
            "greeting": {"text": "A person will help."},
        },
    ],
}


def front_desk(**changes: Json) -> dict[str, Json]:
    """Return a copy of the config, with top-level keys replaced."""
    return copy.deepcopy(FRONT_DESK) | changes


def compiled(config: dict[str, Json] | None = None) -> Workflow:
    """Return the workflow compiled."""
    return compile_workflow(WorkflowConfig.model_validate(config or FRONT_DESK), version_id="v-1")
