"""How a server is asked for a voice test, and what becomes of its refusals."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from runtime.errors import ConfigRefused, NotFound, PatchbayError, Unreachable, UsageFault
from runtime.harness.joining import ApiServer, Invitation, Wanted, invite
from tests.fakes.http_answers import Answer, answering

Json = Any
VOICE = "/api/workflow-versions/v-1/test/voice"
DESCRIBED = (200, {"paths": {"/api/workflow-versions/{version_id}/test/voice": {}}})
JOINED = (201, {"url": "ws://inside:80/api/test-sessions/t-1/voice?ticket=x", "test_session_id": "t-1"})


def always(*answer: Json) -> Callable[[str, str, Json], Answer]:
    return lambda _method, path, _body: DESCRIBED if path == "/openapi.json" else (answer[0], answer[1])


async def test_a_version_is_asked_for_and_joined_at_the_servers_own_address() -> None:
    bodies = []

    def answer(_method: str, path: str, body: Json) -> Answer:
        assert path == f"/behind{VOICE}"
        bodies.append(body)
        return JOINED

    with answering(answer) as url:
        found = await invite(ApiServer(f"{url}/behind/", "pb_1"), Wanted("v-1", mocks={"tools": {}}, offline=True))
    host = url.removeprefix("http://")
    assert found == Invitation(f"ws://{host}/behind/api/test-sessions/t-1/voice?ticket=x", "t-1", direct=True)
    assert bodies == [{"transport": "websocket", "mocks": {"tools": {}}, "offline": True}]


async def test_a_workflows_published_version_is_found_page_by_page() -> None:
    def answer(_method: str, path: str, _body: Json) -> Answer:
        if path == VOICE:
            return JOINED
        if path.startswith("/api/workflows/w-2/versions"):
            if "after=" not in path:
                return 200, {"items": [{"id": "v-2", "status": "draft"}], "next": "more"}
            return 200, {"items": [{"id": "v-1", "status": "published"}], "next": None}
        assert path.startswith("/api/workflows?name=Front+desk")
        return 200, {"items": [{"id": "w-1", "name": "Other"}, {"id": "w-2", "name": "Front desk"}], "next": None}

    with answering(answer) as url:
        assert (await invite(ApiServer(url, "k"), Wanted(workflow="Front desk"))).test_session_id == "t-1"


async def test_a_workflow_that_is_not_there_is_told() -> None:
    empty = always(200, {"items": [], "next": None})
    with answering(empty) as url, pytest.raises(NotFound, match="no workflow 'Nobody'"):
        await invite(ApiServer(url, "k"), Wanted(workflow="Nobody"))


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ((401, {"detail": "It expired."}), Unreachable, "refuses the token: It expired."),
        ((403, {"detail": "You may not.", "remedy": "Ask."}), PatchbayError, "You may not."),
        ((404, {"detail": "There is no version."}), NotFound, "There is no version."),
        ((429, {"detail": "Too many."}), PatchbayError, "Too many."),
        ((503, {"detail": "A key is missing."}), Unreachable, "A key is missing."),
        ((200, b"<html>"), Unreachable, "does not answer as a Patchbay server"),
        ((200, {"hello": 1}), Unreachable, "does not answer as a Patchbay server"),
        ((201, {"url": 5, "test_session_id": 1}), Unreachable, "does not answer as a Patchbay server"),
    ],
)
async def test_what_a_server_refuses_is_told(answer: Answer, kind: type[PatchbayError], words: str) -> None:
    with answering(always(*answer)) as url, pytest.raises(kind, match=words):
        await invite(ApiServer(url, "pb_secret"), Wanted("v-1"))


async def test_the_faults_of_a_config_are_told() -> None:
    fault = {"path": "$.agents", "code": "missing", "severity": "error", "message": "There is none.", "remedy": "Add."}
    refusal = always(422, {"detail": "It has faults.", "faults": [fault]})
    with answering(refusal) as url, pytest.raises(ConfigRefused) as refused:
        await invite(ApiServer(url, "k"), Wanted("v-1"))
    assert [getattr(each, "path", None) for each in refused.value.faults] == ["$.agents"]


@pytest.mark.parametrize("described", [(200, {"paths": {}}), (404, {}), (200, b"?")])
async def test_an_old_server_is_told_from_a_version_that_is_not_there(described: Answer) -> None:
    def answer(_method: str, path: str, _body: Json) -> Answer:
        return described if path == "/openapi.json" else (404, {"detail": "Not Found"})

    with answering(answer) as url, pytest.raises(Unreachable, match="too old"):
        await invite(ApiServer(url, "k"), Wanted("v-1"))


async def test_a_server_that_is_away_is_told() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unreachable, match="does not answer"):
        await invite(ApiServer(f"http://127.0.0.1:{port}", "k"), Wanted("v-1"))


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "ftp://x", "http://", "http://x:port", "http://[1", "http://x?a"]
)
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(UsageFault, match="is no URL"):
        ApiServer(url, "k")


def test_only_this_machine_is_loopback_and_the_token_is_not_shown() -> None:
    assert ApiServer("http://localhost:1", "k").is_loopback
    assert ApiServer("http://[::1]:1", "k").is_loopback
    assert not ApiServer("https://127.example.com", "k").is_loopback
    assert "pb_secret" not in repr(ApiServer("https://x", "pb_secret"))
    assert ApiServer("https://x/y", "k").socket_url("ws://in/api/z?ticket=1") == "wss://x/y/api/z?ticket=1"
