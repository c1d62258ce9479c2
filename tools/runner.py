"""Runs the tools of a call: arguments checked, time bounded, secrets kept, and never an exception into the call."""

from __future__ import annotations

import asyncio
import hashlib
import json
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from runtime.session.ports import RunnerOrder, ToolCall, ToolOutcome
from runtime.workflow.config import AgentTool
from runtime.workflow.graph import CompiledTool
from tools.base import NO_ARGUMENTS, Tool, ToolContext, ToolError, ToolFunction, ToolResult
from tools.jsonpaths import assigned
from tools.mocks import Mocks, listed
from tools.registry import Registry
from tools.schema import faults_of
from tools.scrub import Scrubber, cut
from tools.services import Services

__all__ = ["MAX_PREVIEW", "MAX_TEXT", "PREPARED_WITHIN_S", "Runner"]

Json = Any

MAX_TEXT = 4000
"""Characters of a result that a model reads."""
MAX_PREVIEW = 2000
"""Characters of a result that its event keeps."""
PREPARED_WITHIN_S = 3.0
"""How long a tool may take to get ready before the call begins without it."""

_TIMEOUT = ("timeout", "The service did not answer in time. Tell the caller so and go on with something else.")
_BROKEN = ("internal", "This is not possible at the moment. Tell the caller so and go on with something else.")
_UNKNOWN = ("unavailable", "This is not available here. Tell the caller so and go on with something else.")
_NO_MOCKS = Mocks({})

_log = structlog.get_logger("tools")


@dataclass(slots=True)
class _Made:
    """A tool of this call. `config` is kept so that the identity it is found by stays taken."""

    config: AgentTool
    tool: Tool[Any] | None
    key: str
    ready: bool = False
    offered: dict[str, dict[str, Json]] = field(default_factory=dict)
    """Functions by name, as a model was offered them last."""
    sound: Mapping[str, Json] | None = None
    """The arguments that were checked last and found sound: the engine asks before it starts a run."""


