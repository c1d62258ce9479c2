"""Rules of what a workflow takes from elsewhere: providers and tools."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jsonpath

from runtime.workflow.faults import Fault, Loc, error, nearest, suggestion, warning
from runtime.workflow.validation.catalogues import KINDS, ProviderCatalogue, ProviderKind, ToolCatalogue
from runtime.workflow.validation.shape import is_stand_in
from runtime.workflow.validation.survey import NAME, RESERVED_VARIABLES, Survey, ToolSite
from runtime.workflow.voice_config import LlmConfig, SttConfig, TtsConfig, VadConfig

__all__ = ["Stage", "provider_faults", "tool_faults"]

Stage: TypeAlias = Literal["save", "start"]
_Part: TypeAlias = LlmConfig | SttConfig | TtsConfig | VadConfig


@dataclass(frozen=True, slots=True)
class _Use:
    """One place that sets up a provider; `provider` is the one in force there."""

    loc: Loc
    kind: ProviderKind
    part: _Part
    provider: str | None


def provider_faults(survey: Survey, catalogue: ProviderCatalogue, stage: Stage) -> Iterator[Fault]:
    """Yield providers nobody knows, plugins that are not installed, and options that a plugin has not."""
    for use in _uses(survey):
        known = catalogue.providers(use.kind)
        if use.provider is None:
            continue
        if use.provider in known and catalogue.is_installed(use.kind, use.provider):
            yield from _options(survey, use, catalogue.parameters(use.kind, use.provider))
        elif use.part.provider is not None:
            yield _missing(survey, use, known, stage) if use.provider in known else _unknown(survey, use, catalogue)


def _uses(survey: Survey) -> Iterator[_Use]:
    defaults = survey.config.defaults
    for kind in KINDS:
        base: _Part = getattr(defaults, kind)
        yield from _with_fallbacks(("defaults", kind), kind, base, base.provider)
        for agent in survey.agents:
            part: _Part = getattr(agent.node, kind)
            own = part.provider if "provider" in part.model_fields_set else base.provider
            yield from _with_fallbacks((*agent.loc, kind), kind, part, own)


def _with_fallbacks(loc: Loc, kind: ProviderKind, part: _Part, provider: str | None) -> Iterator[_Use]:
    yield _Use(loc, kind, part, provider)
    if not isinstance(part, VadConfig):
        fallbacks: tuple[_Part, ...] = part.fallbacks
        for index, fallback in enumerate(fallbacks):
            yield from _with_fallbacks((*loc, "fallbacks", index), kind, fallback, fallback.provider)


def _unknown(survey: Survey, use: _Use, catalogue: ProviderCatalogue) -> Fault:
    loc, name = (*use.loc, "provider"), str(use.provider)
    others = [kind for kind in KINDS if name in catalogue.providers(kind)]
    if others:
        message = f"{survey.place(loc)}: the plugin “{name}” has no {use.kind}, only {' and '.join(others)}."
    else:
        message = f"{survey.place(loc)}: no plugin for {use.kind} is called “{name[:80]}”."
    what = f"Plugins for {use.kind}"
    return error(loc, "unknown_provider", message, suggestion(name, catalogue.providers(use.kind), what=what))


def _missing(survey: Survey, use: _Use, known: Collection[str], stage: Stage) -> Fault:
    loc = (*use.loc, "provider")
    message = f"{survey.place(loc)}: the plugin “{use.provider}” for {use.kind} is not installed."
    remedy = f"Install it: pip install livekit-plugins-{use.provider}"
    if use.provider == "local" and "local" in known:
        remedy = "Install it: pip install 'patchbay[local]'"
    return (error if stage == "start" else warning)(loc, "provider_missing", message, remedy)


def _options(survey: Survey, use: _Use, parameters: Collection[str] | None) -> Iterator[Fault]:
    if parameters is None:
        return
    for option in use.part.options:
        if option not in parameters:
            loc = (*use.loc, "options", option)
            message = f"{survey.place(loc)}: the plugin “{use.provider}” has no parameter “{option[:80]}”."
            yield error(loc, "unknown_option", message, suggestion(option, parameters, what="Its parameters are"))


_PLUGIN_REMEDY = "A plugin's tool needs its package: pip install it, then see `patchbay tools list`."


def tool_faults(survey: Survey, catalogue: ToolCatalogue) -> Iterator[Fault]:
    """Yield tools that are not registered, configs that do not fit, and assignments that lead nowhere."""
    types = catalogue.tool_types()
    for site in survey.defined_tools():
        tool_type = site.tool.tool_type
        if tool_type in types:
            yield from _config(survey, site, catalogue)
        elif tool_type.strip() and not is_stand_in(tool_type):
            loc: Loc = (*site.loc, "tool_type")
            message = f"{survey.place(loc)}: no tool of type “{tool_type[:80]}” is registered."
            remedy = f"{suggestion(tool_type, types, what='Registered are')} {_PLUGIN_REMEDY}"
            yield error(loc, "unknown_tool_type", message, remedy)
        yield from _assign(survey, site)


def _config(survey: Survey, site: ToolSite, catalogue: ToolCatalogue) -> Iterator[Fault]:
    config: Mapping[str, Any] = site.tool.config
    for inside, sentence in catalogue.config_faults(site.tool.tool_type, config):
        loc = (*site.loc, "config", *inside)
        message = f"{survey.place(loc)}: {sentence}"
        yield error(loc, "tool_config", message, f"Correct the config of “{site.tool.tool_type}”.")


def _assign(survey: Survey, site: ToolSite) -> Iterator[Fault]:
    for name, source in site.tool.assign.items():
        loc = (*site.loc, "assign", name)
        if not NAME.fullmatch(name) or name in RESERVED_VARIABLES:
            message = f"{survey.place(loc)} assigns to “{name[:80]}”, which no variable can be called."
            near = nearest(name, survey.variables)
            remedy = f"Did you mean “{near}”?" if near else "Use lower-case letters, digits and underscores."
            yield error(loc, "reserved_name" if NAME.fullmatch(name) else "variable_name", message, remedy)
        if (why := _no_path(source)) is not None:
            message = f"{survey.place(loc)} assigns “{name[:80]}” from something that is no JSONPath: {why}."
            yield error(loc, "json_path_invalid", message, "Write a path into the tool's result, such as $.status.")


def _no_path(source: str) -> str | None:
    try:
        jsonpath.compile(source)
    except (jsonpath.JSONPathError, RecursionError) as fault:
        return str(fault).partition("\n")[0] or "it cannot be read"
    return None
