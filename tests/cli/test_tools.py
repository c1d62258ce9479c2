"""`patchbay tools`, and the example plugin package as its users install it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.tools import _package, _words
from runtime.store.embedded import EmbeddedPostgres
from runtime.workflow.graph import compile_workflow
from runtime.workflow.validation import validate
from tests.cli.conftest import Patchbay
from tests.cli.console import EXAMPLES, Console
from tests.tools.installing import install, pretend
from tools.mocks import parse_mocks
from tools.registry import default_registry

Json = Any
CHECK_ORDER = EXAMPLES / "check_order"
BIN = Path(sys.executable).parent


def tool(listed: Json, tool_type: str) -> dict[str, Json]:
    (found,) = [each for each in listed["tools"] if each["tool_type"] == tool_type]
    return dict(found)


# ------------------------------------------------------------ list and show


def test_every_tool_is_listed_with_what_it_takes(patchbay: Patchbay) -> None:
    result = patchbay("tools", "list", "--json")
    listed = json.loads(result.stdout)
    assert {each["tool_type"] for each in listed["tools"]} == default_registry().tool_types()
    assert listed["faults"] == []
    keys = {"tool_type", "source", "version", "description", "config_schema", "parameters"}
    assert all(each.keys() == keys and each["description"] for each in listed["tools"])
    request = tool(listed, "http_request")
    assert {"url", "json", "headers"} <= request["config_schema"]["properties"].keys()
    assert request["parameters"] is None  # the builder's
    assert set(tool(listed, "send_dtmf")["parameters"]["properties"]) == {"digits"}
    assert all(each["source"] == "built-in" for each in listed["tools"])


def test_people_read_a_line_for_each(patchbay: Patchbay) -> None:
    lines = patchbay("tools", "list").stdout.splitlines()
    (line,) = [line for line in lines if line.startswith((" end_call", "end_call"))]
    assert "hangs up" in line
    assert "farewell" in line


@pytest.mark.parametrize("tool_type", ["http_request", "end_call"])
def test_one_is_shown_with_its_keys(patchbay: Patchbay, tool_type: str) -> None:
    shown = json.loads(patchbay("tools", "show", tool_type, "--json").stdout)
    assert shown == tool(json.loads(patchbay("tools", "list", "--json").stdout), tool_type)
    text = patchbay("tools", "show", tool_type).stdout
    assert all(key in text for key in shown["config_schema"]["properties"])


def test_an_unknown_one_names_the_nearest_and_says_where_plugins_come_from(patchbay: Patchbay) -> None:
    result = patchbay("tools", "show", "htp_request")
    assert result.exit_code == 1
    assert "http_request" in result.stderr
    assert "pip install" in result.stderr


def test_a_plugin_that_does_not_load_is_told_of_and_no_failure(
    patchbay: Patchbay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path / "site", "acme-tools", {"stock": "acme_stock:Stock"})
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    result = patchbay("tools", "list", "--json")
    assert result.exit_code == 0
    (fault,) = json.loads(result.stdout)["faults"]
    assert (fault["plugin"], fault["package"]) == ("stock", "acme-tools")
    assert "acme_stock" in fault["reason"]
    assert fault["remedy"]
    people = patchbay("tools", "list")
    assert people.exit_code == 0
    assert "stock of acme-tools (acme_stock:Stock) cannot be used" in people.stderr
    assert "acme-tools" in patchbay("tools", "show", "stock").stderr


def test_the_page_has_every_tool_and_every_key_of_its_config() -> None:
    page = (EXAMPLES.parent / "docs" / "tools.md").read_text(encoding="utf-8")
    words = {word for code in re.findall(r"`([^`\n]+)`", page) for word in re.findall(r"[\w-]+", code)}
    for entry in default_registry().entries():
        keys = () if entry.tool is None else entry.tool.Config.model_json_schema()["properties"]
        assert {entry.tool_type, *keys} <= words, entry.tool_type


def test_the_plugin_of_the_page_passes_its_test(tmp_path: Path) -> None:
    page = (EXAMPLES.parent / "docs" / "tools.md").read_text(encoding="utf-8")
    module, test = re.findall(r"(?ms)^```python\n(.*?)^```$", page)
    (tmp_path / "patchbay_check_stock.py").write_text(module)
    (tmp_path / "test_stock.py").write_text(test)
    passed(tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "-o", "pythonpath=.", ".")


def test_the_workflow_of_the_page_has_no_fault() -> None:
    page = (EXAMPLES.parent / "docs" / "tools.md").read_text(encoding="utf-8")
    block, mocks = re.findall(r"(?ms)^```yaml\n(.*?)^```$", page)
    agent = {"id": "a-1", "name": "Orders", "instructions": "Look orders up.", **yaml.safe_load(block)}
    config = {"agents": [agent], "variables": [{"name": "order_status"}]}
    checked = validate(config, tools=default_registry())
    assert [fault for fault in checked.faults if fault.severity == "error"] == []
    assert checked.config is not None
    replaced = parse_mocks(yaml.safe_load(mocks), compile_workflow(checked.config, version_id="v"))
    assert set(replaced.names()) == {"check_order"}


# ------------------------------------------------------------ new


@pytest.mark.parametrize(
    "name", ["", "Stock", "check-stock", "1stock", "a__b", "_a", "a_", "ä", "x" * 31, "class", "../x"]
)
def test_a_name_that_is_none_is_refused(patchbay: Patchbay, tmp_path: Path, name: str) -> None:
    result = patchbay("tools", "new", "--", name)
    assert result.exit_code == 2
    assert "check_stock" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["http_request", "remember", "mcp"])
def test_a_type_that_is_taken_is_refused(patchbay: Patchbay, tmp_path: Path, name: str) -> None:
    assert patchbay("tools", "new", name).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(patchbay: Patchbay, tmp_path: Path) -> None:
    first = patchbay("tools", "new", "check_stock", "--into", "packages")
    assert first.exit_code == 0
    assert "pip install -e packages/patchbay-check-stock" in first.stdout
    module = tmp_path / "packages/patchbay-check-stock/src/patchbay_check_stock/__init__.py"
    module.write_text("mine")
    again = patchbay("tools", "new", "check_stock", "--into", "packages")
    assert again.exit_code == 2
    assert "Not overwritten" in again.stderr
    assert module.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_said(patchbay: Patchbay, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = patchbay("tools", "new", "check_stock", "--into", "file")
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def write_package(folder: Path, name: str) -> None:
    for place, text in _package(_words(name)).items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text)


def passed(folder: Path, *command: str) -> None:
    """Assert that a command of this environment finds nothing wrong with the package."""
    done = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


@pytest.mark.thorough  # a Python of its own for each command
@pytest.mark.parametrize("name", ["a", "check_stock", "abcdefghij_klmnopqrst_uvwxyz01"])
def test_a_new_package_passes_its_own_test_and_is_clean(tmp_path: Path, name: str) -> None:
    write_package(tmp_path, name)
    passed(tmp_path, "pytest", "-q", "-p", "no:cacheprovider")
    passed(tmp_path, "ruff", "check", "--no-cache")
    passed(tmp_path, "ruff", "format", "--check", "--no-cache")


@pytest.mark.thorough
def test_the_example_passes_its_own_tests_and_is_clean(tmp_path: Path) -> None:
    passed(CHECK_ORDER, "pytest", "-q", "-p", "no:cacheprovider")
    passed(CHECK_ORDER, "ruff", "check", "--no-cache")
    passed(CHECK_ORDER, "ruff", "format", "--check", "--no-cache")


@pytest.mark.server
@pytest.mark.timeout(150)
def test_packages_are_typed_by_what_patchbay_says(tmp_path: Path) -> None:
    write_package(tmp_path / "new", "check_stock")
    for folder in (tmp_path / "new", CHECK_ORDER):
        passed(folder, "mypy", "--cache-dir", str(tmp_path / "types"))


# ------------------------------------------------------------ installed


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A command that finds the example and a new package installed."""
    folder = tmp_path_factory.mktemp("plugins")
    write_package(folder / "new" / "patchbay-check-stock", "check_stock")
    install(folder / "new" / "patchbay-check-stock", folder / "site", folder / "build")
    install(CHECK_ORDER, folder / "site", folder / "build")
    yield Console(folder, {"PYTHONPATH": str(folder / "site")})
    EmbeddedPostgres(folder / "home").start().stop()  # a test that failed may have left one


