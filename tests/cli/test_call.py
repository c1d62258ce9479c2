"""`patchbay call`: a synthetic or a recorded voice, and the recording of both sides."""

import asyncio
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.settings import Settings
from runtime.store.memory import MemoryStore
from runtime.voice.audio import Samples, resample
from runtime.voice.local.tts import synthesise
from tests.cli.conftest import Patchbay
from tests.cli.console import FRONT_DESK, Console
from tests.cli.test_chat import KEYS, lines
from tests.fakes.http_answers import answering

Json = Any


def levels(path: Path) -> tuple[float, float]:
    """Return how loud the caller (left) and the agent (right) are on average; 0 is silence."""
    with wave.open(str(path), "rb") as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 16000)
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16).reshape(-1, 2)
    left, right = np.abs(samples.astype(np.float64)).mean(axis=0)
    return float(left), float(right)


def record(path: Path, text: str, rate: int) -> None:
    """Write a stereo recording of `text` at another rate than the line's."""
    pcm, own_rate = asyncio.run(synthesise(text))
    mono: Samples = resample(np.frombuffer(pcm, dtype=np.int16), own_rate, rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(mono, 2).tobytes())


@pytest.mark.live
def test_a_voice_calls_and_both_sides_are_recorded(tmp_path: Path) -> None:
    console = Console(tmp_path)
    done = console.run(
        *("call", FRONT_DESK, "--offline", "--json", "--out", "call.wav"),
        *("--say", "I have a question about my bill", "--say", "four two seven one"),
    )
    events = done.events
    assert [list(event) for event in events] == [KEYS] * len(events)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["payload"]["channel"] == "voice_test"
    assert events[-1]["event_type"] == "call_ended"
    assert events[-1]["payload"]["variables"] == {"customer_number": "4271"}
    assert events[-1]["payload"]["reason"] == "caller_hangup"
    assert min(levels(tmp_path / "call.wav")) > 20
    stored = console.run("session", "events", events[0]["session_id"], "--json").json
    assert [event["seq"] for event in stored["events"]] == [event["seq"] for event in events]
    assert console.servers() == []


@pytest.mark.live
def test_recordings_of_any_rate_are_heard(patchbay: Patchbay, store: MemoryStore, tmp_path: Path) -> None:
    record(tmp_path / "bill.wav", "I have a question about my bill", 44100)
    record(tmp_path / "number.wav", "four two seven one", 22050)
    result = patchbay("call", FRONT_DESK, "--offline", "--json", "--audio", "bill.wav", "--audio", "number.wav")
    assert result.exit_code == 0, result.output
    events: list[dict[str, Json]] = lines(result.stdout)
    assert len([event for event in events if event["event_type"] == "user_turn"]) == 2
    assert events[-1]["payload"]["variables"] == {"customer_number": "4271"}


# ------------------------------------------------------------ on a server

SAID = ("--say", "hello")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("w.yaml", "--url", "http://127.0.0.1:1", "--token", "k"), "FILE cannot be combined with --url"),
        (("--version", "v", "--url", "localhost", "--token", "k"), "is no URL of a server"),
        (("--version", "v", "--url", "http://127.0.0.1:1"), "no token that opens"),
        (("--version", "v", "--url", "http://127.0.0.1:1", "--token", "k\n"), "characters that no token has"),
        (("--version", "v", "--token", "k"), "--token opens a server, and none is named"),
    ],
)
def test_wrong_usage_of_a_server_is_told(patchbay: Patchbay, args: tuple[str, ...], words: str) -> None:
    result = patchbay("call", *args, *SAID)
    assert (result.exit_code, "Traceback" in result.output) == (2, False), result.output
    assert words in result.stderr


def tokens_sent(patchbay: Patchbay, *args: str) -> list[str | None]:
    """Call a version on a server that refuses whoever comes, and return what opened it."""
    sent: list[str | None] = []

    with answering(lambda _method, _path, _body: (401, {"detail": "Unknown."}), heard=sent.append) as url:
        result = patchbay("call", "--version", "v-1", "--url", url, *args, *SAID)
    assert (result.exit_code, "refuses the token" in result.stderr) == (3, True), result.output
    assert not any(str(each) in result.output for each in sent)
    return sent


def test_a_token_is_the_one_named_else_the_settings_else_that_of_dev(
    patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Settings.load().make_home()
    (home / "api.token").write_text("from-dev\n")
    assert tokens_sent(patchbay) == ["Bearer from-dev"]
    monkeypatch.setenv("PATCHBAY_API_KEY", "from-settings")
    assert tokens_sent(patchbay) == ["Bearer from-settings"]
    assert tokens_sent(patchbay, "--token", "named") == ["Bearer named"]


def test_the_token_of_dev_goes_to_this_machine_alone(patchbay: Patchbay) -> None:
    (Settings.load().make_home() / "api.token").write_text("from-dev")
    result = patchbay("call", "--version", "v-1", "--url", "http://patchbay.invalid:8080", *SAID)
    assert (result.exit_code, "no token that opens" in result.stderr) == (2, True), result.output
