"""STT, LLM, TTS, VAD and turn handling of a call, built from what each node's config names."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, TypeVar, cast

import structlog
from livekit.agents import APIConnectOptions, inference, llm, stt, tts, vad

from runtime.addresses import Allowed, nothing_private
from runtime.voice.chat_completions import OPTIONS, ChatModel
from runtime.voice.clients import (
    Server,
    behind_proxy,
    lease,
    lease_connections,
    release,
    release_connections,
    ssl_context,
)
from runtime.voice.local.rules import RulesLLM
from runtime.voice.local.stt import PocketsphinxSTT
from runtime.voice.local.tts import EspeakTTS
from runtime.voice.providers import LOCAL, Constructor, Kind, constructor, import_all, made, parameters, unknown_option
from runtime.voice.spoken import SpokenCache
from runtime.voice.vad import InlineVad
from runtime.voice.voice_keys import voice_key
from runtime.voice.wanted import Wanted, arguments, check_addresses, key_of, wanted
from runtime.workflow.config import LlmConfig, SttConfig, TtsConfig, VadConfig
from runtime.workflow.graph import Agent

__all__ = ["Providers", "Vocabulary", "connect_options", "turn_options", "warm"]

Json = Any
Llm: TypeAlias = llm.LLM[Any]
Stt: TypeAlias = stt.STT[Any]
Tts: TypeAlias = tts.TTS[Any]
Vad: TypeAlias = vad.VAD
Model: TypeAlias = Llm | Stt | Tts
Config: TypeAlias = LlmConfig | SttConfig | TtsConfig
Vocabulary: TypeAlias = Callable[[Agent], tuple[Sequence[str], Sequence[str]]]
"""Phrases and words a caller may say at an agent, for the local recogniser."""

K = TypeVar("K", bound=llm.LLM[Any] | stt.STT[Any] | tts.TTS[Any])

_OWN_BYTES = 8 * 2**20
_LOCAL_VADS = frozenset({"silero", LOCAL, "inference"})

_log = structlog.get_logger("pipeline")


def _nothing(_agent: Agent) -> tuple[Sequence[str], Sequence[str]]:
    return (), ()


class Providers:
    """The providers of one call. Nodes with equal config share an object; two calls never do.

    LiveKit's objects leak usage and errors between sessions that share them, so only HTTP clients and weights are
    shared underneath. All methods need a running event loop and none of them touches the network:
    `prewarm()` of what they return does, which LiveKit calls when a session starts and when a node brings other models.

    They raise `ProviderMissing` for a plugin or key that is not there, ConfigRefused for what a provider cannot do.
    """

    def __init__(  # noqa: PLR0913 - what a call brings along, each by name
        self,
        *,
        offline: bool = False,
        secrets: Mapping[str, str] | None = None,
        stored: bool = True,
        allowed: Allowed = nothing_private,
        vocabulary: Vocabulary = _nothing,
        spoken: SpokenCache | None = None,
        organization_id: str = "",
    ) -> None:
        """Put local providers in place of all others where `offline`.

        `stored`: the configs come from the store, so a server that one names gets no key of this process and must be
        public or `allowed`. A file run by hand may name any server and use the environment's key.
        `spoken`: texts that calls share as sound; `own_spoken` is for those with values of this call in them.
        `organization_id`: whose accounts the configs' own keys open.
        """
        self.offline = offline
        self._secrets = secrets or {}
        self._stored = stored
        self._allowed = allowed
        self._vocabulary = vocabulary
        self.spoken = SpokenCache() if spoken is None else spoken
        self.own_spoken = SpokenCache(most_bytes=_OWN_BYTES)
        self._organization_id = organization_id
        self._made: dict[str, Json] = {}
        self._closable: list[Model] = []
        self._leases: list[Callable[[], Awaitable[None]]] = []

    def llm(self, agent: Agent) -> Llm:
        """Return the agent's language model; one with fallbacks goes on to the next after `timeout_s`."""
        config = LlmConfig(provider=LOCAL) if self.offline else agent.llm
        return cast("Llm", self._once("llm", config, (), lambda: self._chain("llm", agent, config)))

    def stt(self, agent: Agent) -> Stt:
        """Return the agent's speech to text."""
        config = SttConfig(provider=LOCAL) if self.offline else agent.stt
        is_local = any(each.provider == LOCAL for each in (config, *config.fallbacks))
        spoken = (agent.language, *(self._vocabulary(agent) if is_local else ()))
        return cast("Stt", self._once("stt", config, spoken, lambda: self._chain("stt", agent, config)))

    def tts(self, agent: Agent) -> Tts:
        """Return the agent's text to speech."""
        config = self._tts_config(agent)
        spoken = (agent.language,)
        return cast("Tts", self._once("tts", config, spoken, lambda: self._chain("tts", agent, config)))

    def voice_key(self, agent: Agent) -> str:
        """Return a name for the agent's voice: agents and calls with the same one sound the same."""
        return voice_key(self._tts_config(agent), agent.language, self._organization_id)

    def _tts_config(self, agent: Agent) -> TtsConfig:
        return TtsConfig(provider=LOCAL, speed=agent.tts.speed) if self.offline else agent.tts

    def vad(self, agent: Agent) -> Vad:
        """Return the agent's voice activity detection; none named means the bundled Silero."""
        config = agent.vad if agent.vad.provider and not self.offline else VadConfig(provider="silero")
        return cast("Vad", self._once("vad", config, (), lambda: self._vad(agent, config)))

    async def aclose(self) -> None:
        """Close everything that was made and give the HTTP clients back. Safe to call twice."""
        closable, self._closable = self._closable, []
        leases, self._leases = self._leases, []
        self._made.clear()
        for provider in reversed(closable):
            try:
                await provider.aclose()
            except Exception:  # noqa: BLE001 - a plugin may raise anything, and the others are still to be closed
                _log.exception("provider_not_closed", provider=provider.label)
        for give_back in leases:
            await give_back()

    def _once(self, kind: Kind, config: Config | VadConfig, beside: tuple[Json, ...], make: Callable[[], Json]) -> Json:
        key = json.dumps([kind, config.model_dump(mode="json"), beside], sort_keys=True, default=str)
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _chain(self, kind: Kind, agent: Agent, config: Config) -> Model:
        chain = [self._one(kind, agent, each) for each in (config, *config.fallbacks)]
        return chain[0] if len(chain) == 1 else self._kept(self._adapter(agent, chain))

    def _adapter(self, agent: Agent, chain: Sequence[Json]) -> Model:
        match chain[0]:
            case llm.LLM():
                return llm.FallbackAdapter(list(chain), attempt_timeout=agent.llm.timeout_s)
            case stt.STT():
                return stt.FallbackAdapter(list(chain), vad=self.vad(agent))
            case _:
                return tts.FallbackAdapter(list(chain))

    def _one(self, kind: Kind, agent: Agent, config: Config) -> Model:
        ask = wanted(f"{kind} of agent '{agent.name}'", kind, config, agent.language)
        if ask.provider == LOCAL:
            return self._kept(made(ask.place, LOCAL, lambda: self._local(ask, agent)))
        foreign = self._stored and bool(ask.addresses())
        if foreign:
            check_addresses(ask, self._allowed)
        make = constructor(kind, ask.provider)
        given = arguments(ask, make, key_of(ask, self._secrets), foreign=foreign)
        return self._kept(made(ask.place, ask.provider, lambda: self._constructed(ask, make, given, foreign=foreign)))

    def _constructed(self, ask: Wanted, make: Constructor, given: dict[str, Json], *, foreign: bool) -> Model:
        if ask.provider != "openai":
            return cast("Model", make(**given))
        server = Server(given.pop("base_url", None), given.pop("api_key", None), self._allowed if foreign else None)
        if ask.kind == "llm" and given.keys() <= OPTIONS and not behind_proxy(server):
            connections = lease_connections(server)
            self._leases.append(partial(release_connections, server))
            return ChatModel(connections, given)
        client = lease(server)
        self._leases.append(partial(release, server))
        return cast("Model", make(**given, client=client))

    def _local(self, ask: Wanted, agent: Agent) -> Model:
        language = agent.language
        match ask.kind:
            case "llm":
                return RulesLLM(**_checked(ask, RulesLLM))
            case "stt":
                phrases, words = self._vocabulary(agent)
                heard = (*phrases, *ask.keyterms)
                return PocketsphinxSTT(heard, words, language=language, **_checked(ask, PocketsphinxSTT))
            case _:
                return EspeakTTS(voice=ask.voice, speed=ask.speed, language=language, **_checked(ask, EspeakTTS))

    def _vad(self, agent: Agent, config: VadConfig) -> Vad:
        ask = wanted(f"vad of agent '{agent.name}'", "vad", config, agent.language)
        bundled = parameters(inference.VAD) or frozenset()
        if ask.provider in _LOCAL_VADS and (ask.provider != "silero" or ask.options.keys() <= bundled):
            options = _checked(ask, inference.VAD)
            return made(ask.place, ask.provider, lambda: InlineVad(**options))
        make = constructor("vad", ask.provider)
        options = _checked(ask, make)
        return cast("Vad", made(ask.place, ask.provider, lambda: make(**options)))

    def _kept(self, provider: K) -> K:
        self._closable.append(provider)
        return provider


