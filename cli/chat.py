"""`patchbay chat`: talk to a workflow in text."""

from __future__ import annotations

import asyncio

import typer

from cli.logs import log_to_stderr
from cli.loop import run
from cli.output import hint
from cli.running import JSON, MOCK, OFFLINE, VERSION, WORKFLOW, Choice, Run, open_run, outcome, print_event
from cli.source import read_script
from cli.stdin import Lines
from cli.timeline import Timeline, status_line
from cli.verb import epilog, new_app
from runtime.errors import UsageFault
from runtime.harness.chat import ChatCaller
from runtime.harness.script import Step, parse_script
from runtime.settings import Settings
from runtime.tasks import cancel_and_wait, spawn

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
    mock: str | None = MOCK,
    offline: bool = OFFLINE,
    seed: int = typer.Option(0, "--seed", help="Fixes whatever is random."),
    as_json: bool = JSON,
) -> None:
    """Talk to a workflow in text, or let a script do it."""
    settings = Settings.load()
    log_to_stderr(settings)
    choice = Choice(file, version, workflow, mock)
    steps = read_script(script) if script is not None else None
    code = run(_chat(choice, steps, settings=settings, offline=offline, seed=seed, as_json=as_json))
    raise typer.Exit(code)


async def _chat(
    choice: Choice, steps: tuple[Step, ...] | None, *, settings: Settings, offline: bool, seed: int, as_json: bool
) -> int:
    del seed  # a chat has nothing random of its own
    watch = print_event if as_json else Timeline(chat=steps is None)
    async with open_run(choice, channel="chat_test", offline=offline, settings=settings, watch=watch) as call:
        caller = ChatCaller(call.live, call.clock)
        await caller.begin()
        if steps is not None:
            await caller.play(steps)
        else:
            await _converse(call, caller, quiet=as_json)
    return outcome(call)


async def _converse(call: Run, caller: ChatCaller, *, quiet: bool) -> None:
    if not quiet:
        hint("Type what the caller says; [dtmf 12#], [silence 8] and [hangup] work too. Ctrl-D hangs up.")
    lines = Lines()
    while not caller.over:
        if not quiet:
            hint(status_line(call.live.call.state, call.workflow))
        line = await _typed(call, lines, prompt="" if quiet else "> ")
        if line is None:
            break
        for step in _steps(line):
            await caller.take(step)
    await caller.leave()


async def _typed(call: Run, lines: Lines, *, prompt: str) -> str | None:
    """Return the next line; None where there is none, or where the call ends before it comes."""
    line = spawn(lines.next(prompt), name="caller's keyboard")
    ended = spawn(call.live.call.ended(), name="end of the call")
    try:
        await asyncio.wait({line, ended}, return_when=asyncio.FIRST_COMPLETED)
        return line.result() if line.done() else None
    finally:
        await cancel_and_wait(line, ended)


def _steps(line: str) -> tuple[Step, ...]:
    try:
        return parse_script(line, "what you typed")
    except UsageFault as fault:
        hint(str(fault))
        return ()
