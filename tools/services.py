"""What the tools of all calls of a process share: clients, connections, and how their services have been doing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from tools.attempts import Attempts
from tools.handles import Database, Knowledge, Mcp

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """Belongs to one event loop; whoever opened the parts closes them. `database` and `knowledge` are asked by organization."""

    http: httpx.AsyncClient
    database: Callable[[str], Database] | None = None
    knowledge: Callable[[str], Knowledge] | None = None
    mcp: Mcp | None = None
    attempts: Attempts = field(default_factory=Attempts)
