"""`patchbay api`: the control API, a process of its own beside the worker."""

from __future__ import annotations

import signal

import typer
from rich.text import Text

from api.local import TOKEN_FILE, make_local_user
from api.serving import open_services, serve
from api.sockets import listening_socket
from cli.logs import log_to_stderr
from cli.loop import run
from cli.output import console, hint
from cli.verb import epilog, new_app
from runtime.addresses import is_loopback
from runtime.errors import UsageFault
from runtime.settings import Settings

__all__ = ["app"]

app = new_app()


@app.command(epilog=epilog("patchbay api", "patchbay api --host 0.0.0.0 --port 8080"))
def api(
    host: str = typer.Option("127.0.0.1", "--host", metavar="ADDRESS", help="The address to listen on."),
    port: int = typer.Option(8080, "--port", min=0, max=65535, help="The port; 0 chooses a free one."),
    dev: bool = typer.Option(
        False,
        "--dev",
        help="Make a user of this machine and a token, and let tests reach models on it; on loopback only.",
    ),
    offline: bool = typer.Option(
        False, "--offline", help="Tests of workflows use the local providers: no key, no network."
    ),
) -> None:
    """Serve the control API: workflows, tests by chat and voice, sessions and analytics. Its description is at /docs."""
    settings = Settings.load()
    log_to_stderr(settings)
    settings.export_provider_environment()
    if dev and not is_loopback(host):
        raise UsageFault(f"--dev is for this machine alone, and {host} is not.", remedy="Leave --host out, or --dev.")
    listening = listening_socket(host, port)
    bound = listening.getsockname()[1]
    if not is_loopback(host):
        hint("Keys and tokens cross this connection: put a proxy with TLS in front of it.")

    def ready() -> None:  # one line, which `patchbay dev` waits for
        shown = f"[{host}]" if ":" in host else host
        console().print(
            Text.assemble(("API  ", "bold"), f"http://{shown}:{bound}  (description: /docs)"), soft_wrap=True
        )

    async def serving() -> None:
        async with open_services(settings, offline=offline, dev=dev) as services:
            if dev:
                organization = await services.store.ensure_organization(settings.org)
                await make_local_user(services.access, organization.id, settings.home)
                hint(f"Token of this machine's user: {settings.home / TOKEN_FILE}")
            await serve(services, listening, on_ready=ready)

    try:
        run(serving())
    except typer.Exit as ended:  # a server that was told to stop, and did so in order, has not failed
        raise typer.Exit(0 if ended.exit_code == 128 + signal.SIGTERM else ended.exit_code) from None
