"""`patchbay workflow`: publish, list and show workflows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer

from cli.context import CliStore, with_store
from cli.logs import log_to_stderr
from cli.output import hint, plain, print_faults, print_json, print_record, print_table, say
from cli.source import read_workflow
from cli.verb import epilog, new_app
from runtime.errors import NotFound, UsageFault
from runtime.session.ports import VersionRow

__all__ = ["app"]

app = new_app("Publish, list and show workflows.")

_LONGEST_NAME = 200
_JSON = typer.Option(False, "--json", help="Print one JSON object.")


@app.command(epilog=epilog("patchbay workflow publish workflow.yaml --name front-desk"))
def publish(
    file: str = typer.Argument(metavar="FILE", help="JSON or YAML; - is standard input."),
    name: str | None = typer.Option(
        None, "--name", help="The workflow's name; without it, the file's.", show_default=False
    ),
    as_json: bool = _JSON,
) -> None:
    """Publish a workflow: the next call runs it. The same content again is no new version."""
    log_to_stderr()
    source = read_workflow(file)
    config = source.accepted()
    row = with_store(lambda opened: _publish(opened, _checked_name(source.name if name is None else name), config))
    print_faults(source.validation.faults, err=True)
    if as_json:
        print_json(row)
    else:
        say(f"{row.workflow_name} version {row.version} is published", style="green")


@app.command("list", epilog=epilog("patchbay workflow list --json"))
def list_workflows(as_json: bool = _JSON) -> None:
    """List workflows, the last changed first."""
    rows = with_store(lambda opened: opened.store.workflows(opened.organization.id))
    rows = sorted(rows, key=lambda row: row.updated_at, reverse=True)
    if as_json:
        print_json({"workflows": rows})
        return
    print_table(
        ("name", "published", "latest", "changed", "id"),
        [(row.name, row.published_version, row.latest_version, row.updated_at, row.id) for row in rows],
        empty="No workflows yet. `patchbay workflow publish workflow.yaml --name front-desk` makes one.",
    )


@app.command(epilog=epilog("patchbay workflow show front-desk --version 2"))
def show(
    name: str = typer.Argument(metavar="NAME", help="The workflow's name or id."),
    version: int | None = typer.Option(
        None, "--version", min=1, help="Without it, the published one, else the newest.", show_default=False
    ),
    as_json: bool = _JSON,
) -> None:
    """Show one version of a workflow: its agents and where their paths lead; with --json the whole config."""
    row = with_store(lambda opened: _find(opened, name, version))
    if as_json:
        print_json(row)
        return
    print_record(
        {
            "workflow": row.workflow_name,
            "version": f"{row.version} ({row.status})",
            "id": row.id,
            "created": row.created_at,
            "published": row.published_at,
        }
    )
    print_table(("agent", "path", "leads to"), list(_paths(row.config)), empty="This version has no agents.")


def _checked_name(name: str) -> str:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageFault(
            f"{plain(name)!r} is no name for a workflow.",
            remedy=f"Use 1 to {_LONGEST_NAME} characters: --name front-desk",
        )
    return name.strip()


async def _publish(opened: CliStore, name: str, config: Mapping[str, Any]) -> VersionRow:
    draft = await opened.store.save_draft(opened.organization.id, name, config)
    if draft.status == "published":
        hint("This content is published already; nothing has changed.")
        return draft
    return await opened.store.publish(draft.id)


async def _find(opened: CliStore, name: str, version: int | None) -> VersionRow:
    rows = await opened.store.versions(opened.organization.id, name)
    wanted = [row for row in rows if (row.version == version if version else row.status == "published")]
    if not wanted and version:
        there = ", ".join(str(row.version) for row in rows)
        raise NotFound(f"Workflow {plain(name)!r} has no version {version}.", remedy=f"Versions: {there}.")
    return (wanted or rows)[0]


def _paths(config: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """Yield a row for each path; an agent without one has a row of its own. Old schemas may lack anything."""
    agents = [agent for agent in config.get("agents") or () if isinstance(agent, Mapping)]
    names = {agent.get("id"): agent.get("name") for agent in agents}
    for agent in agents:
        paths = [path for path in agent.get("paths") or () if isinstance(path, Mapping)]
        for path in paths:
            yield agent.get("name"), path.get("name"), _target(path, names)
        if not paths:
            yield agent.get("name"), None, None


def _target(path: Mapping[str, Any], names: Mapping[Any, Any]) -> object:
    if path.get("end_call") is not None:
        return "the end of the call"
    if isinstance(transfer := path.get("transfer_call"), Mapping):
        return f"telephone {transfer.get('to')}"
    return names.get(path.get("target_agent_id"), path.get("target_agent_id"))
