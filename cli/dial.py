"""`patchbay dial`: call somebody, and let a workflow speak."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import typer

from cli.context import open_cli_store
from cli.logs import log_to_stderr
from cli.loop import run
from cli.output import hint, print_json
from cli.running import JSON, OFFLINE, print_event
from cli.timeline import Timeline
from cli.verb import epilog, new_app
from runtime.errors import PatchbayError, UsageFault
from runtime.numbers import may_dial, telephone_address
from runtime.session.ports import EventRow, VersionRow
from runtime.settings import Settings
from worker.needs import need_livekit, need_phone
from worker.phone.config import LineConfig
from worker.phone.numbers import target_uri
from worker.phone.ports import address_towards, free_listen

__all__ = ["app"]

app = new_app()

Json = Any
UNANSWERED = frozenset({"busy", "no_answer", "not_connected", "error", "limit_reached"})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A call that is to go out: `to` is E.164 or a SIP address."""

    to: str
    workflow: str
    variables: dict[str, Json]
    caller: str | None


@dataclass(frozen=True, slots=True)
class Carrier:
    """Through whom: LiveKit's outbound trunk, or a SIP server (digest with `user` and the secret named `password`)."""

    line: Literal["phone", "livekit"]
    trunk: str | None
    listen: str
    via: str | None
    user: str | None
    password: str | None


@app.command(
    epilog=epilog(
        'patchbay dial sip:anna@192.0.2.7 --workflow "Front desk" --offline',
        "patchbay dial +4930123456 --workflow Reminder --var name=Anna --line livekit --trunk ST_abc",
    )
)
def dial(
    number: str = typer.Argument(..., metavar="NUMBER", help="A number (+4930123456) or a SIP address (sip:…)."),
    workflow: str = typer.Option(..., "--workflow", metavar="NAME", help="The published workflow that speaks."),
    var: list[str] = typer.Option([], "--var", metavar="NAME=VALUE", help="A preset variable; may be repeated."),
    line: str = typer.Option(
        "phone", "--line", metavar="phone|livekit", help="The SIP line of this machine, or LiveKit."
    ),
    trunk: str | None = typer.Option(None, "--trunk", metavar="ID", help="LiveKit's outbound trunk."),
    caller: str | None = typer.Option(None, "--from", metavar="NUMBER", help="The number that is shown."),
    via: str | None = typer.Option(None, "--via", metavar="HOST[:PORT]", help="The SIP server that takes numbers."),
    user: str | None = typer.Option(None, "--user", metavar="NAME", help="The account at that server."),
    password: str | None = typer.Option(
        None, "--password-secret", metavar="NAME", help="The secret that holds its password (`patchbay secret set`)."
    ),
    listen: str | None = typer.Option(
        None,
        "--listen",
        metavar="ADDRESS:PORT",
        help="Where this machine speaks SIP; without it the address that leads to the other side, any port.",
    ),
    offline: bool = OFFLINE,
    as_json: bool = JSON,
) -> None:
    """Call a number and let a published workflow speak: it waits for a hello, and knows machines from people."""
    settings = Settings.load()
    log_to_stderr(settings)
    outgoing = Outgoing(_address(number, via, line), workflow, _variables(var), caller)
    carrier = Carrier(_line(line), trunk, listen or f"{address_towards(via or outgoing.to)}:0", via, user, password)
    _check(settings, outgoing, carrier)
    if carrier.line == "livekit":
        run(_by_livekit(settings, outgoing, carrier, as_json=as_json))
        return
    watch = print_event if as_json else Timeline()
    raise typer.Exit(run(_by_phone(settings, outgoing, carrier, offline=offline, watch=watch)))


def _line(name: str) -> Literal["phone", "livekit"]:
    match name:
        case "phone" | "livekit":
            return name
        case _:
            raise UsageFault(f"There is no line '{name}'.", remedy="Lines: phone, livekit.")


def _check(settings: Settings, outgoing: Outgoing, carrier: Carrier) -> None:
    if carrier.line == "phone":
        need_phone()
        free_listen(LineConfig(listen=carrier.listen, via=carrier.via))
        target_uri(outgoing.to, carrier.via)
        return
    need_livekit(settings)
    if carrier.trunk is None:
        raise UsageFault(
            "LiveKit calls through an outbound trunk, and none is named.",
            remedy="Name it: --trunk ST_… (docs/telephony.md)",
        )


