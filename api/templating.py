"""The shipped workflows as templates: each folder of `examples/` that holds a workflow.yaml."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from api.problems import Problem
from runtime.examples import examples
from runtime.workflow.documents import load

__all__ = ["Template", "template", "templates"]

Json = Any
_WORKFLOW = "workflow.yaml"


@dataclass(frozen=True, slots=True)
class Template:
    """A workflow to begin with. `scripts` are texts that play its caller, by the file's name."""

    name: str
    title: str
    description: str
    files: tuple[str, ...]
    config: Mapping[str, Json]
    scripts: Mapping[str, str]


async def templates() -> tuple[Template, ...]:
    """Return the templates by name."""
    return await asyncio.to_thread(_read)


async def template(name: str) -> Template:
    """Return one; raises the problem 404 that names those there are."""
    known = {each.name: each for each in await templates()}
    if name not in known:
        raise Problem(
            404, "not_found", f"There is no template '{name[:100]}'.", remedy=f"Templates: {', '.join(known)}."
        )
    return known[name]


@cache
def _read() -> tuple[Template, ...]:
    folders = sorted(file.parent for file in examples().glob(f"*/{_WORKFLOW}"))
    return tuple(_of(folder) for folder in folders)


def _of(folder: Path) -> Template:
    title, description = _introduced((folder / "README.md").read_text("utf-8"), folder.name)
    return Template(
        name=folder.name,
        title=title,
        description=description,
        files=tuple(sorted(file.name for file in folder.iterdir() if file.is_file())),
        config=load((folder / _WORKFLOW).read_text("utf-8"), _WORKFLOW),
        scripts={file.name: file.read_text("utf-8") for file in sorted(folder.glob("*.txt"))},
    )


def _introduced(readme: str, name: str) -> tuple[str, str]:
    """Return a README's title and its first paragraph."""
    paragraphs = [each.strip() for each in readme.split("\n\n") if each.strip()]
    title = paragraphs[0].removeprefix("# ") if paragraphs and paragraphs[0].startswith("# ") else name
    rest = [each for each in paragraphs if not each.startswith("#")]
    return title, " ".join(rest[0].split()) if rest else ""
