"""The offline voices, on the real espeak-ng; nothing compares PCM, which differs from run to run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from livekit.agents import APIConnectionError, tts
from livekit.agents.types import APIConnectOptions

from runtime.errors import ConfigRefused, ProviderMissing
from runtime.voice.local import espeak, extra, voices
from runtime.voice.local.espeak import EspeakGone, Utterance
from runtime.voice.local.stt import PocketsphinxSTT
from runtime.voice.local.tts import EspeakTTS, synthesise
from runtime.voice.local.voices import default_voice, resolve_voice

ONCE = APIConnectOptions(max_retry=0)


@pytest.fixture(autouse=True)
def _end_espeak() -> Iterator[None]:
    yield
    espeak.close()


class TestVoices:
    @pytest.mark.parametrize(
        ("given", "spelled"),
        [
            ("en-us+klatt4", "en-us+klatt4"),
            ("EN-US+KLATT4", "en-us+klatt4"),
            ("de", "de"),
            (" en-gb+annie ", "en-gb+Annie"),
        ],
    )
    def test_known(self, given: str, spelled: str) -> None:
        assert resolve_voice(given) == spelled

    @pytest.mark.parametrize("given", ["alloy", "xx+f3", "en-us+nobody", "en-us+", "+klatt4", ""])
    def test_unknown_names_some_that_exist(self, given: str) -> None:
        with pytest.raises(ConfigRefused, match="no voice") as refused:
            resolve_voice(given)
        assert "klatt4" in refused.value.remedy or "Annie" in refused.value.remedy

    @pytest.mark.parametrize(
        ("language", "voice"), [("en", "en-us+f3"), ("en-GB", "en-gb+f3"), ("de-AT", "de+f3"), ("pt_BR", "pt-br+f3")]
    )
    def test_default_for_a_language(self, language: str, voice: str) -> None:
        assert default_voice(language) == voice

    def test_no_voice_for_a_language(self) -> None:
        with pytest.raises(ConfigRefused, match="does not speak 'tlh-x'"):
            default_voice("tlh-x")

    @pytest.mark.parametrize("speed", [0.1, 3.0])
    def test_speed_out_of_range(self, speed: float) -> None:
        with pytest.raises(ConfigRefused, match="speed"):
            EspeakTTS(speed=speed)

    def test_without_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(extra.importlib.util, "find_spec", lambda _name: None)
        voices.languages.cache_clear()
        for make in (EspeakTTS, PocketsphinxSTT):
            with pytest.raises(ProviderMissing) as missing:
                make()
            assert "pip install 'patchbay[local]'" in missing.value.remedy


class TestEspeak:
    async def test_audible_within_a_second(self) -> None:
        began = time.perf_counter()
        frame = await EspeakTTS().synthesize("Hello, this is Acme.").collect()
        assert time.perf_counter() - began < 1
        assert 0.8 < frame.duration < 4
        assert np.abs(np.frombuffer(frame.data, dtype=np.int16)).max() > 3000

    async def test_sentences_stream_through_the_adapter_of_an_agent_session(self) -> None:
        adapter = tts.StreamAdapter(tts=EspeakTTS())
        async with adapter.stream() as stream:
            stream.push_text("Hello, this is Acme. How can I help you today?")
            stream.end_input()
            lengths = [audio.frame.duration async for audio in stream]
        assert len(lengths) > 10
        assert 2 < sum(lengths) < 6

    @pytest.mark.parametrize("text", ["...", "!", "你好", "a\0b", "🙂", "<b>bold</b> & more", "x" * 3000])
    async def test_any_text_ends_well(self, text: str) -> None:
        assert (await EspeakTTS().synthesize(text, conn_options=ONCE).collect()).duration > 0

    async def test_speed(self) -> None:
        slow, rate = await synthesise("one two three four five", speed=0.8)
        fast, _ = await synthesise("one two three four five", speed=1.6)
        assert rate == 22050
        assert len(fast) < 0.7 * len(slow)

    async def test_cancelled_request_leaves_the_next_one_prompt(self) -> None:
        async with contextlib.aclosing(espeak.speak(Utterance("hello " * 50_000, "en-us", 175))) as chunks:
            await anext(chunks)
        began = time.perf_counter()
        assert (await synthesise("yes"))[0]
        assert time.perf_counter() - began < 1

    async def test_requests_at_once_are_kept_apart(self) -> None:
        texts = ("yes", "yes please", "yes please tell me about my very late delivery")
        lengths = [len(pcm) for pcm, _ in await asyncio.gather(*map(synthesise, texts))]
        assert lengths == sorted(lengths)
        assert len(set(lengths)) == 3

    async def test_killed_between_requests_it_is_replaced(self) -> None:
        await synthesise("yes")
        first = espeak.pid()
        assert first
        os.kill(first, signal.SIGKILL)
        assert (await synthesise("yes"))[0]
        assert espeak.pid() not in {None, first}

    async def test_killed_in_a_sentence_it_is_an_error_and_the_next_works(self) -> None:
        voice = EspeakTTS()
        stream = voice.synthesize("hello " * 50_000, conn_options=ONCE)
        await anext(stream)
        os.kill(espeak.pid() or 0, signal.SIGKILL)
        with pytest.raises(APIConnectionError):
            async for _ in stream:
                pass
        await stream.aclose()
        assert (await voice.synthesize("yes").collect()).duration > 0

    async def test_a_process_that_cannot_start_is_tried_twice(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        broken = tmp_path / "broken.py"
        broken.write_text("raise SystemExit(1)")
        monkeypatch.setattr(espeak.wire, "__file__", str(broken))
        with pytest.raises(EspeakGone):
            await synthesise("yes")

    async def test_a_library_that_does_not_load_says_so(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(espeak, "package_folder", lambda _name: tmp_path)
        with pytest.raises(EspeakGone, match="cannot open shared object"):
            await synthesise("yes")

    def test_another_event_loop_may_ask_too(self) -> None:
        for _ in range(2):
            assert asyncio.run(synthesise("yes"))[0]

    def test_it_ends_with_its_parent(self) -> None:
        script = (
            "import os, time; from runtime.voice.local import espeak; espeak.start(); "
            "print(espeak.pid(), flush=True); time.sleep(0.2); os.kill(os.getpid(), 9)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=30)
        pid = int(done.stdout)
        deadline = time.monotonic() + 5
        while _runs(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
