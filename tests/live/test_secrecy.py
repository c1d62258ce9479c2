"""What is secret stays so: a tool's key and a caller's PIN appear nowhere but where they are used."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from runtime.store.embedded import EmbeddedPostgres
from tests.cli.console import Console, Done

Json = Any
pytestmark = pytest.mark.server

KEY = "canary-8d1f0b7e5a"
PIN = "83176254"
SPOKEN = "eight three one seven six two five four"


def payload(port: int) -> dict[str, Json]:
    """The domain model's payload, with its ids filled in and `check_order` as an HTTP request."""
    intake, billing = "8a1e6d7c-0001-4b6f-9a53-0c0a7f1d0001", "8a1e6d7c-0002-4b6f-9a53-0c0a7f1d0002"
    models = {
        "llm": {"provider": "openai", "model": "gpt-4o-mini"},
        "stt": {"provider": "assemblyai", "model": "universal-streaming"},
        "tts": {"provider": "cartesia", "voice_id": "sonic-2"},
    }
    check_order = {
        "tool_type": "http_request",
        "display_name": "Check order",
        "config": {
            "description": 'Looks an order up. For example: "where is my order"; "my order number is"',
            "parameters": {
                "type": "object",
                "properties": {"order_number": {"type": "string", "description": "the order number; 4 digits"}},
                "required": ["order_number"],
            },
            "url": f"http://127.0.0.1:{port}/orders/{{{{ arguments.order_number }}}}",
            "headers": {"Authorization": "Bearer {{ secrets.ORDERS_KEY }}"},
        },
    }
    to_billing = {
        "id": "8a1e6d7c-0011-4b6f-9a53-0c0a7f1d0011",
        "name": "To Billing",
        "description": "Use when customer mentions invoices",
        "target_agent_id": billing,
        "required_variables": [{"name": "customer_id", "is_required": True}],
    }
    first = {"id": intake, "name": "Intake", "instructions": "Collect customer intent..."}
    second = {"id": billing, "name": "Billing", "instructions": "Answer questions about invoices."}
    return {"agents": [first | models | {"tools": [check_order], "paths": [to_billing]}, second | models]}


