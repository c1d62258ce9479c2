"""`patchbay tools`: the tools a workflow may name, and a first plugin package of one's own."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import typer
from pydantic.errors import PydanticUserError

from cli.logs import log_to_stderr
from cli.output import hint, print_json, print_record, print_table, say
from cli.verb import epilog, new_app
from cli.writing import write_new
from runtime.errors import NotFound, UsageFault
from runtime.workflow.faults import suggestion
from tools.base import Json, Tool
from tools.plugins import PluginFault
from tools.registry import Entry, Registry, load_registry

__all__ = ["app"]

app = new_app("List tools, show one, and write a plugin package.")

_LONGEST_NAME = 30


@app.command("list", epilog=epilog("patchbay tools list --json"))
def list_tools(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """List every tool, where it comes from and what it takes; plugins that cannot be used go to stderr."""
    log_to_stderr()
    registry = load_registry()
    entries = [_described(entry) for entry in registry.entries()]
    if as_json:
        print_json({"tools": entries, "faults": registry.faults()})
        return
    print_table(
        ("type", "from", "what", "config", "parameters"),
        [(each["tool_type"], _origin(each), each["description"], _keys(each), _arguments(each)) for each in entries],
        empty="",
    )
    _print_faults(registry.faults())


@app.command(epilog=epilog("patchbay tools show http_request"))
def show(
    tool_type: str = typer.Argument(metavar="TYPE", help="The tool's type, as a workflow names it."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Show one tool: each key of its config, and what the model may pass."""
    log_to_stderr()
    described = _described(_found(load_registry(), tool_type))
    if as_json:
        print_json(described)
        return
    print_record({"type": tool_type, "from": _origin(described), "what": described["description"]})
    print_table(("config key", "type", "default", "what"), _rows(described["config_schema"]), empty="No config.")
    empty = "No parameters." if described["parameters"] is not None else "Its parameters depend on its config."
    print_table(("parameter", "type", "default", "what"), _rows(described["parameters"]), empty=empty)


@app.command(epilog=epilog("patchbay tools new check_stock"))
def new(
    name: str = typer.Argument(metavar="NAME", help="The tool's type, such as check_stock."),
    into: Path = typer.Option(
        Path(), "--into", metavar="DIR", help="Where the package's folder is made.", show_default="here"
    ),
) -> None:
    """Write a package with a tool, its test and its README. Nothing that is there already is overwritten."""
    log_to_stderr()
    _check_name(name, load_registry())
    words = _words(name)
    folder = into / words["package"]
    if folder.exists() or folder.is_symlink():
        raise UsageFault(f"Not overwritten: {folder}.", remedy="Take another NAME, or another folder with --into DIR.")
    for place, text in _package(words).items():
        write_new(folder / place, text)
        hint(f"wrote {folder / place}")
    say(f"pip install -e {folder}")
    say(f"pip install pytest && pytest {folder}")
    say(f"patchbay tools show {name}")


# ---------------------------------------------------------------- what there is


def _described(entry: Entry) -> dict[str, Json]:
    tool = entry.tool
    return {
        "tool_type": entry.tool_type,
        "source": entry.package or "built-in",
        "version": entry.version or version("patchbay"),
        "description": _first_line(tool.__doc__),
        "config_schema": _config_schema(tool),
        "parameters": _parameters(tool),
    }


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _config_schema(tool: type[Tool[Any]]) -> dict[str, Json] | None:
    """Return the config's JSON Schema; None where a plugin's model has none."""
    try:
        return tool.Config.model_json_schema(by_alias=True)
    except PydanticUserError:
        return None


def _parameters(tool: type[Tool[Any]]) -> dict[str, Json] | None:
    """Return the arguments' JSON Schema; None where they depend on the config."""
    if "parameters" in tool.Config.model_fields:
        return None
    bare = tool.__new__(tool)  # without its constructor, which may need more than the defaults
    bare.config = tool.Config.model_construct()
    try:
        return dict(bare.parameters())
    except Exception:  # noqa: BLE001 - a plugin's parameters may need the config that is not there
        return None


def _found(registry: Registry, tool_type: str) -> Entry:
    for entry in registry.entries():
        if entry.tool_type == tool_type:
            return entry
    for fault in registry.faults():
        if fault.plugin == tool_type:
            raise NotFound(f"{fault.plugin} of {fault.package} cannot be used: {fault.reason}.", remedy=fault.remedy)
    raise NotFound(
        f"There is no tool {tool_type!r}.",
        remedy=f"{suggestion(tool_type, registry.tool_types(), what='There are')} A plugin's tool needs its package: pip install it.",
    )


def _origin(described: Mapping[str, Json]) -> str:
    return "built-in" if described["source"] == "built-in" else f"{described['source']} {described['version']}"


def _keys(described: Mapping[str, Json]) -> str:
    schema = described["config_schema"] or {}
    needed = schema.get("required", ())
    return ", ".join(f"{key}*" if key in needed else key for key in schema.get("properties", {}))


def _arguments(described: Mapping[str, Json]) -> str:
    if described["parameters"] is None:
        return "by config"
    return _keys({"config_schema": described["parameters"]})


def _rows(schema: Mapping[str, Json] | None) -> list[tuple[str, str, str, str]]:
    given: Mapping[str, Json] = schema or {}
    needed = given.get("required", ())
    return [
        (key, _type(each), "needed" if key in needed else _default(each), _first_line(each.get("description")))
        for key, each in given.get("properties", {}).items()
    ]


def _type(schema: Mapping[str, Json]) -> str:
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " | ".join(_type(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    kind = schema.get("type", "any")
    return str(kind) if isinstance(kind, str) else " | ".join(kind)


def _default(schema: Mapping[str, Json]) -> str:
    default = schema.get("default")
    return "" if default is None or default == "" else str(default)


def _print_faults(faults: Sequence[PluginFault]) -> None:
    for fault in faults:
        hint(f"! {fault.plugin} of {fault.package} ({fault.entry_point}) cannot be used: {fault.reason}.")
        hint(f"  {fault.remedy}")


# ---------------------------------------------------------------- a new one


def _check_name(name: str, registry: Registry) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*", name) or len(name) > _LONGEST_NAME or keyword.iskeyword(name):
        raise UsageFault(
            f"{name!r} is no tool's type.",
            remedy=f"Use words in lower case joined by underscores, at most {_LONGEST_NAME} characters: check_stock",
        )
    if name in registry.reserved():
        raise UsageFault(f"There is a tool of type {name!r} already.", remedy="See: patchbay tools list")


def _words(name: str) -> dict[str, str]:
    """Return what the templates read."""
    parts = name.split("_")
    return {
        "name": name,
        "package": f"patchbay-{'-'.join(parts)}",
        "module": f"patchbay_{name}",
        "tool": "".join(part.capitalize() for part in parts),
        "title": " ".join(parts).capitalize(),
        "secret": f"{name.upper()}_KEY",
        "version": version("patchbay"),
    }


def _package(words: Mapping[str, str]) -> dict[str, str]:
    """Return the files of the package by place."""
    module = f"src/{words['module']}"
    filled = {
        "pyproject.toml": "pyproject.toml.tmpl",
        "README.md": "README.md.tmpl",
        f"{module}/__init__.py": "tool.py.tmpl",
        f"tests/test_{words['name']}.py": "test.py.tmpl",
    }
    return {place: _filled(template, words) for place, template in filled.items()} | {f"{module}/py.typed": ""}


def _filled(template: str, words: Mapping[str, str]) -> str:
    text = files("cli").joinpath("templates", "tool", template).read_text(encoding="utf-8")
    return Template(text).substitute(words)
