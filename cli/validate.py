"""`patchbay validate`: every fault of a workflow, with its place and its remedy."""

from __future__ import annotations

import typer

from cli.logs import log_to_stderr
from cli.output import print_faults, print_json, say
from cli.source import WorkflowSource, read_workflow
from cli.verb import epilog, new_app

__all__ = ["app"]

app = new_app()

SCHEMA_VERSION = 1
FAULT_KEYS = ("path", "code", "severity", "message", "remedy")


@app.command(epilog=epilog("patchbay validate workflow.yaml", "patchbay validate - --json < workflow.json"))
def validate(
    file: str = typer.Argument(metavar="FILE", help="JSON or YAML; - is standard input."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """List every fault of a workflow in one run: 0 without faults of severity error, else 1."""
    log_to_stderr()
    source = read_workflow(file)
    if as_json:
        faults = [{key: getattr(fault, key) for key in FAULT_KEYS} for fault in source.validation.faults]
        print_json({"schema_version": SCHEMA_VERSION, "valid": source.validation.valid, "faults": faults})
    else:
        print_faults(source.validation.faults)
        say(_verdict(source), style="green" if source.validation.valid else "red")
    if not source.validation.valid:
        raise typer.Exit(1)


def _verdict(source: WorkflowSource) -> str:
    severities = [fault.severity for fault in source.validation.faults]
    counted = [
        f"{count} {word if count == 1 else word + 's'}"
        for word in ("error", "warning")
        if (count := severities.count(word))
    ]
    state = "valid" if source.validation.valid else "not valid"
    return f"{source.file} is {state}" + (f": {', '.join(counted)}" if counted else "")
