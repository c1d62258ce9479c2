from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import ConfigRefused
from runtime.workflow.upgrade import upgrade


def rename_nodes(raw: dict[str, Any]) -> dict[str, Any]:
    """A made-up version 0, which called the agents nodes."""
    return {**{key: value for key, value in raw.items() if key != "nodes"}, "agents": raw["nodes"]}


def name_agents(raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "agents": [{"name": "?", **agent} for agent in raw["agents"]]}


STEPS = {0: rename_nodes, 1: name_agents}


def test_an_old_config_is_brought_up_step_by_step() -> None:
    old = {"schema_version": 0, "nodes": [{"id": "a"}]}
    assert upgrade(old, steps=STEPS, newest=2) == {"schema_version": 2, "agents": [{"id": "a", "name": "?"}]}
    assert old == {"schema_version": 0, "nodes": [{"id": "a"}]}


def test_a_config_without_a_version_has_version_1() -> None:
    assert upgrade({"agents": []}) == {"agents": []}
    assert upgrade({"agents": []}, steps=STEPS, newest=2)["schema_version"] == 2


@pytest.mark.parametrize("version", ["1", None, 1.5, True, 0, -3])
def test_a_version_nobody_knows_is_left_for_validation(version: object) -> None:
    assert upgrade({"schema_version": version}) == {"schema_version": version}


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(ConfigRefused, match="versions up to 1") as refused:
        upgrade({"schema_version": 2})
    (fault,) = refused.value.faults
    assert (fault.path, fault.code) == ("$.schema_version", "newer_schema_version")  # type: ignore[attr-defined]
