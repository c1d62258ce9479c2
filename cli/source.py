"""Reading FILE: a workflow or a script, from a path or from standard input."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.providers import PluginsByName
from runtime.errors import ConfigRefused, UsageFault
from runtime.harness.script import Step, parse_script
from runtime.workflow.validation import Fault, Validation, parse_document, validate
from tools.registry import default_registry

__all__ = ["WorkflowSource", "read_mocks", "read_script", "read_text", "read_workflow"]

# A workflow of a thousand agents has 2 MB; whatever is longer is no workflow.
_LARGEST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class WorkflowSource:
    """A workflow's document as it was read; `raw` is what it says, or None where it is neither JSON nor YAML."""

    file: str
    name: str
    raw: Any
    validation: Validation

    def accepted(self) -> Mapping[str, Any]:
        """Return the document; raises ConfigRefused with every fault where there is one of severity `error`."""
        if self.validation.valid and isinstance(self.raw, Mapping):
            return self.raw
        errors = sum(fault.severity == "error" for fault in self.validation.faults)
        raise ConfigRefused(
            f"{self.file} has {errors} {'fault' if errors == 1 else 'faults'}:",
            faults=self.validation.faults,
            remedy="Correct what is listed and try again.",
        )


def read_workflow(file: str) -> WorkflowSource:
    """Read and validate FILE, JSON or YAML; `-` is standard input. Raises UsageFault where it cannot be opened."""
    data = _read(file, "workflow.yaml")
    name = "stdin" if file == "-" else Path(file).stem
    try:
        raw = parse_document(data.decode("utf-8-sig"), file)
    except UnicodeDecodeError as error:
        raw = _not_text(data, error)
    if isinstance(raw, Fault):
        return WorkflowSource(file, name, None, Validation(valid=False, faults=(raw,), config=None))
    return WorkflowSource(file, name, raw, validate(raw, providers=PluginsByName(), tools=default_registry()))


def read_script(file: str) -> tuple[Step, ...]:
    """Read FILE as a script of the caller's steps; `-` is standard input. Raises UsageFault naming every wrong line."""
    return parse_script(read_text(file), file)


def read_text(file: str, example: str = "script.txt") -> str:
    """Return FILE as text; `-` is standard input. Raises UsageFault where it cannot be opened or is no UTF-8."""
    data = _read(file, example)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageFault(f"{file}: {_not_text(data, error).message}", remedy="Save it as UTF-8 text.") from None


def read_mocks(file: str | None) -> Any:
    """Read FILE, JSON or YAML, that replaces tools in a test; nothing where there is none. Raises UsageFault."""
    if file is None:
        return {}
    data = _read(file, "mocks.yaml")
    try:
        raw = parse_document(data.decode("utf-8-sig"), file)
    except UnicodeDecodeError as error:
        raw = _not_text(data, error)
    if isinstance(raw, Fault):
        raise UsageFault(f"{file}: {raw.message}", remedy=raw.remedy)
    return raw


def _read(file: str, example: str) -> bytes:
    try:
        data = _read_stdin() if file == "-" else _read_path(Path(file))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageFault(
            f"{file} cannot be opened: {why}.", remedy=f"Name a file such as {example}, or - for standard input."
        ) from None
    if len(data) > _LARGEST:
        raise UsageFault(
            f"{file} is larger than {_LARGEST // 1024 // 1024} MB.", remedy=f"Name a file such as {example}."
        )
    return data


def _read_path(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(_LARGEST + 1)


def _read_stdin() -> bytes:
    if sys.stdin is None:  # closed by whoever started us
        raise ValueError("standard input is closed")
    return sys.stdin.buffer.read(_LARGEST + 1)


def _not_text(data: bytes, error: UnicodeDecodeError) -> Fault:
    before = data[: error.start]
    line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
    message = f"Line {line}, column {column}: this is no UTF-8 text, so it is neither JSON nor YAML."
    return Fault("$", "unreadable", "error", message, "Save the file as UTF-8 text.")
