"""The garbage collector of a process that carries calls."""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["tune"]

_THRESHOLDS: Final = (2000, 10, 20)


def tune() -> None:
    """Keep the collector from stopping the calls; once, after everything has been imported.

    As shipped it walks all modules again and again and stops the event loop for 75 to 240 ms: frozen they are not
    walked. The oldest generation is walked once the calls that are there have left a quarter of their own number behind,
    for what a call leaves in circles would otherwise never be freed.
    """
    gc.collect()
    gc.freeze()
    gc.collect()  # counts what is there: Python waits for a quarter more than that, and would wait for the modules' quarter
    gc.set_threshold(*_THRESHOLDS)
