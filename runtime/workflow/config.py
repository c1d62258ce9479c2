"""The pydantic models of `workflow_version.config`, schema version 1."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, Tag

from runtime.workflow.voice_config import (
    ConfigModel,
    Coordinate,
    Count,
    Duration,
    Endpointing,
    Flag,
    Interruption,
    LlmConfig,
    Positive,
    SttConfig,
    TtsConfig,
    TurnConfig,
    VadConfig,
    Whole,
)

__all__ = [
    "SCHEMA_VERSION",
    "AgentNode",
    "AgentPath",
    "AgentTool",
    "AnalysisConfig",
    "DataType",
    "Defaults",
    "EndCall",
    "Endpointing",
    "Greeting",
    "Interruption",
    "LlmConfig",
    "PathVariable",
    "Position",
    "SessionConfig",
    "SilenceConfig",
    "SttConfig",
    "ToolEntry",
    "ToolReference",
    "TransferCall",
    "TtsConfig",
    "TurnConfig",
    "VadConfig",
    "VoicemailConfig",
    "WorkflowConfig",
]

SCHEMA_VERSION = 1

DataType: TypeAlias = Literal[
    "string",
    "digits",
    "integer",
    "number",
    "boolean",
    "enum",
    "date",
    "time",
    "datetime",
    "email",
    "phone",
    "currency",
    "person_name",
]


class Defaults(ConfigModel):
    """What every agent uses unless it says otherwise, key by key."""

    llm: LlmConfig = Field(default_factory=LlmConfig)
    stt: SttConfig = Field(default_factory=SttConfig)
    tts: TtsConfig = Field(default_factory=TtsConfig)
    vad: VadConfig = Field(default_factory=VadConfig)
    turn: TurnConfig = Field(default_factory=TurnConfig)


class PathVariable(ConfigModel):
    """A variable the conversation collects; declared in two places it is one variable."""

    name: str
    """`[a-z][a-z0-9_]*`"""
    data_type: DataType = "string"
    description: str | None = None
    is_required: Flag = True
    """Whether the path this stands in may be taken without it."""
    min_length: Count | None = None
    """Characters of the value."""
    max_length: Positive | None = None
    """Characters of the value."""
    pattern: str | None = None
    """A regular expression (Python) that the whole value matches."""
    enum: tuple[str, ...] | None = None
    examples: tuple[Any, ...] = ()
    default: Any = None
    preset: Flag = False
    """The value is given from outside when the call starts."""
    confirm: Literal["auto", "never", "once", "spell"] = "auto"
    sensitive: Flag = False
    dtmf: Flag = False
    """The value may be keyed in."""
    max_attempts: Positive = 3
    fallback_path_id: str | None = None
    """The path taken after `max_attempts` failed answers."""


class AgentTool(ConfigModel):
    """A tool the model may call at an agent."""

    id: str | None = None
    """Needed where the tool is shared."""
    tool_type: str
    display_name: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    timeout_s: Duration = 10
    """For the whole run, repeats included."""
    retries: int = Field(default=1, ge=0, le=5)
    """How often a run that failed in passing is done again; only where doing it twice is as doing it once."""
    max_concurrency: int = Field(default=20, ge=1, le=1000)
    """How many runs of it may be under way at once in a process, over all calls; the others wait."""
    on_interruption: Literal["continue", "cancel"] = "continue"
    """What happens to a run when the caller speaks meanwhile."""
    say_while_running: str | None = None
    say_after_s: float = Field(default=0.8, ge=0, le=60)
    """How long a run may take before `say_while_running` is said."""
    assign: dict[str, str] = Field(default_factory=dict)
    """Variable name to the JSONPath of its value in the tool's result."""
    on_success_path_id: str | None = None
    on_failure_path_id: str | None = None


class ToolReference(ConfigModel):
    """A shared tool, by its id."""

    tool_id: str


def _tool_tag(raw: object) -> str:
    is_reference = isinstance(raw, ToolReference) or (isinstance(raw, dict) and "tool_id" in raw)
    return "ToolReference" if is_reference else "AgentTool"


ToolEntry: TypeAlias = Annotated[
    Annotated[AgentTool, Tag("AgentTool")] | Annotated[ToolReference, Tag("ToolReference")], Discriminator(_tool_tag)
]


class EndCall(ConfigModel):
    """The path ends the call."""

    say: str | None = None


class TransferCall(ConfigModel):
    """The path hands the call to a telephone number or a SIP address."""

    to: str
    on_failure_agent_id: str | None = None


