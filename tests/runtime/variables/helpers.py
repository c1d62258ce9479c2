"""What the tests of variables share: a Friday in Berlin, and short ways to ask."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from runtime.variables import Accepted, Context, Rejected, VariableSpec, normalise

NOW = datetime(2026, 5, 1, 10, 0, tzinfo=ZoneInfo("Europe/Berlin"))  # a Friday
CONTEXT = Context(now=NOW, region="DE")


def context(language: str = "en", region: str | None = "DE") -> Context:
    return Context(now=NOW, region=region, language=language)


def spec(data_type: str, name: str = "it", **fields: Any) -> VariableSpec:
    return VariableSpec(name=name, data_type=data_type, **fields)


def value(of: VariableSpec, raw: object, within: Context = CONTEXT) -> Any:
    """Return the kept value; fail with the reason when it was rejected."""
    result = normalise(of, raw, within)
    assert isinstance(result, Accepted), result
    return result.value


def code(of: VariableSpec, raw: object, within: Context = CONTEXT) -> str:
    """Return why `raw` was rejected, as its code."""
    result = normalise(of, raw, within)
    assert isinstance(result, Rejected), result
    assert result.why
    return result.code