class _Orders(BaseHTTPRequestHandler):
    """An order service that says back, as a bad one does, with which key it was asked."""

    def do_GET(self) -> None:
        key = self.headers["Authorization"]
        self.server.asked.append((self.path, key))  # type: ignore[attr-defined]
        body = json.dumps({"status": "shipped", "debug": {"authorization": key}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: stderr is part of what is tested."""


@pytest.fixture
def orders() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    asked: list[tuple[str, str]] = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Orders) as server:
        server.asked = asked  # type: ignore[attr-defined]
        serving = threading.Thread(target=server.serve_forever, name="orders")
        serving.start()
        yield server.server_port, asked
        server.shutdown()
        serving.join()


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    console = Console(tmp_path_factory.mktemp("secrets"))
    yield console
    EmbeddedPostgres(console.home).start().stop()  # a test that failed may have left one


def written(console: Console) -> str:
    """Return what lies in the home outside the database's own files and the key that encrypts."""
    files = [path for path in console.home.rglob("*") if path.is_file() and "data" not in path.parts]
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files)


async def test_a_secret_reaches_its_tool_and_nothing_else(
    console: Console, orders: tuple[int, list[tuple[str, str]]]
) -> None:
    port, asked = orders
    (console.folder / "payload.json").write_text(json.dumps(payload(port)))
    assert console.run("validate", "payload.json", "--json").json["valid"] is True
    done = [console.run("secret", "set", "ORDERS_KEY", stdin=f"{KEY}\n")]
    allowed = Console(console.folder, {"PATCHBAY_ALLOW_PRIVATE_HOSTS": f"127.0.0.1:{port}", "PATCHBAY_LOG": "debug"})
    (console.folder / "script.txt").write_text("where is my order\nfour two seven one\n")
    chat = ("chat", "payload.json", "--offline", "--script", "script.txt")
    done += [allowed.run(*chat, "--json"), allowed.run(*chat), console.run(*chat, "--json")]
    assert asked == [("/orders/4271", f"Bearer {KEY}")] * 2
    assert ends(done[1]) == [("tool_succeeded", None)]
    assert "shipped" in done[1].out
    assert [kind for kind, _ in ends(done[3])] == ["tool_failed"]  # not named in PATCHBAY_ALLOW_PRIVATE_HOSTS
    done.append(console.run("secret", "list"))
    session_id = done[1].events[0]["session_id"]
    done += [console.run("session", "events", session_id)]
    everywhere = [*(each.out + each.err for each in done), await console.everything(), written(console)]
    assert [place[:200] for place in everywhere if KEY in place] == []


def ends(done: Done) -> list[tuple[str, str | None]]:
    ended = ("tool_succeeded", "tool_failed")
    return [
        (event["event_type"], event["payload"].get("error_code"))
        for event in done.events
        if event["event_type"] in ended
    ]


PIN_DESK = {
    "agents": [
        {
            "id": "a-desk",
            "name": "Desk",
            "instructions": "Find out who calls.",
            "greeting": {"mode": "say", "text": "Hello."},
            "paths": [
                {
                    "id": "p-account",
                    "name": "To the account",
                    "description": "The caller asks about the account",
                    "examples": ["I have a question about my account"],
                    "target_agent_id": "a-account",
                    "required_variables": [
                        {
                            "name": "pin",
                            "description": "the PIN",
                            "data_type": "digits",
                            "min_length": 8,
                            "max_length": 8,
                            "sensitive": True,
                            "dtmf": True,
                        }
                    ],
                }
            ],
        },
        {
            "id": "a-account",
            "name": "Account",
            "instructions": "Answer questions.",
            "greeting": {"mode": "say", "text": "You are known now."},
        },
    ]
}


ASKED = "I have a question about my account"


@pytest.mark.parametrize(
    ("script", "form"),
    [
        (f"{ASKED}\n[dtmf {PIN}#]\n", "--json"),
        (f"{ASKED}\n[dtmf {PIN}#]\n", "--offline"),  # said twice: the form for people
        (f"{ASKED}\n{SPOKEN}\n", "--json"),
        (f"{ASKED} my pin is {PIN}\nthe pin was {PIN}\n", "--json"),
    ],
    ids=["keyed", "keyed, for people", "spoken", "unasked"],
)
async def test_a_sensitive_value_is_acted_on_and_nowhere_to_be_found(console: Console, script: str, form: str) -> None:
    (console.folder / "desk.json").write_text(json.dumps(PIN_DESK))
    (console.folder / "script.txt").write_text(script)
    logged = Console(console.folder, {"PATCHBAY_LOG": "debug"})
    done = logged.run("chat", "desk.json", "--offline", "--script", "script.txt", form)
    assert ("a-account" if form == "--json" else "▸ Account") in done.out
    row = console.run("session", "list", "--limit", "1", "--json").json["sessions"][0]
    assert row["variables"] == {"pin": "•••"}
    told = console.run("session", "events", row["id"])
    assert_nowhere(done.out + done.err, told.out + told.err, await console.everything(), written(console))
    assert await console.rows("select * from call_secret") == []


async def test_a_sensitive_value_of_a_call_that_was_killed_is_nowhere_either(console: Console) -> None:
    (console.folder / "desk.json").write_text(json.dumps(PIN_DESK))
    with console.running("chat", "desk.json", "--offline", "--json") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{ASKED}\n[dtmf {PIN}#]\n".encode())
        process.stdin.flush()
        printed = b""
        while b"a-account" not in (line := process.stdout.readline()):
            printed += line
        process.kill()
        process.wait()
    assert list((console.home / "events").glob("*.ndjson"))
    assert_nowhere(printed.decode(), written(console), await console.everything())
    done = console.run("session", "list")
    assert "worker_lost" in done.out
    assert_nowhere(done.out + done.err, written(console), await console.everything())
    assert await console.rows("select * from call_secret") == []


def assert_nowhere(*places: str) -> None:
    found = [place for place in places if PIN in place or SPOKEN in place or '"8"' in place or "key 8" in place]
    assert [place[:2000] for place in found] == []
