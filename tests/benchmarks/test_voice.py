from __future__ import annotations

from collections.abc import Sequence

import pytest

from benchmarks.voice import FULL, LATE_MS, QUICK, holds, to_try


def tried(limit: int, steps: Sequence[int]) -> dict[int, float]:
    """Try as the benchmark does a side that is in time up to `limit` calls."""
    late: dict[int, float] = {}
    while calls := to_try(late, steps):
        assert calls not in late
        late[calls] = LATE_MS if calls <= limit else LATE_MS + 1
    return late


@pytest.mark.parametrize("steps", [QUICK.steps, FULL.steps])
def test_not_every_number_is_tried_and_the_greatest_that_holds_is_found(steps: Sequence[int]) -> None:
    for limit in (0, *steps):
        late = tried(limit, steps)
        assert holds(late) == limit
        assert {50, 100} <= late.keys()
        assert len(late) <= 5


def test_a_side_that_was_late_only_at_fifty_is_tried_below_it() -> None:
    late = {50: LATE_MS + 1, 100: 0.0}
    assert to_try(late, QUICK.steps) == 25
    assert to_try(late | {25: 0.0}, QUICK.steps) is None
    assert holds(late | {25: 0.0}) == 25
