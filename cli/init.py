"""`patchbay init`: a first workflow and a script that plays its caller."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import typer

from cli.output import hint, say
from cli.verb import epilog, new_app
from cli.writing import write_new
from runtime.errors import UsageFault

__all__ = ["app"]

app = new_app()

_FILES = ("workflow.yaml", "script.txt")


@app.command(epilog=epilog("patchbay init front-desk"))
def init(
    folder: Path = typer.Argument(
        Path(), metavar="DIR", help="Where to write; made where it is missing.", show_default="here"
    ),
) -> None:
    """Write workflow.yaml and script.txt. Nothing that is there already is overwritten."""
    there = [folder / name for name in _FILES if (folder / name).exists() or (folder / name).is_symlink()]
    if there:
        raise UsageFault(
            f"Not overwritten: {' and '.join(str(path) for path in there)}.",
            remedy="Name another folder: patchbay init NEW_FOLDER",
        )
    for name in _FILES:
        write_new(folder / name, files("cli").joinpath("templates", name).read_text(encoding="utf-8"))
        hint(f"wrote {folder / name}")
    workflow, script = (folder / name for name in _FILES)
    say(f"patchbay validate {workflow}")
    say(f"patchbay chat {workflow} --script {script} --offline")
    say(f"patchbay workflow publish {workflow} --name front-desk")