@pytest.mark.server
def test_installed_packages_are_found(console: Console) -> None:
    listed = console.run("tools", "list", "--json").json
    assert listed["faults"] == []
    order, stock = tool(listed, "check_order"), tool(listed, "check_stock")
    assert (order["source"], order["version"]) == ("patchbay-check-order", "0.1.0")
    assert order["parameters"]["required"] == ["order_number"]
    assert stock["source"] == "patchbay-check-stock"
    assert stock["config_schema"]["required"] == ["base_url"]
    assert "patchbay-check-order 0.1.0" in console.run("tools", "show", "check_order").out
    taken = console.run("tools", "new", "check_order", code=2)
    assert "already" in taken.err


def payload(url: str) -> dict[str, Json]:
    """The domain model's configuration payload, its ids and its `check_order` config filled in."""
    models = {
        "llm": {"provider": "openai", "model": "gpt-4o-mini"},
        "stt": {"provider": "assemblyai", "model": "universal-streaming"},
        "tts": {"provider": "cartesia", "voice_id": "sonic-2"},
    }
    billing = "8a1e6d7c-0002-4b6f-9a53-0c0a7f1d0002"
    path = {
        "id": "8a1e6d7c-0011-4b6f-9a53-0c0a7f1d0011",
        "name": "To Billing",
        "description": "Use when customer mentions invoices",
        "target_agent_id": billing,
        "required_variables": [{"name": "customer_id", "is_required": True}],
    }
    order = {"tool_type": "check_order", "config": {"base_url": url, "api_key": "{{ secrets.SHOP_KEY }}"}}
    intake = {
        "id": "8a1e6d7c-0001-4b6f-9a53-0c0a7f1d0001",
        "name": "Intake",
        "instructions": "Collect customer intent...",
        **models,
        "tools": [order],
        "paths": [path],
    }
    target = {"id": billing, "name": "Billing", "instructions": "Answer questions about invoices.", **models}
    return {"agents": [intake, target]}