class AgentPath(ConfigModel):
    """A path: exactly one of `target_agent_id`, `end_call` and `transfer_call` says where it leads."""

    id: str
    name: str
    description: str | None = None
    """When to take it, in words for the model."""
    examples: tuple[str, ...] = ()
    target_agent_id: str | None = None
    end_call: EndCall | None = None
    transfer_call: TransferCall | None = None
    trigger: Literal["model", "automatic", "dtmf"] = "model"
    dtmf: str | None = None
    """The key that takes a path with trigger `dtmf`."""
    priority: Whole = 0
    """Among automatic paths the highest that holds is taken."""
    otherwise: Flag = Field(default=False, alias="else")
    """The automatic path taken when no other holds after a turn."""
    say: str | None = None
    guard_condition: str | None = None
    """A CEL expression."""
    required_variables: tuple[PathVariable, ...] = ()
    cooldown_turns: Count = 0
    """Only for global paths: turns before it is offered again."""


class Greeting(ConfigModel):
    """What happens when the caller reaches the agent."""

    mode: Literal["say", "generate", "wait"] = "say"
    text: str | None = None
    interruptible: Flag = True
    on_return: Literal["say", "generate", "none"] = "say"


class Position(ConfigModel):
    """Where the builder drew the agent."""

    x: Coordinate = 0
    y: Coordinate = 0


class AgentNode(ConfigModel):
    """An agent: its prompt, its voice, its tools, and the paths that lead on."""

    id: str
    name: str
    instructions: str
    language: str | None = None
    greeting: Greeting = Field(default_factory=Greeting)
    llm: LlmConfig = Field(default_factory=LlmConfig)
    stt: SttConfig = Field(default_factory=SttConfig)
    tts: TtsConfig = Field(default_factory=TtsConfig)
    vad: VadConfig = Field(default_factory=VadConfig)
    turn: TurnConfig = Field(default_factory=TurnConfig)
    tools: tuple[ToolEntry, ...] = ()
    knowledge: tuple[str, ...] = ()
    """Names of knowledge bases."""
    paths: tuple[AgentPath, ...] = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    position: Position = Field(default_factory=Position)


class SilenceConfig(ConfigModel):
    """What happens when the caller says nothing."""

    after_s: Duration = 8
    prompts: tuple[str, ...] = ("Are you still there?",)
    then: Literal["end_call"] = "end_call"


class VoicemailConfig(ConfigModel):
    """What happens when a machine answers."""

    action: Literal["hang_up", "leave_message"] = "hang_up"
    text: str | None = None


class FailureConfig(ConfigModel):
    """What happens when the agent cannot answer any more: after `after` failed answers in a row."""

    after: Positive = 3
    transfer_to: str | None = None
    """A telephone number (E.164) or SIP address; without one the agent says goodbye."""


class AnalysisConfig(ConfigModel):
    """What is read out of a call once it is over."""

    summary: Flag = True
    outcome: tuple[str, ...] = ()
    fields: tuple[PathVariable, ...] = ()


class SessionConfig(ConfigModel):
    """What holds for the whole call."""

    language: str = "en"
    time_zone: str = "UTC"
    """An IANA name, such as `Europe/Berlin`."""
    region: str | None = None
    """An ISO 3166 country code for telephone numbers and money without one."""
    max_duration_s: Duration = 3600
    silence: SilenceConfig = Field(default_factory=SilenceConfig)
    voicemail: VoicemailConfig | None = None
    failure: FailureConfig = Field(default_factory=FailureConfig)
    on_start: tuple[ToolEntry, ...] = ()
    """Tools run while the telephone rings, at the same time, so that the greeting can use what they assign."""
    on_start_timeout_s: Duration = 3
    """What is not done by then is given up; the caller is greeted without it."""
    on_end: tuple[ToolEntry, ...] = ()
    """Webhook tools, delivered after the call from its stored events."""
    analysis: AnalysisConfig | None = None


class WorkflowConfig(ConfigModel):
    """A workflow as the builder designed it."""

    schema_version: Positive = SCHEMA_VERSION
    entry_agent_id: str | None = None
    """Unset: the first agent."""
    instructions: str | None = None
    """Before each agent's own."""
    defaults: Defaults = Field(default_factory=Defaults)
    session: SessionConfig = Field(default_factory=SessionConfig)
    variables: tuple[PathVariable, ...] = ()
    """Declared once, referred to by name."""
    tools: tuple[AgentTool, ...] = ()
    """Shared: an agent lists `{"tool_id": …}`."""
    global_paths: tuple[AgentPath, ...] = ()
    """Offered at every agent but its target."""
    agents: tuple[AgentNode, ...]
