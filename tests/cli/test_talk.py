"""`patchbay talk`: keys, mute and hanging up; devices that are not there; and a call through real PortAudio."""

from __future__ import annotations

import asyncio
import ctypes.util
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from cli.sound import Devices, Speaker
from cli.talk import _Handset, _Place, _talk
from runtime.errors import Unreachable
from runtime.harness.phone import Hear, Standing
from runtime.voice.audio import Samples, frame_of
from tests.cli.conftest import Patchbay
from tests.cli.console import FRONT_DESK
from tests.fakes.speech import take

Json = Any
DEVICES = """
pcm.!default {{
  type asym
  playback.pcm {{ type file format raw file "{heard}" slave.pcm {{ type null }} }}
  capture.pcm {{ type file format raw file "/dev/null" infile "{said}" slave.pcm {{ type null }} }}
}}
"""
"""For ALSA: a microphone that plays a file, and a speaker that writes one, both raw s16."""


class PortAudioError(Exception):
    """As sounddevice's."""


class Stream:
    """A device that is fed and read by hand."""

    def __init__(self, *, callback: Callable[..., None], samplerate: int, blocksize: int, **_more: Json) -> None:
        self.callback, self.rate, self.blocksize = callback, samplerate, blocksize

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Nothing is open."""


class Sound(types.ModuleType):
    """`sounddevice` with a microphone that takes but 44 100 Hz."""

    PortAudioError = PortAudioError

    def __init__(self, *, missing: str = "") -> None:
        super().__init__("sounddevice")
        self.missing = missing
        self.streams: list[Stream] = []

    def check_input_settings(self, *, samplerate: int, **_more: Json) -> None:
        if self.missing == "input" or samplerate != 44100:
            raise PortAudioError("Invalid sample rate")

    def check_output_settings(self, **_more: Json) -> None:
        if self.missing == "output":
            raise PortAudioError("Error querying device -1")

    def query_devices(self, _device: Json, kind: str) -> dict[str, Json]:
        if self.missing == kind:
            raise PortAudioError("Error querying device -1")
        return {"default_samplerate": 44100.0}

    def RawInputStream(self, **how: Json) -> Stream:  # noqa: N802 - its name in sounddevice
        self.streams.append(Stream(**how))
        return self.streams[-1]

    RawOutputStream = RawInputStream


class FakePhone:
    """Notes what is done, and says one thing as soon as it is picked up."""

    def __init__(self) -> None:
        self.done: list[object] = []
        self.said: list[Samples] = []
        self.standing = Standing()
        self._over = asyncio.Event()

    def watch(self, changed: Callable[[], None]) -> None:
        raise NotImplementedError

    async def begin(self, hear: Hear, cleared: Callable[[], None]) -> None:
        cleared()
        hear(frame_of(np.full(480, 5, dtype=np.int16), 24000), asyncio.get_running_loop().time())

    def push(self, samples: Samples) -> None:
        self.said.append(samples)

    def press(self, key: str) -> None:
        self.done.append(key)

    def mute(self, *, muted: bool) -> None:
        self.done.append(muted)

    def hang_up(self) -> None:
        self.done.append("gone")
        self._over.set()

    async def ended(self) -> None:
        await self._over.wait()

    async def aclose(self) -> None:
        self.done.append("closed")


async def test_the_handset_between_devices_keyboard_and_telephone(tmp_path: Path) -> None:
    sound, phone = Sound(), FakePhone()
    reads, writes = os.pipe()
    with os.fdopen(reads) as keys, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", keys)
        talking = asyncio.gather(_talk(phone, 24000, _Place(sound, Devices(), tmp_path / "t.wav", print)))
        async with asyncio.timeout(10):
            while len(sound.streams) < 2:  # noqa: ASYNC110 - a stand-in tells nobody
                await asyncio.sleep(0)
            ear, mouth = sound.streams
            mouth.callback(np.full(882, 9, dtype=np.int16).tobytes(), 882, None, None)
            while not phone.said:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
            heard = bytearray(960)
            ear.callback(memoryview(heard), 480, None, None)
            os.write(writes, b"1x#mm\x04")
            await talking
        os.close(writes)
    assert np.frombuffer(heard, dtype=np.int16).tolist() == [5] * 480
    assert (ear.rate, mouth.rate, mouth.blocksize) == (24000, 44100, 882)
    assert abs(sum(part.size for part in phone.said) - 320) < 40
    assert phone.done == ["1", "#", True, False, "gone", "closed"]
    assert (tmp_path / "t.wav").stat().st_size > 44


async def test_ctrl_c_hangs_up_as_well() -> None:
    phone = FakePhone()
    _Handset(phone, 0.0).typed("\x03")
    assert phone.done == ["gone"]


def test_a_speaker_keeps_five_seconds_and_says_nothing_where_there_is_nothing() -> None:
    speaker = Speaker(8000)
    speaker.play(np.ones(8000 * 6, dtype=np.int16))
    assert len(speaker.take(10**6).rstrip(b"\0")) == 2 * 8000 * 5 - 1
    speaker.play(np.ones(10, dtype=np.int16))
    speaker.clear()
    assert speaker.take(4) == bytes(4)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "pip install 'patchbay[talk]'"),
        ("raise OSError('PortAudio library not found')", "apt-get install libportaudio2"),
    ],
)
def test_what_is_not_installed_is_told(
    patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: str | None, words: str
) -> None:
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    if found is None:
        monkeypatch.setitem(sys.modules, "sounddevice", None)
    else:
        (tmp_path / "sounddevice.py").write_text(found)
        monkeypatch.syspath_prepend(tmp_path)
    result = patchbay("talk", FRONT_DESK, "--offline")
    assert (result.exit_code, words in result.stderr) == (3, True), result.output


@pytest.mark.parametrize(("missing", "words"), [("input", "The microphone"), ("output", "The speaker")])
async def test_a_device_that_is_not_there_is_told(missing: str, words: str) -> None:
    phone = FakePhone()
    with pytest.raises(Unreachable, match=words):
        await _talk(phone, 24000, _Place(Sound(missing=missing), Devices(), None, print))
    assert phone.done == ["closed"]


def test_standing_input_is_the_keypad(patchbay: Patchbay) -> None:
    result = patchbay("talk", "-", "--offline")
    assert (result.exit_code, "keypad" in result.stderr) == (2, True), result.output


@pytest.mark.live
@pytest.mark.skipif(
    ctypes.util.find_library("portaudio") is None, reason="no PortAudio (apt-get install libportaudio2)"
)
def test_a_call_through_real_portaudio(tmp_path: Path) -> None:
    words = np.concatenate([np.zeros(16000 * 7, dtype=np.int16), take("i would like to speak to billing", 16000)])
    said, heard = tmp_path / "said.raw", tmp_path / "heard.raw"
    np.pad(words, (0, 16000 * 60)).tofile(said)
    (tmp_path / ".asoundrc").write_text(DEVICES.format(said=said, heard=heard))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PATCHBAY_HOME": str(tmp_path / "home"),
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-m", "tests.fakes.paced_sound", "talk", FRONT_DESK, "--offline", "--json"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        events: list[dict[str, Json]] = []
        try:
            for line in process.stdout:
                events.append(json.loads(line))
                if events[-1]["event_type"] == "user_turn" and events[-1]["payload"]["by"] == "speech":
                    process.stdin.write(b"7\x04")
                    process.stdin.flush()
            process.wait(20)
        finally:
            process.kill()
    kinds = [event["event_type"] for event in events]
    assert ("user_turn" in kinds, "dtmf_received" in kinds, process.returncode) == (True, True, 0)
    assert events[-1]["payload"]["reason"] == "caller_hangup"
    assert np.abs(np.fromfile(heard, dtype=np.int16)).max() > 1000
