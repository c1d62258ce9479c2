"""`patchbay talk`: speak with a workflow yourself, by this machine's microphone and speaker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

from cli.call import check_writable
from cli.elsewhere import TOKEN, URL, open_remote, server_of
from cli.keyboard import END, INTERRUPT, keyboard
from cli.logs import log_to_stderr
from cli.loop import run
from cli.output import hint
from cli.running import JSON, MOCK, OFFLINE, VERSION, WORKFLOW, Choice, open_run, outcome, print_event
from cli.sound import Devices, Speaker, microphone, portaudio, speaker
from cli.timeline import Timeline
from cli.verb import epilog, new_app
from runtime.errors import UsageFault
from runtime.harness.joining import ApiServer
from runtime.harness.phone import RATE, LocalPhone, Phone
from runtime.session.ports import EventRow
from runtime.settings import Settings
from runtime.voice.audio import Recorder, Samples, samples_of

__all__ = ["app"]

app = new_app()

_KEYS = "0123456789*#ABCD"
_LOCAL_RATE = 24000
_LEAD_S = 0.1
_HEARD_OUT_S = 0.2


@app.command(
    epilog=epilog(
        "patchbay talk workflow.yaml --offline", 'patchbay talk --url http://127.0.0.1:8080 --workflow "Front desk"'
    )
)
def talk(
    file: str | None = typer.Argument(None, metavar="FILE", help="A workflow, JSON or YAML."),
    version: str | None = VERSION,
    workflow: str | None = WORKFLOW,
    microphone_: str | None = typer.Option(
        None, "--microphone", metavar="NAME", help="Another than the default: its number, or a part of its name."
    ),
    speaker_: str | None = typer.Option(
        None, "--speaker", metavar="NAME", help="Another than the default: its number, or a part of its name."
    ),
    out: Path | None = typer.Option(None, "--out", metavar="WAV", help="Save both sides: caller left, agent right."),
    mock: str | None = MOCK,
    offline: bool = OFFLINE,
    url: str | None = URL,
    token: str | None = TOKEN,
    as_json: bool = JSON,
) -> None:
    """Speak with a workflow yourself. Keys are keypad entries, m mutes, Ctrl-D or Ctrl-C hangs up."""
    settings = Settings.load()
    log_to_stderr(settings)
    choice = Choice(file, version, workflow, mock)
    if "-" in {file, mock}:
        raise UsageFault("Standard input is the keypad here.", remedy="Name a file such as workflow.yaml.")
    if token is not None and url is None:
        raise UsageFault("--token opens a server, and none is named.", remedy="Name it: --url http://127.0.0.1:8080")
    server = None if url is None else server_of(settings, url, token, choice)
    if out is not None:
        check_writable(out)
    place = _Place(portaudio(), Devices.named(microphone_, speaker_), out, print_event if as_json else Timeline())
    work = _here(settings, choice, place, offline) if server is None else _elsewhere(server, choice, place, offline)
    raise typer.Exit(run(work))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the caller sits."""

    library: ModuleType
    devices: Devices
    out: Path | None
    watch: Callable[[EventRow], None]


async def _here(settings: Settings, choice: Choice, place: _Place, offline: bool) -> int:
    async with open_run(choice, channel="voice_test", offline=offline, settings=settings, watch=place.watch) as opened:
        await _talk(LocalPhone(opened.live, lead_s=_LEAD_S), _LOCAL_RATE, place)
    return outcome(opened)


async def _elsewhere(server: ApiServer, choice: Choice, place: _Place, offline: bool) -> int:
    async with open_remote(server, choice, offline=offline, watch=place.watch) as phone:
        await _talk(phone, phone.output_rate, place)
        return 1 if phone.outcome == "error" else 0


async def _talk(phone: Phone, rate: int, place: _Place) -> None:
    """Connect the telephone with the devices and the keyboard, until the call is over."""
    handset = _Handset(phone, asyncio.get_running_loop().time())
    try:
        with speaker(place.library, place.devices.speaker, rate) as voice:
            handset.voice = voice
            with microphone(place.library, place.devices.microphone, handset.said), keyboard(handset.typed):
                hint("You are on the line. 0-9 * # A-D: keypad; m: mute; Ctrl-D: hang up. A headset avoids an echo.")
                await phone.begin(handset.heard, voice.clear)
                await phone.ended()
                await asyncio.sleep(_HEARD_OUT_S)  # the last words wait in the speaker
    finally:
        await phone.aclose()
        if place.out is not None:
            await asyncio.to_thread(handset.recorder.write, place.out)
            hint(f"Recording: {place.out}")


@dataclass(slots=True)
class _Handset:
    """Between the caller and the telephone; both sides are recorded."""

    phone: Phone
    began: float
    recorder: Recorder = field(default_factory=lambda: Recorder(rate=RATE))
    voice: Speaker | None = None
    muted: bool = False

    def said(self, samples: Samples) -> None:
        self.phone.push(samples)
        if not self.muted:
            self.recorder.add("caller", samples, asyncio.get_running_loop().time() - self.began)

    def heard(self, frame: Any, at: float) -> None:
        if self.voice is not None:
            self.voice.play(samples_of(frame))
        self.recorder.add("agent", frame, at - self.began)

    def typed(self, character: str) -> None:
        key = character.upper()
        if key in _KEYS:
            self.phone.press(key)
        elif key == "M":
            self.muted = not self.muted
            self.phone.mute(muted=self.muted)
            hint("Muted." if self.muted else "You can be heard again.")
        elif character in {INTERRUPT, END}:
            self.phone.hang_up()
