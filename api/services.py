"""What every request of the API stands on, opened once for the process."""

from __future__ import annotations

from dataclasses import dataclass

from api.access import Authenticator
from api.testing.sessions import TestSessions
from runtime.session.ports import Store
from runtime.settings import Settings
from runtime.store.pool import Database
from runtime.store.row_access import RowAccess
from runtime.store.secrets import Keyring

__all__ = ["Services"]


@dataclass(frozen=True, slots=True)
class Services:
    """`store` is the runtime's own way to the database, `access` is the users'.

    `database` is a pool of its own, None where the settings name Supabase's API alone.
    """

    settings: Settings
    store: Store
    access: RowAccess
    keyring: Keyring
    authenticator: Authenticator
    tests: TestSessions
    database: Database | None = None
