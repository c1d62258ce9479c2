"""Nodes as a workflow compiles them, for tests of their providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import openai

from runtime.voice.chat_completions import ChatModel, Connections
from runtime.voice.pipeline import Providers
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Agent, compile_workflow

Make = Callable[..., Providers]
OPENAI = {"provider": "openai", "model": "gpt-4o-mini"}
LOCAL_SERVER = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}
PLUGINS_OWN = {"options": {"prompt_cache_breakpoints": False}}
"""What makes a node need LiveKit's plugin in place of our own client."""


def agents(*nodes: Mapping[str, Any]) -> list[Agent]:
    config = {
        "agents": [
            {"id": f"a{index}", "name": f"Agent {index}", "instructions": "Help.", "greeting": {"mode": "wait"}}
            | dict(node)
            for index, node in enumerate(nodes)
        ]
    }
    return list(compile_workflow(WorkflowConfig.model_validate(config)).agents.values())


def agent(**node: Any) -> Agent:
    return agents(node)[0]


def client_of(model: Any) -> openai.AsyncClient:
    """Return the client of a model of the plugin's."""
    client = model._client
    assert isinstance(client, openai.AsyncClient)
    return client


def connections_of(model: Any) -> Connections:
    """Return the connections of a model of our own."""
    assert isinstance(model, ChatModel)
    return model.connections


def authorization(model: Any) -> str:
    """Return the header by which a model of either kind gives its key."""
    if isinstance(model, ChatModel):
        return model.connections.endpoint.headers["authorization"]
    return f"Bearer {client_of(model).api_key}"
