"""`patchbay doctor`: what is installed, reachable and missing, with remedies."""

from __future__ import annotations

import asyncio

import typer
from rich.text import Text

from cli.checks import Check, all_checks
from cli.logs import log_to_stderr
from cli.output import console, plain, print_json
from cli.verb import epilog, new_app
from runtime.errors import Unreachable

__all__ = ["app"]

app = new_app()

_MARKS = {
    (True, True): ("✔", "green"),
    (True, False): ("✔", "green"),
    (False, True): ("✗", "bold red"),
    (False, False): ("–", "yellow"),
}


@app.command(epilog=epilog("patchbay doctor --json"))
def doctor(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Say what is installed, reachable and missing; keys are never printed. 0 if the essentials work, else 3."""
    log_to_stderr()
    checks = asyncio.run(all_checks())
    works = all(check.ok for check in checks if check.essential)
    if as_json:
        print_json({"ok": works, "checks": checks})
    else:
        for check in checks:
            _print(check)
    if not works:
        raise typer.Exit(Unreachable.exit_code)


def _print(check: Check) -> None:
    mark, style = _MARKS[check.ok, check.essential]
    line = Text.assemble((f"{mark} ", style), (f"{check.name:<18}", "bold"), plain(check.detail))
    console().print(line, soft_wrap=True)
    if not check.ok and check.remedy:
        console().print(Text(f"{'':<20}{plain(check.remedy)}", style="dim"), soft_wrap=True)
