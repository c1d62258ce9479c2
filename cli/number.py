"""`patchbay number`: who answers which number."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from cli.context import CliStore, with_store
from cli.output import hint, plain, print_json, print_record, print_table, say
from cli.verb import epilog, new_app
from runtime.errors import PatchbayError, UsageFault
from runtime.numbers import e164
from runtime.session.ports import NumberRow, TenantRow

if TYPE_CHECKING:  # livekit takes seconds to import, and only `test` needs it
    from worker.directory import Route

__all__ = ["app"]

app = new_app("Say which workflow answers which number.")

_JSON = typer.Option(False, "--json", help="Print one JSON object.")
_NUMBER = typer.Argument(metavar="NUMBER", help="With its country code: +15550100.")


@app.command(epilog=epilog("patchbay number add +15550100 --workflow front-desk"))
def add(
    number: str = _NUMBER,
    workflow: str = typer.Option(..., "--workflow", metavar="NAME", help="The workflow's name or id."),
    description: str | None = typer.Option(None, "--description", help="What the number is for.", show_default=False),
    replace: bool = typer.Option(False, "--replace", help="Take the number from the workflow that has it."),
    trunk: bool = typer.Option(False, "--trunk", help="Make LiveKit's inbound trunk and dispatch rule for it."),
    as_json: bool = _JSON,
) -> None:
    """Have a workflow answer a number: the next call to it does. The same again changes nothing."""
    wanted = _checked(number)

    async def work(opened: CliStore) -> tuple[NumberRow, object]:
        row = await _add(opened, wanted, workflow, description, replace=replace)
        return row, await _provisioned(opened, wanted) if trunk else None

    row, provisioned = with_store(work)
    if as_json:
        print_json({**asdict(row), "trunk": provisioned} if trunk else row)
        return
    say(f"{row.number} is answered by {row.workflow_name}", style="green")
    if provisioned is not None:
        hint("LiveKit has an inbound trunk and a dispatch rule for it.")


@app.command("list", epilog=epilog("patchbay number list --json"))
def list_numbers(as_json: bool = _JSON) -> None:
    """List the numbers and who answers any other."""

    async def work(opened: CliStore) -> tuple[list[NumberRow], TenantRow]:
        return await opened.store.numbers(opened.organization.id), await _tenant(opened)

    rows, tenant = with_store(work)
    if as_json:
        default = {key: getattr(tenant, key) for key in ("default_workflow_id", "default_workflow_name")}
        print_json({"numbers": rows, **default})
        return
    table: list[tuple[object, ...]] = [(row.number, row.workflow_name, row.description) for row in rows]
    if tenant.default_workflow_id is not None:
        table.append(("any other", tenant.default_workflow_name, None))
    print_table(
        ("number", "answered by", "description"),
        table,
        empty="No numbers yet. `patchbay number add +15550100 --workflow NAME` maps one.",
    )


@app.command(epilog=epilog("patchbay number remove +15550100"))
def remove(
    number: str = _NUMBER,
    trunk: bool = typer.Option(False, "--trunk", help="Remove LiveKit's trunk and dispatch rule as well."),
) -> None:
    """Have nobody answer a number but the default workflow."""
    wanted = _checked(number)

    async def work(opened: CliStore) -> None:
        if trunk:  # first: where LiveKit is away, the command can be given again
            await _unprovisioned(opened, wanted)
        await opened.store.remove_number(opened.organization.id, wanted)

    with_store(work)
    hint(f"{wanted} is removed")


@app.command(epilog=epilog("patchbay number default front-desk"))
def default(
    name: str | None = typer.Argument(None, metavar="[NAME]", help="The workflow's name or id.", show_default=False),
    none: bool = typer.Option(False, "--none", help="Nobody answers a number that is not mapped."),
    as_json: bool = _JSON,
) -> None:
    """Name the workflow that answers any number that is not mapped."""
    if (name is None) is not none:
        raise UsageFault("Name one workflow, or say --none.", remedy="For example: patchbay number default front-desk")

    async def work(opened: CliStore) -> TenantRow:
        await opened.store.set_default_workflow(opened.organization.id, name)
        return await _tenant(opened)

    tenant = with_store(work)
    if as_json:
        print_json({key: getattr(tenant, key) for key in ("default_workflow_id", "default_workflow_name")})
    elif tenant.default_workflow_name is None:
        say("Numbers that are not mapped are answered by nobody")
    else:
        say(f"Any other number is answered by {tenant.default_workflow_name}", style="green")


@app.command("test", epilog=epilog("patchbay number test +15550100"))
def try_number(
    number: str = typer.Argument(metavar="NUMBER", help="As a caller dials it; sip: addresses too."),
    as_json: bool = _JSON,
) -> None:
    """Say which version would answer a call to a number, or why none; 1 where none would."""
    _print_route(number, with_store(lambda opened: _route(opened, number)), as_json=as_json)


def _print_route(number: str, route: Route, *, as_json: bool) -> None:
    """Print who would answer; raises a fault with exit code 1 where nobody would."""
    from worker.routing import Apologise  # noqa: PLC0415 - livekit takes seconds to import

    if isinstance(route, Apologise):
        if as_json:
            print_json({"number": number, "answered": False, **asdict(route)})
            raise typer.Exit(1)
        raise PatchbayError(route.message)
    version = route.version.version
    if as_json:
        keys = ("organization_id", "workflow_id", "workflow_name", "version")
        found = {key: getattr(version, key) for key in keys}
        print_json({"number": number, "answered": True, **found, "version_id": version.id})
        return
    print_record(
        {
            "number": number,
            "workflow": version.workflow_name,
            "version": f"{version.version} ({version.status})",
            "id": version.id,
            "language": route.version.workflow.language,
        }
    )


def _checked(number: str) -> str:
    found = e164(number)
    if found is None:
        raise UsageFault(
            f"{plain(number)!r} is no telephone number with its country code.",
            remedy="Write it in E.164, plus and country code first: +15550100",
        )
    return found


async def _add(opened: CliStore, number: str, workflow: str, description: str | None, *, replace: bool) -> NumberRow:
    snapshot = await opened.store.directory()
    rows = snapshot.numbers.get(number, ())
    own = next((row for row in rows if row.organization_id == opened.organization.id), None)
    taken = own is not None and own.workflow_id is not None and workflow not in {own.workflow_id, own.workflow_name}
    if own is not None and taken and not replace:
        raise UsageFault(
            f"{number} is answered by the workflow {plain(own.workflow_name)!r} already.",
            remedy=f"Add --replace to give it to {plain(workflow)!r}, or remove it first: patchbay number remove {number}",
        )
    if len(rows) > (own is not None):
        hint(f"Another organization maps {number} too; a worker answers it for its own (PATCHBAY_ORG).")
    row = await opened.store.set_number(opened.organization.id, number, workflow, description=description)
    if row.workflow_id not in snapshot.published:
        hint(f"{row.workflow_name} has no published version yet: patchbay workflow publish FILE --name NAME")
    return row


async def _tenant(opened: CliStore) -> TenantRow:
    return (await opened.store.directory()).organizations[opened.organization.id]


async def _provisioned(opened: CliStore, number: str) -> object:
    from worker.trunks import provision  # noqa: PLC0415 - livekit takes long to import

    return await provision(opened.settings, number)


async def _unprovisioned(opened: CliStore, number: str) -> None:
    from worker.trunks import unprovision  # noqa: PLC0415 - livekit takes long to import

    await unprovision(opened.settings, number)


async def _route(opened: CliStore, number: str) -> Any:
    # livekit takes seconds to import.
    from runtime.voice.providers import import_all  # noqa: PLC0415
    from worker.directory import open_directory  # noqa: PLC0415
    from worker.legs import CallRequest  # noqa: PLC0415
    from worker.versions import Versions  # noqa: PLC0415

    import_all()
    versions = Versions(opened.store)
    async with open_directory(
        opened.store, versions, opened.organization.id, on_fault=lambda _code, _message: None
    ) as directory:
        return await directory.route(CallRequest(channel="phone", dialled=number))
