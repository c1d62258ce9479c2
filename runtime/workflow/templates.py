"""Liquid templates: compiled once, told apart by what they read, rendered without ever failing a call."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from liquid import BoundTemplate, RenderContext
from liquid.exceptions import LiquidError, LiquidInterrupt, StopRender

from runtime.workflow.faults import suggestion
from runtime.workflow.liquid_bounds import ENVIRONMENT, Output

__all__ = ["MAX_OUTPUT", "Template", "TemplateFault", "compile_template"]

MAX_OUTPUT = 20_000
"""Characters a rendered template may have; what is beyond is cut off."""

# What filters raise over a value they cannot work with. A render happens in the middle of a call, where the
# rest of the text is worth more than an exception.
_RENDER_FAULTS = (
    LiquidError,
    LiquidInterrupt,
    StopRender,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """Why a text is no template; `line` and `column` count from 1."""

    line: int
    column: int
    message: str


@dataclass(frozen=True, slots=True)
class Template:
    """A compiled template; `names` are the dotted names it reads, such as `caller.number`."""

    text: str
    names: tuple[str, ...]
    is_static: bool
    _compiled: BoundTemplate | None = field(repr=False, compare=False)

    def render(self, values: Mapping[str, Any]) -> str:
        """Return the text for `values` (JSON by name, nested objects for dotted names).

        An unset name is empty. Never raises: a tag or an output that fails, or reaches a limit, is left out.
        """
        if self._compiled is None:
            return self.text[:MAX_OUTPUT]
        output = Output(limit=MAX_OUTPUT)
        context = RenderContext(self._compiled, globals=dict(values))
        for node in self._compiled.nodes:
            with suppress(*_RENDER_FAULTS):
                node.render(context, output)
        return output.getvalue()


@lru_cache(maxsize=1024)
def compile_template(text: str) -> Template | TemplateFault:
    """Compile a Liquid text. Tags that would load another template do not exist."""
    if "{{" not in text and "{%" not in text:
        return Template(text, (), is_static=True, _compiled=None)
    try:
        compiled = ENVIRONMENT.from_string(text)
        analysis = compiled.analyze()
    except LiquidError as fault:
        return _fault(text, str(fault.args[0]) if fault.args else "is no Liquid", _index(fault))
    except (RecursionError, ValueError):
        return TemplateFault(1, 1, "is nested too deeply or has a number that is too large")
    for name, spans in analysis.filters.items():
        if name not in ENVIRONMENT.filters:
            near = suggestion(name, ENVIRONMENT.filters, what="Filters")
            return _fault(text, f"there is no filter “{name}”. {near}", spans[0].index)
    paths = {_dotted(variable.segments) for variables in analysis.globals.values() for variable in variables}
    return Template(text, tuple(sorted(paths)), is_static=False, _compiled=compiled)


def _dotted(segments: list[Any]) -> str:
    """Join the leading literal names; an index or a computed key ends what can be told beforehand."""
    names: list[str] = []
    for segment in segments:
        if not isinstance(segment, str):
            break
        names.append(segment)
    return ".".join(names)


def _index(fault: LiquidError) -> int:
    return fault.token.start_index if fault.token is not None and fault.token.start_index >= 0 else 0


def _fault(text: str, message: str, index: int) -> TemplateFault:
    before = text[:index]
    return TemplateFault(before.count("\n") + 1, index - (before.rfind("\n") + 1) + 1, message)
