"""`patchbay chat`: talk to a workflow in text."""

from __future__ import annotations

import asyncio
import sys

import typer

from cli.logs import log_to_stderr
from cli.output import hint
from cli.running import JSON, OFFLINE, VERSION, WORKFLOW, Choice, Run, open_run, outcome, print_event
from cli.source import read_script
from cli.timeline import Timeline, status_line
from cli.verb import epilog, new_app
from runtime.errors import UsageFault
from runtime.harness.chat import ChatCaller
from runtime.harness.script import Step, parse_script
from runtime.settings import Settings

__all__ = ["app"]

app = new_app()


@app.command(
    epilog=epilog("patchbay chat workflow.yaml --offline", "patchbay chat workflow.yaml --script script.txt --json")
)
def chat(
    file: str | None = typer.Argument(None, metavar="FILE", help="A workflow, JSON or YAML; - is standard input."),
    version: str | None = VERSION,
    workflow: str | None = WORKFLOW,
    script: str | None = typer.Option(None, "--script", metavar="FILE", help="Play the caller from this file."),
    offline: bool = OFFLINE,
    seed: int = typer.Option(0, "--seed", help="Fixes whatever is random."),
    as_json: bool = JSON,
) -> None:
    """Talk to a workflow in text, or let a script do it."""
    settings = Settings.load()
    log_to_stderr(settings)
    choice = Choice(file, version, workflow)
    steps = read_script(script) if script is not None else None
    code = asyncio.run(_chat(choice, steps, settings=settings, offline=offline, seed=seed, as_json=as_json))
    raise typer.Exit(code)


async def _chat(
    choice: Choice, steps: tuple[Step, ...] | None, *, settings: Settings, offline: bool, seed: int, as_json: bool
) -> int:
    del seed  # a chat has nothing random of its own
    watch = print_event if as_json else Timeline(chat=steps is None)
    async with open_run(choice, channel="chat_test", offline=offline, settings=settings, watch=watch) as run:
        caller = ChatCaller(run.live, run.clock)
        await caller.begin()
        if steps is not None:
            await caller.play(steps)
        else:
            await _converse(run, caller, quiet=as_json)
    return outcome(run)


async def _converse(run: Run, caller: ChatCaller, *, quiet: bool) -> None:
    if not quiet:
        hint("Type what the caller says; [dtmf 12#], [silence 8] and [hangup] work too. Ctrl-D hangs up.")
    while not caller.over:
        if not quiet:
            hint(status_line(run.live.call.state, run.workflow))
        line = await asyncio.to_thread(_read_line, quiet)
        if line is None:
            break
        for step in _steps(line):
            await caller.take(step)
    await caller.leave()


def _read_line(quiet: bool) -> str | None:
    if not quiet and sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    line = sys.stdin.readline()
    return line or None


def _steps(line: str) -> tuple[Step, ...]:
    try:
        return parse_script(line, "what you typed")
    except UsageFault as fault:
        hint(str(fault))
        return ()
