"""`patchbay load`: many simulated callers at once against workers that run, and what it was like for them."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import typer

from cli.context import open_cli_store
from cli.load_screen import print_summary, watching
from cli.logs import log_to_stderr
from cli.loop import run
from cli.output import hint, print_json
from cli.source import read_text
from cli.verb import epilog, new_app
from runtime.errors import PatchbayError, Unreachable, UsageFault
from runtime.harness.load.briefing import Briefing
from runtime.harness.load.crew import open_crew
from runtime.harness.load.figures import Limits
from runtime.harness.load.invitations import Invitations
from runtime.harness.load.machine import Workers
from runtime.harness.load.page import rendered
from runtime.harness.load.plan import LoadPlan, Patience, Target, texts_of
from runtime.harness.load.report import Report, made, make_folder
from runtime.harness.load.run import LoadRun
from runtime.harness.load.transcripts import Stored, read_stored
from runtime.harness.load.voices import spoken
from runtime.harness.script import parse_script
from runtime.numbers import e164
from runtime.settings import Settings
from runtime.voice.rooms import Server, check

__all__ = ["app"]

app = new_app()


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the command line asks for beside the plan; `metrics` are URLs, empty for the worker of this machine."""

    workflow: str | None
    target: Target
    metrics: tuple[str, ...]
    events: bool
    limits: Limits
    out: Path

    @property
    def name(self) -> str:
        """Whom the callers reach, in words."""
        if self.workflow is not None:
            return f"workflow '{self.workflow}'"
        if self.target.version_id is not None:
            return f"version {self.target.version_id}"
        return f"number {self.target.dialled}" if self.target.dialled else "the default workflow"


