"""What every test stands on: ordinary signals, whoever started the run."""

from __future__ import annotations

import signal

# A run in the background of a script (or under nohup) ignores these, every process it starts inherits that, and the
# tests that interrupt one would wait for ever.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)
