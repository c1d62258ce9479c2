"""The offline recogniser on the simulated caller's voice, alone and in an AgentSession."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest
from livekit.agents import Agent, AgentSession, inference, stt

from runtime.errors import ConfigRefused
from runtime.voice.audio import PcmInput, PcmOutput, Samples, frame_of
from runtime.voice.local import espeak
from runtime.voice.local.stt import PocketsphinxSTT
from runtime.voice.local.tts import EspeakTTS
from tests.fakes.speech import take

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


async def hear(ear: PocketsphinxSTT, samples: Samples, rate: int) -> list[stt.SpeechEvent]:
    """Return the events of a caller who says `samples` between half seconds of silence."""
    quiet = np.zeros(rate // 2, dtype=np.int16)
    audio = np.concatenate((quiet, samples, quiet))
    async with ear.stream() as stream:
        for at in range(0, audio.size, rate // 50):
            stream.push_frame(frame_of(audio[at : at + rate // 50], rate))
        stream.end_input()
        return [event async for event in stream]


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
        assert finals(await hear(ear, take(text, rate), rate)) == text

    @pytest.mark.parametrize(
        "text",
        [
            "i want to cancel my contract",
            "what are your opening hours",
            "zero one zero nine five five",
            "my name is miller",
            "yes",
            "goodbye",
        ],
    )
    async def test_through_a_telephone(self, ear: PocketsphinxSTT, text: str) -> None:
        assert finals(await hear(ear, take(text, 8000), 8000)) == text

    @pytest.mark.parametrize("rate", [8000, 44100, 48000])
    async def test_a_recording_is_heard_the_same_each_time(self, ear: PocketsphinxSTT, rate: int) -> None:
        heard = {
            (e.alternatives[0].text, e.alternatives[0].confidence)
            for _ in range(3)
            for e in await hear(ear, take("goodbye", rate), rate)
            if e.type is stt.SpeechEventType.FINAL_TRANSCRIPT
        }
        assert len(heard) == 1

    async def test_order_of_events(self, ear: PocketsphinxSTT) -> None:
        events = await hear(ear, take("what are your opening hours", 16000), 16000)
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
        audio = take("yes please", 16000)
        async with ear.stream() as stream:
            stream.push_frame(frame_of(np.concatenate((np.zeros(8000, dtype=np.int16), audio)), 16000))
            stream.flush()
            async for event in stream:
                if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
                    assert event.alternatives[0].text == "yes please"
                    break

    async def test_two_utterances_are_two_finals(self, ear: PocketsphinxSTT) -> None:
        pause = np.zeros(16000, dtype=np.int16)
        audio = np.concatenate([take("yes please", 16000), pause, take("goodbye", 16000)])
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
        bicycle, order = take("send the blue bicycle", 16000), take("can you check my order", 16000)
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
        audio = np.concatenate((quiet, take("can you check my order", 16000), quiet))
        event = await ear.recognize(frame_of(audio, 16000))
        assert event.alternatives[0].text == "can you check my order"


@pytest.mark.live
async def test_a_turn_through_an_agent_session() -> None:
    source, heard = PcmInput(rate=16000), asyncio.Queue[str]()
    played: list[int] = []
    output = PcmOutput(lambda frame, _at: played.append(frame.samples_per_channel), rate=24000)
    session: AgentSession[None] = AgentSession(
        stt=PocketsphinxSTT(PHRASES, NAMES),
        tts=EspeakTTS(),
        vad=inference.VAD(),
        turn_handling={"turn_detection": "vad"},
        aec_warmup_duration=None,
    )
    session.on("user_input_transcribed", lambda event: heard.put_nowait(event.transcript) if event.is_final else None)
    session.input.audio, session.output.audio = source, output
    await session.start(Agent(instructions=""), record=False)
    try:
        await session.say("Hello, this is Acme.").wait_for_playout()
        assert 0.8 < sum(played) / 24000 < 3
        quiet = np.zeros(8000, dtype=np.int16)
        audio = np.concatenate((quiet, take("what are your opening hours", 16000), quiet, quiet))
        for at in range(0, audio.size, 320):
            source.push(audio[at : at + 320])
            await asyncio.sleep(0.018)
        async with asyncio.timeout(5):
            assert await heard.get() == "what are your opening hours"
    finally:
        source.close()
        await session.aclose()
        await output.aclose()


async def _finals_of(stream: stt.RecognizeStream) -> AsyncIterator[str]:
    async for event in stream:
        if event.type is stt.SpeechEventType.FINAL_TRANSCRIPT:
            yield event.alternatives[0].text


class TestLanguage:
    def test_english_only(self) -> None:
        assert PocketsphinxSTT(language="en-GB").vocabulary.key
        with pytest.raises(ConfigRefused, match="does not understand 'de'"):
            PocketsphinxSTT(language="de")
