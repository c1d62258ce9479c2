"""The recordings say what the runtime's texts say, in every language."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.voice.apologies import FOLDER, recording
from runtime.voice.apologies.render import encoded, recorded, wanted
from runtime.voice.phrases import LANGUAGES, PHRASES, Phrase, base_language, phrase, phrase_of


def test_files_and_texts_agree() -> None:
    assert recorded() == wanted(), "record them anew: python -m runtime.voice.apologies.render"
    assert {file.name for file in FOLDER.glob("*.ogg")} == set(wanted())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", PHRASES)
def test_each_is_speech_of_its_texts_length(name: Phrase, language: str) -> None:
    heard = recording(name, language)
    assert 6 < len(phrase(name, language)) / heard.seconds < 30
    assert int(np.abs(heard.samples.astype(np.int32)).max()) > 3000


def test_they_are_small() -> None:
    assert sum(file.stat().st_size for file in FOLDER.glob("*.ogg")) < 800_000


@pytest.mark.parametrize(("tag", "base"), [("de-AT", "de"), ("fr_CA", "fr"), ("EN", "en"), ("nl", "en"), ("", "en")])
def test_languages(tag: str, base: str) -> None:
    assert base_language(tag) == base
    assert phrase("not_heard", tag) == phrase("not_heard", base)


def test_a_phrase_is_known_by_its_words() -> None:
    assert phrase_of(" One moment please ", "en") == "filler"
    assert phrase_of("One moment", "en") is None


def test_a_recording_keeps_its_length() -> None:
    samples = (np.sin(np.arange(16000) / 10) * 8000).astype(np.int16)
    assert len(encoded(samples)) < 16000
