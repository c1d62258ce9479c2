"""PUT of a row that is named by its content: changed where it is there, made where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.store.row_access import Condition, Rows, RowsFault

__all__ = ["put"]

Json = Any
Row = dict[str, Json]


async def put(
    rows: Rows, table: str, keys: Mapping[str, Json], values: Mapping[str, Json], *, returning: Sequence[str] = ()
) -> tuple[Row, bool]:
    """Return the row with these keys and whether it was made.

    No upsert: Postgres asks for the right to read what it writes then, and nobody may read a secret's column.
    """
    where: list[Condition] = [(column, "eq", value) for column, value in keys.items()]
    if changed := await _change(rows, table, where, values, returning):
        return changed, False
    try:
        return await rows.insert(table, {**keys, **values}, returning=returning), True
    except RowsFault as fault:
        # Somebody made it meanwhile; what conflicts for another reason does so still.
        if fault.kind != "conflict" or not (changed := await _change(rows, table, where, values, returning)):
            raise
        return changed, False


async def _change(
    rows: Rows, table: str, where: Sequence[Condition], values: Mapping[str, Json], returning: Sequence[str]
) -> Row | None:
    if values:
        found = await rows.update(table, where, values, returning=returning)
    else:
        found = await rows.select(table, where=where, columns=returning)
    return found[0] if found else None
