"""Which LiveKit plugins are installed, told without importing any: LiveKit costs seconds, and most faults need none of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from importlib.metadata import distributions

from runtime.workflow.validation.catalogues import KINDS, KNOWN_PROVIDERS, ProviderKind

__all__ = ["PluginsByName", "installed_plugins"]

_PREFIX = "livekit-plugins-"
_ALWAYS = frozenset({"inference", "local"})


def installed_plugins() -> dict[str, str]:
    """Return, by provider name, the version of every `livekit-plugins-<name>` of this environment."""
    found = {}
    for distribution in distributions():
        name = (distribution.metadata["Name"] or "").lower().replace("_", "-")
        if name.startswith(_PREFIX):
            found[name.removeprefix(_PREFIX)] = distribution.version
    return found


class PluginsByName:
    """A `ProviderCatalogue` of this environment; a plugin is imported only when a config gives it options."""

    @cached_property
    def _installed(self) -> frozenset[str]:
        return frozenset(installed_plugins())

    def providers(self, kind: ProviderKind) -> Collection[str]:
        """Return the known names and those of installed plugins that no list knows."""
        named = frozenset().union(*(KNOWN_PROVIDERS[each] for each in KINDS))
        return KNOWN_PROVIDERS[kind] | (self._installed - named)

    def is_installed(self, kind: ProviderKind, provider: str) -> bool:
        return provider in _ALWAYS or (provider in self._installed and provider in self.providers(kind))

    def parameters(self, kind: ProviderKind, provider: str) -> Collection[str]:
        """Return the constructor's parameters, looked up when somebody looks into them."""
        return _Parameters(kind, provider)


class _Parameters(Collection[str]):
    """Every name is one where the constructor takes any."""

    def __init__(self, kind: ProviderKind, provider: str) -> None:
        self._kind: ProviderKind = kind
        self._provider = provider

    @cached_property
    def _names(self) -> Collection[str] | None:
        # It imports LiveKit and the plugin, which takes seconds.
        from runtime.voice.catalogue import provider_catalogue  # noqa: PLC0415

        return provider_catalogue().parameters(self._kind, self._provider)

    def __contains__(self, name: object) -> bool:
        return self._names is None or name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names or ())

    def __len__(self) -> int:
        return len(self._names or ())
