"""The embedded database's files written anew, so that what was deleted is in none of them any more."""

from __future__ import annotations

from runtime.store.pool import Database

__all__ = ["rewrite_tables"]

_TABLES = """
select format('%I.%I', n.nspname, c.relname) from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind = 'r' and (c.relname like '%\\_fact' or c.relname in ('call_session', 'session_event', 'call_secret',
  'test_session', 'webhook_delivery', 'after_call', 'audit_log', 'idempotency_key', 'retention_run'))
"""
# A minute for each; on a machine of one's own they take milliseconds.
_TIMEOUT_S = 60.0


async def rewrite_tables(database: Database) -> None:
    """Write the tables of calls anew and begin a new write-ahead log. Whoever writes meanwhile waits for it.

    Deleting marks rows; their bytes stay in the table's file until something else is written there, and in old segments
    of the write-ahead log, which are otherwise used again. For superusers of a server of their own.
    """
    async with database.connection() as connection:
        tables = [row[0] for row in await connection.fetch(_TABLES)]
        for table in [*tables, "pg_catalog.pg_statistic"]:
            await connection.execute(f"vacuum (full) {table}", timeout=_TIMEOUT_S)
        await connection.execute("alter system set wal_recycle = off")
        await connection.execute("select pg_reload_conf()")
        for _ in range(2):
            await connection.execute("select pg_switch_wal()")
            await connection.execute("checkpoint", timeout=_TIMEOUT_S)
        await connection.execute("alter system reset wal_recycle")
        await connection.execute("select pg_reload_conf()")
