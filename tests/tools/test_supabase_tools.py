"""`supabase_query` and `supabase_rpc`: what a config may say, and what of it reaches the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from runtime.store.tool_database import ToolDatabases
from runtime.store.tool_database_faults import FaultKind, ToolDatabaseFault, fault_of
from tools.base import ToolContext, ToolError, ToolResult
from tools.handles import Filter
from tools.registry import default_registry
from tools.supabase_query import SupabaseQuery, SupabaseQueryConfig
from tools.supabase_rpc import SupabaseRpc, SupabaseRpcConfig
from tools.tables import databases, filled

Json = Any
ROWS = [{"number": "4271", "status": "shipped"}, {"number": "5038", "status": "open"}]


class FakeDatabase:
    """A `Database` that answers what it is given and keeps what it was asked."""

    def __init__(self, rows: Sequence[Mapping[str, Json]] = (), answer: Json = None) -> None:
        self.rows = rows
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []

    async def select(self, table: str, **parts: Any) -> list[dict[str, Json]]:
        self.asked.append((table, parts))
        return [dict(row) for row in self.rows]

    async def rpc(self, function: str, arguments: Mapping[str, Json], *, timeout_s: float = 10.0) -> Json:
        self.asked.append((function, arguments))
        return self.answer


def context(database: FakeDatabase | None, **variables: Json) -> ToolContext:
    return ToolContext("t-1", 5.0, httpx.AsyncClient(), variables=variables, database=database)


async def query(
    database: FakeDatabase, config: Mapping[str, Json], arguments: Mapping[str, Json] | None = None, **variables: Json
) -> ToolResult:
    tool = SupabaseQuery(SupabaseQueryConfig.model_validate({"table": "orders", **config}))
    return await tool.run(arguments or {}, context(database, **variables))


# ------------------------------------------------------------ configs


def faults(tool_type: str, config: Mapping[str, Json]) -> list[tuple[tuple[str | int, ...], str]]:
    return list(default_registry().config_faults(tool_type, config))


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({}, ("table",)),
        ({"table": "orders; drop table orders"}, ("table",)),
        ({"table": 'or"ders'}, ("table",)),
        ({"table": "a.b.c"}, ("table",)),
        ({"table": "orders", "columns": ["*"]}, ("columns", 0)),
        ({"table": "orders", "columns": ["count(id)"]}, ("columns", 0)),
        ({"table": "orders", "limit": 101}, ("limit",)),
        ({"table": "orders", "limit": 0}, ("limit",)),
        ({"table": "orders", "order": [{"column": "a desc"}]}, ("order", 0, "column")),
        ({"table": "orders", "filters": [{"column": "a"}]}, ("filters", 0, "value")),
        ({"table": "orders", "filters": [{"column": "a", "value": "{{"}]}, ("filters", 0, "value")),
        ({"table": "orders", "filters": [{"column": "a", "value": "{% if a %}1{% endif %}"}]}, ("filters", 0, "value")),
        ({"table": "orders", "filters": [{"column": "a", "value": 1, "operator": "or"}]}, ("filters", 0, "operator")),
        ({"table": "orders", "filters": [{"column": "a", "value": None}]}, ("filters", 0)),
        ({"table": "orders", "filters": [{"column": "a", "value": "x", "operator": "is"}]}, ("filters", 0)),
        ({"table": "orders", "filters": [{"column": "a", "value": 0, "operator": "is"}]}, ("filters", 0)),
        ({"table": "orders", "filters": [{"column": "a", "value": "x", "operator": "in"}]}, ("filters", 0)),
        ({"table": "orders", "filters": [{"column": "a", "value": ["x"]}]}, ("filters", 0)),
        ({"table": "orders", "result": "$["}, ("result",)),
    ],
)
def test_a_query_that_cannot_be_is_a_fault(config: dict[str, Json], where: tuple[str | int, ...]) -> None:
    assert [found for found, _ in faults("supabase_query", config)] == [where]


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ({}, ("function",)),
        ({"function": "book(1)"}, ("function",)),
        ({"function": "book", "arguments": {"a b": 1}}, ("arguments", "a b")),
        ({"function": "book", "arguments": {"a": "{{"}}, ("arguments", "a")),
    ],
)
def test_a_call_that_cannot_be_is_a_fault(config: dict[str, Json], where: tuple[str | int, ...]) -> None:
    assert [found for found, _ in faults("supabase_rpc", config)] == [where]


@given(st.text())
def test_no_name_of_a_config_needs_quoting(name: str) -> None:
    if not faults("supabase_query", {"table": name, "columns": [name.rpartition(".")[2]]}):
        assert all(part.isidentifier() and part.isascii() for part in name.split("."))


# ------------------------------------------------------------ queries


async def test_a_query_is_asked_as_it_was_designed() -> None:
    database = FakeDatabase(ROWS)
    config = {
        "table": "shop.orders",
        "columns": ["number", "status"],
        "filters": [
            {"column": "number", "value": "{{ arguments.number }}"},
            {"column": "customer", "operator": "gte", "value": "{{ customer_id }}"},
            {"column": "paid", "operator": "is", "value": False},
            {"column": "kind", "operator": "in", "value": ["web", "{{ kind }}"]},
            {"column": "size", "operator": "in", "value": "{{ sizes }}"},
            {"column": "note", "operator": "ilike", "value": "%{{ word }}_x%"},
        ],
        "order": [{"column": "placed", "descending": True}, {"column": "number"}],
        "limit": 5,
    }
    given_ = {"customer_id": 42, "kind": "phone", "sizes": [1, 2], "word": "50%_\\"}
    found = await query(database, config, {"number": "4271"}, **given_)
    [(table, parts)] = database.asked
    assert (table, parts["columns"], parts["limit"]) == ("shop.orders", ["number", "status"], 5)
    assert parts["order"] == [("placed", True), ("number", False)]
    assert parts["filters"] == [
        Filter("number", "eq", "4271"),
        Filter("customer", "gte", 42),
        Filter("paid", "is", False),
        Filter("kind", "in", ["web", "phone"]),
        Filter("size", "in", [1, 2]),
        Filter("note", "ilike", "%50\\%\\_\\\\_x%"),
    ]
    assert 0 < parts["timeout_s"] <= 5
    assert found.value == ROWS
    assert found.text is not None
    assert '"status": "open"' in found.text


async def test_one_row_and_what_the_model_reads_of_it() -> None:
    database = FakeDatabase(ROWS[:1])
    found = await query(database, {"single": True, "result": "$.status", "limit": 50})
    assert (found.value, found.text) == (ROWS[0], "shipped")
    assert database.asked[0][1]["limit"] == 1
    assert await query(FakeDatabase(), {"single": True}) == ToolResult(None, "Nothing was found.")
    assert await query(FakeDatabase(), {}) == ToolResult([], "Nothing was found.")


@pytest.mark.parametrize("operator", ["eq", "like", "ilike", "in", "gt"])
@pytest.mark.parametrize(
    "template", ["{{ word }}", "%{{ word }}%", "ORD-{{ word }}", "{{ word | upcase }}", "{{ call.nothing }}"]
)
@pytest.mark.parametrize("word", [None, "", "  "])
async def test_a_condition_is_never_dropped(operator: str, template: str, word: Json) -> None:
    database = FakeDatabase(ROWS)
    with pytest.raises(ToolError) as caught:
        await query(database, {"filters": [{"column": "a", "operator": operator, "value": template}]}, word=word)
    assert caught.value.code == "missing_value"
    assert database.asked == []


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{ flag }}", False),
        ("{{ zero }}", 0),
        ("{{ unset | default: 'x' }}", "x"),
        ("n-{{ zero }}-{{ flag }}", "n-0-false"),
        ("", ""),
        (7, 7),
    ],
)
def test_what_is_empty_by_design_is_a_value(template: Json, value: Json) -> None:
    assert filled(template, {"flag": False, "zero": 0}) == value


async def test_an_empty_list_is_no_choice() -> None:
    with pytest.raises(ToolError, match="missing_value"):
        await query(FakeDatabase(ROWS), {"filters": [{"column": "a", "operator": "in", "value": "{{ few }}"}]}, few=[])


async def test_without_a_database_there_is_nothing_to_ask() -> None:
    tool = SupabaseQuery(SupabaseQueryConfig(table="orders"))
    with pytest.raises(ToolError, match="not_available"):
        await tool.run({}, context(None))


# ------------------------------------------------------------ calls of functions


async def test_a_function_is_called_with_named_arguments() -> None:
    database = FakeDatabase(answer={"booked": "2026-05-03", "place": [1]})
    config = {
        "function": "book",
        "arguments": {"day": "{{ arguments.day }}", "guests": "{{ guests }}", "note": "for {{ name }}", "extra": None},
        "result": "$.booked",
    }
    tool = SupabaseRpc(SupabaseRpcConfig.model_validate(config))
    found = await tool.run({"day": "2026-05-03"}, context(database, guests=2, name="Ada"))
    assert database.asked == [("book", {"day": "2026-05-03", "guests": 2, "note": "for Ada", "extra": None})]
    assert (found.value, found.text) == (database.answer, "2026-05-03")


def test_only_what_changes_nothing_is_repeated() -> None:
    assert SupabaseQuery(SupabaseQueryConfig(table="orders")).is_repeatable({})
    assert not SupabaseRpc(SupabaseRpcConfig(function="book")).is_repeatable({})


# ------------------------------------------------------------ faults


class Failing:
    def __init__(self, fault: ToolDatabaseFault) -> None:
        self.fault = fault

    async def call(self, organization_id: str, function: str, arguments: Mapping[str, Json], timeout_s: float) -> Json:
        raise self.fault


@pytest.mark.parametrize("kind", get_args(FaultKind))
async def test_every_fault_has_a_sentence_that_tells_nothing(kind: FaultKind) -> None:
    fault = ToolDatabaseFault(kind, "orders.number '4271' is wrong", remedy="Do this.", said="Full.\x07" * 200)
    database = databases(ToolDatabases(Failing(fault)))("o-1")
    for asked in (database.select("orders"), database.rpc("orders", {})):
        with capture_logs() as logs, pytest.raises(ToolError) as caught:
            await asked
        assert "4271" not in caught.value.message_for_model
        assert len(caught.value.message_for_model) <= 320
        assert caught.value.passing is (kind in {"timeout", "unreachable"})
        assert (logs[0]["asked"], logs[0]["remedy"]) == ("orders", "Do this.")
        # Of a message that names values the log keeps nothing either.
        assert ("4271" in logs[0]["reason"]) is (kind not in {"invalid_arguments", "constraint", "refused"})


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("42501", "not_allowed"),
        ("PB403", "not_allowed"),
        ("42P01", "bad_query"),
        ("42703", "bad_query"),
        ("25006", "bad_query"),
        ("PT404", "bad_query"),
        ("", "bad_query"),
        ("22P02", "invalid_arguments"),
        ("23505", "constraint"),
        ("P0001", "refused"),
        ("P0002", "bad_query"),
        ("57014", "timeout"),
        ("57P01", "unreachable"),
        ("08006", "unreachable"),
        ("40P01", "unreachable"),
        ("PGRST001", "unreachable"),
        ("PGRST202", "bad_query"),
        ("PGRST301", "unreachable"),
    ],
)
def test_codes(code: str, kind: FaultKind) -> None:
    assert fault_of(code, "message").kind == kind


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        ("42501", 'permission denied to set role "patchbay_tool"', "grant patchbay_tool"),
        ("42883", "function public.patchbay_select(jsonb) does not exist", "patchbay db migrate"),
        ("PGRST301", "JWSError", "SUPABASE_JWT_SECRET"),
        ("PB404", "there is no table", "a hint"),
    ],
)
def test_remedies(code: str, message: str, remedy: str) -> None:
    assert remedy in fault_of(code, message, "a hint").remedy
