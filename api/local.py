"""A user and a token for this machine alone, so that `patchbay dev` needs no sign-in."""

from __future__ import annotations

import os
import secrets
import time
import uuid
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

import jwt

from runtime.store.row_access import SERVICE, RowAccess

__all__ = ["TOKEN_FILE", "local_secret", "make_local_user"]

TOKEN_FILE: Final = "api.token"  # noqa: S105 - a file's name
"""In PATCHBAY_HOME, readable by its owner: the token of the local user."""
_SECRET_FILE: Final = "jwt.secret"  # noqa: S105 - a file's name
_LIVES_S: Final = 30 * 24 * 3600


def local_secret(home: Path) -> str:
    """Return what signs this home's tokens, made once (mode 0600): of several processes the first wins."""
    file = home / _SECRET_FILE
    if not file.exists():
        with NamedTemporaryFile(dir=home, prefix=".jwt-") as draft:
            draft.write(secrets.token_hex(32).encode())
            draft.flush()
            with suppress(FileExistsError):
                os.link(draft.name, file)
    return file.read_text("ascii")


async def make_local_user(access: RowAccess, organization_id: str, home: Path) -> str:
    """Return a token (30 days) of this home's user, an owner of the organization, and keep it in `home/api.token`."""
    secret = local_secret(home)
    user_id = str(uuid.uuid5(uuid.NAMESPACE_OID, secret))
    member = {"organization_id": organization_id, "user_id": user_id, "role": "owner"}
    await access.of(SERVICE).upsert("organization_member", member, conflict=["user_id", "organization_id"])
    claims = {"sub": user_id, "aud": "authenticated", "role": "authenticated", "exp": int(time.time()) + _LIVES_S}
    token = jwt.encode(claims, secret, algorithm="HS256")
    _keep(token, home / TOKEN_FILE)
    return token


def _keep(token: str, file: Path) -> None:
    with NamedTemporaryFile(dir=file.parent, prefix=".token-", delete=False) as draft:  # mode 0600 from the start
        draft.write(token.encode())
        draft.flush()
        Path(draft.name).replace(file)
