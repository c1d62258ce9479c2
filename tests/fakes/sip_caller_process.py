"""The telephone's own process: orders as JSON lines on stdin, events on stdout."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from typing import Any

from baresip import (
    Account,
    AudioNotActive,
    AudioRestarted,
    BaresipError,
    Call,
    Config,
    Event,
    Runtime,
    StackEvent,
    StaleHandleError,
    UserAgent,
)

from runtime.tasks import cancel_and_wait, spawn

Json = Any
TICK_S = 0.02
AHEAD = 1280  # bytes: 80 ms


class Phone:
    """One user agent; the newest call is the one that is talked on."""

    def __init__(self, setup: dict[str, Json], out: int) -> None:
        self.setup = setup
        self.runtime = Runtime()
        self.agent: UserAgent
        self.call: Call | None = None
        self._out = out
        self._speech = b""
        self._forever = b""

    def say(self, event: str, **fields: Json) -> None:
        os.write(self._out, json.dumps({"event": event, **fields}).encode() + b"\n")

    async def start(self) -> None:
        setup = self.setup
        await self.runtime.start(
            Config(
                net_interface="127.0.0.1",
                max_concurrent_calls=None,
                expose_headers=("From", "To"),
                extra_config_text=f"sip_listen 127.0.0.1:{setup['port']}\nrtp_ports 40000-41999\n"
                "audio_jitter_buffer_type off\n",
            )
        )
        account = Account(
            setup["user"],
            "127.0.0.1",
            setup.get("password", ""),
            reg_interval=0,
            dtmf_mode="info" if setup.get("info") else "rtpevent",
            extra_params=("catchall=yes", "video_codecs=none"),
        )
        self.agent = await UserAgent.create(self.runtime, account)
        self.runtime.subscribe(self._happened)
        self.agent.on_incoming(lambda call: spawn(self._rung(call), name="rung"))
        self.say("ready")

    def _happened(self, event: StackEvent) -> None:
        """Tell what happened in any call: one that is dialled may ring before `dial` comes back with it."""
        if event.event is Event.CALL_ESTABLISHED:
            self.say("established")
        elif event.event is Event.CALL_RINGING:
            self.say("ringing")
        elif event.event is Event.CALL_CLOSED:
            self.say("closed", why=event.text or "")

    async def _rung(self, call: Call) -> None:
        self._take(call)
        self.say("rung", headers=call.headers, peer=call.peer)
        await asyncio.sleep(self.setup["after_s"])
        if self.setup["on_ring"] == "answer":
            await call.answer()
        elif self.setup["on_ring"] == "busy":
            await call.reject()

    def _take(self, call: Call) -> None:
        self.call = call
        call.on_dtmf(lambda key: self.say("key", key=key.digit))
        call.on_transfer_request(lambda _request: spawn(self._transferred(call), name="transferred"))

    async def _transferred(self, call: Call) -> None:
        """Do as telephones do: hold the old call while the new one rings, and go back to it where that fails."""
        await self._held(call, True)
        try:
            self._take(await call.accept_transfer())
            self.say("transferring")
            assert self.call is not None
            await self.call.wait_established()
        except BaresipError as error:
            self.say("transfer_failed", why=str(error))
            self.call = call
            await self._held(call, False)

    async def _held(self, call: Call, hold: bool) -> None:
        """Hold or resume, again and again while another re-INVITE is on its way."""
        for _ in range(100):
            try:
                await (call.hold() if hold else call.resume())
            except StaleHandleError:
                return
            except BaresipError:
                await asyncio.sleep(0.05)
            else:
                return

    async def obey(self, order: dict[str, Json]) -> None:
        match order.pop("order"):
            case "dial":
                call = await self.agent.dial(order["uri"], order["headers"])
                self._take(call)
                self.say("dialled")
            case "play":
                pcm = base64.b64decode(order["pcm"])
                self._speech += pcm
                self._forever = pcm if order["forever"] else b""
            case "press":
                assert self.call is not None
                await self.call.send_dtmf(order["keys"])
            case "hang_up":
                assert self.call is not None
                await self.call.hangup()

    async def talk(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            if self.call is not None:
                try:
                    self._exchange(self.call)
                except (AudioNotActive, AudioRestarted):
                    continue

    def _exchange(self, call: Call) -> None:
        if pcm := call.audio.read(32000):
            self.say("heard", pcm=base64.b64encode(pcm).decode())
        room = AHEAD - call.audio.info().tx_buffered
        if len(self._speech) < room:
            self._speech += self._forever
        if room > 0 and self._speech:
            sent = call.audio.write(self._speech[:room])
            self._speech = self._speech[sent:]


async def main() -> None:
    out = os.dup(1)
    os.dup2(2, 1)  # C code prints there
    phone = Phone(json.loads(sys.argv[1]), out)
    await phone.start()
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    talking = spawn(phone.talk(), name="talk")
    while line := await reader.readline():
        try:
            await phone.obey(json.loads(line))
        except BaresipError as error:
            phone.say("fault", why=str(error))
    await cancel_and_wait(talking)
    await phone.runtime.close()
    os._exit(0)


asyncio.run(main())
