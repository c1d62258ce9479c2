"""A worker that answers LiveKit's rooms in the test's own process, and callers who know what became of their calls."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Never

import numpy as np
from livekit import rtc
from livekit.agents import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions, stt, utils
from livekit.agents.language import LanguageCode
from livekit.agents.types import NOT_GIVEN, NotGivenOr

from runtime.session.ports import CallRow, VersionRow
from runtime.settings import Settings
from runtime.voice.rooms import DispatchMetadata, dispatch, join_token
from runtime.voice.wav import Samples, resample, samples_of
from tests.calls.runs import CallResult
from tests.fakes.hearing import loud_s
from tests.fakes.livekit_server import KEY, SECRET, LiveKitServer
from tests.fakes.room_caller import RATE, RoomCaller, sip_attributes, sip_token
from tests.fakes.sip_caller import RATE as TELEPHONE_RATE
from tests.fakes.speech import PHRASES, take
from tests.fakes.working import NUMBER, Desk, Watched
from worker.rooms.source import RoomSource
from worker.worker import Lines, Worker, open_worker

__all__ = ["ByHeart", "Guest", "RoomDesk", "a_room", "environment", "working_rooms"]

Json = Any

_WITHIN_S = 40.0
_AHEAD_MS = 400  # callers and worker share a loop, and a recogniser that thinks must not make the callers stutter
_STEP = RATE // 50


def a_room() -> str:
    """Return a name that no room has."""
    return f"call-{uuid.uuid4().hex[:10]}"


def environment(server: LiveKitServer, database_url: str, **more: str) -> dict[str, str]:
    """Return what a worker at this server finds in its environment; `more` wins."""
    given = {
        "DATABASE_URL": database_url,
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
        "PATCHBAY_ALLOW_PRIVATE_HOSTS": "*",
    }
    return {**given, **more}


class RoomDesk(Desk):
    """A worker in LiveKit's rooms. Calls are known by their room."""

    def __init__(self, worker: Worker, server: LiveKitServer, database_url: str) -> None:
        super().__init__(worker, database_url)
        self.server = server

    @property
    def settings(self) -> Settings:
        return self.worker.settings

    @property
    def source(self) -> RoomSource:
        assert self.worker.rooms is not None
        return self.worker.rooms

    @property
    def organization(self) -> str:
        return self.worker.organization.id

    async def answer_all(self, name: str = "desk") -> None:
        """Have a workflow answer whoever calls without a number that is known; the worker knows of it on return."""
        await self.worker.store.set_default_workflow(self.organization, name)
        await self.until(lambda: self._default() == name)

    def would_run(self, version: VersionRow) -> bool:
        """Whether the next call of its workflow would run on this version."""
        snapshot = self.worker.directory._snapshot
        published = snapshot.published.get(version.workflow_id) if snapshot else None
        return published is not None and published.version_id == version.id

    def _default(self) -> str | None:
        snapshot = self.worker.directory._snapshot
        tenant = snapshot.organizations.get(self.organization) if snapshot else None
        return tenant.default_workflow_name if tenant else None

    def in_room(self, room: str) -> list[Watched]:
        return [call for call in self.calls if call.row.room == room]

    async def rung(self, room: str) -> Watched:
        """Wait for the call of this room."""
        await self.until(lambda: bool(self.in_room(room)), within_s=_WITHIN_S)
        return self.in_room(room)[0]

    @asynccontextmanager
    async def browser(self, metadata: DispatchMetadata | None = None, *, room: str = "") -> AsyncIterator[Guest]:
        """Have somebody call by browser; the token that they got dispatches the worker."""
        room = room or a_room()
        async with self.joined(room, join_token(self.settings, room, "anna", metadata=metadata)) as guest:
            yield guest

    @asynccontextmanager
    async def telephone(
        self, number: str, *, dialled: str = NUMBER, metadata: DispatchMetadata | None = None
    ) -> AsyncIterator[Guest]:
        """Have somebody call through LiveKit SIP, which has answered when this yields."""
        room, attributes = a_room(), sip_attributes(number, dialled)
        async with RoomCaller(
            self.server.url, sip_token(self.settings, room, attributes=attributes), ahead_ms=_AHEAD_MS
        ) as caller:
            await dispatch(self.settings, room, metadata)
            guest = Guest(self, caller, room, await self.rung(room))
            await guest.picked_up()
            await caller.set_attributes(sip__callStatus="active")
            yield guest

    @asynccontextmanager
    async def joined(self, room: str, token: str) -> AsyncIterator[Guest]:
        """Have somebody join a room, where the worker answers them."""
        async with RoomCaller(self.server.url, token, ahead_ms=_AHEAD_MS) as caller:
            guest = Guest(self, caller, room, await self.rung(room))
            await guest.picked_up()
            yield guest


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody in a room, and the call as the worker has it."""

    desk: RoomDesk
    caller: RoomCaller
    room: str
    call: Watched

    @property
    def heard(self) -> Samples:
        """All that was heard so far, at the rate of `tests.fakes.working`."""
        return _one([each.samples for each in self.caller.heard])

    @property
    def row(self) -> CallRow:
        return self.call.row

    async def picked_up(self) -> None:
        """Wait until the agent's sound arrives."""
        await self.desk.until(lambda: bool(self.caller.tracks) or self.caller.left.is_set(), within_s=_WITHIN_S)

    async def happened(self, event_type: str, *, count: int = 1) -> None:
        await self.desk.happened(self.call, event_type, count=count, within_s=_WITHIN_S)

    async def answered(self, count: int = 1) -> None:
        """Wait until the agent has said so many things, and was heard to stop."""
        await self.happened("agent_turn", count=count)
        await self.caller.silence(0.2)

    async def say(self, phrase: str) -> None:
        """Say a recorded phrase to its end."""
        await self.caller.say(take(phrase, RATE))

    async def hang_up(self) -> None:
        """As LiveKit SIP does."""
        await self.caller.set_attributes(sip__callStatus="hangup")

    async def result(self) -> CallResult:
        """Wait until the call is over and stored."""
        await self.happened("call_ended")
        return await self.desk.result(self.call)

    def voice_s(self) -> float:
        """Return for how many seconds a voice was heard."""
        return loud_s(self.heard)


