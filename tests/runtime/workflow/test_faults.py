from __future__ import annotations

import pytest

from runtime.workflow.faults import Loc, json_path, listed, nearest, suggestion


@pytest.mark.parametrize(
    ("loc", "path"),
    [
        ((), "$"),
        (("agents", 0, "paths", 12), "$.agents[0].paths[12]"),
        (("a", "x-y", "it's", "b\\c", "é", ""), "$.a['x-y']['it\\'s']['b\\\\c']['é']['']"),
    ],
)
def test_a_location_is_written_as_a_json_path(loc: Loc, path: str) -> None:
    assert json_path(loc) == path


def test_the_nearest_name_is_suggested() -> None:
    assert nearest("INSTRUCTONS", ["instructions", "id"]) == "instructions"
    assert nearest("zzz", ["instructions"]) is None
    assert suggestion("zzz", ["b", "a"], what="Known") == "Known: a, b."
    assert listed(map(str, range(14))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, and 2 more"
    assert listed([]) == "none"
