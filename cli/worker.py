"""`patchbay worker`: the long-running process that answers calls."""

from __future__ import annotations

from cli.verb import epilog, new_app
from runtime.settings import Settings
from worker.entry import run

__all__ = ["app"]

app = new_app()


@app.command(epilog=epilog("LIVEKIT_URL=wss://acme.livekit.cloud patchbay worker"))
def worker() -> None:
    """Answer the calls that LiveKit dispatches; needs LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET."""
    run(Settings.load())
