"""An HTTP server whose every answer is a test's own, in a thread beside it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Answer", "answering"]

Json = Any
Answer = tuple[int, Json]
"""Status and body: bytes as they are, everything else as JSON."""


@contextmanager
def answering(
    answer: Callable[[str, str, Json], Answer], heard: Callable[[str | None], None] | None = None
) -> Iterator[str]:
    """Serve on loopback; `answer` gets method, path and body, `heard` the header Authorization. Yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            """Nothing."""

        def do_GET(self) -> None:
            self._answer(None)

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _answer(self, body: Json) -> None:
            if heard is not None:
                heard(self.headers.get("authorization"))
            status, told = answer(self.command, self.path, body)
            data = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
