"""What a node's config asks of a provider, and the constructor arguments it comes to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any
from urllib.parse import urlsplit

from runtime.addresses import Allowed, may_reach
from runtime.errors import ConfigRefused, ProviderMissing
from runtime.voice.clients import NO_KEY
from runtime.voice.providers import INFERENCE, Constructor, Kind, parameters, unknown_option
from runtime.workflow.config import LlmConfig, SttConfig, TtsConfig, VadConfig
from runtime.workflow.templates import TemplateFault, compile_template

__all__ = ["Wanted", "arguments", "check_addresses", "key_of", "wanted"]

Json = Any

_VOICES = ("voice", "voice_id", "voice_name", "speaker", "model")
_LANGUAGES = ("language", "languages", "language_code")
_KEYTERMS = ("keyterms", "keyterms_prompt", "keyterm", "keywords")
_HINTED_MODELS = ("gpt-transcribe", "gpt-live-transcribe")
_ADDRESS = re.compile(r"(?:^|_)(?:url|uri|endpoint|host|hostname|proxy|server)$")
_PORTS = {"http": 80, "ws": 80, "https": 443, "wss": 443}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One provider as a config names it; `place` is for people, such as `stt of agent 'Intake'`.

    `base_url` and `api_key` (a template) come from their own keys or, where a kind has none, from `options`.
    """

    place: str
    kind: Kind
    provider: str
    model: str | None = None
    voice: str | None = None
    language: str | None = None
    speed: float = 1.0
    keyterms: tuple[str, ...] = ()
    base_url: str | None = None
    api_key: str | None = None
    options: Mapping[str, Json] = field(default_factory=dict)

    def addresses(self) -> tuple[str, ...]:
        """Return every address the config itself names, in `base_url` or anywhere in `options`."""
        return (*((self.base_url,) if self.base_url else ()), *_addresses("", self.options))


def wanted(place: str, kind: Kind, config: LlmConfig | SttConfig | TtsConfig | VadConfig, language: str) -> Wanted:
    """Return what `config` asks for. Raises ConfigRefused where it names no provider."""
    if config.provider is None:
        raise ConfigRefused(
            f"The {place} names no provider.",
            remedy=f"Set {kind}.provider at the agent or in defaults, or run with --offline.",
        )
    given = dict(config.options)
    base_url, api_key = _text(given.pop("base_url", None)), _text(given.pop("api_key", None))
    model = _text(given.pop("model", None))
    plain = Wanted(place, kind, config.provider, base_url=base_url, api_key=api_key, model=model, options=given)
    match config:
        case LlmConfig():
            return replace(
                plain,
                model=config.model or model,
                base_url=config.base_url or base_url,
                api_key=config.api_key or api_key,
            )
        case SttConfig():
            return replace(plain, model=config.model or model, keyterms=config.keyterms, language=language)
        case TtsConfig():
            return replace(plain, voice=config.voice_id, speed=config.speed, language=language)
        case VadConfig():
            return plain


def key_of(ask: Wanted, secrets: Mapping[str, str]) -> str | None:
    """Return the key of the config itself, rendered; None where it brings none.

    Raises `ProviderMissing` for a secret that is not set, ConfigRefused for a text that is no template.
    """
    if ask.api_key is None:
        return None
    template = compile_template(ask.api_key)
    if isinstance(template, TemplateFault):
        raise ConfigRefused(f"The api_key of the {ask.place} is no template: {template.message}.", remedy="Correct it.")
    names = [name.removeprefix("secrets.") for name in template.names]
    if missing := [name for name in names if not secrets.get(name)]:
        raise ProviderMissing(
            f"The {ask.place} has no key: the secret '{missing[0]}' is not set.",
            remedy=f"Set it: patchbay secret set {missing[0]}, or run with --offline.",
        )
    return template.render({"secrets": secrets}).strip() or None


def check_addresses(ask: Wanted, allowed: Allowed) -> None:
    """Refuse an address that a stored config names and that could only be a private one. Looks nothing up."""
    for address in ask.addresses():
        parts = urlsplit(address if "://" in address else f"https://{address}")
        try:
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError):
            raise ConfigRefused(
                f"The {ask.place} names '{address}', which is no address.", remedy="Use https://…."
            ) from None
        if not parts.hostname or not may_reach(parts.hostname, port, allowed):
            raise ConfigRefused(
                f"The {ask.place} leads to {parts.hostname}:{port}, which is private.",
                remedy="The operator may name it in PATCHBAY_ALLOW_PRIVATE_HOSTS.",
            )