@contextmanager
def shop() -> Iterator[int]:
    """The example's own shop, on a free port."""
    command = [sys.executable, CHECK_ORDER / "try" / "shop.py", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.terminate()


@pytest.mark.server
@pytest.mark.timeout(120)
def test_the_domain_models_payload_looks_an_order_up(console: Console) -> None:
    with shop() as port:
        url = f"http://127.0.0.1:{port}"
        (console.folder / "payload.json").write_text(json.dumps(payload(url)))
        (console.folder / "script.txt").write_text("where is my order\nit is four two seven one\n")
        assert console.run("validate", "payload.json", "--json").json["valid"] is True
        console.run("secret", "set", "SHOP_KEY", stdin="shop-key\n")
        allowed = Console(console.folder, {**console.env, "PATCHBAY_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{port}"})
        done = allowed.run("chat", "payload.json", "--offline", "--script", "script.txt", "--json")
        (ended,) = [event["payload"] for event in done.events if event["event_type"] == "tool_succeeded"]
        assert (ended["name"], ended["tool_type"]) == ("check_order", "check_order")
        assert "on its way" in ended["result_preview"]
        assert "shop-key" not in done.out + done.err

        console.run("variable", "set", "shop_url", url)
        own = CHECK_ORDER / "try"
        tried = allowed.run(
            "chat", str(own / "workflow.yaml"), "--offline", "--script", str(own / "script.txt"), "--json"
        )
        assert [e["payload"]["path_name"] for e in tried.events if e["event_type"] == "path_taken"] == ["To Billing"]


@pytest.mark.server
def test_without_its_package_a_workflow_says_what_to_install(console: Console) -> None:
    (console.folder / "alone.json").write_text(json.dumps(payload("https://shop.example")))
    without = Console(console.folder)
    (fault,) = [
        each
        for each in without.run("validate", "alone.json", "--json", code=1).json["faults"]
        if each["severity"] == "error"
    ]
    assert fault["code"] == "unknown_tool_type"
    assert "patchbay tools list" in fault["remedy"]
    assert "install" in fault["remedy"]
