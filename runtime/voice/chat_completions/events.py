"""Server-sent events, read from the bytes of a stream however these are cut."""

from __future__ import annotations

from typing import Final

__all__ = ["MOST_BYTES", "Events"]

MOST_BYTES: Final = 4 * 2**20
"""The longest event that is read: a server that never ends one must not fill the memory."""


class Events:
    """Gives the data of each event once it is complete. Comments, names, ids and times to retry are left out.

    Works on bytes, so that a character may lie in two pieces. https://html.spec.whatwg.org/multipage/server-sent-events.html
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> list[bytes]:
        """Take a piece in; return the data of the events that it completes. Raises ValueError for one without end."""
        text = self._rest + piece if self._rest else piece
        if b"\r" in text:
            text, held = (text[:-1], b"\r") if text.endswith(b"\r") else (text, b"")  # its \n may still come
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        *lines, self._rest = text.split(b"\n")
        if len(self._rest) > MOST_BYTES:
            raise ValueError(f"an event of the stream is longer than {MOST_BYTES} bytes")
        return [data for line in lines if (data := self._line(line)) is not None]

    def close(self) -> list[bytes]:
        """Return the data of an event that the stream's end completes: some servers leave the empty line out."""
        return self.feed(b"\n\n")

    def _line(self, line: bytes) -> bytes | None:
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b" ", 5) else line[5:])
        elif not line and self._data:
            whole = b"\n".join(self._data)
            self._data.clear()
            return whole or None
        return None
