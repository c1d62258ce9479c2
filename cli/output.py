"""How results and errors reach people and programs: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from runtime.errors import PatchbayError

__all__ = ["hint", "plain", "print_error", "print_faults", "print_json", "print_record", "print_table", "say", "shown"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_MARKS = {"error": ("✗", "bold red"), "warning": ("!", "bold yellow")}


@runtime_checkable
class Fault(Protocol):
    """A fault as `runtime.workflow` reports it; told by its shape, so that an error message need not load the validator."""

    path: str
    code: str
    severity: str
    message: str
    remedy: str


# A pipe has no width; wrapping there would break `grep`.
_PIPE_COLUMNS = 240


def console(*, err: bool = False) -> Console:
    """Return a console on the current stdout or stderr; NO_COLOR and a terminal's width are respected."""
    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else _PIPE_COLUMNS
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)


def plain(value: object) -> str:
    """Return `value` as text that cannot steer a terminal."""
    return _CONTROL.sub(lambda hit: repr(hit[0])[1:-1], str(value))


def shown(value: object) -> str:
    """Return one value for people: times in the local zone, nothing as a dash."""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return "–" if value is None or value == "" else plain(value)


def print_json(value: object) -> None:
    """Write one JSON value and a line end to stdout; rows become objects, times ISO 8601."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_jsonable) + "\n")
    sys.stdout.flush()


def _jsonable(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def say(text: str, *, style: str = "") -> None:
    """Print one line of the result for people."""
    console().print(Text(plain(text), style=style), soft_wrap=True)


def hint(text: str) -> None:
    """Print progress or advice to stderr."""
    console(err=True).print(Text(plain(text), style="dim"), soft_wrap=True)


def print_error(error: PatchbayError) -> None:
    """Print what is wrong and its remedy to stderr."""
    text = Text.assemble(("Error: ", "bold red"), plain(error.message))
    if error.remedy:
        text.append(f"\n{plain(error.remedy)}", "dim")
    console(err=True).print(text, soft_wrap=True)


def print_faults(faults: Sequence[object], *, err: bool = False) -> None:
    """Print a config's faults, errors first, each with its path, its message and its remedy."""
    target = console(err=err)
    for severity in ("error", "warning"):
        for fault in faults:
            if isinstance(fault, Fault) and fault.severity == severity:
                _print_fault(target, fault, severity)


def _print_fault(target: Console, fault: Fault, severity: str) -> None:
    mark, style = _MARKS[severity]
    target.print(
        Text.assemble((f"{mark} ", style), (plain(fault.path), "bold"), (f"  {fault.code}", "dim")), soft_wrap=True
    )
    _print_indented(target, Text(plain(fault.message)))
    if fault.remedy:
        _print_indented(target, Text(plain(fault.remedy), style="dim"))


def _print_indented(target: Console, text: Text) -> None:
    if target.is_terminal:
        target.print(Padding(text, (0, 0, 0, 2), expand=False))
    else:
        target.print(Text("  ").append_text(text), soft_wrap=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Print rows under their headings; where there are none, `empty` goes to stderr as a hint."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(value)) for value in row))
    if table.row_count:
        console().print(table)
    else:
        hint(empty)


def print_record(values: Mapping[str, object]) -> None:
    """Print one thing: a line for each name and its value."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name, Text(shown(value)))
    console().print(table)
