"""Nodes as a workflow compiles them, for tests of their providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import openai

from runtime.voice.pipeline import Providers
from runtime.workflow.config import WorkflowConfig
from runtime.workflow.graph import Agent, compile_workflow

Make = Callable[..., Providers]
OPENAI = {"provider": "openai", "model": "gpt-4o-mini"}
LOCAL_SERVER = {"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:9/v1"}


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
    client = model._client
    assert isinstance(client, openai.AsyncClient)
    return client
