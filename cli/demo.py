"""`patchbay demo`: a whole call, heard and seen, without any key or service."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import typer
from rich.table import Table
from rich.text import Text

from cli.call import Caller, check_writable, place_call
from cli.context import open_cli_store
from cli.logs import log_to_stderr
from cli.loop import run
from cli.output import console, hint, plain
from cli.running import Choice, open_run, outcome, print_event
from cli.source import read_script, read_workflow
from cli.timeline import Timeline
from cli.verb import epilog, new_app
from runtime.examples import examples
from runtime.harness.phone import LocalPhone
from runtime.settings import Settings
from runtime.store.embedded import EmbeddedPostgres
from runtime.store.postgres import PostgresStore

__all__ = ["app", "examples"]

app = new_app()

NAME = "Front desk (demo)"

SUMMARY = """
select event_type as what, count(*) as events
from session_event where session_id = $1 group by 1 order by min(seq)
"""
TURNS = """
select payload->>'agent_name' as agent, count(*) as turns,
       round(percentile_cont(0.5) within group (order by (payload->>'response_ms')::numeric)) as median_response_ms
from session_event where session_id = $1 and event_type = 'agent_turn' group by 1 order by min(seq)
"""
COLLECTED = """
select payload->>'name' as variable, payload->>'value' as value, payload->>'source' as source
from session_event where session_id = $1 and event_type in ('variable_collected', 'variable_corrected') order by seq
"""


@app.command(epilog=epilog("patchbay demo", "patchbay demo --out /tmp/call.wav"))
def demo(
    out: Path | None = typer.Option(None, "--out", metavar="WAV", help="Where to save the recording."),
    as_json: bool = typer.Option(False, "--json", help="Print the stored events, one JSON object a line."),
) -> None:
    """Publish a workflow, call it with a synthetic caller, and read back from Postgres what happened."""
    settings = Settings.load()
    log_to_stderr(settings)
    # A folder and a database of its own: the demo leaves no trace in the user's data.
    settings = replace_home(settings, settings.make_home() / "demo")
    recording = out or settings.make_home() / "call.wav"
    check_writable(recording)
    raise typer.Exit(run(_demo(settings, recording, as_json=as_json)))


def replace_home(settings: Settings, home: Path) -> Settings:
    """Return the settings with another data folder, the embedded database and the local organization."""
    return settings.model_copy(update={"home": home, "database_url": None, "supabase_url": None, "org": "local"})


async def _demo(settings: Settings, recording: Path, *, as_json: bool) -> int:
    folder = examples() / "front_desk"
    began = monotonic()
    async with open_cli_store(settings) as store:
        source = read_workflow(str(folder / "workflow.yaml"))
        draft = await store.store.save_draft(store.organization.id, NAME, source.accepted())
        version = await store.store.publish(draft.id)
        hint(f"Postgres is up and '{NAME}' version {version.version} is published ({monotonic() - began:.1f} s).")
        caller = Caller(steps=read_script(str(folder / "billing.txt")))
        watch = print_event if as_json else Timeline()
        choice = Choice(version=version.id)
        async with open_run(choice, channel="voice_test", offline=True, settings=settings, watch=watch) as call:
            await place_call(LocalPhone(call.live), caller, recording)
    code = outcome(call)
    if not as_json:
        await _summary(settings, call.session_id, recording)
    return code


async def _summary(settings: Settings, session_id: str, recording: Path) -> None:
    screen = console()
    async with EmbeddedPostgres(settings.home) as postgres:
        store = PostgresStore(postgres.dsn)
        try:
            async with store.connection() as connection:
                screen.print()
                screen.print(Text(f"What Postgres says of session {session_id}:", "bold"))
                for query in (TURNS, COLLECTED, SUMMARY):
                    screen.print(_table(await connection.fetch(query, session_id)))
        finally:
            await store.aclose()
    screen.print(
        Text.assemble("Listen to it: ", (str(recording), "bold"), "  (caller left, agent right)"), soft_wrap=True
    )
    screen.print(
        Text(f"Read it:      PATCHBAY_HOME={settings.home} patchbay session events {session_id[:8]}"), soft_wrap=True
    )
    screen.print(Text("Next:         patchbay init my-workflow"))


def _table(rows: list[dict[str, object]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in rows[0].keys() if rows else ():
        table.add_column(name)
    for row in rows:
        table.add_row(*("–" if value is None else plain(value) for value in row.values()))
    return table