def _address(number: str, via: str | None, line: str) -> str:
    to = telephone_address(number)
    if to is None:
        raise UsageFault(
            f"'{number[:80]}' is no number and no SIP address.",
            remedy="For example: +4930123456, or sip:anna@192.0.2.7",
        )
    if line == "phone" and to.startswith("+") and via is None:
        raise UsageFault(
            "A number is called through a SIP server, and none is named.",
            remedy="Name it: --via sbc.acme.example. Or call an address: sip:anna@192.0.2.7",
        )
    return to


def _variables(given: list[str]) -> dict[str, Json]:
    pairs = [item.partition("=") for item in given]
    if wrong := [item for item, pair in zip(given, pairs, strict=True) if not pair[0] or not pair[1]]:
        raise UsageFault(f"--var {wrong[0][:80]} is not NAME=VALUE.", remedy="For example: --var customer_id=4271")
    return {name: value for name, _, value in pairs}


async def _published(settings: Settings, outgoing: Outgoing, secret: str | None) -> tuple[VersionRow, str | None]:
    """Return the version that speaks, and the carrier's password."""
    async with open_cli_store(settings) as opened:
        version = await opened.store.published_version(opened.organization.id, outgoing.workflow)
        limits = (await opened.store.directory()).organizations[opened.organization.id].limits
        if not may_dial(outgoing.to, limits.dial_prefixes):
            raise PatchbayError(
                f"The organization '{opened.organization.name}' may not dial {outgoing.to}.",
                remedy="See: patchbay organization show",
            )
        if secret is None:
            return version, None
        rows = {row.name: row for row in await opened.store.variables(opened.organization.id) if row.is_secret}
        if secret not in rows:
            raise UsageFault(f"There is no secret '{secret}'.", remedy=f"Set it: patchbay secret set {secret}")
        return version, opened.keyring.decrypt(rows[secret].value)


async def _by_phone(
    settings: Settings, outgoing: Outgoing, carrier: Carrier, *, offline: bool, watch: Callable[[EventRow], None]
) -> int:
    # They take three seconds to import, and bad input is to be told at once.
    from runtime.voice.pipeline import warm  # noqa: PLC0415
    from worker.worker import Lines, open_worker  # noqa: PLC0415

    version, password = await _published(settings, outgoing, carrier.password)
    settings.export_provider_environment()
    warm(local=offline)
    ended: list[str] = []
    config = LineConfig(listen=carrier.listen, via=carrier.via)
    async with open_worker(settings, Lines(phone=config), offline=offline) as worker:
        assert worker.phone is not None
        await worker.prepare(version.id, outgoing.variables)
        worker.switchboard.watch(lambda log: log.subscribe(watch))
        worker.switchboard.watch(lambda log: log.subscribe(lambda event: ended.extend(_reason(event))))
        leg = await worker.phone.dial(
            outgoing.to, caller=outgoing.caller, via=carrier.via, username=carrier.user, password=password
        )
        leg.want(version.id, outgoing.variables)
        with worker.switchboard.counted():
            await worker.switchboard.answer(leg)
    return 1 if not ended or ended[-1] in UNANSWERED else 0


def _reason(event: EventRow) -> list[str]:
    return [str(event.payload["reason"])] if event.event_type == "call_ended" else []


async def _by_livekit(settings: Settings, outgoing: Outgoing, carrier: Carrier, *, as_json: bool) -> None:
    from runtime.voice.rooms import Dial, DispatchMetadata, dispatch  # noqa: PLC0415 - three seconds, as above

    version, _ = await _published(settings, outgoing, None)
    room = f"call-out-{secrets.token_hex(6)}"
    metadata = DispatchMetadata(
        workflow_id=version.workflow_id,
        variables=outgoing.variables,
        dial=Dial(to=outgoing.to, trunk_id=carrier.trunk or "", from_number=outgoing.caller),
    )
    dispatch_id = await dispatch(settings, room, metadata)
    if as_json:
        print_json({"dispatch_id": dispatch_id, "room": room})
    else:
        hint(f"A worker was asked to call {outgoing.to} (room {room}). See: patchbay session list")
