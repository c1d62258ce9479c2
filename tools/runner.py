"""Runs the tools of a call: arguments checked, time bounded, secrets kept, and never an exception into the call."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Mapping
from typing import Any

import httpx
import structlog
from jsonschema import Draft202012Validator

from runtime.session.ports import Telephone, ToolCall, ToolOutcome
from runtime.workflow.config import AgentTool
from runtime.workflow.graph import CompiledTool
from tools.base import NO_ARGUMENTS, Tool, ToolContext, ToolError, ToolResult
from tools.jsonpaths import assigned
from tools.registry import Registry
from tools.schema import faults_of, validator_of
from tools.scrub import Scrubber, cut

__all__ = ["MAX_PREVIEW", "MAX_TEXT", "Runner"]

Json = Any

MAX_TEXT = 4000
"""Characters of a result that a model reads."""
MAX_PREVIEW = 2000
"""Characters of a result that its event keeps."""

_TIMEOUT = ("timeout", "The service did not answer in time. Tell the caller so and go on with something else.")
_BROKEN = ("internal", "This is not possible at the moment. Tell the caller so and go on with something else.")
_LATER = ("not_available_yet", "This is not available yet. Tell the caller so and go on with something else.")

_log = structlog.get_logger("tools")


class Runner:
    """The `ToolRunner` of one call.

    `http` is the client of the event loop (`tools.guard.open_client`), shared by calls and closed by its owner.
    `secrets` are the workspace's; they reach tools through their context and leave in no text, event or variable.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        http: httpx.AsyncClient,
        secrets: Mapping[str, str] | None = None,
        telephone: Telephone | None = None,
    ) -> None:
        self._registry = registry
        self._http = http
        self._telephone = telephone
        self._secrets = dict(secrets or {})
        self._scrub = Scrubber(self._secrets.values())
        # By identity, with the config itself kept so that the identity stays taken.
        self._made: dict[int, tuple[AgentTool, Tool[Any] | None]] = {}
        self._validators: dict[int, Draft202012Validator] = {}

    def schema(self, tool: CompiledTool) -> dict[str, Json]:
        """Return the function as a model is offered it: `name`, `description`, `parameters` (JSON Schema)."""
        made = self._tool(tool.tool)
        told = tool.tool.config.get("description")
        description = made.description() if made is not None else told if isinstance(told, str) else ""
        return {
            "name": tool.function_name,
            "description": description or tool.tool.display_name or tool.tool.tool_type,
            "parameters": dict(made.parameters() if made is not None else NO_ARGUMENTS),
        }

    def faults(self, tool: CompiledTool, arguments: Mapping[str, Json]) -> str:
        """Return what is wrong with the arguments, in words a model can act on; empty when nothing is."""
        made = self._tool(tool.tool)
        if made is None:
            return ""
        if id(tool.tool) not in self._validators:
            self._validators[id(tool.tool)] = validator_of(made.parameters())
        return faults_of(self._validators[id(tool.tool)], arguments)

    async def run(self, call: ToolCall) -> ToolOutcome:
        """Run the tool under its timeout. What fails comes back as an outcome with a code and a fixed sentence."""
        try:
            result = await self._result(call)
            return self._succeeded(call, result)
        except ToolError as error:
            return self._failed(call, error.code, error.message_for_model)
        except TimeoutError:
            return self._failed(call, *_TIMEOUT)
        except Exception as error:  # noqa: BLE001 - the edge: whatever a tool raises, the call goes on
            trace = self._scrub.text("".join(traceback.format_exception(error)))
            _log.error("tool_broke", tool=call.tool.function_name, tool_type=call.tool.tool.tool_type, trace=trace)
            return self._failed(call, *_BROKEN)

    async def _result(self, call: ToolCall) -> ToolResult:
        if fault := self.faults(call.tool, call.arguments):
            raise ToolError("invalid_arguments", fault)
        tool = self._tool(call.tool.tool)
        if tool is None:
            raise ToolError(*_LATER)
        async with asyncio.timeout(call.tool.tool.timeout_s):
            result = await tool.run(call.arguments, self._context(call))
        return result if isinstance(result, ToolResult) else ToolResult(result)

    def _context(self, call: ToolCall) -> ToolContext:
        return ToolContext(
            tool_call_id=call.tool_call_id,
            timeout_s=call.tool.tool.timeout_s,
            http=self._http,
            variables=call.variables,
            caller=call.caller,
            call=call.call,
            workspace=call.workspace,
            secrets=self._secrets,
            telephone=self._telephone,
        )

    def _succeeded(self, call: ToolCall, result: ToolResult) -> ToolOutcome:
        value = self._scrub.value(result.value)
        text = self._scrub.text(_shown(value) if result.text is None else result.text)
        return ToolOutcome(
            text=cut(text, MAX_TEXT),
            preview=cut(text, MAX_PREVIEW),
            assigned=assigned(call.tool.tool.assign, value),
            hang_up=result.hang_up,
            transfer_to=result.transfer_to,
            hold_s=result.hold_s,
            say=self._scrub.text(result.say or (result.text or "" if result.hang_up else "")),
        )

    def _failed(self, call: ToolCall, code: str, message: str) -> ToolOutcome:
        _log.info("tool_failed", tool=call.tool.function_name, error_code=code)
        text = self._scrub.text(message)
        return ToolOutcome(text=cut(text, MAX_TEXT), preview=cut(text, MAX_PREVIEW), error_code=code)

    def _tool(self, config: AgentTool) -> Tool[Any] | None:
        if id(config) not in self._made:
            self._made[id(config)] = (config, self._new(config))
        return self._made[id(config)][1]

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
