"""Plugins that cannot be imported, and the catalogue of those that can."""

from __future__ import annotations

import importlib

import pytest

from runtime.errors import ProviderMissing
from runtime.voice import pipeline, providers
from runtime.voice.catalogue import provider_catalogue


def test_a_broken_plugin_is_left_out_when_warming(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str) -> None:
        raise ImportError("libfoo.so")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(ProviderMissing, match="libfoo"):
        providers.constructor("llm", "openai")
    pipeline.warm()


def test_a_plugin_first_imported_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    def threaded(_name: str) -> None:
        raise RuntimeError("Plugins must be registered on the main thread")

    monkeypatch.setattr(importlib, "import_module", threaded)
    with pytest.raises(ProviderMissing, match="main thread"):
        providers.constructor("llm", "openai")


def test_the_catalogue() -> None:
    catalogue = provider_catalogue()
    assert {"openai", "inference", "local", "cartesia"} <= set(catalogue.providers("tts"))
    assert catalogue.is_installed("llm", "openai")
    assert not catalogue.is_installed("llm", "silero")
    assert not catalogue.is_installed("tts", "cartesia")
    assert catalogue.is_installed("stt", "local")
    assert "temperature" in set(catalogue.parameters("llm", "openai") or ())
    assert {"sample_rate", "min_silence_duration"} <= set(catalogue.parameters("vad", "silero") or ())
    assert catalogue.parameters("llm", "inference") is None
    assert catalogue.parameters("tts", "cartesia") is None
    assert "delay_s" in set(catalogue.parameters("llm", "local") or ())
