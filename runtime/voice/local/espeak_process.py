"""The program of the espeak-ng process: reads requests from its input, writes PCM to its output, ends with its input.

espeak-ng is GPL-3.0 and keeps its state in globals, so it lives here, alone, behind two pipes. The file imports nothing
of ours and runs by its path under `python -I -S`, which starts in 30 ms: `espeak_process.py LIBRARY DATA_FOLDER`.

A message is a header (`HEADER`: kind, request number, payload length) and a payload.
To here: SPEAK (JSON: voice, rate in words a minute, text), CANCEL. From here: RATE once (JSON: Hz), then for each
request any number of PCM (s16 mono), closed by one END or one FAULT (text). Requests are served in order.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import signal
import struct
import sys
import threading
from typing import Any, BinaryIO

HEADER = struct.Struct(">BII")
SPEAK, CANCEL, RATE, PCM, END, FAULT = range(6)

_CHUNK_MS = 60
_SYNCHRONOUS = 2
_UTF8 = 1
_BY_CHARACTER = 1
_RATE_PARAMETER = 1
_STOP, _GO_ON = 1, 0
_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)

Request = tuple[int, dict[str, Any]]


class Inbox(threading.Thread):
    """Reads requests and cancellations while the main thread is busy speaking."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__(name="inbox", daemon=True)
        self.requests: queue.Queue[Request] = queue.Queue()
        self.cancelled: set[int] = set()
        self._source = source

    def run(self) -> None:
        while header := self._source.read(HEADER.size):
            kind, number, length = HEADER.unpack(header)
            payload = self._source.read(length)
            if kind == CANCEL:
                self.cancelled.add(number)
            else:
                self.requests.put((number, json.loads(payload)))
        os._exit(0)  # the parent is gone; whatever is being spoken has no hearer


class Speaker:
    """espeak-ng, spoken to one request at a time."""

    def __init__(self, library: str, data: str, output: int, inbox: Inbox) -> None:
        self._lib = ctypes.CDLL(library)
        self._output = output
        self._inbox = inbox
        self._number = 0
        self._rate = self._lib.espeak_Initialize(_SYNCHRONOUS, _CHUNK_MS, os.fsencode(data), 0)
        if self._rate <= 0:
            raise OSError(f"espeak-ng does not start with the data in {data}")
        self._callback = _CALLBACK(self._on_audio)  # kept: espeak holds no reference
        self._lib.espeak_SetSynthCallback(self._callback)
        self._lib.espeak_Synth.argtypes = [
            ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int,
            ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p,
        ]  # fmt: skip

    def serve(self) -> None:
        """Answer requests until the process is ended."""
        send(self._output, RATE, 0, json.dumps(self._rate).encode())
        while True:
            number, request = self._inbox.requests.get()
            self._number = number
            fault = "" if number in self._inbox.cancelled else self._speak(request)
            send(self._output, FAULT if fault else END, number, fault.encode())
            self._inbox.cancelled.discard(number)

    def _speak(self, request: dict[str, Any]) -> str:
        voice, text = str(request["voice"]), str(request["text"]).encode()
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            return f"espeak-ng has no voice {voice!r}"
        self._lib.espeak_SetParameter(_RATE_PARAMETER, int(request["rate"]), 0)
        code = self._lib.espeak_Synth(text, len(text) + 1, 0, _BY_CHARACTER, 0, _UTF8, None, None)
        return "" if code == 0 else f"espeak-ng gave up with code {code}"

    def _on_audio(self, wav: Any, samples: int, _events: Any) -> int:
        if self._number in self._inbox.cancelled:
            return _STOP
        if wav and samples > 0:
            send(self._output, PCM, self._number, ctypes.string_at(wav, samples * 2))
        return _GO_ON


def send(output: int, kind: int, number: int, payload: bytes) -> None:
    """Write one message; a parent that does not listen any more ends the process."""
    left = memoryview(HEADER.pack(kind, number, len(payload)) + payload)
    try:
        while left:
            left = left[os.write(output, left) :]
    except OSError:
        os._exit(0)


def main(library: str, data: str) -> None:
    """Serve until the input ends. The output is moved away from descriptor 1, where the library may print."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's: it hangs up first and then closes our input
    output = os.dup(1)
    os.dup2(2, 1)
    inbox = Inbox(sys.stdin.buffer)
    inbox.start()
    try:
        speaker = Speaker(library, data, output, inbox)
    except OSError as error:
        send(output, FAULT, 0, str(error).encode())
        os._exit(1)  # an ordinary exit aborts: the inbox's thread holds the input's lock
    speaker.serve()


if __name__ == "__main__":
    main(*sys.argv[1:3])
