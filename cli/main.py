"""The `patchbay` command: finds the verb, loads nothing else, and turns what goes wrong into a message and an exit code."""

from __future__ import annotations

import importlib
import sys
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from cli.verb import epilog
from runtime.errors import ConfigRefused, PatchbayError
from runtime.importing import at_once

if TYPE_CHECKING:  # Typer's own names for these are private to it
    from typer._click.core import Command, Context

__all__ = ["VERBS", "Verb", "app"]


class Verb(NamedTuple):
    """Where a verb's `app` lives, and what `patchbay --help` says of it without importing it."""

    module: str
    help: str


VERBS = {
    "init": Verb("cli.init", "Write a first workflow and a script that plays its caller."),
    "demo": Verb("cli.demo", "Hear a whole call, without any key or service."),
    "validate": Verb("cli.validate", "List every fault of a workflow, with its place and its remedy."),
    "chat": Verb("cli.chat", "Talk to a workflow in text."),
    "call": Verb("cli.call", "Talk to a workflow in sound, without a telephone."),
    "load": Verb("cli.load", "Call running workers many times at once, and measure it."),
    "talk": Verb("cli.talk", "Speak with a workflow yourself, by microphone and speaker."),
    "workflow": Verb("cli.workflow", "Publish, list and show workflows."),
    "session": Verb("cli.session", "List calls and tests, and read what happened in them."),
    "webhooks": Verb("cli.webhooks", "See what became of webhooks, and send them again."),
    "variable": Verb("cli.variable", "Set, list and remove workspace variables."),
    "secret": Verb("cli.secret", "Set, list, remove and rotate secrets."),
    "tools": Verb("cli.tools", "List tools, show one, and write a plugin package."),
    "knowledge": Verb("cli.knowledge", "Add documents for agents to look things up in, and search them."),
    "number": Verb("cli.number", "Say which workflow answers which number."),
    "organization": Verb("cli.organization", "Make, list and show organizations, and limit what one uses up."),
    "org": Verb("cli.organization", "The same as organization."),
    "key": Verb("cli.key", "Make, list and revoke keys of the control API."),
    "dev": Verb("cli.dev", "Run everything on this machine, and say how to call it."),
    "phone": Verb("cli.phone", "Answer SIP telephones, without LiveKit."),
    "dial": Verb("cli.dial", "Call somebody, and let a workflow speak."),
    "api": Verb("cli.api", "Serve the control API, for builders and analysts."),
    "worker": Verb("cli.worker", "Answer the calls that LiveKit dispatches."),
    "workers": Verb("cli.workers", "List the workers, where they are and what they carry."),
    "retention": Verb("cli.retention", "Say how long calls are kept, and remove older ones."),
    "caller": Verb("cli.caller", "Remove one person from everything that is stored."),
    "db": Verb("cli.db", "Migrate the database, and say where it is."),
    "doctor": Verb("cli.doctor", "Say what is installed, reachable and missing."),
    "settings": Verb("cli.settings", "Print the settings in force and where each came from."),
}


class Verbs(TyperGroup):
    """A group whose commands are imported when they run, so that help is quick and one broken verb harms no other."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=verb.help) for name, verb in VERBS.items()}

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and _load(args[0]), rest

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Accept `--debug` anywhere before `--`, as it is what one adds to a command that failed."""
        own = args[: args.index("--")] if "--" in args else args
        if "--debug" in own:
            args = ["--debug", *(arg for arg in own if arg != "--debug"), *args[len(own) :]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Context) -> Any:
        _forgive_encodings()
        try:
            return super().invoke(ctx)
        except (typer.TyperException, typer.Exit, typer.Abort, BrokenPipeError):  # Typer ends these quietly
            raise
        except PatchbayError as error:
            _report(error, debug=ctx.params["debug"])
        except Exception as error:  # noqa: BLE001 - the edge: nobody sees a traceback unasked
            _report(_unexpected(error), debug=ctx.params["debug"])


def _load(name: str) -> Command:
    module = VERBS[name].module
    try:
        with at_once():
            command = get_command(importlib.import_module(module).app)
    except ImportError as error:
        message = f"`patchbay {name}` cannot be loaded: {error}."
        raise _Broken(message, remedy="Install Patchbay again: pip install --force-reinstall patchbay") from error
    command.name = name
    return command


class _Broken(PatchbayError):
    """A part of Patchbay itself is missing or does not load."""

    exit_code = 3


def _unexpected(error: Exception) -> PatchbayError:
    return PatchbayError(
        f"Something unexpected went wrong: {type(error).__name__}: {error}",
        remedy="This is a fault of Patchbay's. Run the command again with --debug and report what it prints.",
    )


def _report(error: PatchbayError, *, debug: bool) -> NoReturn:
    if debug:
        typer.echo(traceback.format_exc(), err=True)
    # Rich costs 0.1 s, and `patchbay --help` never gets here.
    from cli.output import print_error, print_faults  # noqa: PLC0415

    print_error(error)
    if isinstance(error, ConfigRefused):
        print_faults(error.faults, err=True)
    raise typer.Exit(error.exit_code)


def _forgive_encodings() -> None:
    """A terminal that cannot show a character gets an escape instead of a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _version(wanted: bool) -> None:
    if wanted:
        # It costs 0.06 s and only `--version` needs it.
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"patchbay {version('patchbay')}")
        raise typer.Exit


app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=epilog("patchbay init && patchbay chat workflow.yaml"),
)


@app.callback(help="The open runtime on which a company's voice agents answer the phone.")
def main(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
    debug: bool = typer.Option(
        False, "--debug", help="Show the traceback of what goes wrong; works after any command."
    ),
) -> None:
    """Options that every command has."""
