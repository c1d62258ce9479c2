from copy import deepcopy
from typing import Any

from api.diffing import Change, diff
from tests.api.configs import an_id

VARIABLE = {"name": "customer_id", "data_type": "digits"}
PATH = {"id": an_id(11), "name": "To Billing", "target_agent_id": an_id(2), "required_variables": [VARIABLE]}
TOOL = {"tool_type": "check_order", "display_name": "Check order", "config": {}}
CONFIG: dict[str, Any] = {
    "agents": [
        {"id": an_id(1), "name": "Intake", "paths": [PATH], "tools": [TOOL]},
        {"id": an_id(2), "name": "Billing", "paths": []},
    ]
}


def test_nothing_differs() -> None:
    same = diff(CONFIG, deepcopy(CONFIG))
    assert same.changes == ()
    assert not any((same.agents.changed, same.agents.added, same.paths.changed, same.tools.changed))


def test_each_kind_of_part_is_told() -> None:
    after = deepcopy(CONFIG)
    intake = after["agents"][0]
    intake["paths"][0]["guard_condition"] = "true"
    intake["paths"][0]["required_variables"][0]["data_type"] = "string"
    intake["tools"][0]["timeout_s"] = 5
    after["agents"].insert(1, {"id": an_id(3), "name": "Support"})
    found = diff(CONFIG, after)
    assert [part.name for part in found.agents.added] == ["Support"]
    assert found.agents.changed == ()  # what is inside it has changed, it has not
    assert [(part.id, part.path, part.changes) for part in found.paths.changed] == [
        (an_id(11), "$.agents[0].paths[0]", (Change("added", "$.agents[0].paths[0].guard_condition", None, "true"),))
    ]
    assert [part.id for part in found.tools.changed] == [f"{an_id(1)}/Check order"]
    assert [part.id for part in found.variables.changed] == [f"{an_id(11)}/customer_id"]
    assert {(each.op, each.path) for each in found.changes} == {
        ("added", "$.agents[0].paths[0].guard_condition"),
        ("changed", "$.agents[0].paths[0].required_variables[0].data_type"),
        ("added", "$.agents[0].tools[0].timeout_s"),
        ("added", "$.agents[1]"),
    }


def test_what_was_removed_is_named_where_it_stood() -> None:
    after = deepcopy(CONFIG)
    removed = after["agents"].pop(0)
    found = diff(CONFIG, after)
    assert [(part.path, part.before) for part in found.agents.removed] == [("$.agents[0]", removed)]
    assert [part.path for part in found.paths.removed] == ["$.agents[0].paths[0]"]
    assert found.changes == (Change("removed", "$.agents[0]", removed),)


def test_what_only_moved_is_said_to_have_moved() -> None:
    after = {"agents": list(reversed(CONFIG["agents"]))}
    found = diff(CONFIG, after)
    assert [(each.op, each.path, each.before, each.after) for each in found.changes] == [
        ("moved", "$.agents[0]", 1, 0),
        ("moved", "$.agents[1]", 0, 1),
    ]
    assert found.agents.changed == ()


def test_a_path_that_went_to_another_agent_is_the_same_path() -> None:
    after = deepcopy(CONFIG)
    after["agents"][1]["paths"] = after["agents"][0].pop("paths")
    found = diff(CONFIG, after)
    assert (found.paths.added, found.paths.removed, found.paths.changed) == ((), (), ())
    assert {each.op for each in found.changes} <= {"added", "removed", "changed"}
    assert found.changes


def test_true_is_not_one() -> None:
    assert [each.path for each in diff({"a": [1]}, {"a": [True]}).changes] == ["$.a"]


def test_faulty_configs_are_compared_too() -> None:
    twice = {"agents": [{"id": "a"}, {"id": "a", "name": "x"}, 3, None], "tools": "none", "variables": [[], {}]}
    assert len(diff({}, twice).agents.added) == 2
    assert diff(twice, {"agents": {}, "global_paths": 7}).changes
    assert diff(twice, deepcopy(twice)).changes == ()
