"""LiveKit's plugins by name: their constructors, what these take, and what they say when something is missing."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pkgutil
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, TypeAlias, TypeVar

import livekit.plugins
import structlog
from livekit.agents import inference

from runtime.errors import ConfigRefused, PatchbayError, ProviderMissing
from runtime.workflow.faults import listed, nearest

__all__ = [
    "INFERENCE",
    "LOCAL",
    "Constructor",
    "Kind",
    "constructor",
    "import_all",
    "installed",
    "made",
    "module_of",
    "parameters",
    "unknown_option",
]

Kind: TypeAlias = Literal["llm", "stt", "tts", "vad"]
Constructor: TypeAlias = Callable[..., Any]
T = TypeVar("T")

LOCAL, INFERENCE = "local", "inference"

_CLASSES: dict[Kind, str] = {"llm": "LLM", "stt": "STT", "tts": "TTS", "vad": "VAD"}
_GATEWAY: dict[Kind, Constructor] = {
    "llm": inference.LLM,
    "stt": inference.STT,
    "tts": inference.TTS,
    "vad": inference.VAD,
}
_NAME = re.compile(r"[a-z0-9]+(?:[-_][a-z0-9]+)*")
# Given by us or by nobody.
_NOT_OPTIONS = frozenset({"self", "cls", "client", "http_client", "http_session", "executor", "loop", "vad"})
_CREDENTIALS = re.compile(r"api.?(?:key|secret)|credential|access.?token", re.IGNORECASE)
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:KEY|SECRET|TOKEN|CREDENTIALS)\b")

_log = structlog.get_logger("providers")


def installed() -> tuple[str, ...]:
    """Return the names of the plugins that are installed, as a config writes them."""
    modules = pkgutil.iter_modules(livekit.plugins.__path__)
    return tuple(sorted(module.name.replace("_", "-") for module in modules))


def module_of(provider: str) -> str:
    """Return the module of a provider's plugin, installed or not."""
    return f"livekit.plugins.{provider.replace('-', '_')}"


def constructor(kind: Kind, provider: str) -> Constructor:
    """Return what makes a `kind` of `provider`: the plugin's class, or `load` where the class has one.

    The first call imports the plugin, which LiveKit allows on the main thread only: `import_all` does it beforehand, and
    `plugins.import_named` for one config.
    Raises `ProviderMissing` for a plugin that is not installed, ConfigRefused for one that makes no `kind`.
    """
    if provider == INFERENCE:
        return _GATEWAY[kind]
    found = getattr(_plugin(provider), _CLASSES[kind], None)
    if found is None:
        raise ConfigRefused(f"The provider '{provider}' has no {kind}.", remedy=f"Name another provider for {kind}.")
    loader: Constructor = getattr(found, "load", found) if kind == "vad" else found
    return loader


def parameters(make: Constructor) -> frozenset[str] | None:
    """Return the options a constructor takes; None where it takes any."""
    signature = inspect.signature(make)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values()):
        return None
    return frozenset(name for name in signature.parameters if not name.startswith("_")) - _NOT_OPTIONS


def import_all() -> None:
    """Import every installed plugin; one that cannot be imported is reported in the log and left out."""
    for provider in installed():
        try:
            _plugin(provider)
        except PatchbayError as fault:
            _log.warning("plugin_unusable", provider=provider, reason=fault.message)


def made(place: str, provider: str, make: Callable[[], T]) -> T:
    """Return what `make` constructs; `place` is where the provider is named, such as `llm of agent 'Intake'`.

    Raises `ProviderMissing` where a key is missing, ConfigRefused for anything else a constructor does not like.
    """
    try:
        return make()
    except PatchbayError:
        raise
    except Exception as error:
        raise _translated(place, provider, error) from error


def unknown_option(place: str, name: str, known: frozenset[str]) -> ConfigRefused:
    """Return the fault for an option that a constructor does not take."""
    near = nearest(name, known)
    remedy = f"Did you mean '{near}'?" if near else f"Options: {listed(sorted(known), most=30)}."
    return ConfigRefused(f"The option '{name}' of the {place} does not exist.", remedy=remedy)


def _plugin(provider: str) -> ModuleType:
    # The name becomes part of a module's path and of an install command: nothing but a plain name may pass.
    if not _NAME.fullmatch(provider):
        raise ConfigRefused(
            f"'{provider[:80]}' is no provider's name.",
            remedy=f"Providers: {listed((*installed(), INFERENCE, LOCAL))}.",
        )
    module = module_of(provider)
    if importlib.util.find_spec(module) is None:
        raise _not_installed(provider)
    try:
        return importlib.import_module(module)
    except RuntimeError as error:  # LiveKit's: plugins register themselves on the main thread
        raise ProviderMissing(
            f"The plugin of the provider '{provider}' was not imported when the process started: {error}.",
            remedy="Restart the worker.",
        ) from error
    except (Exception, SystemExit) as error:  # a package's own fault, whatever it raises
        why = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise ProviderMissing(
            f"The plugin of the provider '{provider}' cannot be imported: {why}.",
            remedy=f"Install it again: pip install livekit-plugins-{provider}",
        ) from error


def _not_installed(provider: str) -> ProviderMissing:
    near = nearest(provider, (*installed(), INFERENCE, LOCAL))
    hint = f" If you meant '{near}', correct the name." if near else ""
    return ProviderMissing(
        f"The plugin of the provider '{provider}' is not installed.",
        remedy=f"Install it: pip install livekit-plugins-{provider}{hint}",
    )


def _translated(place: str, provider: str, error: Exception) -> PatchbayError:
    text = str(error)
    if not _CREDENTIALS.search(text) and not _VARIABLE.search(text):
        return ConfigRefused(
            f"The {place} cannot be made: the provider '{provider}' says: {text or type(error).__name__}",
            remedy="Correct its settings.",
        )
    variable = found[0] if (found := _VARIABLE.search(text)) else f"{provider.upper().replace('-', '_')}_API_KEY"
    return ProviderMissing(
        f"The {place} has no key: the provider '{provider}' needs {variable}.",
        remedy=f"Set {variable} in the environment or in .env, give the provider an api_key, or run with --offline.",
    )
