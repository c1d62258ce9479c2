"""How many examples hypothesis builds: a fifth of them in `make check`, all of them where thorough tests run."""

from __future__ import annotations

from hypothesis import settings

__all__ = ["examples"]

settings.register_profile("thorough", max_examples=100, deadline=None)
settings.register_profile("check", max_examples=20, deadline=None)


def examples(many: int) -> int:
    """Return `many`, or the part of them for which `make check` has time."""
    return many if settings.get_current_profile_name() == "thorough" else max(5, many // 5)
