"""What validation asks about providers, answered from the plugins that are installed here."""

from __future__ import annotations

from collections.abc import Collection
from importlib.util import find_spec

from runtime.errors import PatchbayError
from runtime.voice.local.rules import RulesLLM
from runtime.voice.local.stt import PocketsphinxSTT
from runtime.voice.local.tts import EspeakTTS
from runtime.voice.providers import INFERENCE, LOCAL, Constructor, Kind, constructor, installed, parameters
from runtime.workflow.validation.catalogues import KINDS, KNOWN_PROVIDERS

__all__ = ["InstalledProviders", "provider_catalogue"]

_LOCALS: dict[Kind, Constructor] = {"llm": RulesLLM, "stt": PocketsphinxSTT, "tts": EspeakTTS}
_PACKAGES: dict[Kind, str] = {"stt": "pocketsphinx", "tts": "espeakng_loader"}


class InstalledProviders:
    """The `ProviderCatalogue` of this process. A plugin is imported when it is first asked about."""

    def providers(self, kind: Kind) -> Collection[str]:
        """Return the known names and those of installed plugins that no list knows."""
        named = frozenset().union(*(KNOWN_PROVIDERS[each] for each in KINDS))
        return KNOWN_PROVIDERS[kind] | (frozenset(installed()) - named)

    def is_installed(self, kind: Kind, provider: str) -> bool:
        """Tell whether the plugin is there and makes a `kind`; `local` needs its extra."""
        if provider == LOCAL:
            return (package := _PACKAGES.get(kind)) is None or find_spec(package) is not None
        return _constructor(kind, provider) is not None

    def parameters(self, kind: Kind, provider: str) -> Collection[str] | None:
        """Return the constructor's parameters; None where they are not known, or where it takes any."""
        make = _constructor(kind, provider)
        if make is None or provider == INFERENCE:
            return None
        known = parameters(make)
        if kind == "vad" and provider == "silero" and known is not None:
            return known | (parameters(constructor(kind, INFERENCE)) or frozenset())
        return known


def provider_catalogue() -> InstalledProviders:
    """Return the catalogue that `validate` is given where a call may be started."""
    return InstalledProviders()


def _constructor(kind: Kind, provider: str) -> Constructor | None:
    if provider == LOCAL:
        return _LOCALS.get(kind) or constructor(kind, INFERENCE)
    try:
        return constructor(kind, provider)
    except PatchbayError:
        return None
