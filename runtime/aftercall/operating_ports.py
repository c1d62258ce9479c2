"""What retention and erasure need of a database: its functions, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

__all__ = ["Functions"]

Json = Any


class Functions(Protocol):
    """The functions of the schema `public`, called as the service; `runtime.store.row_access.Rows` is one such.

    Raises `StoreUnreachable` where the database is away; nothing is done twice.
    """

    async def rpc(self, function: str, arguments: Mapping[str, Json]) -> Json: ...
