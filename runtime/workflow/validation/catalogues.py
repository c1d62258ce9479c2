"""What validation asks about the world outside the file: providers and tools; with the lists used when nobody answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias

__all__ = [
    "BUILT_IN_TOOLS",
    "KINDS",
    "KNOWN_PROVIDERS",
    "BuiltInTools",
    "KnownProviders",
    "ProviderCatalogue",
    "ProviderKind",
    "ToolCatalogue",
]

ProviderKind: TypeAlias = Literal["llm", "stt", "tts", "vad"]
KINDS: tuple[ProviderKind, ...] = ("llm", "stt", "tts", "vad")


class ProviderCatalogue(Protocol):
    """What is known of LiveKit's plugins, and which of them are installed here."""

    def providers(self, kind: ProviderKind) -> Collection[str]:
        """Return the name of every provider there is for `kind`, installed or not."""
        ...

    def is_installed(self, kind: ProviderKind, provider: str) -> bool: ...

    def parameters(self, kind: ProviderKind, provider: str) -> Collection[str] | None:
        """Return the names of the constructor's parameters; None where they are not known or it takes any."""
        ...


class ToolCatalogue(Protocol):
    """The registered tools."""

    def tool_types(self) -> Collection[str]: ...

    def config_faults(self, tool_type: str, config: Mapping[str, Any]) -> Sequence[tuple[tuple[str | int, ...], str]]:
        """Return what does not fit the tool's schema: the location inside `config`, and a sentence."""
        ...


BUILT_IN_TOOLS = (
    "end_call",
    "http_request",
    "knowledge_search",
    "mcp",
    "remember",
    "send_dtmf",
    "supabase_query",
    "supabase_rpc",
    "transfer_call",
    "wait",
    "webhook",
)

_HERE = "inference local"
_ALL_THREE = """
    aws azure baseten bland fireworksai gnani google gradium groq inworld meta microsoft-ai minimax-ai mistralai nvidia
    openai palabra phonic sarvam simplismart slng smallestai telnyx thunderphone ultravox upliftai xai
    aliyun alicloud bytedance stepfun tencent volcengine zhipu
"""
KNOWN_PROVIDERS: Mapping[ProviderKind, frozenset[str]] = {
    "llm": frozenset(
        f"{_HERE} {_ALL_THREE} anthropic cerebras dify difyai langchain langgraph llama-index perplexity n8n".split()
    ),
    "stt": frozenset(
        f"{_HERE} {_ALL_THREE} assemblyai bodhi cartesia clova deepgram elevenlabs fal gladia googlesr "
        "lehui munsit nabrah pyai quickdial reson8 rtzr shunyalabs soniox speechmatics spitch talklabs "
        "voho voxist xunfei".split()
    ),
    "tts": frozenset(
        f"{_HERE} {_ALL_THREE} asyncai bodhi boson cambai cartesia clevrlabs deepgram elevenlabs faseeh "
        "fishaudio flashtts gandr hume lehui lmnt minimax munsit murf neuphonic piper-tts playai pocket "
        "pyai quickdial readaloud resemble respeecher rime rumik shunyalabs silma soniox sonex speechify "
        "speechmatics spitch sub200 talklabs uplift vakyam voho xtts xunfei".split()
    ),
    "vad": frozenset(f"{_HERE} silero tenvad alkove".split()),
}
"""The names in `livekit-plugins-<name>` as of LiveKit agents 1.8, from the package index."""


class KnownProviders:
    """Every plugin that is known by name counts as installed, with any option."""

    def providers(self, kind: ProviderKind) -> Collection[str]:
        return KNOWN_PROVIDERS[kind]

    def is_installed(self, kind: ProviderKind, provider: str) -> bool:
        return provider in KNOWN_PROVIDERS[kind]

    def parameters(self, kind: ProviderKind, provider: str) -> Collection[str] | None:  # noqa: ARG002 - the Protocol's
        return None


class BuiltInTools:
    """The built-in tools by name, with any config."""

    def tool_types(self) -> Collection[str]:
        return BUILT_IN_TOOLS

    def config_faults(self, tool_type: str, config: Mapping[str, Any]) -> Sequence[tuple[tuple[str | int, ...], str]]:  # noqa: ARG002 - the Protocol's
        return ()
