"""Recordings on disk, which the processes of a PATCHBAY_HOME share: bounded, and none is believed without its checksum."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import tempfile
import time
import wave
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np
import structlog

from runtime.settings import Settings, provider_servers
from runtime.voice.recording import Recording

__all__ = ["FORMAT", "SpeechFiles", "speech_files"]

FORMAT: Final = 1
"""Part of every file's name: what a release writes in another way, it writes under another name."""
_DIGEST: Final = hashlib.sha256().digest_size
_SAMPLE: Final = 2
_LEFT_BEHIND_S: Final = 3600.0
"""A file that is being written is older than this only where its writer has died."""

_log = structlog.get_logger("speech_files")


class _File(NamedTuple):
    used_at: float
    size: int
    path: Path


class SpeechFiles:
    """Recordings by voice and text in `folder`, at most `most_bytes` of them; the least recently used go first.

    All methods block, and none raises: of a disk that fails there is a line in the log, and the text is spoken as ever.
    Threads and processes share a folder; those that write at the same moment may exceed the bound by a file each,
    until the next is written. A file is mono WAV with a SHA-256 of it and of its name at the end.
    """

    def __init__(self, folder: Path, most_bytes: int, *, servers: str = "") -> None:
        """`servers`: those that the environment puts in place of the providers' own, which then speak otherwise."""
        self._folder = folder
        self._servers = servers
        self._most_bytes = most_bytes
        self._told = False

    def holds(self, voice: str, text: str) -> bool:
        """Tell whether there is a file, whatever is in it."""
        return self._path(voice, text).exists()

    def load(self, voice: str, text: str) -> Recording | None:
        """Return a recording, which counts as a use of it; a file that is not whole is removed."""
        path = self._path(voice, text)
        try:
            recording = _decoded(path.read_bytes(), path.name)
            if recording is None:
                _log.warning("speech_file_damaged", file=path.name)
                path.unlink()
            else:
                os.utime(path)
        except FileNotFoundError:  # never made, or removed meanwhile
            return None
        except OSError as error:
            self._tell(error)
            return None
        return recording

    def save(self, voice: str, text: str, recording: Recording) -> None:
        """Write a recording, whole or not at all, and make room for it; one larger than the bound is left out."""
        path = self._path(voice, text)
        data = _encoded(recording, path.name)
        if len(data) > self._most_bytes:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(len(data), path)
            _write(path, data)
        except OSError as error:
            self._tell(error)

    def reserve(self) -> BinaryIO | None:
        """Return a file that is this process's until it is closed or killed, for the right to make recordings beforehand.

        None where another process has it, or the disk refuses.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.fdopen(os.open(self._folder / ".making", os.O_CREAT | os.O_RDWR, 0o600), "r+b")
        except OSError as error:
            self._tell(error)
            return None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        return file

    def _path(self, voice: str, text: str) -> Path:
        key = json.dumps([FORMAT, self._servers, voice, text]).encode()
        return self._folder / f"{hashlib.sha256(key).hexdigest()}.wav"

    def _make_room(self, size: int, replaced: Path) -> None:
        files = sorted(file for file in self._files() if file.path != replaced)
        used = sum(file.size for file in files)
        for file in files:
            if used + size <= self._most_bytes:
                return
            file.path.unlink(missing_ok=True)
            used -= file.size

    def _files(self) -> Iterator[_File]:
        """Yield the recordings; what a dead process was writing is removed on the way."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process removed it
                    found = entry.stat(follow_symlinks=False)
                    if entry.name.endswith(".wav"):
                        yield _File(found.st_mtime, found.st_size, Path(entry.path))
                    elif entry.name.endswith(".part") and time.time() - found.st_mtime > _LEFT_BEHIND_S:
                        Path(entry.path).unlink()

    def _tell(self, error: OSError) -> None:
        if not self._told:  # once: a disk that is full says so for every text
            self._told = True
            _log.warning("speech_files_unusable", folder=str(self._folder), reason=error.strerror or str(error))


def speech_files(settings: Settings) -> SpeechFiles | None:
    """Return the recordings of PATCHBAY_HOME; None where PATCHBAY_SPEECH_CACHE_MB is 0."""
    if not settings.speech_bytes:
        return None
    return SpeechFiles(settings.speech_folder, settings.speech_bytes, servers=provider_servers())


def _write(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:16]}.", suffix=".part")  # mode 0600
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _encoded(recording: Recording, name: str) -> bytes:
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(_SAMPLE)
        file.setframerate(recording.rate)
        file.writeframes(recording.samples.astype("<i2", copy=False).tobytes())
    data = target.getvalue()
    return data + _digest(data, name)


def _decoded(data: bytes, name: str) -> Recording | None:
    """Return what `_encoded` was given; None where a byte of it is another."""
    sound, digest = data[:-_DIGEST], data[-_DIGEST:]
    if digest != _digest(sound, name):
        return None
    with wave.open(io.BytesIO(sound)) as file:
        rate, samples = file.getframerate(), file.readframes(file.getnframes())
    return Recording(np.frombuffer(samples, dtype="<i2").astype(np.int16, copy=False), rate)


def _digest(sound: bytes, name: str) -> bytes:
    return hashlib.sha256(name.encode() + sound).digest()
