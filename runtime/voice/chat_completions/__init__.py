"""A lean client for OpenAI-compatible chat completions; what it is compared with: docs/decisions/0016-model-client.md."""

from __future__ import annotations

from runtime.voice.chat_completions.connections import Connections, Endpoint
from runtime.voice.chat_completions.model import OPTIONS, ChatModel

__all__ = ["OPTIONS", "ChatModel", "Connections", "Endpoint"]
