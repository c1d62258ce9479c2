"""The guard of the hot paths: what it measures is always the same work, and what has become dearer is named."""

from __future__ import annotations

import json

from benchmarks.hot_paths import paths
from benchmarks.instructions import KEPT, compared


def test_each_hot_path_does_the_same_at_every_call() -> None:
    for name, work in paths().items():
        assert work() == work(), name


def test_what_is_kept_is_what_is_measured() -> None:
    assert set(json.loads(KEPT.read_text(encoding="utf-8"))["instructions"]) == set(paths())


def test_what_has_become_dearer_or_is_gone_is_named() -> None:
    kept = {"turn": 1000, "path": 1000, "gone": 10}
    table, worse = compared(kept, {"turn": 1051, "path": 1049, "new": 5})
    assert worse == ["turn", "gone"]
    assert "+5.1%" in table
    assert "+4.9%" in table
