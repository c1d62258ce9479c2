"""The offline voices and the offline recogniser, on real audio; nothing compares PCM, which differs from run to run."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
from livekit.agents import APIConnectionError, stt, tts
from livekit.agents.types import APIConnectOptions

from runtime.errors import ConfigRefused, ProviderMissing
from runtime.voice.audio import Samples, frame_of, resample
from runtime.voice.local import espeak, extra, voices
from runtime.voice.local.espeak import EspeakGone, Utterance
from runtime.voice.local.stt import PocketsphinxSTT
from runtime.voice.local.tts import EspeakTTS, synthesise
from runtime.voice.local.voices import default_voice, resolve_voice
from runtime.voice.local.wording import words_of

ONCE = APIConnectOptions(max_retry=0)
PHRASES = (
    "hello i have a question about my invoice",
    "i would like to speak to billing",
    "i want to cancel my contract",
    "my customer id is",
    "my name is",
    "can you check my order",
    "what are your opening hours",
    "it is about a late delivery",
    "thank you that is all",
)
NAMES = ("alice", "miller", "patchbay")


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


class TestWording:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("My ID is 4271.", "my id is four two seven one"),
            ("I have 12 orders, 3 late!", "i have twelve orders three late"),
            ("the 3rd of May, the 21st, the 20th", "the third of may the twenty first the twentieth"),
            ("07", "zero seven"),
            ("12.50", "twelve point fifty"),
            ("it’s O'Neill", "it's o'neill"),
            ("bob@acme.example", "bob at acme dot example"),
            ("+1 555", "plus one five five five"),
            ("", ""),
            ("…!?", ""),
        ],
    )
    def test_words(self, text: str, words: str) -> None:
        assert " ".join(words_of(text)) == words


async def hear(ear: PocketsphinxSTT, samples: Samples, rate: int) -> list[stt.SpeechEvent]:
    """Return the events of a caller who says `samples` between half seconds of silence."""
    quiet = np.zeros(rate // 2, dtype=np.int16)
    audio = np.concatenate((quiet, samples, quiet))
    async with ear.stream() as stream:
        for at in range(0, audio.size, rate // 50):
            stream.push_frame(frame_of(audio[at : at + rate // 50], rate))
        stream.end_input()
        return [event async for event in stream]


async def said(text: str, rate: int) -> Samples:
    pcm, own_rate = await synthesise(text)
    return resample(np.frombuffer(pcm, dtype=np.int16), own_rate, rate)


def finals(events: list[stt.SpeechEvent]) -> str:
    return " ".join(
        event.alternatives[0].text for event in events if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT
    )


@pytest.mark.live
class TestRecognition:
    @pytest.fixture
    def ear(self) -> PocketsphinxSTT:
        return PocketsphinxSTT(PHRASES, NAMES)

    @pytest.mark.parametrize(
        "text",
        [
            "hello i have a question about my invoice",
            "i would like to speak to billing",
            "i want to cancel my contract",
            "can you check my order",
            "what are your opening hours",
            "thank you that is all",
            "my customer id is four two seven one",
            "four two seven one",
            "zero one zero nine five five",
            "yes",
            "no",
            "yes please",
            "no thank you",
            "my name is miller",
            "my name is patchbay",
            "the third of may",
            "goodbye",
        ],
    )
    @pytest.mark.parametrize("rate", [16000, 48000])
    async def test_exact(self, ear: PocketsphinxSTT, text: str, rate: int) -> None:
        assert finals(await hear(ear, await said(text, rate), rate)) == text

    @pytest.mark.parametrize("text", ["i want to cancel my contract", "what are your opening hours", "yes", "goodbye"])
    async def test_through_a_telephone(self, ear: PocketsphinxSTT, text: str) -> None:
        assert finals(await hear(ear, await said(text, 8000), 8000)) == text

    async def test_order_of_events(self, ear: PocketsphinxSTT) -> None:
        events = await hear(ear, await said("what are your opening hours", 16000), 16000)
        kinds = [event.type for event in events if event.type is not stt.SpeechEventType.RECOGNITION_USAGE]
        kind = stt.SpeechEventType
        assert kinds[0] is kind.START_OF_SPEECH
        assert kinds[-2:] == [kind.FINAL_TRANSCRIPT, kind.END_OF_SPEECH]
        assert kinds.count(kind.INTERIM_TRANSCRIPT) == len(kinds) - 3 >= 2
        final = next(event.alternatives[0] for event in events if event.type is kind.FINAL_TRANSCRIPT)
        assert 0 < final.confidence <= 1
        assert 0.4 < final.start_time < 0.8
        assert 1.4 < final.end_time < 2.6
        usage = sum(event.recognition_usage.audio_duration for event in events if event.recognition_usage)
        assert 2 < usage < 4

    async def test_a_flush_ends_the_utterance_at_once(self, ear: PocketsphinxSTT) -> None:
        audio = await said("yes please", 16000)
        async with ear.stream() as stream:
            stream.push_frame(frame_of(np.concatenate((np.zeros(8000, dtype=np.int16), audio)), 16000))
            stream.flush()
            async for event in stream:
                if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                    assert event.alternatives[0].text == "yes please"
                    break

    async def test_two_utterances_are_two_finals(self, ear: PocketsphinxSTT) -> None:
        pause = np.zeros(16000, dtype=np.int16)
        audio = np.concatenate([await said("yes please", 16000), pause, await said("goodbye", 16000)])
        events = await hear(ear, audio, 16000)
        assert [e.alternatives[0].text for e in events if e.type is stt.SpeechEventType.FINAL_TRANSCRIPT] == [
            "yes please",
            "goodbye",
        ]

    async def test_silence_and_noise_say_nothing(self, ear: PocketsphinxSTT) -> None:
        noise = np.random.default_rng(1).normal(0, 60, 32000).astype(np.int16)
        assert finals(await hear(ear, noise, 16000)) == ""

    async def test_phrases_change_between_utterances(self) -> None:
        ear = PocketsphinxSTT(["send the blue bicycle"])
        bicycle, order = await said("send the blue bicycle", 16000), await said("can you check my order", 16000)
        async with ear.stream() as stream:
            heard = _finals_of(stream)
            stream.push_frame(frame_of(np.concatenate((np.zeros(8000, np.int16), bicycle)), 16000))
            stream.flush()
            assert await anext(heard) == "send the blue bicycle"
            ear.set_phrases(PHRASES)
            stream.push_frame(frame_of(np.concatenate((np.zeros(8000, np.int16), order)), 16000))
            stream.end_input()
            assert await anext(heard) == "can you check my order"

    async def test_whole_utterances_can_be_recognised(self, ear: PocketsphinxSTT) -> None:
        quiet = np.zeros(8000, dtype=np.int16)
        audio = np.concatenate((quiet, await said("can you check my order", 16000), quiet))
        event = await ear.recognize(frame_of(audio, 16000))
        assert event.alternatives[0].text == "can you check my order"


async def _finals_of(stream: stt.RecognizeStream) -> AsyncIterator[str]:
    async for event in stream:
        if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
            yield event.alternatives[0].text


class TestLanguage:
    def test_english_only(self) -> None:
        assert PocketsphinxSTT(language="en-GB").vocabulary.key
        with pytest.raises(ConfigRefused, match="does not understand 'de'"):
            PocketsphinxSTT(language="de")
