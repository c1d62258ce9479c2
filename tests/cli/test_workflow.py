"""`patchbay workflow`."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.source import read_script
from runtime.errors import UsageFault
from runtime.harness.script import Say
from runtime.store.memory import MemoryStore
from tests.cli.conftest import Patchbay

Json = dict[str, Any]

CONFIG = """
agents:
  - id: a
    name: Desk
    instructions: Help.
    paths:
      - {id: p, name: To billing, description: Invoices., target_agent_id: b}
      - {id: q, name: Done, description: Nothing else., end_call: {say: Bye.}}
  - id: b
    name: Billing
    instructions: Bill.
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path) -> None:
    (tmp_path / "front-desk.yaml").write_text(CONFIG)


def publish(patchbay: Patchbay, *args: str) -> Json:
    result = patchbay("workflow", "publish", *args, "--json")
    assert result.exit_code == 0, result.output
    found: Json = json.loads(result.stdout)
    return found


def test_the_same_content_twice_is_no_new_version(patchbay: Patchbay, store: MemoryStore) -> None:
    first = publish(patchbay, "front-desk.yaml", "--name", "desk")
    assert (first["workflow_name"], first["version"], first["status"]) == ("desk", 1, "published")
    assert publish(patchbay, "front-desk.yaml", "--name", "desk")["id"] == first["id"]
    Path("front-desk.yaml").write_text(CONFIG.replace("Help.", "Help more."))
    assert publish(patchbay, "front-desk.yaml", "--name", "desk")["version"] == 2
    (row,) = json.loads(patchbay("workflow", "list", "--json").stdout)["workflows"]
    assert (row["name"], row["latest_version"], row["published_version"]) == ("desk", 2, 2)


def test_an_old_content_published_again_is_the_old_version(patchbay: Patchbay, store: MemoryStore) -> None:
    publish(patchbay, "front-desk.yaml")
    Path("front-desk.yaml").write_text(CONFIG.replace("Help.", "Help more."))
    publish(patchbay, "front-desk.yaml")
    Path("front-desk.yaml").write_text(CONFIG)
    again = publish(patchbay, "front-desk.yaml")
    assert (again["version"], again["status"], again["workflow_name"]) == (1, "published", "front-desk")


def test_a_config_with_faults_is_not_published(patchbay: Patchbay, store: MemoryStore) -> None:
    result = patchbay("workflow", "publish", "-", "--name", "desk", "--json", stdin=CONFIG + "    nam: x\n")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "$.agents[1].nam" in result.stderr
    assert json.loads(patchbay("workflow", "list", "--json").stdout) == {"workflows": []}


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[31m", "x" * 201])
def test_a_name_that_is_none_is_refused(patchbay: Patchbay, store: MemoryStore, name: str) -> None:
    result = patchbay("workflow", "publish", "front-desk.yaml", "--name", name)
    assert result.exit_code == 2
    assert "\x1b" not in result.output


def test_one_version_is_shown(patchbay: Patchbay, store: MemoryStore) -> None:
    publish(patchbay, "front-desk.yaml")
    Path("front-desk.yaml").write_text(CONFIG.replace("Help.", "Help more."))
    publish(patchbay, "front-desk.yaml")
    shown = patchbay("workflow", "show", "front-desk").stdout
    for word in ("2 (published)", "Desk", "To billing", "Billing", "the end of the call"):
        assert word in shown
    old = json.loads(patchbay("workflow", "show", "front-desk", "--version", "1", "--json").stdout)
    assert (old["version"], old["status"], old["config"]["agents"][0]["instructions"]) == (1, "archived", "Help.")


def test_what_is_not_there_names_what_is(patchbay: Patchbay, store: MemoryStore) -> None:
    publish(patchbay, "front-desk.yaml")
    result = patchbay("workflow", "show", "nothing")
    assert result.exit_code == 1
    assert "front-desk" in result.stderr
    result = patchbay("workflow", "show", "front-desk", "--version", "7")
    assert result.exit_code == 1
    assert "Versions: 1." in result.stderr


def test_an_empty_list(patchbay: Patchbay, store: MemoryStore) -> None:
    result = patchbay("workflow", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "patchbay workflow publish" in result.stderr


def test_what_init_writes_is_a_script(patchbay: Patchbay) -> None:
    patchbay("init", "new")
    steps = read_script("new/script.txt")
    assert len(steps) == 4
    assert all(isinstance(step, Say) for step in steps)


@pytest.mark.parametrize(("data", "words"), [(b"hello\n\xff\n", "Line 2, column 1"), (b"hi\n[pause]\n", "line 2")])
def test_a_script_that_is_none_names_the_line(data: bytes, words: str) -> None:
    Path("script.txt").write_bytes(data)
    with pytest.raises(UsageFault, match=r"script\.txt") as caught:
        read_script("script.txt")
    assert words in caught.value.message
