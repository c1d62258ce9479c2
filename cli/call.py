"""`patchbay call`: talk to a workflow in sound, without a telephone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import typer

from cli.elsewhere import TOKEN, URL, open_remote, server_of
from cli.logs import log_to_stderr
from cli.loop import run
from cli.output import hint
from cli.running import JSON, MOCK, OFFLINE, VERSION, WORKFLOW, Choice, open_run, outcome, print_event
from cli.source import read_script
from cli.timeline import Timeline
from cli.verb import epilog, new_app
from runtime.errors import UsageFault
from runtime.harness.joining import ApiServer
from runtime.harness.phone import LocalPhone, Phone
from runtime.harness.script import Say, Step
from runtime.harness.voice import RATE, VoiceCaller
from runtime.session.ports import EventRow
from runtime.settings import Settings
from runtime.voice.audio import Samples, read_wav

__all__ = ["Caller", "app", "check_writable", "place_call"]

app = new_app()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the steps of a script, or recordings that are played one after the other."""

    steps: tuple[Step, ...] = ()
    recordings: tuple[Samples, ...] = ()


@dataclass(frozen=True, slots=True)
class _Order:
    """Who calls what, and who is told of it."""

    choice: Choice
    caller: Caller
    offline: bool
    out: Path | None
    watch: Callable[[EventRow], None]


@app.command(
    epilog=epilog(
        "patchbay call workflow.yaml --offline --script script.txt --out call.wav",
        'patchbay call --workflow "Front desk" --say "I have a question about my bill"',
        'patchbay call --url http://127.0.0.1:8080 --workflow "Front desk" --say "hello"',
    )
)
def call(
    file: str | None = typer.Argument(None, metavar="FILE", help="A workflow, JSON or YAML; - is standard input."),
    version: str | None = VERSION,
    workflow: str | None = WORKFLOW,
    script: str | None = typer.Option(None, "--script", metavar="FILE", help="Play the caller from this file."),
    say: list[str] = typer.Option([], "--say", metavar="TEXT", help="What the caller says; may be repeated."),
    audio: list[Path] = typer.Option([], "--audio", metavar="WAV", help="A recording of the caller; may be repeated."),
    out: Path | None = typer.Option(None, "--out", metavar="WAV", help="Save both sides: caller left, agent right."),
    mock: str | None = MOCK,
    offline: bool = OFFLINE,
    url: str | None = URL,
    token: str | None = TOKEN,
    seed: int = typer.Option(0, "--seed", help="Fixes whatever is random."),
    as_json: bool = JSON,
) -> None:
    """Call a workflow with a synthetic or recorded voice and listen to what it answers."""
    del seed  # nothing is random but the voices, and those have no seed
    settings = Settings.load()
    log_to_stderr(settings)
    choice = Choice(file, version, workflow, mock)
    caller = _caller(script, say, audio)
    if out is not None:
        check_writable(out)
    order = _Order(choice, caller, offline, out, print_event if as_json else Timeline())
    if token is not None and url is None:
        raise UsageFault("--token opens a server, and none is named.", remedy="Name it: --url http://127.0.0.1:8080")
    work = _call(settings, order) if url is None else _call_elsewhere(server_of(settings, url, token, choice), order)
    raise typer.Exit(run(work))


def _caller(script: str | None, say: list[str], audio: list[Path]) -> Caller:
    if sum((script is not None, bool(say), bool(audio))) != 1:
        raise UsageFault(
            "Say what the caller does: --script FILE, --say TEXT or --audio WAV (one of the three).",
            remedy='For example: patchbay call workflow.yaml --offline --say "hello"',
        )
    if script is not None:
        return Caller(steps=read_script(script))
    if say:
        return Caller(steps=tuple(Say(text) for text in say))
    return Caller(recordings=tuple(read_wav(path, RATE) for path in audio))


def check_writable(out: Path) -> None:
    """Raise UsageFault where a file cannot be made at `out`; a call whose recording is lost would be for nothing."""
    if out.is_dir() or not out.parent.is_dir():
        raise UsageFault(
            f"{out} cannot be written: {'it is a folder' if out.is_dir() else 'its folder does not exist'}."
        )
    try:
        existed = out.exists()
        with out.open("ab"):
            pass
        if not existed:
            out.unlink()
    except OSError as error:
        raise UsageFault(
            f"{out} cannot be written: {error.strerror}.", remedy="Name another file with --out."
        ) from None


async def _call(settings: Settings, order: _Order) -> int:
    async with open_run(
        order.choice, channel="voice_test", offline=order.offline, settings=settings, watch=order.watch
    ) as opened:
        await place_call(LocalPhone(opened.live), order.caller, order.out)
    return outcome(opened)


async def _call_elsewhere(server: ApiServer, order: _Order) -> int:
    async with open_remote(server, order.choice, offline=order.offline, watch=order.watch) as phone:
        await place_call(phone, order.caller, order.out)
        return 1 if phone.outcome == "error" else 0


async def place_call(phone: Phone, caller: Caller, out: Path | None) -> None:
    """Let the caller call and, however it ends, save what was recorded."""
    voice = VoiceCaller(phone)
    try:
        await voice.begin()
        if caller.recordings:
            await voice.play_recordings(caller.recordings)
        else:
            await voice.play(caller.steps)
    finally:
        await voice.aclose()
        if out is not None:
            await asyncio.to_thread(voice.recorder.write, out)
            hint(f"Recording: {out}")
