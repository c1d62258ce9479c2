"""One small good config, and ways to spoil a copy of it."""

from __future__ import annotations

import copy
from typing import Any

Json = Any


def good() -> dict[str, Json]:
    """Return a config without a fault: an intake that leads to billing and to support, which end it."""
    return copy.deepcopy(_GOOD)


def put(path: str, value: Json, config: dict[str, Json] | None = None) -> dict[str, Json]:
    """Return the good config with `value` at a dotted path such as `agents.0.name`."""
    config = good() if config is None else config
    parent, key = _parent(config, path)
    if isinstance(parent, list) and int(key) == len(parent):
        parent.append(value)
    else:
        parent[int(key) if isinstance(parent, list) else key] = value
    return config


def drop(path: str) -> dict[str, Json]:
    """Return the good config without what is at a dotted path."""
    config = good()
    parent, key = _parent(config, path)
    del parent[int(key) if isinstance(parent, list) else key]
    return config


def _parent(config: Json, path: str) -> tuple[Json, str]:
    *parts, key = path.split(".")
    for part in parts:
        config = config[int(part)] if isinstance(config, list) else config.setdefault(part, {})
    return config, key


def path_to(target: str, **more: Json) -> dict[str, Json]:
    """Return a path of its own id and name."""
    name = more.get("name", f"Path to {target}")
    return {"id": f"id of {name}", "name": name, "target_agent_id": target, **more}


_GOOD: dict[str, Json] = {
    "schema_version": 1,
    "entry_agent_id": "intake",
    "instructions": "You are the telephone agent of {{ workspace.company }}. Customer: {{ customer_id }}.",
    "defaults": {"llm": {"provider": "openai", "model": "gpt-4o-mini", "options": {"temperature": 0.2}}},
    "session": {
        "language": "en",
        "time_zone": "Europe/Berlin",
        "region": "DE",
        "silence": {"after_s": 6},
        "voicemail": {"action": "leave_message", "text": "Please call us back."},
        "on_start": [{"tool_type": "http_request", "config": {"url": "https://a.example/{{ caller.number }}"}}],
        "on_end": [{"tool_type": "webhook", "config": {"url": "https://a.example"}}],
        "analysis": {
            "outcome": ["resolved"],
            "fields": [{"name": "mood", "data_type": "enum", "enum": ["good", "bad"]}],
        },
    },
    "variables": [{"name": "vip", "data_type": "boolean", "preset": True, "default": False}],
    "tools": [
        {
            "id": "orders",
            "tool_type": "http_request",
            "display_name": "Check order",
            "config": {
                "description": "Looks an order up.",
                "url": "https://a.example/{{ arguments.order }}",
                "headers": {"Authorization": "Bearer {{ secrets.KEY }}"},
            },
            "say_while_running": "One moment.",
            "assign": {"order_status": "$.status"},
        }
    ],
    "global_paths": [
        {"id": "human", "name": "Human", "dtmf": "0", "trigger": "dtmf", "transfer_call": {"to": "+4930123456"}}
    ],
    "agents": [
        {
            "id": "intake",
            "name": "Intake",
            "instructions": "Find out what {{ caller.number }} wants.",
            "greeting": {"mode": "say", "text": "Hello, this is Acme."},
            "llm": {"api_key": "{{ secrets.LLM }}"},
            "tools": [{"tool_id": "orders"}],
            "paths": [
                {
                    "id": "to-billing",
                    "name": "To Billing",
                    "description": "Use when the customer mentions invoices",
                    "target_agent_id": "billing",
                    "say": "I'll put you through.",
                    "guard_condition": "customer_id != '' && attempts < 3",
                    "required_variables": [
                        {
                            "name": "customer_id",
                            "data_type": "digits",
                            "min_length": 4,
                            "max_length": 8,
                            "examples": ["4271"],
                        }
                    ],
                },
                {"id": "to-support", "name": "To Support", "target_agent_id": "support", "cooldown_turns": 0},
            ],
        },
        {
            "id": "billing",
            "name": "Billing",
            "instructions": "Help customer {{ customer_id }}, whose order is {{ order_status }}.",
            "paths": [
                {
                    "id": "done",
                    "name": "Done",
                    "trigger": "automatic",
                    "end_call": {"say": "Goodbye, {{ customer_id }}."},
                    "guard_condition": "is_set('paid') && paid",
                    "required_variables": [{"name": "paid", "data_type": "boolean", "is_required": False}],
                }
            ],
        },
        {"id": "support", "name": "Support", "instructions": "Help."},
    ],
}
