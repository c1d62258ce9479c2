"""Versions that a worker loads are rehearsed behind the calls."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from runtime.errors import ProviderMissing
from runtime.session.event_log import EventLog
from runtime.session.ports import VersionRow
from runtime.store.memory import MemoryStore
from runtime.tasks import cancel_and_wait, spawn
from runtime.voice import speech_files
from runtime.voice.composing import Workshop
from runtime.voice.speech_files import SpeechFiles
from runtime.voice.spoken import SpokenCache
from runtime.voice.static_lines import static_lines
from tests.fakes.http_voice import HttpVoice, http_voice
from tests.fakes.virtual_time import in_virtual_time
from tests.fakes.voice_providers import Ears, Mind, Standins, Throat, Throb
from tests.fakes.workflows import front_desk
from tests.worker.waiting import until
from worker.rehearsing import AGAIN_S, Rehearsals
from worker.versions import CompiledVersion, Versions

GREETING = "Hello, this is Acme."


def no_tools(_order: object) -> Any:
    raise AssertionError("nobody calls")


@dataclass(slots=True)
class House:
    """A worker's versions with what is behind them."""

    store: MemoryStore
    versions: Versions
    voice: HttpVoice
    files: SpeechFiles | None

    async def published(self, **changes: Any) -> VersionRow:
        acme = await self.store.ensure_organization("Acme")
        config = front_desk(defaults={"tts": self.voice.configured(), "llm": {"provider": "local"}}, **changes)
        return await self.store.publish((await self.store.save_draft(acme.id, "desk", config)).id)


@asynccontextmanager
async def house(folder: Path, *, kept: bool = True, status: int = 200) -> AsyncIterator[House]:
    store, files = MemoryStore(), SpeechFiles(folder / "speech", 2**26) if kept else None
    async with http_voice() as voice, _workshop(folder, store, files) as workshop:
        voice.status = status
        versions = Versions(store, offline=True)
        rehearsals = Rehearsals(workshop, store.variables)
        versions.on_loaded = rehearsals.loaded
        async with running(rehearsals):
            yield House(store, versions, voice, files)


@asynccontextmanager
async def running(rehearsals: Rehearsals) -> AsyncIterator[None]:
    task = spawn(rehearsals.run(), name="rehearsals")
    try:
        yield
    finally:
        await cancel_and_wait(task)


@asynccontextmanager
async def _workshop(folder: Path, store: MemoryStore, files: SpeechFiles | None) -> AsyncIterator[Workshop]:
    log = await EventLog.open(folder / "events", store)
    try:
        spoken = SpokenCache(files=files)
        yield Workshop(log, str, str, no_tools, lambda _host, _port: True, "tests", spoken=spoken)
    finally:
        await log.aclose()


