"""`python -m benchmarks.tuned_livekit URL`: the bare AgentSession tuned as Patchbay is: JSON schemas, Patchbay's own model client."""

from __future__ import annotations

import asyncio
import sys

from benchmarks.peers.livekit_text import LiveKitSide, raw
from benchmarks.peers.serving import serve, text_orders
from runtime.voice.chat_completions import ChatModel, Connections, Endpoint
from runtime.voice.clients import ssl_context


async def _main(url: str) -> None:
    connections = Connections(Endpoint(f"{url}/v1", {"Authorization": "Bearer none"}), ssl_context())
    try:
        await serve(text_orders(LiveKitSide(lambda: ChatModel(connections, {"model": "mock"}), raw)))
    finally:
        await connections.aclose()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
