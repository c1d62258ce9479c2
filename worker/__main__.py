"""One worker process, as the supervisor starts it: `python -m worker --rooms --phone 127.0.0.1:5060`."""

from __future__ import annotations

import atexit
import importlib
import logging
import os
import sys
from collections.abc import Sequence

from runtime.importing import at_once


def _end(code: Sequence[int]) -> None:
    """End the process here, behind LiveKit's own goodbye and before Python takes itself apart.

    A native thread of LiveKit's that calls back into Python while that happens is unwound through Rust, which aborts:
    of ten processes that had joined rooms and left them properly, three ended with SIGABRT.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code[-1])


if __name__ == "__main__":
    codes = [1]
    atexit.register(_end, codes)  # the first to be registered is the last to run
    with at_once():
        process = importlib.import_module("worker.process")
    codes.append(process.main(sys.argv[1:]))
    sys.exit(codes[-1])
