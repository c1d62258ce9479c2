"""What every verb's Typer application has in common."""

from __future__ import annotations

import textwrap

import typer

__all__ = ["epilog", "new_app"]


def new_app(help_text: str | None = None) -> typer.Typer:
    """Return a verb's application; `help_text` makes it a group of commands, without it the verb is one command.

    Help is plain text: Rich's costs 0.3 s to import.
    """
    app = typer.Typer(
        no_args_is_help=help_text is not None,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    if help_text is not None:
        app.callback(help=help_text)(_nothing)
    return app


def epilog(*examples: str) -> str:
    """Return the examples as an epilog that help does not wrap."""
    return "\b\n" + textwrap.indent("\n".join(("Example:", *(f"  {line}" for line in examples))), "")


def _nothing() -> None:
    """A group does nothing by itself."""
