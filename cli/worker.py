"""`patchbay worker`: the long-running process that answers the calls LiveKit dispatches."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from cli.logs import log_to_stderr
from cli.loop import run
from cli.verb import epilog, new_app
from runtime.settings import Settings
from worker.capacity import most_calls
from worker.needs import need_livekit
from worker.supervisor import crew, supervise

__all__ = ["app", "run_workers"]

app = new_app()


@app.command(epilog=epilog("LIVEKIT_URL=wss://acme.livekit.cloud patchbay worker", "patchbay worker --processes 4"))
def worker(
    processes: int = typer.Option(
        1, "--processes", min=1, max=256, metavar="N", help="Processes to run; each carries several calls."
    ),
) -> None:
    """Answer the calls that LiveKit dispatches; needs LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET.

    SIGTERM lets running calls finish (PATCHBAY_DRAIN_S), a second one ends them. Health and metrics: PATCHBAY_HTTP_PORT.
    """
    settings = Settings.load()
    log_to_stderr(settings)
    need_livekit(settings)
    raise typer.Exit(run_workers(settings, ["--rooms"], processes=processes))


def run_workers(settings: Settings, arguments: Sequence[str], *, processes: int = 1) -> int:
    """Run worker processes under one supervisor until they have drained; return the exit code."""
    argv = [sys.executable, "-m", "worker", *arguments]
    most = (
        max(processes, most_calls(settings, rooms="--rooms" in arguments))
        if not settings.max_calls
        else settings.max_calls
    )
    children = crew(argv, processes=processes, max_calls=most)
    return run(supervise(children, host=settings.http_host, port=settings.http_port))
