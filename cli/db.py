"""`patchbay db`: the schema of the database, and where it is."""

from __future__ import annotations

import typer

from cli.context import database_url, describe, migrate_database, schema_status
from cli.logs import log_to_stderr
from cli.loop import run
from cli.output import hint, print_json, print_record, say
from cli.verb import epilog, new_app
from runtime.settings import Settings, masked_url

__all__ = ["app"]

app = new_app("Migrate the database, and say where it is.")


@app.command(epilog=epilog("DATABASE_URL=postgresql://user:password@host/db patchbay db migrate"))
def migrate() -> None:
    """Bring the database to this release's schema; the embedded one is migrated by every command that opens it."""
    applied = run(migrate_database(_settings()))
    for migration in applied:
        say(f"{migration.version} {migration.name}")
    hint(f"{len(applied)} migrations applied" if applied else "Nothing to do: the database has this release's schema.")


@app.command(epilog=epilog("patchbay db status --json"))
def status(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
    """Compare the database's schema with this release's; changes nothing."""
    settings = _settings()
    found = run(schema_status(settings))
    url = settings.database_url or settings.supabase_url
    place = "embedded" if url is None else masked_url(url)
    if as_json:
        versions = {"applied": found.applied, "pending": found.pending, "unknown": found.unknown}
        print_json({"database": place, "state": found.state, **versions})
    else:
        print_record({"database": place, "schema": describe(found)})


@app.command(epilog=epilog('psql "$(patchbay db url)"'))
def url() -> None:
    """Print the database's URL, with its password. The embedded one answers only while a Patchbay process runs."""
    settings = _settings()
    say(run(database_url(settings)))
    if settings.database_url is None:
        hint("The embedded Postgres answers while a Patchbay process runs, for example `patchbay chat`.")


def _settings() -> Settings:
    settings = Settings.load()
    log_to_stderr(settings)
    return settings
