"""What an HTTP tool sends, rendered from templates so that a value stays a value: it can move neither host nor path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote, unquote

import httpx
from pydantic import AfterValidator

from runtime.workflow.templates import Template, TemplateFault, compile_template
from tools.base import ToolError

__all__ = ["Text", "Url", "check_json", "checked_header", "headers", "json_body", "pairs", "plain", "url"]

Json = Any

_OUTPUT = re.compile(r"(\{\{.*?\}\})", re.DOTALL)
_WHOLE = re.compile(r"\{\{-?\s*([A-Za-z_]\w*(?:\.\w+)*)\s*-?\}\}")
_WORKSPACE, _OTHER = "\x01", "\x02"  # outputs, where a template's shape is looked at
_BASE = re.compile(r"(?:\x01|https?://[^/?#@\x02]+)(?:[/?#]|$)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_OWN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "upgrade", "accept-encoding"})


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of a URL; what is not `literal` is encoded, but for a workspace variable that stands for the base."""

    template: Template
    literal: bool


def compiled(text: str) -> Template:
    """Return the template. Raises ValueError where it is none."""
    match compile_template(text):
        case TemplateFault(line, column, message):
            raise ValueError(f"line {line}, column {column}: {message}")
        case Template() as template:
            return template


def _checked_text(text: str) -> str:
    compiled(text)
    return text


def _checked_url(text: str) -> str:
    pieces = _pieces(text)
    shape = "".join(_shape(piece) for piece in pieces)
    if not _BASE.match(shape):
        raise ValueError("a URL begins with https://host/, and only {{ workspace.… }} may stand for it or for its host")
    if _climbs(shape):
        raise ValueError("a URL's path has no . or .. in it")
    return text


Text = Annotated[str, AfterValidator(_checked_text)]
"""A Liquid template, as a field of a tool's config."""

Url = Annotated[str, AfterValidator(_checked_url)]
"""A URL whose path and query may hold `{{ … }}`, each percent-encoded; its host may come from `workspace.*` only."""


def url(text: str, values: Mapping[str, Json]) -> httpx.URL:
    """Return the URL for `values`. Raises `ToolError` where a value would lead elsewhere than the template says."""
    rendered = ""
    for index, piece in enumerate(_pieces(text)):
        part = _rendered(index, piece, values)
        if not part and "?" not in rendered:
            raise _no_url()  # without its number, one order's address is that of all of them
        rendered += part
    try:
        parsed = httpx.URL(rendered)
    except httpx.InvalidURL as fault:
        raise _no_url() from fault
    if parsed.scheme not in {"http", "https"} or not parsed.host or "%" in parsed.host or _leads_off(parsed, rendered):
        raise _no_url()
    return parsed


def pairs(templates: Mapping[str, Json], values: Mapping[str, Json]) -> dict[str, str]:
    """Return names and rendered values; a template whose variables are all unset is left out."""
    found = {name: _text(template, values) for name, template in templates.items()}
    return {name: text for name, text in found.items() if text is not None}


def headers(templates: Mapping[str, str], values: Mapping[str, Json]) -> list[tuple[bytes, bytes]]:
    """Return the headers as they go out, without the control characters that could begin another."""
    return [(name.lower().encode(), plain(text).encode()) for name, text in pairs(templates, values).items()]


def plain(text: str) -> str:
    """Return the text as a header may hold it."""
    return _CONTROL.sub(" ", text).strip()


def checked_header(name: str) -> str:
    """Return the header's name. Raises ValueError where it is none or is not for a config to set."""
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
        raise ValueError(f"'{name[:80]}' is no header's name")
    if name.casefold() in _OWN_HEADERS:
        raise ValueError(f"the header '{name}' is set by itself")
    return name


def json_body(template: Json, values: Mapping[str, Json]) -> Json:
    """Return the JSON with every text rendered; a text that is one bare `{{ name }}` becomes the value, of its type."""
    match template:
        case str():
            whole = _WHOLE.fullmatch(template.strip())
            return _value(whole[1], values) if whole else compiled(template).render(values)
        case Mapping():
            return {key: json_body(inner, values) for key, inner in template.items()}
        case list() | tuple():
            return [json_body(inner, values) for inner in template]
        case _:
            return template


def check_json(template: Json) -> Json:
    """Return the JSON. Raises ValueError where a text in it is no template."""
    match template:
        case str():
            compiled(template)
        case Mapping():
            for inner in template.values():
                check_json(inner)
        case list() | tuple():
            for inner in template:
                check_json(inner)
        case _:
            pass
    return template


def _pieces(text: str) -> tuple[_Piece, ...]:
    if "{%" in text:
        raise ValueError("a URL holds {{ … }} and no {% … %}")
    parts = [part for part in _OUTPUT.split(text.strip()) if part]
    if not parts:
        raise ValueError("the URL is empty")
    return tuple(_Piece(compiled(part), literal=not part.startswith("{{")) for part in parts)


def _rendered(index: int, piece: _Piece, values: Mapping[str, Json]) -> str:
    text = piece.template.render(values)
    if piece.literal or (index == 0 and _is_workspace(piece)):
        return text
    return quote(text, safe=":" if _is_workspace(piece) else "")


def _is_workspace(piece: _Piece) -> bool:
    names = piece.template.names
    return not piece.literal and bool(names) and all(name.startswith("workspace.") for name in names)


def _shape(piece: _Piece) -> str:
    return piece.template.text if piece.literal else _WORKSPACE if _is_workspace(piece) else _OTHER


def _climbs(address: str) -> bool:
    path = re.split(r"[?#]", address.partition("://")[2] or address)[0]
    return any(unquote(segment) in {".", ".."} for segment in re.split(r"[/\\]|%2[fF]|%5[cC]", path))


def _leads_off(parsed: httpx.URL, rendered: str) -> bool:
    return bool(parsed.userinfo) or _climbs(rendered)


def _text(template: Json, values: Mapping[str, Json]) -> str | None:
    if not isinstance(template, str):
        return str(template).lower() if isinstance(template, bool) else str(template)
    made = compiled(template)
    text = made.render(values)
    return text if text or made.is_static else None


def _value(path: str, values: Mapping[str, Json]) -> Json:
    value: Json = values
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _no_url() -> ToolError:
    return ToolError(
        "invalid_arguments", "Not done: a value cannot be used in this request. Ask the caller for it again."
    )
