"""The models of what an agent hears, thinks and speaks with; each key may be left to `defaults`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from runtime.docstrings import describe_fields

__all__ = [
    "ConfigModel",
    "Coordinate",
    "Count",
    "Duration",
    "Endpointing",
    "Flag",
    "Interruption",
    "LlmConfig",
    "Positive",
    "Seconds",
    "SttConfig",
    "TtsConfig",
    "TurnConfig",
    "VadConfig",
    "Whole",
]

# JSON knows what it means: "5" is no number and 1 is no boolean, so nothing is coerced.
Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=0)]
Positive = Annotated[int, Field(strict=True, ge=1)]
Coordinate = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Seconds = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0)]
Duration = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0)]
Options: TypeAlias = dict[str, Any]


class ConfigModel(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        protected_namespaces=(),
        json_schema_extra=describe_fields,
        hide_input_in_errors=True,
    )


class LlmConfig(ConfigModel):
    """A language model. A key that is not set comes from `defaults.llm`."""

    provider: str | None = None
    """A LiveKit plugin's name (`livekit-plugins-<provider>`), `inference` or `local`."""
    model: str | None = None
    base_url: str | None = None
    """Any OpenAI-compatible server."""
    api_key: str | None = None
    """A Liquid template that may read `secrets.*`; unset: the plugin's own environment variable."""
    options: Options = Field(default_factory=dict)
    """Parameters of the plugin's constructor."""
    timeout_s: Duration = 10
    fallbacks: tuple[LlmConfig, ...] = ()


class SttConfig(ConfigModel):
    """Speech to text. A key that is not set comes from `defaults.stt`."""

    provider: str | None = None
    model: str | None = None
    keyterms: tuple[str, ...] = ()
    """Words the recogniser is told to expect."""
    options: Options = Field(default_factory=dict)
    fallbacks: tuple[SttConfig, ...] = ()


class TtsConfig(ConfigModel):
    """Text to speech. A key that is not set comes from `defaults.tts`."""

    provider: str | None = None
    voice_id: str | None = None
    speed: Duration = 1.0
    """1.0 is the voice's own pace."""
    pronunciations: dict[str, str] = Field(default_factory=dict)
    """Written form to what is spoken."""
    options: Options = Field(default_factory=dict)
    fallbacks: tuple[TtsConfig, ...] = ()


class VadConfig(ConfigModel):
    """Voice activity detection. A key that is not set comes from `defaults.vad`."""

    provider: str | None = None
    options: Options = Field(default_factory=dict)


class Endpointing(ConfigModel):
    """When the caller's turn is over, in seconds of silence."""

    min_delay_s: Seconds = 0.3
    max_delay_s: Seconds = 2.5
    dictation_delay_s: Seconds = 1.5
    """Patience while a number, a name or an address is being dictated."""


class Interruption(ConfigModel):
    """When the caller's words cut the agent off."""

    enabled: Flag = True
    min_duration_s: Seconds = 0.5
    min_words: Count = 0
    ignore: tuple[str, ...] = ()
    """Words that never interrupt, such as `mm-hm`."""
    resume_after_s: Seconds = 1.5


class TurnConfig(ConfigModel):
    """Turn taking. A key that is not set comes from `defaults.turn`."""

    detection: Literal["auto", "vad", "stt"] = "auto"
    endpointing: Endpointing = Field(default_factory=Endpointing)
    interruption: Interruption = Field(default_factory=Interruption)
    preemptive: Flag = True
    """Whether the model is asked before the turn is known to be over; nothing of it is heard or done until then."""
