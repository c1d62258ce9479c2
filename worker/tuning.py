"""The garbage collector of a process that carries calls."""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["tune"]

_THRESHOLDS: Final = (2000, 10, 100_000)


def tune() -> None:
    """Keep the collector from stopping the calls; once, after everything has been imported.

    As shipped it walks all modules again and again and stops the event loop for 75 to 240 ms: frozen they are not
    walked, and the oldest generation, where the calls' own garbage seldom is, is walked a thousand times less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
