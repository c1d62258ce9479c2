"""Plugin packages: what loads is a tool, what does not is one fault that says what to do, and neither harms the others."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog.testing
from pydantic import ValidationError

import patchbay
import patchbay.testing
from tests.tools.installing import pretend
from tools.plugins import PluginFault
from tools.registry import Registry, default_registry, load_registry

GOOD = """
from collections.abc import Mapping
from patchbay import Json, Tool, ToolConfig, ToolContext

print("hello from a plugin")

class PConfig(ToolConfig):
    shelf: str

class P(Tool[PConfig]):
    tool_type = "p_good"
    Config = PConfig

    def parameters(self):
        return {"type": "object", "properties": {"n": {"type": "string"}}, "required": ["n"]}

    async def run(self, arguments, context):
        return {"found": arguments["n"], "shelf": self.config.shelf}
"""
# Module -> its source and what is said of it. Each is loaded as `module:P`.
BAD: dict[str, tuple[str, str, str]] = {
    "p_missing": (
        "import no_such_module_of_ours\nP = 1",
        "no module 'no_such_module_of_ours'",
        "pip install no_such_m",
    ),
    "p_attribute": ("", "has no attribute 'P'", "pip uninstall acme-p-attribute"),
    "p_breaks": ("raise RuntimeError('half built')", "RuntimeError: half built", "pip uninstall acme-p-breaks"),
    "p_exits": ("import sys\nsys.exit(3)", "SystemExit: 3", "pip uninstall"),
    "p_base": ("class Odd(BaseException): pass\nraise Odd", "Odd", "pip uninstall"),
    "p_syntax": ("def P(:", "SyntaxError", "pip uninstall"),
    "p_class": ("P = dict", "no subclass of patchbay.Tool but the class dict", "patchbay tools new"),
    "p_object": ("P = 'tool'", "an object of type str", "patchbay tools new"),
    "p_untyped": (GOOD + "\ndel P.tool_type", "P has no tool_type", "patchbay tools new"),
    "p_type": (GOOD + "\nP.tool_type = 'Check Order'", "tool_type 'Check Order' is not", "patchbay tools new"),
    "p_number": (GOOD + "\nP.tool_type = 7", "P has no tool_type", "patchbay tools new"),
    "p_config": (GOOD + "\nP.Config = dict", "P.Config is no pydantic model", "patchbay tools new"),
    "p_abstract": (GOOD + "\nclass Q(Tool): tool_type = 'q'\nP = Q", "Q lacks run", "patchbay tools new"),
    "p_plain": (GOOD + "\nP.run = lambda self, arguments, context: 1", "P.run is no `async def`", "patchbay tools new"),
    "p_incomplete": (
        "from __future__ import annotations\n" + GOOD.replace("shelf: str", "shelf: Nowhere"),
        "P.Config is not complete",
        "patchbay tools new",
    ),
    "p_taken": (GOOD.replace("p_good", "http_request"), "'http_request' is taken by Patchbay itself", "another type"),
    "p_remember": (GOOD.replace("p_good", "remember"), "'remember' is taken by Patchbay itself", "another type"),
    "p_twice": (GOOD, "'p_good' is taken by acme-p-good", "pip uninstall acme-p-twice"),
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    yield folder
    for name in {"p_good", *BAD} & sys.modules.keys():  # the next test has another module of this name
        del sys.modules[name]


def packaged(site: Path, module: str, source: str) -> None:
    pretend(site, f"acme-{module.replace('_', '-')}", {module: f"{module}:P"}, {module: source})


@pytest.mark.parametrize("module", BAD)
def test_what_cannot_be_used_is_one_fault_and_harms_nobody(
    site: Path, module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, reason, remedy = BAD[module]
    packaged(site, module, source)
    packaged(site, "p_good", GOOD)
    registry = load_registry()
    (fault,) = registry.faults()
    assert (fault.plugin, fault.entry_point) == (module, f"{module}:P")
    assert fault.package == f"acme-{module.replace('_', '-')}"
    assert reason in fault.reason
    assert remedy in fault.remedy
    assert "p_good" in registry.tool_types()
    assert "http_request" in registry.tool_types()
    out, err = capsys.readouterr()
    assert out == ""  # which belongs to a command's result
    assert "hello from a plugin" in err


def test_a_module_that_is_not_there_is_the_packages_own_fault(site: Path) -> None:
    pretend(site, "acme-gone", {"p_gone": "acme_gone.tools:P"})
    (fault,) = load_registry().faults()
    assert fault == PluginFault(
        plugin="p_gone",
        package="acme-gone",
        entry_point="acme_gone.tools:P",
        reason="there is no module 'acme_gone'",
        remedy="pip install --force-reinstall acme-gone",
    )


def test_faults_are_logged_once_for_a_process(site: Path) -> None:
    packaged(site, "p_breaks", BAD["p_breaks"][0])
    with structlog.testing.capture_logs() as logs:
        registry = default_registry.__wrapped__()
    assert [(line["event"], line["package"]) for line in logs] == [("tool_plugin_unusable", "acme-p-breaks")]
    assert len(registry.faults()) == 1


def test_a_person_may_still_interrupt(site: Path) -> None:
    packaged(site, "p_stopped", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_registry()


def test_a_plugin_is_a_tool_like_any_other(site: Path) -> None:
    packaged(site, "p_good", GOOD)
    registry = load_registry()
    assert registry.config_faults("p_good", {"shelf": "a"}) == ()
    assert set(registry.config_faults("p_good", {"shelv": "a"})) == {
        (("shelf",), "it is missing."),
        (("shelv",), "there is no such key. Did you mean “shelf”?"),
    }
    (entry,) = [each for each in registry.entries() if each.package]
    assert (entry.tool_type, entry.package, entry.version) == ("p_good", "acme-p-good", "1.2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("def __init__(self, config): raise KeyError('x')\nP.__init__ = __init__", "the tool itself broke over it"),
        ("P.parameters = lambda self: {'type': 'string'}", '"type": "object"'),
        ("P.parameters = lambda self: 7", "the tool itself broke over it"),
    ],
)
def test_what_breaks_over_a_config_is_a_fault_of_the_config(site: Path, change: str, said: str) -> None:
    packaged(site, "p_good", f"{GOOD}\n{change}\n")
    registry = load_registry()
    ((where, sentence),) = registry.config_faults("p_good", {"shelf": "a"})
    assert where == ()
    assert said in sentence


def test_a_tool_that_cannot_be_made_is_a_value_error(site: Path) -> None:
    packaged(site, "p_good", GOOD + "\ndef __init__(self, config): raise KeyError('x')\nP.__init__ = __init__\n")
    with pytest.raises(ValueError, match="KeyError"):
        load_registry().make("p_good", {"shelf": "a"})


def test_where_nothing_is_installed_everything_is_built_in() -> None:
    registry = load_registry()
    assert registry.faults() == ()
    assert {entry.package for entry in registry.entries()} == {""}
    assert "remember" in registry.reserved()
    assert Registry(()).entries() == ()


# ------------------------------------------------------------ what plugins import


def test_the_public_package_has_what_it_names() -> None:
    for module in (patchbay, patchbay.testing):
        assert all(hasattr(module, name) for name in module.__all__)
    assert {"Tool", "ToolConfig", "ToolContext", "ToolError", "ToolFunction", "ToolResult"} < set(patchbay.__all__)


def test_a_plugin_costs_no_livekit() -> None:
    code = "import sys, patchbay, patchbay.testing; print([m for m in ('livekit', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------ what their tests stand on


class EchoConfig(patchbay.ToolConfig):
    url: patchbay.Url = "https://shop.example"
    text: patchbay.Text = "{{ secrets.KEY }} {{ brand }} {{ arguments.n }}"
    gives: str = "value"


class Echo(patchbay.Tool[EchoConfig]):
    tool_type = "echo"
    Config = EchoConfig

    def parameters(self) -> Any:
        return {"type": "object", "properties": {"n": {"type": "string"}}}

    async def run(self, arguments: Any, context: patchbay.ToolContext) -> Any:
        match self.config.gives:
            case "value":
                return patchbay.render(self.config.text, arguments, context)
            case "object":
                return object()
            case "service":
                address = patchbay.render_url(self.config.url + "/{{ arguments.n }}", arguments, context)
                return await patchbay.fetch(context.http, context.http.build_request("GET", address))
            case _:
                raise patchbay.ToolError("out", "There is none left.")


async def test_a_tool_is_run_as_in_a_call() -> None:
    context = patchbay.testing.fake_context(secrets={"KEY": "k"}, variables={"brand": "Acme"})
    assert (await patchbay.testing.run_tool(Echo, {}, {"n": "7"}, context)).value == "k Acme 7"
    assert context.telephone is None


@pytest.mark.parametrize(
    ("config", "arguments", "error"),
    [
        ({"nope": 1}, {}, ValidationError),
        ({"url": "nowhere"}, {}, ValidationError),
        ({}, {"n": 7}, patchbay.ToolError),
        ({"gives": "error"}, {}, patchbay.ToolError),
        ({"gives": "object"}, {}, TypeError),
        ({"gives": "service"}, {"n": "x"}, patchbay.ToolError),
        ({"gives": "service"}, {}, patchbay.ToolError),
    ],
)
async def test_what_goes_wrong_is_raised(config: Any, arguments: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        await patchbay.testing.run_tool(Echo, config, arguments)


async def test_the_pretended_service() -> None:
    service = patchbay.testing.FakeService(
        {
            "/a b": {"x": 1},
            "/down": 503,
            "/no": False,
            "/own": lambda request: httpx.Response(200, json={"method": request.method}),
        }
    )
    context = patchbay.testing.fake_context(service)

    async def found(path: str) -> Any:
        return (await patchbay.testing.run_tool(Echo, {"gives": "service"}, {"n": path}, context)).value

    assert [await found(path) for path in ("a b", "no", "own")] == [{"x": 1}, False, {"method": "GET"}]
    with pytest.raises(patchbay.ToolError, match="http_503"):
        await found("down")
    assert [request.url.path for request in service.requests] == ["/a b", "/no", "/own", "/down"]
