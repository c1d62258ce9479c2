"""`patchbay dev`: database, LiveKit, API, worker and SIP line on this machine, and how to call it."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import typer
from rich.text import Text

from api.local import TOKEN_FILE
from cli.context import CliStore, open_cli_store
from cli.demo import examples
from cli.dev_api import free_port, served_api
from cli.logs import log_to_stderr
from cli.loop import run
from cli.output import console, hint
from cli.phone import LISTEN, OFFLINE
from cli.source import read_workflow
from cli.verb import epilog, new_app
from runtime.errors import Unreachable
from runtime.settings import Settings
from worker.capacity import most_calls
from worker.needs import need_phone
from worker.phone.config import LineConfig
from worker.phone.ports import free_listen
from worker.supervisor import crew, supervise

__all__ = ["app"]

app = new_app()

_STARTS_WITHIN_S = 15.0
_KEY = "devkey"
_ROOM = "patchbay-dev"


@app.command(epilog=epilog("patchbay dev", "patchbay dev workflow.yaml --offline"))
def dev(
    file: str | None = typer.Argument(
        None, metavar="[FILE]", help="A workflow that answers every number that is not mapped."
    ),
    listen: str = LISTEN,
    offline: bool = OFFLINE,
    api_port: int = typer.Option(
        8080, "--api-port", min=0, max=65535, help="The control API's port; another where it is taken."
    ),
) -> None:
    """Run everything on this machine: Postgres, LiveKit where it is installed, the API, and a worker with a SIP line."""
    settings = Settings.load()
    log_to_stderr(settings)
    need_phone()
    listen = free_listen(LineConfig(listen=listen))
    raise typer.Exit(run(_dev(settings, file, listen, free_port(api_port), offline=offline)))


async def _dev(settings: Settings, file: str | None, listen: str, api_port: int, *, offline: bool) -> int:
    arguments = ["--phone", listen, "--loopback-models", *(["--offline"] if offline else [])]
    async with open_cli_store(settings) as opened, _livekit(settings) as livekit:
        if (version := await _answering(opened, file)) is not None:
            arguments += ["--answer-with", version]
            if file is None:  # the example alone: what is published meanwhile has its own providers
                arguments += ["--answer-offline"]
        environment = livekit or _given(settings)
        if environment:
            arguments += ["--rooms"]
        children = crew(
            [sys.executable, "-m", "worker", *arguments],
            processes=1,
            max_calls=most_calls(settings, rooms=bool(environment)),
        )
        children = tuple(type(child)(child.argv, {**child.env, **livekit}) for child in children)
        async with served_api(settings, api_port, livekit, offline=offline):
            _tell(settings.model_copy(update=_fields(environment)), listen, api_port, rooms=bool(environment))
            return await supervise(children, host=settings.http_host, port=settings.http_port)


async def _answering(opened: CliStore, file: str | None) -> str | None:
    """Return the version that answers unmapped numbers: the file's; the front desk's where nothing is published."""
    if file is None:
        workflows = await opened.store.workflows(opened.organization.id)
        if any(row.published_version is not None for row in workflows):
            return None
        hint("Nothing is published yet, so the example front desk answers, with local voices and no key.")
        file = str(examples() / "front_desk" / "workflow.yaml")
    source = read_workflow(file)
    row = await opened.store.save_draft(opened.organization.id, source.name, source.accepted())
    return row.id


def _given(settings: Settings) -> dict[str, str]:
    names = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
    found = {name: settings.given.get(name) for name in names}
    return {name: value for name, value in found.items() if value} if all(found.values()) else {}


def _fields(environment: dict[str, str]) -> dict[str, object]:
    loaded = Settings.load(environment) if environment else None
    if loaded is None:
        return {}
    return {name: getattr(loaded, name) for name in ("livekit_url", "livekit_api_key", "livekit_api_secret")}


def _tell(settings: Settings, listen: str, api_port: int, *, rooms: bool) -> None:
    """Say how to call: by telephone, and by browser where there is LiveKit."""
    lines = [("By phone    ", f"ring sip:patchbay@{listen} with any SIP telephone (Linphone, baresip, …), no account")]
    if rooms:
        lines.append(("By browser  ", _browser_address(settings)))
    else:
        lines.append(("By browser  ", "install livekit-server (`make livekit`), or set LIVEKIT_*, and start again"))
    lines.append(
        ("By HTTP     ", f"http://127.0.0.1:{api_port} (description: /docs); token: {settings.home / TOKEN_FILE}")
    )
    lines.append(("Publish     ", "patchbay workflow publish FILE; patchbay number default NAME"))
    lines.append(("Events      ", "patchbay session list"))
    for name, text in lines:
        console().print(Text.assemble((name, "bold"), text), soft_wrap=True)


def _browser_address(settings: Settings) -> str:
    # LiveKit takes three seconds to import, and the telephone's part needs none of it.
    from datetime import timedelta  # noqa: PLC0415
    from urllib.parse import urlencode  # noqa: PLC0415

    from worker.rooms.invitation import invitation  # noqa: PLC0415

    token = invitation(settings, f"{_ROOM}-{secrets.token_hex(3)}", ttl=timedelta(hours=12))
    asked = urlencode({"liveKitUrl": settings.livekit_url, "token": token})
    return f"https://meet.livekit.io/custom?{asked}"


# ------------------------------------------------------------ livekit-server


def _binary() -> str | None:
    built = Path(__file__).parent.parent / ".cache" / "bin" / "livekit-server"
    return str(built) if built.exists() else shutil.which("livekit-server")


@asynccontextmanager
async def _livekit(settings: Settings) -> AsyncIterator[dict[str, str]]:
    """Run livekit-server in development mode; yield what leads to it, nothing where it is not wanted or not there."""
    binary = None if _given(settings) else _binary()
    if binary is None:
        yield {}
        return
    port, secret = _free_port(), secrets.token_hex(24)
    config = _config(port, secret)
    with _started([binary, "--config-body", json.dumps(config)], settings.home / "livekit.log") as process:
        await _listening(port, process, settings.home / "livekit.log")
        yield {"LIVEKIT_URL": f"ws://127.0.0.1:{port}", "LIVEKIT_API_KEY": _KEY, "LIVEKIT_API_SECRET": secret}


def _config(port: int, secret: str) -> dict[str, object]:
    rtc = {"tcp_port": _free_port(), "udp_port": _free_port(), "node_ip": "127.0.0.1", "use_external_ip": False}
    return {
        "port": port,
        "bind_addresses": ["127.0.0.1"],
        "development": True,
        "rtc": {**rtc, "enable_loopback_candidate": True},
        "keys": {_KEY: secret},
        "logging": {"level": "warn"},
    }


@contextmanager
def _started(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    # A session of its own: Ctrl-C is for the worker, which still needs the server to say goodbye.
    process = subprocess.Popen(argv, stdout=descriptor, stderr=descriptor, start_new_session=True)  # noqa: S603 - our own
    os.close(descriptor)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = asyncio.get_running_loop().time() + _STARTS_WITHIN_S
    while asyncio.get_running_loop().time() < until and process.poll() is None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise Unreachable("livekit-server did not start.", remedy=f"See {log}, or set LIVEKIT_* to another server.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
