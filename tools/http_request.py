"""`http_request`: one call of an HTTP service, written as templates."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tools.base import Json, Tool, ToolConfig, ToolContext, ToolResult
from tools.http_fetch import fetch
from tools.http_templates import Text, Url, check_json, checked_header, headers, json_body, pairs, plain, url
from tools.jsonpaths import Path, selected
from tools.schema import Parameters

__all__ = ["HttpRequest", "HttpRequestConfig"]

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Header = Annotated[str, AfterValidator(checked_header)]
Scalar = Text | int | float | bool

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}


class HttpRequestConfig(ToolConfig):
    """Templates read `arguments`, the variables by name, `caller`, `call`, `workspace` and `secrets`."""

    model_config = ConfigDict(validate_by_alias=True)

    parameters: Parameters = Field(default_factory=lambda: dict(_NO_PARAMETERS))
    """The JSON Schema of the arguments."""
    method: Method = "GET"
    url: Url
    headers: dict[Header, Text] = Field(default_factory=dict)
    query: dict[str, Scalar] = Field(default_factory=dict)
    """Added to the query of `url`; a template whose variables are unset is left out."""
    body: Annotated[Any, AfterValidator(check_json)] = Field(default=None, alias="json")
    """Sent as JSON; a text that is one bare `{{ name }}` becomes the value, with its type."""
    form: dict[str, Scalar] | None = None
    """Sent as a form."""
    result: Path | None = None
    """A JSONPath: what of the answer the model reads. `assign` reads the whole of it."""

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.body is not None and self.form is not None:
            raise ValueError("a request has json or form, not both")
        if self.method == "GET" and (self.body is not None or self.form is not None):
            raise ValueError("a GET has neither json nor form; set the method")
        return self


class HttpRequest(Tool[HttpRequestConfig]):
    """Asks a service and returns its JSON (or its text)."""

    tool_type: ClassVar[str] = "http_request"
    Config: ClassVar[type[BaseModel]] = HttpRequestConfig

    def parameters(self) -> Mapping[str, Json]:
        return self.config.parameters

    def is_repeatable(self, arguments: Mapping[str, Json]) -> bool:
        del arguments
        return self.config.method in {"GET", "PUT", "DELETE"}  # what HTTP calls idempotent

    async def run(self, arguments: Mapping[str, Json], context: ToolContext) -> ToolResult:
        values = context.names(arguments)
        answer = await fetch(context.http, self._request(values, context))
        if self.config.result is None:
            return ToolResult(answer)
        shown = selected(self.config.result, answer)
        return ToolResult(answer, shown if isinstance(shown, str) else jsonlib.dumps(shown, ensure_ascii=False))

    def _request(self, values: Mapping[str, Json], context: ToolContext) -> httpx.Request:
        config = self.config
        target = url(config.url, values)
        return httpx.Request(
            config.method,
            target.copy_merge_params(pairs(config.query, values)) if config.query else target,
            headers=httpx.Headers([*self._own_headers(context), *headers(config.headers, values)]),
            json=None if config.body is None else json_body(config.body, values),
            data=None if config.form is None else pairs(config.form, values),
            extensions={"timeout": httpx.Timeout(context.timeout_s).as_dict()},
        )

    def _own_headers(self, context: ToolContext) -> list[tuple[bytes, bytes]]:
        given = {name.casefold() for name in self.config.headers}
        own = {"user-agent": "Patchbay", "accept": "application/json, text/*;q=0.5", "accept-encoding": "identity"}
        if self.config.method == "POST":
            # Some model servers number their calls anew in every conversation.
            own["idempotency-key"] = plain(":".join(filter(None, (context.call.get("id"), context.tool_call_id))))
        return [(name.encode(), value.encode()) for name, value in own.items() if name not in given]
