"""Workflow: a config compiled, immutable and indexed, which is what a call runs on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from runtime.variables import VariableSpec
from runtime.workflow.compiled_tools import CompiledTool, compiled_tools, knowledge_of
from runtime.workflow.conditions import Guard
from runtime.workflow.config import (
    AgentNode,
    AgentPath,
    AgentTool,
    EndCall,
    LlmConfig,
    SessionConfig,
    SttConfig,
    TransferCall,
    TtsConfig,
    TurnConfig,
    VadConfig,
    WorkflowConfig,
)
from runtime.workflow.declarations import declarations_of
from runtime.workflow.functions import path_schema, remember_schema
from runtime.workflow.merging import merged
from runtime.workflow.parts import Parts
from runtime.workflow.slugs import unique_slugs
from runtime.workflow.templates import Template

__all__ = ["RESERVED_FUNCTIONS", "Agent", "CompiledTool", "Path", "Workflow", "compile_workflow"]

Json = Any

RESERVED_FUNCTIONS = frozenset({"remember"})
"""Functions of the engine's own, whose names no path and no tool gets."""


@dataclass(frozen=True, slots=True)
class Path:
    """A path. `function_name` is what a model calls it, `schema` how it is offered (to be changed by nobody).

    `variables` stand in order, `is_required` as this path says.
    """

    config: AgentPath
    function_name: str
    is_global: bool
    guard: Guard | None
    say: Template | None
    end_say: Template | None
    transfer_to: Template | None
    variables: tuple[VariableSpec, ...]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    fallbacks: Mapping[str, str]
    """Variable name to the path taken after too many failed answers, where there is one."""
    schema: dict[str, Json]

    @property
    def id(self) -> str:
        return self.config.id

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def description(self) -> str:
        return self.config.description or ""

    @property
    def trigger(self) -> str:
        """`model`, `automatic` or `dtmf`."""
        return self.config.trigger

    @property
    def priority(self) -> int:
        return self.config.priority

    @property
    def otherwise(self) -> bool:
        """Whether this is the automatic path taken when no other holds after a turn."""
        return self.config.otherwise

    @property
    def target_agent_id(self) -> str | None:
        return self.config.target_agent_id

    @property
    def end_call(self) -> EndCall | None:
        return self.config.end_call

    @property
    def transfer_call(self) -> TransferCall | None:
        return self.config.transfer_call


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent with its defaults filled in.

    `offered` are its own paths and the global ones that lead elsewhere; `automatic` those the engine takes by itself,
    highest priority first; `dtmf` the paths by key. `is_end`: it has no paths of its own.
    """

    node: AgentNode
    slug: str
    instructions: Template
    greeting_text: Template | None
    own: tuple[Path, ...]
    offered: tuple[Path, ...]
    automatic: tuple[Path, ...]
    otherwise: Path | None
    dtmf: Mapping[str, Path]
    tools: tuple[CompiledTool, ...]
    llm: LlmConfig
    stt: SttConfig
    tts: TtsConfig
    vad: VadConfig
    turn: TurnConfig
    language: str
    is_end: bool

    @property
    def id(self) -> str:
        return self.node.id

    @property
    def name(self) -> str:
        return self.node.name


@dataclass(frozen=True, slots=True)
class Workflow:
    """A compiled workflow; `paths` and `agents` are by id, `variables` by name.

    `secrets` are the variables that are sensitive, `settable` the names of those that a model may record; `remember` is
    how it is offered to do so (to be changed by nobody).
    """

    config: WorkflowConfig
    version_id: str | None
    entry: Agent
    agents: Mapping[str, Agent]
    variables: Mapping[str, VariableSpec]
    secrets: tuple[VariableSpec, ...]
    settable: frozenset[str]
    remember: dict[str, Json]
    paths: Mapping[str, Path]
    session: SessionConfig
    instructions: Template | None
    silence_prompts: tuple[Template, ...]
    voicemail_text: Template | None
    on_start: tuple[CompiledTool, ...]
    on_end: tuple[CompiledTool, ...]
    zone: ZoneInfo
    language: str
    region: str | None


def compile_workflow(config: WorkflowConfig, *, version_id: str | None = None) -> Workflow:
    """Compile a config that `validate` found valid.

    Raises `ConfigRefused` with every fault that keeps it from compiling: templates, guards, names that lead nowhere.
    """
    parts = Parts(config, declarations_of(config).specs)
    shared = {tool.id: tool for tool in config.tools if tool.id is not None}
    global_paths = _paths(parts, ("global_paths",), config.global_paths, taken=RESERVED_FUNCTIONS)
    agents = _agents(parts, shared, global_paths)
    paths = {path.id: path for path in (*global_paths, *(path for agent in agents.values() for path in agent.own))}
    session, voicemail = config.session, config.session.voicemail
    workflow = Workflow(
        config=config,
        version_id=version_id,
        entry=parts.entry(agents),
        agents=MappingProxyType(agents),
        variables=MappingProxyType(dict(parts.variables)),
        secrets=tuple(spec for spec in parts.variables.values() if spec.sensitive),
        settable=frozenset(variable.name for variable in config.variables) | _named_by(paths.values()),
        remember=remember_schema(tuple(parts.variables.values())),
        paths=MappingProxyType(paths),
        session=session,
        instructions=parts.optional_template(("instructions",), config.instructions),
        silence_prompts=parts.templates(("session", "silence", "prompts"), session.silence.prompts),
        voicemail_text=parts.optional_template(("session", "voicemail", "text"), voicemail.text if voicemail else None),
        on_start=compiled_tools(
            parts, ("session", "on_start"), parts.resolved(("session", "on_start"), session.on_start, shared), ()
        ),
        on_end=compiled_tools(
            parts, ("session", "on_end"), parts.resolved(("session", "on_end"), session.on_end, shared), ()
        ),
        zone=parts.zone(session.time_zone),
        language=session.language,
        region=session.region,
    )
    parts.refuse_if_faulty()
    return workflow


def _named_by(paths: Iterable[Path]) -> frozenset[str]:
    return frozenset(spec.name for path in paths for spec in path.variables)


def _agents(parts: Parts, shared: Mapping[str, AgentTool], global_paths: tuple[Path, ...]) -> dict[str, Agent]:
    slugs = unique_slugs((node.name for node in parts.config.agents), otherwise="agent")
    agents: dict[str, Agent] = {}
    for index, (node, slug) in enumerate(zip(parts.config.agents, slugs, strict=True)):
        offered = tuple(path for path in global_paths if path.target_agent_id != node.id)
        agents[node.id] = _agent(
            parts, index, slug, offered, parts.resolved(("agents", index, "tools"), node.tools, shared)
        )
    return agents


def _agent(parts: Parts, index: int, slug: str, everywhere: tuple[Path, ...], tools: Iterable[AgentTool]) -> Agent:
    node, loc = parts.config.agents[index], ("agents", index)
    named = {*RESERVED_FUNCTIONS, *(path.function_name for path in everywhere)}
    own = _paths(parts, (*loc, "paths"), node.paths, taken=named)
    offered = (*own, *everywhere)
    automatic = [path for path in offered if path.trigger == "automatic"]
    defaults = parts.config.defaults
    return Agent(
        node=node,
        slug=slug,
        instructions=parts.template((*loc, "instructions"), node.instructions),
        greeting_text=parts.optional_template((*loc, "greeting", "text"), node.greeting.text),
        own=own,
        offered=offered,
        automatic=tuple(sorted((path for path in automatic if not path.otherwise), key=lambda path: -path.priority)),
        otherwise=next((path for path in automatic if path.otherwise), None),
        dtmf=MappingProxyType(_by_key(offered)),
        tools=compiled_tools(
            parts, (*loc, "tools"), (*tools, *knowledge_of(node)), {*named, *(path.function_name for path in own)}
        ),
        llm=merged(defaults.llm, node.llm),
        stt=merged(defaults.stt, node.stt),
        tts=merged(defaults.tts, node.tts),
        vad=merged(defaults.vad, node.vad),
        turn=merged(defaults.turn, node.turn),
        language=node.language or parts.config.session.language,
        is_end=not node.paths,
    )


def _by_key(paths: Iterable[Path]) -> dict[str, Path]:
    keys: dict[str, Path] = {}
    for path in paths:
        if path.trigger == "dtmf" and path.config.dtmf is not None:
            keys.setdefault(path.config.dtmf, path)
    return keys


def _paths(
    parts: Parts, loc: tuple[str | int, ...], configs: tuple[AgentPath, ...], *, taken: Iterable[str]
) -> tuple[Path, ...]:
    # Only a model calls a path by its name, so those get theirs first and without a number where possible.
    order = sorted(range(len(configs)), key=lambda index: configs[index].trigger != "model")
    names = unique_slugs((configs[index].name for index in order), otherwise="path", taken=taken)
    by_index = dict(zip(order, names, strict=True))
    is_global = loc[0] == "global_paths"
    return tuple(
        _path(parts, (*loc, index), config, by_index[index], is_global=is_global)
        for index, config in enumerate(configs)
    )


def _path(parts: Parts, loc: tuple[str | int, ...], config: AgentPath, function_name: str, *, is_global: bool) -> Path:
    variables = config.required_variables
    specs = tuple(parts.spec(variable) for variable in variables)
    end, transfer = config.end_call, config.transfer_call
    return Path(
        config=config,
        function_name=function_name,
        is_global=is_global,
        guard=parts.guard((*loc, "guard_condition"), config.guard_condition),
        say=parts.optional_template((*loc, "say"), config.say),
        end_say=parts.optional_template((*loc, "end_call", "say"), end.say if end else None),
        transfer_to=parts.optional_template((*loc, "transfer_call", "to"), transfer.to if transfer else None),
        variables=specs,
        required=tuple(variable.name for variable in variables if variable.is_required),
        optional=tuple(variable.name for variable in variables if not variable.is_required),
        fallbacks=MappingProxyType({item.name: item.fallback_path_id for item in variables if item.fallback_path_id}),
        schema=path_schema(config, function_name, specs),
    )
