"""`patchbay doctor`: essentials decide the exit code, keys are never printed."""

import asyncio
import json
from contextlib import closing
from pathlib import Path

import pytest

from cli import checks
from cli.checks import Check
from runtime.errors import StoreUnreachable
from runtime.settings import Settings
from runtime.store.migrations import SchemaStatus
from tests.cli.conftest import Patchbay

CURRENT = SchemaStatus(("20260101000000",), (), ())
OLDER = SchemaStatus(("20260101000000",), ("20260102000000",), ())
NEWER = SchemaStatus(("20260101000000",), (), ("20270101000000",))
OUTGROWN = SchemaStatus(("20260101000000",), (), ("20270101000000",), "20270101000000")


@pytest.fixture
def schema(monkeypatch: pytest.MonkeyPatch) -> list[SchemaStatus | Exception]:
    """What the database is found to be; the last one counts."""
    found: list[SchemaStatus | Exception] = [CURRENT]

    async def status(_settings: Settings) -> SchemaStatus:
        if isinstance(found[-1], Exception):
            raise found[-1]
        return found[-1]

    monkeypatch.setattr(checks, "schema_status", status)
    return found


def looked_at(patchbay: Patchbay) -> tuple[int, dict[str, dict[str, object]]]:
    result = patchbay("doctor", "--json")
    report = json.loads(result.stdout)
    assert report["ok"] is (result.exit_code == 0)
    return result.exit_code, {check["name"]: check for check in report["checks"]}


def test_a_machine_with_the_essentials_is_0(patchbay: Patchbay, schema: list[SchemaStatus]) -> None:
    code, found = looked_at(patchbay)
    assert code == 0
    assert all(found[name]["ok"] for name in ("python", "patchbay", "livekit plugins", "PATCHBAY_HOME", "database"))
    assert not found["openai key"]["ok"]
    assert not found["livekit"]["essential"]
    people = patchbay("doctor")
    assert (people.exit_code, people.stderr) == (0, "")
    assert "Set OPENAI_API_KEY" in people.stdout


def test_keys_are_seen_and_not_shown(
    patchbay: Patchbay, schema: list[SchemaStatus], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    Path(".env").write_text("DEEPGRAM_API_KEY=dg-secret\n")
    _, found = looked_at(patchbay)
    assert found["openai key"]["ok"]
    assert found["deepgram plugin"]["remedy"] == "pip install livekit-plugins-deepgram"
    assert "secret" not in patchbay("doctor").output


@pytest.mark.parametrize(
    ("url", "status", "code"),
    [
        ("", OLDER, 0),
        ("", NEWER, 0),
        ("", OUTGROWN, 3),
        ("postgresql://u@h/db", NEWER, 0),
        ("postgresql://u@h/db", OUTGROWN, 3),
        ("postgresql://u@h/db", CURRENT, 0),
        ("postgresql://u@h/db", OLDER, 3),
        ("postgresql://u@h/db", StoreUnreachable("away", remedy="start it"), 3),
    ],
)
def test_the_database(
    patchbay: Patchbay, schema: list[object], monkeypatch: pytest.MonkeyPatch, url: str, status: object, code: int
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    schema.append(status)
    assert looked_at(patchbay)[0] == code


def test_wrong_settings_are_a_finding_not_a_failure(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_URL", "wss://x")
    code, found = looked_at(patchbay)
    assert code == 3
    assert "LIVEKIT_API_SECRET" in str(found["settings"]["detail"])


def test_a_home_that_cannot_be_used(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("PATCHBAY_HOME", "file")
    code, found = looked_at(patchbay)
    assert code == 3
    assert "PATCHBAY_HOME" in str(found["PATCHBAY_HOME"]["remedy"])


async def livekit(url: str) -> Check:
    env = {"LIVEKIT_URL": url, "LIVEKIT_API_KEY": "k", "LIVEKIT_API_SECRET": "s"}
    return await checks._livekit(Settings.load(env, Path()))


async def test_livekit_is_reached_by_tcp() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with closing(server):
        assert (await livekit(f"ws://127.0.0.1:{port}")).ok
    found = await livekit(f"ws://127.0.0.1:{port}")
    assert (found.ok, found.essential) == (False, True)


@pytest.mark.parametrize("url", ["ws://x:port", "ws://[", "ws://127.0.0.1:99999", "ws://?"])
async def test_a_livekit_url_that_leads_nowhere_is_a_finding(url: str) -> None:
    assert not (await livekit(url)).ok
