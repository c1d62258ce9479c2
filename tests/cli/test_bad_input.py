"""Whatever a user gets wrong ends in one message, its exit code, and nothing half done."""

import asyncio
import socket
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.store.embedded import EmbeddedPostgres
from runtime.store.memory import MemoryStore
from tests.cli.conftest import Patchbay
from tests.cli.console import BILLING, FRONT_DESK

FAULTY = "agents: [{id: a, nme: x}, {id: a, name: b, instructions: c}]\nfoo: 1\n"
SCRIPT = "[dtmf x]\nhello\n[foo]\n"


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    text = Path(FRONT_DESK).read_text(encoding="utf-8")
    llm = "provider: openai, model: gpt-4o-mini}"
    assert llm in text
    contents: dict[str, str | bytes] = {
        "faulty.yaml": FAULTY,
        "neither.json": '{"agents": [,',
        "binary.yaml": b"\xff\xfe\x00",
        "empty.yaml": "",
        "misspelt.yaml": text.replace(llm, "provider: opnai, model: x}"),
        "absent.yaml": text.replace(llm, "provider: anthropic, model: x}"),
        "option.yaml": text.replace(llm, "provider: openai, model: x, options: {temprature: 1}}"),
        "wrong.txt": SCRIPT,
        "no.wav": "not at all",
        "empty.wav": "",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with wave.open(str(tmp_path / "silent.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))


def refused(patchbay: Patchbay, line: str, code: int, *words: str) -> str:
    """Run it offline unless it says otherwise; return what it said on stderr, where all of it is said."""
    args = line.replace("FRONT_DESK", FRONT_DESK).replace("BILLING", BILLING).split(" ")
    result = patchbay(*args)
    assert "Traceback" not in result.output
    assert "Something unexpected" not in result.stderr
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    for word in words:
        assert word in result.stderr
    return str(result.stderr)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("chat", 2, ["FILE, --version ID or --workflow NAME"]),
        ("call --say hello", 2, ["FILE, --version ID or --workflow NAME"]),
        ("chat FRONT_DESK --workflow x", 2, ["FILE, --version ID or --workflow NAME"]),
        ("chat --version a --workflow x", 2, ["FILE, --version ID or --workflow NAME"]),
        ("chat a.yaml b.yaml", 2, ["b.yaml"]),
        ("chat FRONT_DESK --sed 3", 2, ["--sed"]),
        ("chat FRONT_DESK --seed x", 2, ["--seed"]),
        ("chat nothere.yaml", 2, ["nothere.yaml", "No such file"]),
        ("chat .", 2, [".", "Is a directory"]),
        ("chat faulty.yaml", 1, ["$.agents[0].nme", "$.agents[1].id", "$.foo", "$.agents[0].instructions"]),
        ("chat faulty.yaml --json", 1, ["$.agents[0].nme", "$.agents[1].id", "$.foo"]),
        ("call faulty.yaml --say hello --json", 1, ["$.foo"]),
        ("chat neither.json", 1, ["Line 1, column 13"]),
        ("chat binary.yaml", 1, ["no UTF-8 text"]),
        ("chat empty.yaml", 1, ["empty.yaml"]),
        ("chat misspelt.yaml", 1, ["$.defaults.llm.provider", "“opnai”", "Did you mean “openai”?"]),
        ("chat --workflow nope", 1, ["There is no workflow 'nope'"]),
        ("chat --version nope", 1, ["There is no workflow version 'nope'"]),
        ("chat --version 00000000-0000-4000-8000-000000000000", 1, ["There is no workflow version"]),
        ("chat FRONT_DESK --script nothere.txt", 2, ["nothere.txt", "No such file"]),
        ("chat FRONT_DESK --script wrong.txt", 2, ["line 1", "line 3", "[foo]"]),
        ("call FRONT_DESK", 2, ["--script FILE, --say TEXT or --audio WAV"]),
        ("call FRONT_DESK --script BILLING --say hello", 2, ["one of the three"]),
        ("call FRONT_DESK --audio silent.wav --say hello", 2, ["one of the three"]),
        ("call FRONT_DESK --audio nothere.wav", 2, ["nothere.wav", "No such file"]),
        ("call FRONT_DESK --audio .", 2, ["Is a directory"]),
        ("call FRONT_DESK --audio no.wav", 2, ["no.wav", "is not a WAV file"]),
        ("call FRONT_DESK --audio empty.wav", 2, ["empty.wav", "is not a WAV file"]),
        ("call FRONT_DESK --audio silent.wav", 2, ["silent.wav", "no samples"]),
        ("call FRONT_DESK --say hello --out nothere/call.wav", 2, ["nothere/call.wav", "does not exist"]),
        ("call FRONT_DESK --say hello --out .", 2, ["it is a folder"]),
        ("call FRONT_DESK --say hello --out no.wav/call.wav", 2, ["no.wav/call.wav"]),
        ("demo --out nothere/call.wav", 2, ["nothere/call.wav"]),
        ("demo FRONT_DESK", 2, ["workflow.yaml"]),
    ],
)
def test_wrong_input(patchbay: Patchbay, store: MemoryStore, line: str, code: int, words: list[str]) -> None:
    offline = [] if line.startswith("demo") else ["--offline"]
    refused(patchbay, " ".join([line, *offline]), code, *words)
    assert calls(store) == []


@pytest.mark.parametrize("command", ["chat", "call"])
def test_a_missing_key_is_told_before_there_is_a_call(patchbay: Patchbay, store: MemoryStore, command: str) -> None:
    refused(patchbay, f"{command} FRONT_DESK --script BILLING", 3, "OPENAI_API_KEY", "--offline")
    assert calls(store) == []
    assert list(Path("home/events").glob("*")) == []


@pytest.mark.parametrize(
    ("file", "code", "words"),
    [
        ("absent.yaml", 1, ["“anthropic”", "pip install livekit-plugins-anthropic", "--offline"]),
        ("option.yaml", 1, ["temprature", "temperature"]),
    ],
)
def test_a_provider_that_cannot_be_used_is_told_before_there_is_a_call(
    patchbay: Patchbay, store: MemoryStore, file: str, code: int, words: list[str]
) -> None:
    refused(patchbay, f"chat {file} --script BILLING", code, *words)
    assert calls(store) == []


def calls(store: MemoryStore) -> list[object]:
    async def look() -> list[object]:
        return list(await store.calls((await store.ensure_organization("local")).id))

    return asyncio.run(look())


@pytest.mark.parametrize(
    ("name", "value", "code", "words"),
    [
        ("DATABASE_URL", "postgresql://u:pw-secret@127.0.0.1:1/db", 3, ["127.0.0.1:1/db", "DATABASE_URL"]),
        ("DATABASE_URL", "postgresql://u:pw-secret@nowhere.invalid/db", 3, ["nowhere.invalid", "DATABASE_URL"]),
        ("DATABASE_URL", "postgresql://u:pw-secret@host:port/db", 2, ["DATABASE_URL"]),
        ("DATABASE_URL", "mysql://u:pw-secret@host/db", 2, ["DATABASE_URL", "postgresql://"]),
        ("SUPABASE_URL", "https://x.supabase.co", 2, ["SUPABASE_SERVICE_ROLE_KEY"]),
        ("LIVEKIT_API_KEY", "pw-secret", 2, ["LIVEKIT_URL", "LIVEKIT_API_SECRET"]),
        ("PATCHBAY_HOME", "faulty.yaml", 2, ["PATCHBAY_HOME", "faulty.yaml"]),
        ("PATCHBAY_HOME", "faulty.yaml/home", 2, ["PATCHBAY_HOME"]),
        ("PATCHBAY_HOME", "/proc/nowhere", 2, ["PATCHBAY_HOME", "/proc/nowhere"]),
        ("PATCHBAY_LOG", "loud", 2, ["PATCHBAY_LOG"]),
        ("PATCHBAY_SECRET_KEY", "pw-secret", 2, ["PATCHBAY_SECRET_KEY", "Fernet"]),
    ],
)
def test_wrong_settings(
    patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: int, words: list[str]
) -> None:
    monkeypatch.setenv(name, value)
    if name == "PATCHBAY_SECRET_KEY":
        monkeypatch.setattr("cli.context._opened", lambda _settings: MemoryStoreOpened())
    err = refused(patchbay, "chat FRONT_DESK --offline --script BILLING", code, *words)
    assert "pw-secret" not in err


class MemoryStoreOpened:
    async def __aenter__(self) -> MemoryStore:
        return MemoryStore()

    async def __aexit__(self, *_: object) -> None:
        return None


@pytest.mark.server  # it is waited for ten seconds
def test_a_database_that_never_answers_is_given_up(patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DATABASE_URL", f"postgresql://u:pw-secret@127.0.0.1:{silent.getsockname()[1]}/db")
        refused(patchbay, "session list", 3, "DATABASE_URL")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("server")).start()
    yield postgres.dsn
    postgres.stop()


@pytest.mark.server
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("postgres@/postgres", "postgres@/nothere"), ["nothere", "does not exist"]),
        (("postgres@/postgres", "nobody@/postgres"), ["nobody", "does not exist"]),
        (("postgres@/postgres", "postgres@/postgres"), ["patchbay db migrate"]),
    ],
)
def test_a_database_that_is_not_ours_is_3(
    patchbay: Patchbay, monkeypatch: pytest.MonkeyPatch, server: str, change: tuple[str, str], words: list[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", server.replace(*change))
    refused(patchbay, "chat FRONT_DESK --offline --script BILLING", 3, *words)