class Runner:
    """The `ToolRunner` of one call.

    The order's secrets reach tools through their context and leave in no text, event or variable. `mocks` stand in for
    what they name.
    """

    def __init__(self, registry: Registry, services: Services, order: RunnerOrder, mocks: Mocks = _NO_MOCKS) -> None:
        self._registry = registry
        self._services = services
        self._order = order
        self._mocks = mocks
        self._scrub = Scrubber(order.secrets.values())
        self._made: dict[int, _Made] = {}

    # ------------------------------------------------------------ what a model is offered

    async def prepare(self, tools: Sequence[CompiledTool]) -> Sequence[tuple[CompiledTool, str]]:
        """Get tools ready, at the same time and within `PREPARED_WITHIN_S`; return those that could not, with a code."""
        waiting = {id(tool.tool): tool for tool in tools if not self._of(tool).ready and not self.is_mocked(tool)}
        codes = await asyncio.gather(*(self._prepare(tool) for tool in waiting.values()))
        return [(tool, code) for tool, code in zip(waiting.values(), codes, strict=True) if code]

    async def _prepare(self, tool: CompiledTool) -> str:
        made = self._of(tool)
        made.ready = True
        if made.tool is None or type(made.tool).prepare is Tool.prepare:
            return ""
        try:
            async with asyncio.timeout(PREPARED_WITHIN_S):
                await made.tool.prepare(self._context(None, PREPARED_WITHIN_S))
        except (ToolError, TimeoutError) as error:
            made.ready = False
            return error.code if isinstance(error, ToolError) else "timeout"
        except Exception as error:  # noqa: BLE001 - the edge: whatever a tool raises, the call goes on
            made.ready = False
            return self._broke(tool, error)[0]
        return ""

    def schemas(self, tool: CompiledTool) -> Sequence[dict[str, Json]]:
        """Return the functions as a model is offered them: `name`, `description`, `parameters` (JSON Schema).

        They are the same objects for all calls of the workflow's version, and to be changed by nobody.
        """
        made = self._of(tool)
        told = tool.tool.config.get("description")
        own_words = told if isinstance(told, str) else ""
        functions = self._functions(tool, made) or self._stand_ins(tool)
        schemas: list[dict[str, Json]] = [
            {
                "name": function.name,
                "description": function.description or own_words or tool.tool.display_name or tool.tool.tool_type,
                "parameters": dict(function.parameters),
            }
            for function in functions
        ]
        offered = self._registry.offers.shared(tool, schemas)
        made.offered = {schema["name"]: schema for schema in offered}
        return offered

    def _functions(self, tool: CompiledTool, made: _Made) -> Sequence[ToolFunction]:
        if made.tool is None:
            return [ToolFunction(tool.function_name, "")]
        try:
            return made.tool.functions(tool.function_name)
        except Exception as error:  # noqa: BLE001 - the edge: whatever a tool raises, the call goes on
            self._broke(tool, error)
            return []

    def _stand_ins(self, tool: CompiledTool) -> list[ToolFunction]:
        """Return functions that are there in a test alone: their server is not asked what they take."""
        anything = {"type": "object", "properties": {}}
        return [ToolFunction(name, "", anything) for name in listed(tool) if self._mocks.replaces(tool, name)]

    def is_mocked(self, tool: CompiledTool, function: str | None = None) -> bool:
        """Whether results of a test stand in for the tool, or for this function of it."""
        return self._mocks.replaces(tool, function)

    def is_repeatable(self, tool: CompiledTool, arguments: Mapping[str, Json]) -> bool:
        """Whether the tool says of such arguments that a run may be made once more."""
        made = self._of(tool)
        return made.tool is not None and made.tool.is_repeatable(arguments)

    def faults(self, tool: CompiledTool, function: str, arguments: Mapping[str, Json]) -> str:
        """Return what is wrong with the arguments, in words a model can act on; empty when nothing is."""
        made = self._of(tool)
        if function not in made.offered:
            self.schemas(tool)
        offered = made.offered.get(function)
        if made.tool is None or (offered is None and not made.offered):
            return ""
        parameters = offered["parameters"] if offered is not None else NO_ARGUMENTS
        found = faults_of(self._registry.offers.validator(parameters), arguments)
        made.sound = None if found else arguments
        return found

    # ------------------------------------------------------------ running

    async def run(self, call: ToolCall) -> ToolOutcome:
        """Run the tool under its timeout. What fails comes back as an outcome with a code and a fixed sentence."""
        try:
            return self._succeeded(call, await self._result(call))
        except ToolError as error:
            return self._failed(call, error.code, error.message_for_model)
        except TimeoutError:
            return self._failed(call, *_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - the edge: whatever a tool raises, the call goes on
            return self._failed(call, *self._broke(call.tool, error))

    async def _result(self, call: ToolCall) -> ToolResult:
        made = self._of(call.tool)
        if made.sound is not call.arguments and (fault := self.faults(call.tool, call.function, call.arguments)):
            raise ToolError("invalid_arguments", fault)
        timeout_s = call.tool.tool.timeout_s
        if self.is_mocked(call.tool, call.function):
            async with asyncio.timeout(timeout_s):
                return await self._mocks.run(call.tool, call.function, call.arguments)
        if (tool := made.tool) is None:
            raise ToolError(*_UNKNOWN)
        context = self._context(call, timeout_s)
        result = await self._services.attempts.run(
            made.key,
            call.tool.tool,
            lambda: tool.run(call.arguments, context),
            deadline=context.deadline,
            repeatable=tool.is_repeatable(call.arguments),
        )
        return result if isinstance(result, ToolResult) else ToolResult(result)

    def _context(self, call: ToolCall | None, timeout_s: float) -> ToolContext:
        services, order = self._services, self._order
        return ToolContext(
            tool_call_id=call.tool_call_id if call is not None else "",
            timeout_s=timeout_s,
            http=services.http,
            variables=call.variables if call is not None else {},
            caller=call.caller if call is not None else {},
            call=call.call if call is not None else {},
            workspace=call.workspace if call is not None else order.workspace,
            secrets=order.secrets,
            telephone=order.telephone,
            organization_id=order.organization_id,
            function=call.function if call is not None else "",
            deadline=asyncio.get_running_loop().time() + timeout_s,
            database=services.database(order.organization_id) if services.database is not None else None,
            knowledge=services.knowledge(order.organization_id) if services.knowledge is not None else None,
            mcp=services.mcp,
        )

    def _succeeded(self, call: ToolCall, result: ToolResult) -> ToolOutcome:
        value = self._scrub.value(result.value)
        text = self._scrub.text(_shown(value) if result.text is None else result.text)
        return ToolOutcome(
            text=cut(text, MAX_TEXT),
            preview=cut(text, MAX_PREVIEW),
            assigned=assigned(call.tool.tool.assign, value),
            mocked=self.is_mocked(call.tool, call.function),
            hang_up=result.hang_up,
            transfer_to=result.transfer_to,
            hold_s=result.hold_s,
            say=self._scrub.text(result.say or (result.text or "" if result.hang_up else "")),
            sources=[self._scrub.value(dict(source)) for source in result.sources],
        )

    def _failed(self, call: ToolCall, code: str, message: str) -> ToolOutcome:
        _log.info("tool_failed", tool=call.function, error_code=code)
        text = self._scrub.text(message)
        return ToolOutcome(
            text=cut(text, MAX_TEXT),
            preview=cut(text, MAX_PREVIEW),
            error_code=code,
            mocked=self.is_mocked(call.tool, call.function),
        )

    def _broke(self, tool: CompiledTool, error: Exception) -> tuple[str, str]:
        trace = self._scrub.text("".join(traceback.format_exception(error)))
        _log.error("tool_broke", tool=tool.function_name, tool_type=tool.tool.tool_type, trace=trace)
        return _BROKEN

    # ------------------------------------------------------------ the tools of this call

    def _of(self, tool: CompiledTool) -> _Made:
        config = tool.tool
        if id(config) not in self._made:
            self._made[id(config)] = _Made(config, self._new(config), self._key(config))
        return self._made[id(config)]

    def _key(self, config: AgentTool) -> str:
        """Return what tells this tool of this workflow from others, in whichever version and call."""
        told = json.dumps([config.tool_type, config.config], sort_keys=True, default=str)
        digest = hashlib.blake2b(told.encode(), digest_size=12).hexdigest()
        return f"{self._order.organization_id}:{self._order.workflow_id}:{digest}"

    def _new(self, config: AgentTool) -> Tool[Any] | None:
        try:
            return self._registry.make(config.tool_type, config.config)
        except ValueError as error:
            # Validation lets no such config through; a call that has one goes on without the tool.
            _log.error("tool_config_invalid", tool_type=config.tool_type, reason=str(error))
            return None


def _shown(value: Json) -> str:
    match value:
        case None:
            return "Done."
        case str():
            return value
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)
