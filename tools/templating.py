"""Templates in a plugin's config, rendered as those of the built-in tools are."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from tools.base import Json, ToolContext
from tools.http_templates import compiled, url

__all__ = ["render", "render_url"]


def render(text: str, arguments: Mapping[str, Json], context: ToolContext) -> str:
    """Return the text for this run: a config's `Text` reads `arguments`, variables, `caller`, `call`, `workspace`, `secrets`.

    Raises ValueError for a text that is no template, which a field of type `Text` never holds.
    """
    return compiled(text).render(context.names(arguments))


def render_url(text: str, arguments: Mapping[str, Json], context: ToolContext) -> httpx.URL:
    """Return the URL for this run, what is rendered into it percent-encoded; `text` is a config's `Url`, or begins with one.

    Raises `ToolError` where a value is empty or would lead elsewhere than the template says.
    """
    return url(text, context.names(arguments))
