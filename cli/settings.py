"""`patchbay settings`: what is in force and where each came from."""

from __future__ import annotations

import typer

from cli.output import print_json, print_table
from cli.verb import epilog, new_app
from runtime.settings import Settings

__all__ = ["app"]

app = new_app()

_VARIABLES = "Variables, from the environment, then .env in the working folder, then defaults:"


@app.command(epilog=epilog("patchbay settings --json", "", _VARIABLES, *(f"  {name}" for name in Settings.names())))
def settings(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Print the settings in force and where each came from; secrets as •••."""
    loaded = Settings.load()
    rows = [(name, value, loaded.sources[name]) for name, value in loaded.shown().items()]
    if as_json:
        print_json({"settings": [{"name": name, "value": value, "source": source} for name, value, source in rows]})
    else:
        print_table(("variable", "value", "from"), rows, empty="")
