"""The garbage collector of a process that carries calls."""

from __future__ import annotations

import gc
from typing import Final

__all__ = ["keep", "tune"]

_THRESHOLDS: Final = (2000, 10, 20)


def tune() -> None:
    """Keep the collector from stopping the calls; once, after everything has been imported.

    As shipped it walks all modules again and again and stops the event loop for 75 to 240 ms: frozen they are not
    walked. The oldest generation is walked once the calls that are there have left a quarter of their own number behind,
    for what a call leaves in circles would otherwise never be freed.
    """
    gc.freeze()  # a collection before it would take as long as a tenth of all imports, and find next to nothing
    gc.collect()  # counts what is there: Python waits for a quarter more than that, and would wait for the modules' quarter
    gc.set_threshold(*_THRESHOLDS)


def keep() -> None:
    """Have the collector pass over what is there now, as after a late import.

    Nothing is collected first: that would stop the calls. What they leave in circles until now is never freed, which is
    little, as seldom as this is.
    """
    gc.freeze()
