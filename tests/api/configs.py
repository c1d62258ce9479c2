"""Configs for tests of the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

__all__ = ["an_id", "config"]


def an_id(number: int) -> str:
    return str(UUID(int=number))


def config(greeting: str = "Hello.", **more: Any) -> dict[str, Any]:
    """Return a config without faults: one agent that ends nowhere."""
    agent = {
        "id": an_id(1),
        "name": "Desk",
        "instructions": "Help the caller.",
        "greeting": {"mode": "say", "text": greeting},
        "paths": [],
    }
    return {"schema_version": 1, "agents": [agent], **more}