def arguments(ask: Wanted, make: Constructor, key: str | None, *, foreign: bool) -> dict[str, Json]:
    """Return the constructor's arguments.

    `foreign`: a stored config names the server, so a key of the worker's own must not be used in place of a missing
    one. Raises ConfigRefused for what the constructor does not take.
    """
    known = parameters(make)
    options = _options(ask, known)
    given = {**_named(ask, make, known), **options}
    if ask.base_url is not None:
        given[_required(ask, known, "base_url")] = ask.base_url
    if key is not None:
        given[_required(ask, known, "api_key")] = key
    if foreign:
        _required(ask, known, "api_key")
        given |= {name: NO_KEY for name in ("api_key", "api_secret") if _takes(known, name) and name not in given}
    return given


def _named(ask: Wanted, make: Constructor, known: frozenset[str] | None) -> dict[str, Json]:
    given: dict[str, Json] = {}
    if ask.model is not None:
        given[_required(ask, known, "model")] = ask.model
    if ask.voice is not None:
        given[_voice_name(ask, known)] = ask.voice
    if ask.speed != 1.0:
        given[_required(ask, known, "speed")] = ask.speed
    if ask.language is not None and (name := _first(_LANGUAGES, known)) and not _speaks(make, name, ask.language):
        given[name] = ask.language
    return given | _keyterms(ask, known)


def _voice_name(ask: Wanted, known: frozenset[str] | None) -> str:
    if ask.provider == INFERENCE and ask.model is None and "/" in (ask.voice or ""):
        return "model"  # the gateway's own form: provider/model:voice
    name = _first(_VOICES, known)
    if name is None:
        raise ConfigRefused(f"The {ask.place} cannot be given a voice_id.", remedy="Leave it out.")
    return name


def _keyterms(ask: Wanted, known: frozenset[str] | None) -> dict[str, Json]:
    terms = list(ask.keyterms)
    name = _first(_KEYTERMS, known)
    if not terms or name is None:
        return {}
    if ask.provider == "openai" and not (ask.model or "").startswith(_HINTED_MODELS):
        return {"prompt": ", ".join(terms)}  # its other models refuse keywords, and take the words as a prompt
    return {name: terms}


def _options(ask: Wanted, known: frozenset[str] | None) -> dict[str, Json]:
    options = dict(ask.options)
    strange = [] if known is None else [name for name in options if name not in known]
    if not strange:
        return options
    if ask.provider != INFERENCE:
        raise unknown_option(ask.place, strange[0], known or frozenset())
    extra = {**options.pop("extra_kwargs", {}), **{name: options.pop(name) for name in strange}}
    return {**options, "extra_kwargs": extra}  # the gateway hands them to the model behind it


def _speaks(make: Constructor, name: str, language: str) -> bool:
    """Tell whether the constructor's own default is that language already, with more detail (`en-US` for `en`)."""
    parameter = signature(make).parameters.get(name)
    default = parameter.default if parameter is not None else None
    return isinstance(default, str) and default.casefold().startswith(language.casefold())


def _required(ask: Wanted, known: frozenset[str] | None, name: str) -> str:
    if _takes(known, name):
        return name
    raise ConfigRefused(
        f"The {ask.place} takes no {name}: the provider '{ask.provider}' has none.", remedy="Leave it out."
    )


def _takes(known: frozenset[str] | None, name: str) -> bool:
    return known is None or name in known


def _first(names: Sequence[str], known: frozenset[str] | None) -> str | None:
    return next((name for name in names if _takes(known, name)), None)


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _addresses(name: str, value: Json) -> Iterator[str]:
    match value:
        case str():
            if "://" in value or _ADDRESS.search(name.casefold()):
                yield value
        case Mapping():
            for key, inner in value.items():
                yield from _addresses(str(key), inner)
        case Iterable():
            for inner in value:
                yield from _addresses(name, inner)
        case _:
            return
