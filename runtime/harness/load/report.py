"""A load test's report as a value: what programs read, and what the page is made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from runtime.errors import UsageFault
from runtime.harness.load.figures import Limits, Summary, judged, judged_call, summarise
from runtime.harness.load.plan import LoadPlan
from runtime.harness.load.run import Outcome
from runtime.harness.load.transcripts import Stored

__all__ = ["SCHEMA_VERSION", "Report", "made", "make_folder"]

SCHEMA_VERSION: Final = 1
Json = Any


@dataclass(frozen=True, slots=True)
class Report:
    """A finished test. `exceeded` are the sentences that say why it did not pass; `notes` what could not be measured."""

    plan: LoadPlan
    target: str
    began_at: datetime
    outcome: Outcome
    stored: Mapping[int, Stored]
    summary: Summary
    limits: Limits
    exceeded: tuple[str, ...]
    notes: tuple[str, ...] = ()
    machine: Mapping[str, Json] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return not self.exceeded

    def json(self) -> dict[str, Json]:
        """Return the report as JSON; its keys change with `schema_version` only."""
        calls = [
            {**asdict(call), "stored": asdict(self.stored[call.number]) if call.number in self.stored else None}
            for call in self.outcome.calls
        ]
        return {
            "schema_version": SCHEMA_VERSION,
            "passed": self.passed,
            "exceeded": list(self.exceeded),
            "notes": list(self.notes),
            "began_at": self.began_at.isoformat(),
            "machine": dict(self.machine),
            "target": self.target,
            "plan": asdict(self.plan),
            "limits": asdict(self.limits),
            "summary": asdict(self.summary),
            "calls": calls,
            "concurrency": [asdict(each) for each in self.outcome.concurrency],
            "workers": [asdict(each) for each in self.outcome.workers],
            "callers": [asdict(each) for each in self.outcome.processes],
        }

    def save(self, folder: Path, page: str) -> None:
        """Write `report.json` and `report.html` into the folder; raises UsageFault where that cannot be done."""
        try:
            (folder / "report.json").write_text(json.dumps(self.json(), indent=1) + "\n", encoding="utf-8")
            (folder / "report.html").write_text(page, encoding="utf-8")
        except OSError as error:
            raise _unwritable(folder, error) from None


def made(  # noqa: PLR0913 - each but the first two by name
    plan: LoadPlan,
    outcome: Outcome,
    *,
    target: str,
    stored: Mapping[int, Stored],
    limits: Limits,
    notes: tuple[str, ...] = (),
    machine: Mapping[str, Json] | None = None,
) -> Report:
    """Return the report of an outcome; a call that the worker ended in error has failed, whatever its caller noticed."""
    outcome.calls = [judged_call(call, stored.get(call.number)) for call in outcome.calls]
    summary = summarise(outcome, stored)
    began_at = datetime.fromtimestamp(datetime.now(UTC).timestamp() - outcome.wall_s, UTC)
    return Report(
        plan=plan,
        target=target,
        began_at=began_at.replace(microsecond=0),
        outcome=outcome,
        stored=stored,
        summary=summary,
        limits=limits,
        exceeded=tuple(judged(summary, limits)),
        notes=notes,
        machine={"patchbay": version("patchbay"), **(machine or {})},
    )


def make_folder(folder: Path) -> Path:
    """Return the folder, made where it is missing; raises UsageFault, before anybody calls, where it cannot be used."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "callers.log").open("ab"):
            pass
    except OSError as error:
        raise _unwritable(folder, error) from None
    return folder


def _unwritable(folder: Path, error: OSError) -> UsageFault:
    return UsageFault(
        f"The report cannot be written into {folder}: {error.strerror or error}.",
        remedy="Name another folder: --out DIR",
    )
