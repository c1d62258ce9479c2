"""What may be told of an error that a plugin raised."""

from __future__ import annotations

__all__ = ["describe"]


def describe(error: BaseException | None) -> str:
    """Return an error by its kind and status: its text may quote a prompt or a key."""
    if error is None:
        return "unknown"
    status = getattr(error, "status_code", None)
    return type(error).__name__ + (f" (status {status})" if isinstance(status, int) and status > 0 else "")
