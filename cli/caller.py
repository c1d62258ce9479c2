"""`patchbay caller`: one person removed from everything that this host reaches."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import typer

from cli.operating import ORG, Operating, with_database
from cli.output import hint, plain, print_json, say
from cli.verb import epilog, new_app
from runtime.aftercall.caller import CallerErasure, digest_of, erase_caller
from runtime.aftercall.erasure import StillRunning
from runtime.errors import UsageFault
from runtime.numbers import e164
from runtime.settings import Settings
from runtime.store.opening import database_of
from runtime.store.rewriting import rewrite_tables
from runtime.store.secrets import KEY_FILE

__all__ = ["app"]

Json = Any

app = new_app("Remove one person from everything that is stored.")

ELSEWHERE = (
    "The other hosts that run workers: give the command on each of them too, with its own PATCHBAY_HOME.",
    "Your log collector, if you ship stderr there: search it for the number.",
    "Backups, replicas and archived write-ahead logs of the database, and the database server's own log.",
    "A database of your own: bytes of removed rows stay in its files until vacuum and new rows overwrite them.",
    "LiveKit and the SIP carrier: call records, recordings (Egress) and room names.",
    "The providers of speech and language models: what they keep of requests.",
    "Receivers of webhooks, and what tools wrote into other systems (CRM, tickets, your own tables in this database).",
    "Recordings that were saved elsewhere, or whose file names do not tell the session.",
    "This shell's history, where NUMBER was given as an argument: `-` reads it from standard input.",
)


@app.command(
    epilog=epilog("patchbay caller erase +491701234567 --dry-run", "patchbay caller erase - --yes < number.txt")
)
def erase(
    number: str = typer.Argument(metavar="NUMBER", help="With its country code: +491701234567; - reads it from stdin."),
    org: str | None = ORG,
    dry_run: bool = typer.Option(False, "--dry-run", help="Count, and remove nothing."),
    yes: bool = typer.Option(False, "--yes", help="Do not ask."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Remove the calls from and to a number, and the number wherever else it is written; 1 where a call of theirs runs."""
    wanted = _checked(number)
    if not dry_run and not yes:
        _ask(wanted)

    async def work(operating: Operating) -> list[CallerErasure]:
        return await _erase(operating, wanted, dry_run=dry_run)

    done = with_database(org, work)
    if as_json:
        print_json({"dry_run": dry_run, "organizations": [_shown(each) for each in done], "elsewhere": ELSEWHERE})
    else:
        _say(done, dry_run=dry_run)
    if running := [session for each in done for session in each.running]:
        hint(f"Calls of theirs run at this moment: {', '.join(running)}. Give the command again when they have ended.")
        raise typer.Exit(1)


async def _erase(operating: Operating, number: str, *, dry_run: bool) -> list[CallerErasure]:
    settings = operating.opened.settings
    home, digest = settings.make_home(), digest_of(number, _key(operating))
    wanted = [each.id for each in operating.organizations]
    if dry_run or len(wanted) > 1:
        looked = [
            await erase_caller(operating.database, home, each, number, digest=digest, dry_run=True) for each in wanted
        ]
        if dry_run:
            return looked
        # One whose call runs refuses the whole command, before the first is touched.
        if running := [session for each in looked for session in each.running]:
            raise StillRunning(running)
    done = [await erase_caller(operating.database, home, each, number, digest=digest) for each in wanted]
    database = database_of(operating.opened.store)
    if (
        database is not None
        and _is_embedded(settings)
        and any(each.counts()["rows"] or each.counts()["masked"] for each in done)
    ):
        await rewrite_tables(database)
    return done


def _is_embedded(settings: Settings) -> bool:
    return settings.database_url is None and settings.supabase_url is None


def _key(operating: Operating) -> str:
    """Return the newest of the keys that secrets are encrypted with."""
    settings = operating.opened.settings
    _ = operating.opened.keyring  # made where it is missing, refused where it is none
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().split(",")[0].strip()
    return (settings.home / KEY_FILE).read_text("ascii").split()[0]


def _checked(number: str) -> str:
    text = sys.stdin.readline() if number == "-" else number
    found = e164(text)
    if found is None:
        raise UsageFault(
            f"{plain(text.strip())!r} is no telephone number with its country code.",
            remedy="Write it in E.164, plus and country code first: +15550100",
        )
    return found


def _ask(number: str) -> None:
    if not sys.stdin.isatty():
        raise UsageFault("Removing a person asks first.", remedy="Look with --dry-run, then add --yes.")
    typer.confirm(f"Remove everything of {number}? This cannot be undone.", abort=True, err=True)


def _shown(done: CallerErasure) -> dict[str, Json]:
    unread = sorted({str(path) for each in done.files for path in each.unread})
    return {
        "organization_id": done.organization_id,
        **done.counts(),
        "kept": done.erased.kept,
        "unread": unread,
        "running": done.running,
    }


def _say(done: Sequence[CallerErasure], *, dry_run: bool) -> None:
    for each in done:
        shown = _shown(each)
        say(f"Organization {each.organization_id}: {shown['sessions']} sessions {'found' if dry_run else 'removed'}")
        for title, counts in (("rows", shown["rows"]), ("covered", shown["masked"]), ("files", shown["files"])):
            listed = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
            say(f"  {title}: {listed or 'none'}")
        for place, rows in shown["kept"].items():
            say(f"  still in {place}, which a builder wrote: {', '.join(rows)}", style="yellow")
        for path in shown["unread"]:
            say(f"  not read: {path}", style="yellow")
    say("What this command does not reach:")
    for line in ELSEWHERE:
        say(f"  [ ] {line}")
