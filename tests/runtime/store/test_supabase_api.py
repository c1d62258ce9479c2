"""What the store over Supabase's API makes of whatever answers there."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from runtime.errors import NotFound, PatchbayError, StoreUnreachable, UsageFault
from runtime.session.ports import CallRow
from runtime.store.supabase import SupabaseStore
from runtime.store.supabase_records import as_object, built
from tests.contract.rows import a_call, some_events

URL = "https://project.supabase.co"
Answer = httpx.Response | Exception


def store_that_hears(*answers: Answer) -> tuple[SupabaseStore, list[httpx.Request]]:
    """Return a store whose requests are answered in turn, the last for ever, and the requests."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        given = answers[min(len(seen), len(answers)) - 1]
        if isinstance(given, Exception):
            raise given
        return given

    return SupabaseStore(URL, "service-key", transport=httpx.MockTransport(answer)), seen


def refusal(status: int, code: str, message: str = "no", hint: str | None = None) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": message, "hint": hint, "details": None})


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.store.supabase_api._RETRY_AFTER_S", 0)


async def test_a_request_names_its_function_and_carries_the_key() -> None:
    store, seen = store_that_hears(httpx.Response(200, json=[]))
    assert await store.workflows("o") == []
    (request,) = seen
    assert (request.method, request.url.path) == ("POST", "/rest/v1/rpc/patchbay_store_workflows")
    assert request.headers["apikey"] == "service-key"
    assert request.headers["authorization"] == "Bearer service-key"
    assert json.loads(request.content) == {"organization_id": "o"}
    await store.aclose()


AWAY: dict[str, Callable[[], Answer]] = {
    "connection": lambda: httpx.ConnectError("refused"),
    "broken": lambda: httpx.RemoteProtocolError("closed"),
    "gateway": lambda: httpx.Response(502, text="<html>Bad gateway</html>"),
    "gateway in json": lambda: httpx.Response(503, json={"message": "name resolution failed"}),
    "no database": lambda: refusal(503, "PGRST000"),
    "going down": lambda: refusal(500, "57P01"),
    "deadlock": lambda: refusal(500, "40P01"),
    "not Supabase": lambda: httpx.Response(200, text="<html>Welcome</html>", headers={"content-type": "text/html"}),
}


@pytest.mark.parametrize("answer", AWAY.values(), ids=AWAY)
async def test_what_is_away_is_asked_once_more(answer: Callable[[], Answer]) -> None:
    store, seen = store_that_hears(answer(), httpx.Response(200, json=[]))
    assert await store.workflows("o") == []
    assert len(seen) == 2
    store, seen = store_that_hears(answer())
    with pytest.raises(StoreUnreachable, match=r"project\.supabase\.co"):
        await store.workflows("o")
    assert len(seen) == 2


@pytest.mark.parametrize("answer", [httpx.ReadTimeout("slow"), refusal(504, "PGRST003")], ids=["read", "pool"])
async def test_what_was_waited_for_is_not_waited_for_again(answer: Answer) -> None:
    store, seen = store_that_hears(answer)
    with pytest.raises(StoreUnreachable):
        await store.append(some_events(a_call("o"), 1))
    assert len(seen) == 1


REFUSED: dict[str, httpx.Response] = {
    "type": refusal(400, "22P02"),
    "foreign key": refusal(409, "23503", "violates", "Look."),
    "too much": refusal(500, "54000"),
    "no json": refusal(400, "PGRST102"),
    "too large": httpx.Response(413, text="too large"),
}


@pytest.mark.parametrize("answer", REFUSED.values(), ids=REFUSED)
async def test_what_is_never_taken_is_no_outage(answer: httpx.Response) -> None:
    store, seen = store_that_hears(answer)
    with pytest.raises(PatchbayError, match="does not take this") as caught:
        await store.append(some_events(a_call("o"), 1))
    assert not isinstance(caught.value, StoreUnreachable)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (refusal(401, "PGRST301", "JWSError"), "SUPABASE_SERVICE_ROLE_KEY"),
        (refusal(401, "PGRST303", "JWT expired"), "SUPABASE_SERVICE_ROLE_KEY"),
        (refusal(403, "42501", "permission denied"), "SUPABASE_SERVICE_ROLE_KEY"),
        (httpx.Response(401, json={"message": "Invalid API key"}), "SUPABASE_SERVICE_ROLE_KEY"),
        (refusal(404, "PGRST202", "Could not find the function"), "supabase db push"),
        (refusal(404, "42P01", "relation does not exist"), "patchbay db migrate"),
        (httpx.Response(404, text="nothing here"), "SUPABASE_URL"),
        (httpx.Response(540, text="paused"), "paused"),
    ],
)
async def test_each_fault_names_its_remedy(answer: httpx.Response, remedy: str) -> None:
    store, _ = store_that_hears(answer)
    with pytest.raises(StoreUnreachable, match=remedy) as caught:
        await store.workflows("o")
    assert "service-key" not in str(caught.value)


async def test_a_text_that_is_none_is_refused() -> None:
    store, seen = store_that_hears(httpx.Response(200, json=True))
    with pytest.raises(PatchbayError, match="does not take this") as caught:
        await store.set_variable("o", "A", "\ud800", is_secret=False)
    assert not isinstance(caught.value, StoreUnreachable)
    with pytest.raises(ValueError, match="JSON"):
        await store.save_analysis("7c9e6679-7425-40de-944b-e07fc1f90ae7", {"n": float("nan")})
    assert seen == []


async def test_a_closed_store_stays_closed() -> None:
    store, seen = store_that_hears(httpx.Response(200, json=[]))
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreUnreachable, match="closed"):
        await store.workflows("o")
    assert seen == []


def test_a_key_that_is_none_is_wrong_usage() -> None:
    with pytest.raises(UsageFault, match="SUPABASE_SERVICE_ROLE_KEY"):
        SupabaseStore(URL, "•••")


@pytest.mark.parametrize(
    "started", ["2026-05-03T15:30:00.5+00:00", "2026-05-03 17:30:00.500000+02", "2026-05-03T15:30:00.5Z"]
)
def test_rows_are_read_in_every_form_of_a_time_and_without_what_is_not_known(started: str) -> None:
    record: dict[str, Any] = as_object(a_call("o", cost=0.25)) | {"started_at": started, "cost": 1, "made_later": {}}
    row = built(CallRow, record)
    assert row.started_at == datetime(2026, 5, 3, 15, 30, 0, 500000, tzinfo=UTC)
    assert (row.cost, type(row.cost), row.organization_id) == (1.0, float, "o")


async def test_what_has_no_uuid_for_an_id_is_nothing() -> None:
    store, seen = store_that_hears(httpx.Response(200, content=b"null", headers={"content-type": "application/json"}))
    with pytest.raises(NotFound):
        await store.call("no uuid")
    assert json.loads(seen[0].content) == {"session_id": None}
