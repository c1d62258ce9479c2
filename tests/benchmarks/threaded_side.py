"""A side that has a second thread, and answers each order with itself."""

from __future__ import annotations

import sys
import threading


def main() -> None:
    """Answer until nothing more is asked."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        sys.stdout.write(line)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
