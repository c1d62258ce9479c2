"""The tool `mcp`: its config, and what it offers a model of a server's listing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from tools.base import ToolContext, ToolError
from tools.handles import McpAnswer, McpEndpoint, McpFunction
from tools.mcp_tool import McpConfig, McpTool
from tools.registry import default_registry

Json = Any
ADDRESS = "https://mcp.acme.example/mcp"


def function(name: str, *, repeatable: bool = False) -> McpFunction:
    return McpFunction(name, f"Does {name}.", {"type": "object", "properties": {"of": {"type": "string"}}}, repeatable)


class Known:
    """A server that is there after the first `listing`."""

    def __init__(self, *functions: McpFunction) -> None:
        self.functions: Sequence[McpFunction] = functions
        self.listed: list[McpEndpoint] = []
        self.calls: list[tuple[McpEndpoint, str, Mapping[str, Json]]] = []

    def known(self, endpoint: McpEndpoint) -> Sequence[McpFunction]:
        return self.functions if endpoint in self.listed else ()

    async def listing(self, endpoint: McpEndpoint, *, timeout_s: float) -> Sequence[McpFunction]:
        assert 0 < timeout_s <= 5
        self.listed.append(endpoint)
        return self.functions

    async def call(
        self, endpoint: McpEndpoint, tool: str, arguments: Mapping[str, Json], *, timeout_s: float
    ) -> McpAnswer:
        self.calls.append((endpoint, tool, arguments))
        return McpAnswer({"ok": True}, "done")


def tool(**config: Any) -> McpTool:
    return McpTool(McpConfig.model_validate({"server": "files", "tools": ["read"], **config}))


def context(mcp: Known | None, called: str = "", **more: Any) -> ToolContext:
    given: dict[str, Any] = {"organization_id": "o-1", "secrets": {"KEY": "secret-1"}, "workspace": {}}
    return ToolContext("t-1", 5.0, httpx.AsyncClient(), function=called, mcp=mcp, **(given | more))


def offered(made: McpTool) -> list[str]:
    return [each.name for each in made.functions("files")]


# ------------------------------------------------------------ the config


@pytest.mark.parametrize(
    ("config", "place", "says"),
    [
        ({"tools": ["a"]}, (), "exactly one of server and url"),
        ({"tools": ["a"], "server": "s", "url": ADDRESS}, (), "exactly one of server and url"),
        ({"tools": ["a"], "server": "s", "headers": {"X-A": "b"}}, (), "headers go with url"),
        ({"tools": ["a", "a"], "server": "s"}, (), "twice"),
        ({"tools": [], "server": "s"}, ("tools",), "at least 1 item"),
        ({"server": "s"}, ("tools",), "missing"),
        ({"tools": ["a"], "server": "s", "prefix": "a b"}, ("prefix",), "match pattern"),
        ({"tools": ["a"], "command": "rm"}, ("command",), "no such key"),
        ({"tools": ["a"], "url": "file:///etc"}, ("url",), "begins with https"),
        ({"tools": ["a"], "url": ADDRESS + "/{{ arguments.x }}"}, ("url",), "not known here"),
        ({"tools": ["a"], "url": ADDRESS, "headers": {"X": "{{ arguments.x }}"}}, ("headers", "X"), "not known here"),
        ({"tools": ["a"], "url": ADDRESS, "headers": {"Mcp-Session-Id": "1"}}, ("headers", "Mcp-Session-Id"), "itself"),
        ({"tools": ["a"], "url": ADDRESS, "headers": {"Host": "x"}}, ("headers", "Host"), "set by itself"),
    ],
)
def test_a_config_that_does_not_fit(config: dict[str, Json], place: tuple[str, ...], says: str) -> None:
    faults = default_registry().config_faults("mcp", config)
    assert any(where == place and says in sentence for where, sentence in faults), faults


@pytest.mark.parametrize(
    "config",
    [
        {"server": "files", "tools": ["read"], "prefix": "files_", "description": "Files."},
        {"url": ADDRESS, "tools": ["a", "b"], "headers": {"Authorization": "Bearer {{ secrets.KEY }}"}},
        {"url": "https://{{ workspace.host }}/mcp/{{ caller.number }}", "tools": ["a"]},
    ],
)
def test_a_config_that_fits(config: dict[str, Json]) -> None:
    assert default_registry().config_faults("mcp", config) == ()


# ------------------------------------------------------------ what is offered


async def test_nothing_is_offered_before_the_server_is_known() -> None:
    made, mcp = tool(), Known(function("read"), function("write"))
    assert offered(made) == []
    assert not made.is_repeatable({})
    await made.prepare(context(mcp))
    (only,) = made.functions("files")
    assert (only.name, only.description, only.parameters) == ("read", "Does read.", mcp.functions[0].parameters)


async def test_a_listing_that_changes_is_seen_by_the_next_agent() -> None:
    made, mcp = tool(tools=["read", "later"]), Known(function("read"))
    with capture_logs() as logs:
        await made.prepare(context(mcp))
    assert logs[0]["missing"] == ["later"]
    assert offered(made) == ["read"]
    mcp.functions = (*mcp.functions, function("later"))
    assert offered(made) == ["read", "later"]


async def test_names_are_made_fit_for_models_and_distinct() -> None:
    names = ["shop.add/order", "shop.add order", "x" * 100, "x" * 99]
    made, mcp = tool(tools=names, prefix="acme_"), Known(*map(function, names))
    await made.prepare(context(mcp))
    shown = offered(made)
    assert shown[:2] == ["acme_shop_add_order", "acme_shop_add_order_2"]
    assert [len(name) for name in shown[2:]] == [64, 64]
    assert len(set(shown)) == 4
    for name, own in zip(shown, names, strict=True):
        await made.run({"of": "1"}, context(mcp, name))
        assert mcp.calls[-1][1:] == (own, {"of": "1"})


async def test_the_builders_words_stand_before_the_servers() -> None:
    made, mcp = tool(description="The shop's own files."), Known(function("read"))
    await made.prepare(context(mcp))
    assert made.functions("files")[0].description == "The shop's own files.\nDoes read."


async def test_what_may_be_repeated() -> None:
    made, mcp = tool(tools=["read", "write"]), Known(function("read", repeatable=True))
    await made.prepare(context(mcp))
    assert made.is_repeatable({})
    mcp.functions = (*mcp.functions, function("write"))
    assert not made.is_repeatable({})


# ------------------------------------------------------------ a run


async def test_a_run_without_preparation_connects_by_itself() -> None:
    made, mcp = tool(), Known(function("read"))
    result = await made.run({"of": "x"}, context(mcp, "read"))
    assert (result.value, result.text) == ({"ok": True}, "done")
    assert mcp.listed == [McpEndpoint(server="files")]


@pytest.mark.parametrize("called", ["write", "nobody", ""])
async def test_what_is_not_allowed_is_not_called(called: str) -> None:
    mcp = Known(function("read"), function("write"))
    with pytest.raises(ToolError) as caught:
        await tool().run({}, context(mcp, called))
    assert caught.value.code == "unknown_function"
    assert mcp.calls == []


async def test_url_and_headers_are_rendered_and_belong_to_the_organization() -> None:
    made = McpTool(
        McpConfig.model_validate(
            {
                "url": "https://{{ workspace.host }}/mcp",
                "headers": {"Authorization": "Bearer {{ secrets.KEY }}", "X-Unset": "{{ nobody }}"},
                "tools": ["read"],
            }
        )
    )
    mcp = Known(function("read"))
    await made.prepare(context(mcp, workspace={"host": "mcp.acme.example"}))
    (endpoint,) = mcp.listed
    assert (endpoint.organization_id, endpoint.url) == ("o-1", ADDRESS)
    assert endpoint.headers == (("authorization", "Bearer secret-1"),)
    assert "secret-1" not in repr(endpoint)


async def test_without_connections_it_says_so() -> None:
    with pytest.raises(ToolError) as caught:
        await tool().prepare(context(None))
    assert caught.value.code == "mcp_unavailable"
