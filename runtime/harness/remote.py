"""A telephone whose call runs on a server: the voice test over a WebSocket (docs/voice-api.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Final, Literal, Self

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from runtime.errors import PatchbayError, Unreachable
from runtime.harness.joining import Invitation
from runtime.harness.outbox import Outbox
from runtime.harness.phone import RATE, Hear, Standing
from runtime.harness.wire import event_of, told
from runtime.session.ports import EventRow
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice.audio import Samples, frame_of

__all__ = ["RemotePhone"]

Json = Any
_BACKLOG_S: Final = 5.0
_LEAVES_WITHIN_S: Final = 15.0
_JOINS_WITHIN_S: Final = 15.0
_LARGEST: Final = 16 * 1024 * 1024
"""Of a message: an event may hold a whole document that a tool returned."""


class RemotePhone:
    """Implements `Phone` on a WebSocket; `on_event` gets each stored event, `output_rate` is in Hz.

    `outcome` tells how it went once the call is over.
    """

    def __init__(self, socket: ClientConnection, ready: dict[str, Json], on_event: Callable[[EventRow], None]) -> None:
        self._socket = socket
        self._on_event = on_event
        self._outbox = Outbox(int(2 * RATE * _BACKLOG_S))
        self._standing = Standing(busy=True)  # until the server says otherwise, the agent has the word
        self._watchers: list[Callable[[], None]] = []
        self._over = asyncio.Event()
        self._ended: dict[str, Json] | None = None
        self._fault: PatchbayError | None = None
        self._hear: Hear | None = None
        self._cleared: Callable[[], None] | None = None
        self._heard_until = 0.0  # when what came has been heard, at the pace of speech
        self._leaving: asyncio.TimerHandle | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self.session_id: str = ready["session_id"]
        self.output_rate: int = ready["output_rate"]

    @classmethod
    async def join(cls, invitation: Invitation, on_event: Callable[[EventRow], None]) -> Self:
        """Open the socket; the call begins. Raises Unreachable where it cannot be opened."""
        proxy: Literal[True] | None = None if invitation.direct else True
        try:
            socket = await connect(
                invitation.url, proxy=proxy, compression=None, max_size=_LARGEST, open_timeout=_JOINS_WITHIN_S
            )
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            raise _unreachable(str(error) or type(error).__name__) from None
        try:
            return cls(socket, await _ready(socket), on_event)
        except BaseException:
            await socket.close()
            raise

    @property
    def outcome(self) -> str:
        """Return the reason of the call's end; raises Unreachable where the connection broke before."""
        if self._ended is None:
            raise self._fault or _unreachable("the call has not ended")
        return str(self._ended.get("reason"))

    # ------------------------------------------------------------ the Phone port

    @property
    def standing(self) -> Standing:
        return self._standing

    def watch(self, changed: Callable[[], None]) -> None:
        self._watchers.append(changed)

    async def begin(self, hear: Hear, cleared: Callable[[], None]) -> None:
        self._hear, self._cleared = hear, cleared
        self._tasks = (
            spawn(self._receive(), name="voice test receives", on_error=self._lost),
            spawn(self._send(), name="voice test sends", on_error=_nothing),
        )

    def push(self, samples: Samples) -> None:
        self._outbox.put(samples.astype("<i2", copy=False).tobytes())

    def press(self, key: str) -> None:
        self._outbox.put(told("dtmf", digits=key))

    def mute(self, *, muted: bool) -> None:
        self._outbox.put(told("mute", muted=muted))

    def hang_up(self) -> None:
        if self._over.is_set() or self._leaving is not None:
            return
        self._outbox.clear_audio()
        self._outbox.put(told("hangup"))
        late = TimeoutError("it does not end the call")
        self._leaving = asyncio.get_running_loop().call_later(_LEAVES_WITHIN_S, self._lost, late)

    async def ended(self) -> None:
        await self._over.wait()

    async def aclose(self) -> None:
        """Leave, however far the call is. Idempotent."""
        if self._leaving is not None:
            self._leaving.cancel()
        await cancel_and_wait(*self._tasks)
        await self._socket.close()

    # ------------------------------------------------------------ to and from the server

    async def _send(self) -> None:
        while (message := await self._outbox.next()) is not None:
            await self._socket.send(message)

    async def _receive(self) -> None:
        async for message in self._socket:
            if isinstance(message, bytes):
                self._hear_audio(message)
            else:
                self._take(_read(message))
        self._lost(ConnectionError("the connection was closed"))

    def _hear_audio(self, pcm: bytes) -> None:
        samples = np.frombuffer(pcm, dtype="<i2").astype(np.int16, copy=False)
        at = max(self._heard_until, asyncio.get_running_loop().time())
        self._heard_until = at + samples.size / self.output_rate
        if self._hear is not None:
            self._hear(frame_of(samples, self.output_rate), at)

    def _take(self, message: dict[str, Json]) -> None:
        match message.get("type"):
            case "event":
                self._on_event(event_of(message["event"]))
            case "state":
                fields = ("turn", "busy", "audible", "keypad", "keys", "ending")
                self._stand(Standing(**{name: message[name] for name in fields}))
            case "clear":
                self._heard_until = 0.0
                if self._cleared is not None:
                    self._cleared()
            case "ended":
                self._ended = message
                self._finish()
            case "error":
                self._fault = PatchbayError(f"The server refuses what was sent: {message.get('message')}")
            case _:
                pass  # of a newer server

    def _stand(self, standing: Standing) -> None:
        self._standing = standing
        for changed in self._watchers:
            changed()

    def _lost(self, error: BaseException) -> None:
        if not self._over.is_set():
            self._fault = _unreachable(str(error) or type(error).__name__)
            self._finish()

    def _finish(self) -> None:
        self._over.set()
        self._outbox.close()
        self._stand(Standing(turn=self._standing.turn, keys=self._standing.keys, ending=True, ended=True))


async def _ready(socket: ClientConnection) -> dict[str, Json]:
    """Return the server's first message; raises Unreachable where it is another than `ready`."""
    try:
        async with asyncio.timeout(_JOINS_WITHIN_S):
            message = _read(await socket.recv())
    except (ConnectionClosed, TimeoutError) as error:
        raise _unreachable(str(error) or type(error).__name__) from None
    if message.get("type") != "ready" or not {"session_id", "output_rate"} <= message.keys():
        raise _unreachable(str(message.get("message") or "the server does not say that it is ready"))
    return message


def _read(message: str | bytes) -> dict[str, Json]:
    """Return a message of the server's; raises Unreachable for what is none."""
    try:
        found = json.loads(message)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise _unreachable("what it sends is no message of a voice test")
    return found


def _unreachable(why: str) -> Unreachable:
    return Unreachable(
        f"The connection of the voice test cannot be used: {why}.",
        remedy="Try again; if it stays so, look at the server's log, and at proxies that let no WebSocket through.",
    )


def _nothing(_error: BaseException) -> None:
    """Who receives notices, too."""