def connect_options(agent: Agent) -> APIConnectOptions:
    """Return how long a request to the agent's language model may take, and how often it is tried again.

    LiveKit reads this once a session, from the AgentSession; a node's own `timeout_s` is handed to `LLM.chat`.
    """
    return APIConnectOptions(max_retry=0 if agent.llm.fallbacks else 1, retry_interval=0.2, timeout=agent.llm.timeout_s)


def turn_options(agent: Agent, *, offline: bool = False) -> dict[str, Any]:
    """Return the agent's turn handling in LiveKit's words: `turn_detection`, `endpointing`, `interruption`, ….

    `offline`: the local recogniser tells no end of turn, so the voice activity does.
    """
    endpointing, interruption = agent.turn.endpointing, agent.turn.interruption
    by_itself = offline or agent.turn.detection == "auto"
    return {
        # Absent or None would load 244 MB of end-of-turn weights.
        "turn_detection": "vad" if by_itself else agent.turn.detection,
        "endpointing": {
            "mode": "fixed",
            "min_delay": endpointing.min_delay_s,
            "max_delay": max(endpointing.min_delay_s, endpointing.max_delay_s),
        },
        "interruption": {
            "enabled": interruption.enabled,
            "mode": "vad",  # the other one asks LiveKit's cloud
            # What is said into a sentence that goes on is answered after it (voice/bridge.py).
            "discard_audio_if_uninterruptible": False,
            "min_duration": interruption.min_duration_s,
            "min_words": interruption.min_words,
            "resume_false_interruption": interruption.resume_after_s > 0,
            "false_interruption_timeout": interruption.resume_after_s or None,
        },
        # LiveKit's own asks before the rules have heard of the turn; ours asks them first (voice/early.py).
        "preemptive_generation": {"enabled": False},
    }


def warm(*, local: bool = False, plugins: bool = True) -> None:
    """Import and load what would make the first call slow, the `local` recogniser's words too where it is used.

    To be called on the main thread, before any call. LiveKit lets a plugin be imported there only: without `plugins`,
    whoever loads a config has those that it names imported (`runtime.voice.plugins`).
    """
    if plugins:
        import_all()
    inference.VAD()
    ssl_context()
    if local:
        PocketsphinxSTT(("yes",))


def _checked(ask: Wanted, make: Constructor) -> dict[str, Json]:
    known = (parameters(make) or frozenset()) - _OURS
    if strange := [name for name in ask.options if name not in known]:
        raise unknown_option(ask.place, strange[0], known)
    return dict(ask.options)


_OURS = frozenset({"phrases", "words", "language", "voice", "speed"})