def _one(heard: Sequence[Samples]) -> Samples:
    return resample(np.concatenate(heard), RATE, TELEPHONE_RATE) if heard else np.zeros(0, dtype=np.int16)


@asynccontextmanager
async def working_rooms(
    server: LiveKitServer, database_url: str, folder: Path, *, name: str = "home", **more: str
) -> AsyncIterator[RoomDesk]:
    """Open a worker at this server and on this database, with models as the workflows name them.

    `name` is its folder's: workers of one test have one each. `more` is what its settings find in the environment.
    """
    given = environment(server, database_url, **{"PATCHBAY_HOME": str(folder / name), **more})
    async with open_worker(Settings.load(given, folder), Lines(rooms=True)) as worker:
        desk = RoomDesk(worker, server, database_url)
        yield desk
        with suppress(TimeoutError):  # callers who have left are gone for the worker a moment later
            await desk.until(lambda: worker.switchboard.calls == 0, within_s=5)


# ------------------------------------------------------------ a recogniser that knows its callers


class ByHeart(stt.STT[Never]):
    """A recogniser that knows the recorded takes by the rise and fall of their loudness, and nothing else.

    It takes the place of the local one, by `monkeypatch.setattr("runtime.voice.pipeline.PocketsphinxSTT", ByHeart)`
    after `ByHeart.learn()`: many calls at once, then, cost what they cost without a recogniser. What it does not know it keeps in mind until more has come.
    """

    def __init__(
        self,
        phrases: Sequence[str] = (),
        words: Sequence[str] = (),
        *,
        language: str = "en",
    ) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False, manual_flush=True))
        assert _remembered.cache_info().currsize == len(PHRASES), "learn the phrases before the first call"
        self.language = LanguageCode(language)

    @staticmethod
    def learn() -> None:
        """Read the takes, which takes more than a second."""
        for phrase in PHRASES:
            _remembered(phrase)

    def stream(
        self, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> stt.RecognizeStream:
        return _Remembering(self, conn_options)

    async def _recognize_impl(
        self, buffer: utils.AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        raise NotImplementedError


class _Remembering(stt.RecognizeStream):
    def __init__(self, owner: ByHeart, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=owner, conn_options=conn_options, sample_rate=RATE)
        self._language = owner.language

    async def _run(self) -> None:
        heard: list[Samples] = []
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                heard.append(samples_of(item).copy())
            elif heard and (text := known(np.concatenate(heard))):
                heard.clear()
                self._tell(text)

    def _tell(self, text: str) -> None:
        said = stt.SpeechData(language=self._language, text=text, confidence=1.0)
        self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[said]))


def known(heard: Samples) -> str:
    """Return the phrase that was heard in the last five seconds of these samples, or nothing."""
    envelope = _envelope(heard[-5 * RATE :])
    scores = {phrase: _alike(envelope, _remembered(phrase)) for phrase in PHRASES}
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] > 0.7 else ""


@cache
def _remembered(phrase: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return _envelope(np.pad(take(phrase, RATE), RATE // 4))


def _envelope(samples: Samples) -> np.ndarray[Any, np.dtype[np.float64]]:
    parts = samples[: samples.size // _STEP * _STEP].reshape(-1, _STEP).astype(np.float64)
    return np.sqrt((parts**2).mean(axis=1))


def _alike(heard: np.ndarray[Any, np.dtype[np.float64]], phrase: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    padded = np.pad(heard, phrase.size)
    norm = np.linalg.norm(padded) * np.linalg.norm(phrase)
    return float(np.correlate(padded, phrase).max() / norm) if norm else 0.0
