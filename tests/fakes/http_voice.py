"""A voice behind HTTP: an OpenAI-compatible server on loopback that hums each text, after a while where it is told to."""

from __future__ import annotations

import argparse
import asyncio
import math
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiohttp import web

from tests.fakes.loopback import on_loopback

__all__ = ["RATE", "HttpVoice", "http_voice", "hummed"]

Json = Any
RATE = 24000
_WORD_S = 0.1
_CHUNK = 4800


def hummed(text: str) -> bytes:
    """Return what is heard of a text, s16 mono PCM at `RATE`: each text has a tone of its own."""
    step = 40 + sum(text.encode()) % 97
    samples = np.sin(np.arange(round(RATE * _WORD_S * len(text.split()))) * 2 * math.pi / step) * 8000
    return samples.astype(np.int16).tobytes()


@dataclass(slots=True)
class HttpVoice:
    """Where it listens (`url`, for `base_url`) and what it was asked to say.

    `status` answers everything else than 200 with an error. `latency_s` passes before the first sample, and before the
    first answer on a connection `handshake_s` more, as a greeting over TLS takes.
    """

    latency_s: float = 0.0
    handshake_s: float = 0.0
    status: int = 200
    url: str = ""
    asked: list[str] = field(default_factory=list)
    connections: int = 0
    _known: set[int] = field(default_factory=set)

    def configured(self, **changes: Json) -> dict[str, Json]:
        """Return a node's `tts` that speaks here."""
        options = {"base_url": self.url, "api_key": "none", "model": "hum", "response_format": "pcm"}
        return {"provider": "openai", "voice_id": "one", "options": options, **changes}

    async def speak(self, request: web.Request) -> web.StreamResponse:
        """Serve one text."""
        await self._greet(request)
        body: Mapping[str, Json] = await request.json()
        self.asked.append(body["input"])
        if self.status != 200:
            return web.json_response({"error": {"message": "scripted"}}, status=self.status)
        await asyncio.sleep(self.latency_s)
        response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
        with suppress(ConnectionResetError):  # a text that is cut off is not heard to its end
            await response.prepare(request)
            sound = hummed(body["input"])
            for at in range(0, len(sound), _CHUNK):
                await response.write(sound[at : at + _CHUNK])
        return response

    async def other(self, request: web.Request) -> web.Response:
        """Answer what only opens a connection."""
        await self._greet(request)
        return web.json_response({})

    async def _greet(self, request: web.Request) -> None:
        key = id(request.transport)
        if key not in self._known:
            self._known.add(key)
            self.connections += 1
            await asyncio.sleep(self.handshake_s)


@asynccontextmanager
async def http_voice(latency_s: float = 0.0, handshake_s: float = 0.0) -> AsyncIterator[HttpVoice]:
    """Serve a voice on a port of loopback that is free."""
    voice = HttpVoice(latency_s, handshake_s)
    app = web.Application()
    app.router.add_post("/v1/audio/speech", voice.speak)
    app.router.add_route("*", "/{tail:.*}", voice.other)
    async with on_loopback(app) as url:
        voice.url = f"{url}/v1"
        yield voice


async def _serve(latency_s: float, handshake_s: float) -> None:
    """Print the address and serve until the standard input ends."""
    async with http_voice(latency_s, handshake_s) as voice:
        sys.stdout.write(voice.url + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.http_voice")
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--handshake", type=float, default=0.0)
    given = parser.parse_args()
    asyncio.run(_serve(given.latency, given.handshake))