async def test_a_version_that_is_loaded_is_heard_from_disk_by_whoever_calls(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        row = await home.published()
        with capture_logs() as lines:
            version = await home.versions.get(row.id)
            await until(lambda: any(line["event"] == "version_rehearsed" for line in lines))
        (line,) = [line for line in lines if line["event"] == "version_rehearsed"]
        assert line["texts_made"] == len(home.voice.asked) > 5
        assert line["characters"] == sum(map(len, home.voice.asked))
        assert (line["texts_failed"], line["version_id"]) == (0, row.id)
        assert home.voice.asked[0] == GREETING == version.workflow.entry.node.greeting.text
        assert len(list((tmp_path / "speech").glob("*.wav"))) == len(home.voice.asked)


async def test_a_voice_that_is_down_keeps_no_version_from_answering(tmp_path: Path) -> None:
    async with house(tmp_path, status=500) as home:
        row = await home.published()
        with capture_logs() as lines:
            assert (await home.versions.get(row.id)).version == row
            await until(lambda: any(line["event"] == "version_rehearsed" for line in lines))
        assert len(home.voice.asked) == 1
        assert not list((tmp_path / "speech").glob("*.wav"))


async def test_one_that_another_process_rehearses_is_waited_for_and_a_second_goes_on(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        assert home.files is not None
        place = home.files.reserve()
        assert place is not None
        row = await home.published()
        with capture_logs() as lines:
            await home.versions.get(row.id)
            await home.versions.get(row.id)
            assert home.voice.asked == []
            place.close()
            await until(lambda: any(line["event"] == "version_rehearsed" for line in lines))
        assert GREETING in home.voice.asked
        assert len(list((tmp_path / "speech").glob("*.wav"))) == len(home.voice.asked)


async def test_without_a_disk_nothing_is_rehearsed(tmp_path: Path) -> None:
    async with house(tmp_path, kept=False) as home:
        row = await home.published()
        await home.versions.get(row.id)
        version = home.versions.cached(row.id)
        assert version is not None
        assert home.voice.asked == []


# ---------------------------------------------------------------- a voice that is down for a while


@dataclass(slots=True)
class Booth:
    """A workshop whose one voice is a stand-in, which counts as a provider's."""

    throat: Throat
    spoken: SpokenCache

    def providers(self, _order: object) -> Standins:
        made = Standins(Mind(lambda _asked: []), self.throat, Ears(), Throb(), spoken=self.spoken)
        made.offline = False
        return made


async def loaded(booth: Booth) -> tuple[Rehearsals, CompiledVersion]:
    """Return rehearsals that run, and a version that they have just been told of."""
    store = MemoryStore()
    acme = await store.ensure_organization("Acme")
    config = front_desk(defaults={"tts": {"provider": "openai", "voice_id": "one"}, "llm": {"provider": "local"}})
    row = await store.publish((await store.save_draft(acme.id, "desk", config)).id)
    version = await Versions(store, offline=True).get(row.id)
    rehearsals = Rehearsals(cast("Workshop", booth), store.variables)
    rehearsals.loaded(version)
    return rehearsals, version


@pytest.mark.parametrize("failures", range(1, len(AGAIN_S) + 2))
def test_a_voice_that_was_down_is_asked_again_later_until_it_has_spoken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """With one failure more than there are waits it is given up, until the version is loaded again."""
    # Files have the machine's time: beside the scenario's each looks as if it had been left behind.
    monkeypatch.setattr(speech_files, "_LEFT_BEHIND_S", math.inf)

    async def scenario() -> None:
        files = SpeechFiles(tmp_path / "speech", 2**26)
        booth = Booth(Throat(lambda _text: "fails"), SpokenCache(files=files))
        rehearsals, version = await loaded(booth)
        asked = booth.throat.spoken
        async with running(rehearsals):
            await until(lambda: len(asked) == 1)
            for number, wait_s in enumerate(AGAIN_S[: failures - 1], 2):
                await asyncio.sleep(wait_s - 1)
                assert len(asked) == number - 1
                await until(lambda number=number: len(asked) == number)  # type: ignore[misc]
            booth.throat.manner = lambda _text: "well"
            await asyncio.sleep(2 * max(AGAIN_S))
            texts = {line.text for line in static_lines(version.workflow)}
            assert len(asked) == failures + (0 if failures > len(AGAIN_S) else len(texts))
            rehearsals.loaded(version)
            await asyncio.sleep(2 * max(AGAIN_S))
            assert set(asked) == texts
            assert len(asked) == failures + len(texts)
            assert len(list((tmp_path / "speech").glob("*.wav"))) == len(texts)

    in_virtual_time(scenario(), monkeypatch)


@dataclass(slots=True)
class KeylessBooth(Booth):
    """One whose voice lacks its key."""

    asked: int = 0

    def providers(self, _order: object) -> Standins:
        self.asked += 1
        raise ProviderMissing("There is no key.", remedy="Set OPENAI_API_KEY.")


def test_what_no_wait_mends_is_tried_when_it_is_loaded_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        booth = KeylessBooth(Throat(lambda _text: "well"), SpokenCache(files=SpeechFiles(tmp_path / "speech", 2**26)))
        rehearsals, version = await loaded(booth)
        async with running(rehearsals):
            for times in (1, 2):
                await asyncio.sleep(sum(AGAIN_S) + 1)
                assert booth.asked == times
                rehearsals.loaded(version)

    in_virtual_time(scenario(), monkeypatch)
