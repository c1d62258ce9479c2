"""Recordings on disk: whole or not at all, bounded, shared by threads and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.settings import Settings
from runtime.voice.recording import Recording
from runtime.voice.speech_files import SpeechFiles, speech_files

PLENTY = 2**24
FRAMING = 44 + 32


def recording(samples: int, value: int = 1) -> Recording:
    return Recording(np.full(samples, value, dtype=np.int16), 24000)


def same(one: Recording | None, other: Recording) -> bool:
    return one is not None and one.rate == other.rate and np.array_equal(one.samples, other.samples)


def wavs(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.wav"))


@pytest.fixture
def files(tmp_path: Path) -> SpeechFiles:
    return SpeechFiles(tmp_path / "speech", PLENTY)


@given(
    samples=st.lists(st.integers(-32768, 32767), min_size=1, max_size=200),
    rate=st.sampled_from([8000, 16000, 22050, 24000, 48000]),
    voice=st.text(max_size=30),
    text=st.text(max_size=30),
)
def test_what_is_written_is_read(samples: list[int], rate: int, voice: str, text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = SpeechFiles(Path(folder), PLENTY)
        written = Recording(np.array(samples, dtype=np.int16), rate)
        files.save(voice, text, written)
        assert files.holds(voice, text)
        assert same(files.load(voice, text), written)
        assert files.load(voice + "x", text) is None
        assert files.load(voice, text + "x") is None


def test_a_file_is_a_wav_that_only_its_owner_reads(files: SpeechFiles, tmp_path: Path) -> None:
    files.save("v", "Hello.", recording(240, 7))
    (path,) = wavs(tmp_path / "speech")
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)
    assert "v" not in path.stem
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (1, 24000, 240)
        assert file.readframes(240) == recording(240, 7).samples.tobytes()


@given(at=st.integers(0, 2**16), bit=st.integers(0, 7))
def test_a_file_with_a_changed_bit_is_removed(at: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = SpeechFiles(Path(folder), PLENTY)
        files.save("v", "Hello.", recording(100))
        (path,) = wavs(Path(folder))
        data = bytearray(path.read_bytes())
        data[at % len(data)] ^= 1 << bit
        path.write_bytes(data)
        assert files.load("v", "Hello.") is None
        assert not wavs(Path(folder))


@given(left=st.integers(0, 100 * 2 + FRAMING - 1))
def test_a_file_that_is_cut_short_is_removed(left: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = SpeechFiles(Path(folder), PLENTY)
        files.save("v", "Hello.", recording(100))
        (path,) = wavs(Path(folder))
        path.write_bytes(path.read_bytes()[:left])
        assert files.load("v", "Hello.") is None
        files.save("v", "Hello.", recording(100))
        assert same(files.load("v", "Hello."), recording(100))


def test_a_file_under_anothers_name_is_not_believed(files: SpeechFiles, tmp_path: Path) -> None:
    files.save("v", "one", recording(100, 1))
    files.save("v", "two", recording(100, 2))
    first, second = wavs(tmp_path / "speech")
    first.write_bytes(second.read_bytes())
    assert sorted([files.load("v", "one") is None, files.load("v", "two") is None]) == [False, True]


@given(order=st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=40))
def test_the_least_recently_used_go_first(order: list[tuple[bool, int]]) -> None:
    size = 100 * 2 + FRAMING
    with tempfile.TemporaryDirectory() as folder:
        files = SpeechFiles(Path(folder), 3 * size)
        kept: list[int] = []  # the least recently used in front
        for moment, (saves, name) in enumerate(order):
            if saves:
                files.save("v", str(name), recording(100, name))
                kept = [*[each for each in kept if each != name], name]
                kept = kept[-3:]
            elif files.load("v", str(name)) is not None:
                kept = [*[each for each in kept if each != name], name]
            _used_at(files, name, 1_000_000 + moment)  # a clock that tells all uses apart
            assert sum(path.stat().st_size for path in wavs(Path(folder))) <= 3 * size
        assert [name for name in range(10) if files.holds("v", str(name))] == sorted(kept)


def _used_at(files: SpeechFiles, name: int, moment: int) -> None:
    path = files._path("v", str(name))
    if path.exists():
        os.utime(path, (moment, moment))


def test_one_that_is_larger_than_the_bound_is_left_out(tmp_path: Path) -> None:
    files = SpeechFiles(tmp_path, 1000)
    files.save("v", "small", recording(100))
    files.save("v", "large", recording(1000))
    assert (files.holds("v", "small"), files.holds("v", "large")) == (True, False)


def test_what_the_dead_were_writing_is_removed_and_what_the_living_write_is_not(tmp_path: Path) -> None:
    dead, alive = tmp_path / ".dead.part", tmp_path / ".alive.part"
    for part in (dead, alive):
        part.write_bytes(b"half")
    os.utime(dead, (1, 1))
    SpeechFiles(tmp_path, PLENTY).save("v", "Hello.", recording(100))
    assert (dead.exists(), alive.exists()) == (False, True)


def test_a_write_that_fails_leaves_nothing(files: SpeechFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    files.save("v", "Hello.", recording(100))
    assert not list((tmp_path / "speech").iterdir())
    monkeypatch.undo()
    files.save("v", "Hello.", recording(100))
    assert files.holds("v", "Hello.")


def test_a_folder_that_cannot_be_used_costs_nobody_anything(tmp_path: Path) -> None:
    (tmp_path / "speech").write_text("a file in its place")
    files = SpeechFiles(tmp_path / "speech", PLENTY)
    files.save("v", "Hello.", recording(100))
    assert not files.holds("v", "Hello.")
    assert files.load("v", "Hello.") is None
    assert files.reserve() is None


def test_threads_that_write_and_read_the_same_get_the_whole_of_one(tmp_path: Path) -> None:
    def work(number: int) -> bool:
        files = SpeechFiles(tmp_path, 6 * (2000 * 2 + FRAMING))
        name = str(number % 8)
        files.save("v", name, recording(2000, number % 8))
        found = files.load("v", name)  # another may have needed its room
        return found is None or same(found, recording(2000, number % 8))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))
    assert not list(tmp_path.glob(".*.part"))


_HOLDER = """
import sys
from pathlib import Path
from runtime.voice.speech_files import SpeechFiles
place = SpeechFiles(Path(sys.argv[1]), 1000).reserve()
print(place is not None, flush=True)
sys.stdin.read()
"""


@pytest.mark.server
def test_one_process_makes_them_and_its_death_lets_the_next(tmp_path: Path) -> None:
    files = SpeechFiles(tmp_path, PLENTY)
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "True"
        assert files.reserve() is None
        holder.kill()
        holder.wait()
    place = files.reserve()
    assert place is not None
    with place:
        assert files.reserve() is None


def test_the_setting_bounds_them_and_zero_turns_them_off(tmp_path: Path) -> None:
    home = {"PATCHBAY_HOME": str(tmp_path)}
    assert speech_files(Settings.load({**home, "PATCHBAY_SPEECH_CACHE_MB": "0"}, tmp_path)) is None
    settings = Settings.load({**home, "PATCHBAY_SPEECH_CACHE_MB": "1"}, tmp_path)
    files = speech_files(settings)
    assert files is not None
    files.save("v", "too long", recording(2**20))
    files.save("v", "short", recording(100))
    assert len(wavs(tmp_path / "speech")) == 1
