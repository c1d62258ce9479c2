"""`patchbay phone`: answers SIP telephones directly, without LiveKit."""

from __future__ import annotations

import asyncio

import typer

from cli.context import open_cli_store
from cli.logs import log_to_stderr
from cli.output import hint
from cli.source import read_workflow
from cli.verb import epilog, new_app
from cli.worker import run_workers
from runtime.settings import Settings
from worker.needs import need_phone
from worker.phone.config import LineConfig
from worker.phone.ports import free_listen

__all__ = ["LISTEN", "OFFLINE", "app", "stored_draft"]

app = new_app()

LISTEN = typer.Option(
    "127.0.0.1:5060", "--listen", metavar="ADDRESS:PORT", help="Where SIP calls are taken (UDP). Loopback by default."
)
OFFLINE = typer.Option(False, "--offline", help="Put the local providers in place of those the workflow names.")


@app.command(
    epilog=epilog(
        "patchbay phone workflow.yaml --offline     # then ring sip:anything@127.0.0.1",
        "patchbay phone --listen 10.0.0.5:5060 --via sbc.acme.example",
    )
)
def phone(
    file: str | None = typer.Argument(
        None, metavar="[FILE]", help="A workflow that answers every number that is not mapped (`patchbay number`)."
    ),
    listen: str = LISTEN,
    via: str | None = typer.Option(
        None, "--via", metavar="HOST[:PORT]", help="The SIP server through which numbers are called and transferred."
    ),
    offline: bool = OFFLINE,
) -> None:
    """Answer SIP telephones on this machine, without LiveKit and without an account."""
    settings = Settings.load()
    log_to_stderr(settings)
    need_phone()
    config = LineConfig(listen=listen, via=via)
    listen = free_listen(config)
    if config.warning:
        hint(config.warning)
    arguments = ["--phone", listen, *(["--via", via] if via else []), *(["--offline"] if offline else [])]
    if file is not None:
        arguments += ["--answer-with", stored_draft(settings, file)]
    hint(f"Ring sip:patchbay@{listen} with any SIP telephone. Ctrl-C ends it.")
    raise typer.Exit(run_workers(settings, arguments))


def stored_draft(settings: Settings, file: str) -> str:
    """Save the workflow of a file as a draft, by content, and return its version's id; raises ConfigRefused for its faults."""
    source = read_workflow(file)
    accepted = source.accepted()

    async def save() -> str:
        async with open_cli_store(settings) as opened:
            row = await opened.store.save_draft(opened.organization.id, source.name, accepted)
            return row.id

    return asyncio.run(save())
