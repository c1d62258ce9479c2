"""ETags of versions, and the headers If-Match and If-None-Match."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Header

from api.problems import Problem

__all__ = ["IfMatch", "IfNoneMatch", "is_current", "is_known", "revision_in", "tag_of"]

Json = Any
_TAG: Final = re.compile(r'\s*(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*')

IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=4000,
        description="The ETag of the draft that the change was made from: one that somebody else has changed since "
        "is answered with 412. Without it the last writer wins.",
    ),
]
IfNoneMatch = Annotated[
    str | None,
    Header(alias="If-None-Match", max_length=4000, description="An ETag: what has it still is answered with 304."),
]


def tag_of(version: Mapping[str, Json]) -> str:
    """Return the ETag of a version's row; a draft's is its id and its revision."""
    suffix = "" if version["status"] == "draft" else f".{version['status']}"
    return f'"{version["id"]}.{version["revision"]}{suffix}"'


def is_current(if_match: str | None, version: Mapping[str, Json]) -> bool:
    """Tell whether a change may be made to the version as it is; raises the problem 422 for a header that is none.

    Weak tags are taken for strong ones: whoever compresses answers on the way makes them weak.
    """
    if if_match is None or if_match.strip() == "*":
        return True
    tags = _tags(if_match)
    if tags is None:
        raise Problem(
            422, "invalid_request", "If-Match is no list of ETags.", remedy="Send the ETag as it came, with its quotes."
        )
    return tag_of(version) in tags


def is_known(if_none_match: str | None, version: Mapping[str, Json]) -> bool:
    """Tell whether whoever asks has the version as it is."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or tag_of(version) in (_tags(if_none_match) or ())


def revision_in(if_match: str, version_id: str) -> int | None:
    """Return the version's revision that a header names."""
    found = re.search(rf'"{re.escape(version_id)}\.([0-9]{{1,9}})[."]', if_match)
    return int(found[1]) if found else None


def _tags(header: str) -> list[str] | None:
    """Return the tags, each with its quotes, or None where the header is no list of them."""
    tags, at = [], 0
    while found := _TAG.match(header, at):
        tags.append(f'"{found[1]}"')
        at = found.end()
        if at == len(header):
            return tags
        if header[at] != ",":
            return None
        at += 1
    return None