@app.command(
    epilog=epilog(
        'patchbay load --calls 50 --say "I have a question about my bill" --say "four two seven one"',
        'patchbay load --calls 20 --duration 300 --workflow "Front desk" --script caller.txt --out results',
        "patchbay load --calls 5 --to +15550100 --script caller.txt --max-response-p95 1200",
    )
)
def load(
    calls: int = typer.Option(1, "--calls", min=1, max=5000, metavar="N", help="Calls at once."),
    say: list[str] = typer.Option([], "--say", metavar="TEXT", help="A line of the caller's script; may be repeated."),
    script: str | None = typer.Option(None, "--script", metavar="FILE", help="Play each caller from this file."),
    total: int | None = typer.Option(None, "--total", min=1, metavar="N", help="Calls in all; default: one each."),
    duration: float | None = typer.Option(None, "--duration", min=1, metavar="S", help="Go on calling for so long."),
    ramp: float = typer.Option(2.0, "--ramp", min=0.01, max=1000, metavar="N", help="Calls begun a second, at first."),
    workflow: str | None = typer.Option(None, "--workflow", metavar="NAME", help="The published workflow to reach."),
    version: str | None = typer.Option(None, "--version", metavar="ID", help="A stored version, by its id."),
    to: str | None = typer.Option(None, "--to", metavar="NUMBER", help="Come as telephones that dialled this number."),
    as_tests: bool = typer.Option(False, "--as-tests", help="Store the calls as tests, which count for nothing."),
    processes: int | None = typer.Option(
        None, "--processes", min=1, max=256, metavar="N", help="Processes for the callers; default: one for each 16."
    ),
    pause: float = typer.Option(0.8, "--pause", min=0.1, max=10, metavar="S", help="The silence a caller waits for."),
    agent_within: float = typer.Option(
        20.0, "--agent-within", min=1, max=300, metavar="S", help="How long a caller waits for an agent."
    ),
    answer_within: float = typer.Option(
        15.0, "--answer-within", min=1, max=300, metavar="S", help="How long a caller waits for an answer."
    ),
    metrics: list[str] = typer.Option(
        [], "--metrics", metavar="URL", help="A worker's health port; may be repeated. Default: this machine's."
    ),
    events: bool = typer.Option(True, "--events/--no-events", help="Read what the workers stored of the calls."),
    max_response: float | None = typer.Option(
        None, "--max-response-p95", min=1, metavar="MS", help="Fail where the response time's p95 is over this."
    ),
    max_answer: float | None = typer.Option(
        None, "--max-answer-p95", min=1, metavar="MS", help="Fail where the answer time's p95 is over this."
    ),
    max_lost: float | None = typer.Option(
        None, "--max-lost-words", min=0, max=100, metavar="PERCENT", help="Fail where more words are lost."
    ),
    out: Path | None = typer.Option(
        None, "--out", metavar="DIR", help="Where report.html and report.json go; default: load-<time>."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print the report as one JSON object."),
) -> None:
    """Have simulated callers call workers that run, through LiveKit's rooms, and measure what callers would notice.

    Exit code 1 where a call failed or a limit was exceeded, 3 where no worker takes the call.
    """
    settings = Settings.load()
    log_to_stderr(settings)
    plan = LoadPlan(
        script=_script(say, script),
        calls=calls,
        total=total,
        duration_s=duration,
        ramp=ramp,
        processes=processes,
        patience=Patience(agent_within, answer_within, pause),
    )
    target = _target(workflow, version, to, as_tests=as_tests)
    limits = Limits(max_response, max_answer, max_lost)
    Server.of(settings)
    folder = make_folder(out or Path(f"load-{datetime.now().astimezone():%Y-%m-%dT%H-%M-%S}"))
    wanted = _Wanted(workflow, target, tuple(metrics), events, limits, folder)
    raise typer.Exit(run(_load(settings, plan, wanted, as_json=as_json)))


def _script(say: list[str], script: str | None) -> str:
    if bool(say) == (script is not None):
        raise UsageFault(
            "Say what the callers do: --say TEXT or --script FILE (one of the two).",
            remedy='For example: patchbay load --calls 5 --say "I have a question about my bill"',
        )
    if script is None:
        return "\n".join(say)
    text = read_text(script)
    parse_script(text, script)  # what is wrong is told with the file's name
    return text


def _target(workflow: str | None, version: str | None, to: str | None, *, as_tests: bool) -> Target:
    if sum(each is not None for each in (workflow, version, to)) > 1:
        raise UsageFault(
            "--workflow, --version and --to cannot be combined.", remedy="Name one; without any the default answers."
        )
    if to is not None and as_tests:
        raise UsageFault("Telephone calls are no tests.", remedy="Leave out --as-tests, or call --workflow NAME.")
    dialled = None if to is None else e164(to)
    if to is not None and dialled is None:
        raise UsageFault(f"'{to[:80]}' is no number.", remedy="For example: --to +15550100")
    return Target(version_id=version, dialled=dialled, as_tests=as_tests)


async def _load(settings: Settings, plan: LoadPlan, wanted: _Wanted, *, as_json: bool) -> int:
    await check(settings)
    target = await _found(settings, wanted)
    voices = await spoken(texts_of(plan.steps))
    invitations = Invitations(settings, target)
    workers, note = await _workers(settings, wanted)
    began = time.monotonic()
    test = LoadRun(plan, invitations.order, workers=workers, began=began, nobody=_nobody(settings))

    def briefing(names: Mapping[str, str]) -> Briefing:
        return Briefing(Server.of(settings).url, plan.script, names, began, invitations.telephone, plan.patience)

    stored: dict[int, Stored] = {}
    notes = [note] if note else []
    try:
        async with open_crew(plan, voices, briefing, test.stage, wanted.out / "callers.log") as crew:
            with watching(test, plan, shown=not as_json):
                await test.run(crew)
        stored, note = await _stored(settings, wanted, test)
        notes += [note] if note else []
    except asyncio.CancelledError:
        _finish(plan, wanted, test, stored, (*notes, "The test was interrupted."), as_json=as_json)
        raise
    except Unreachable as fault:
        if test.outcome.calls:
            _finish(plan, wanted, test, stored, (*notes, fault.message), as_json=as_json)
        raise
    finally:
        if workers is not None:
            await workers.aclose()
    return 0 if _finish(plan, wanted, test, stored, tuple(notes), as_json=as_json).passed else 1


async def _found(settings: Settings, wanted: _Wanted) -> Target:
    """Return the target with the workflow's id in the place of its name; raises NotFound for one that is not published."""
    if wanted.workflow is None:
        return wanted.target
    async with open_cli_store(settings) as opened:
        row = await opened.store.published_version(opened.organization.id, wanted.workflow)
    return replace(wanted.target, workflow_id=row.workflow_id)


async def _workers(settings: Settings, wanted: _Wanted) -> tuple[Workers | None, str | None]:
    """Return the workers' metrics; where nobody named them and none answer, only a note that says so."""
    workers = Workers(wanted.metrics or (f"http://{settings.http_host}:{settings.http_port}",))
    try:
        await workers.sample(0.0)
    except Unreachable as error:
        await workers.aclose()
        if wanted.metrics:
            raise
        note = f"No figures of the workers: {error.message} {error.remedy}"
        hint(note)
        return None, note
    return workers, None


def _nobody(settings: Settings) -> str:
    return (
        f"Is `patchbay worker` running, for the agent name '{settings.agent_name}' (PATCHBAY_AGENT_NAME), with this"
        f" LIVEKIT_URL ({settings.livekit_url}), and has it a place free (PATCHBAY_MAX_CALLS)?"
    )


async def _stored(settings: Settings, wanted: _Wanted, test: LoadRun) -> tuple[dict[int, Stored], str | None]:
    """Return what the workers stored of the calls, and a note where that could not be read."""
    if not wanted.events:
        return {}, "The workers' events were not read (--no-events), so lost words are not known."
    if not _names_database(settings):
        return {}, "No database is named (DATABASE_URL), so lost words are not known."
    try:
        async with open_cli_store(settings) as opened:
            found = await read_stored(opened.store, opened.organization.id, test.outcome.calls)
    except PatchbayError as error:
        return {}, f"The workers' events could not be read, so lost words are not known: {error.message}"
    missing = len(test.outcome.calls) - len(found)
    if not missing:
        return found, None
    return found, f"The database has nothing of {missing} calls. Is it the workers' (DATABASE_URL, PATCHBAY_ORG)?"


def _names_database(settings: Settings) -> bool:
    """An embedded database that is not there yet is nobody's: it is not made for a look."""
    named = settings.database_url is not None or settings.supabase_url is not None
    return named or (settings.home / "postgres").exists()


def _finish(
    plan: LoadPlan,
    wanted: _Wanted,
    test: LoadRun,
    stored: Mapping[int, Stored],
    notes: tuple[str, ...],
    *,
    as_json: bool,
) -> Report:
    """Save the report and print it."""
    machine = {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()}
    report = made(
        plan,
        test.outcome,
        target=f"{plan.calls} at once, {wanted.name}",
        stored=stored,
        limits=wanted.limits,
        notes=notes,
        machine=machine,
    )
    report.save(wanted.out, rendered(report))
    if as_json:
        print_json(report.json())
    else:
        print_summary(report)
    hint(f"Report: {wanted.out / 'report.html'}, {wanted.out / 'report.json'}")
    return report
