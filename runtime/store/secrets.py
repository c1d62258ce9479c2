"""Encrypts what is secret before it reaches the store, with keys that never do."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from runtime.errors import PatchbayError, UsageFault
from runtime.settings import Settings

__all__ = ["KEY_FILE", "MAKE_A_KEY", "Keyring", "add_key", "keyring_of", "open_keyring"]

KEY_FILE = "secret.key"
"""In PATCHBAY_HOME: one key a line, newest first."""

MAKE_A_KEY = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


class Keyring:
    """Fernet keys, newest first: the first encrypts, any of them decrypts."""

    def __init__(self, keys: Sequence[str], *, origin: str = "PATCHBAY_SECRET_KEY") -> None:
        """Raise `UsageFault` where a key is no Fernet key (32 bytes in url-safe base64); `origin` names the culprit."""
        if not keys:
            raise UsageFault(f"{origin} is empty.", remedy=f"Make a key with: {MAKE_A_KEY}")
        try:
            fernets = [Fernet(key) for key in keys]
        except ValueError as error:
            raise UsageFault(
                f"{origin} holds something that is no Fernet key (32 bytes in url-safe base64).",
                remedy=f"Make a key with: {MAKE_A_KEY}",
            ) from error
        self._newest = fernets[0]
        self._fernet = MultiFernet(fernets)
        self._count = len(fernets)
        self._origin = origin

    def __len__(self) -> int:
        return self._count

    def encrypt(self, plain: str) -> str:
        """Return the Fernet token of `plain`; two calls give two tokens."""
        return self._fernet.encrypt(plain.encode()).decode()

    def decrypt(self, token: str) -> str:
        """Return what `token` holds; raises `PatchbayError` where none of the keys opens it."""
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken as error:
            raise PatchbayError(
                f"A stored secret cannot be read with the keys of {self._origin}.",
                remedy="Add the key it was written with to PATCHBAY_SECRET_KEY (newest first, separated by commas), or set the secret again.",
            ) from error

    def is_newest(self, token: str) -> bool:
        """Tell whether the newest key opens `token`."""
        try:
            self._newest.decrypt(token.encode())
        except InvalidToken:
            return False
        return True

    def renewed(self, token: str) -> str:
        """Return the token of the same value under the newest key; raises `PatchbayError` where no key opens it."""
        return self.encrypt(self.decrypt(token))


def open_keyring(secret_key: str | None, home: Path) -> Keyring:
    """Return the keyring of `secret_key` (one key or several, comma-separated), else of `home/secret.key`, made when missing."""
    if secret_key:
        return Keyring([key.strip() for key in secret_key.split(",") if key.strip()])
    file = home / KEY_FILE
    with _explained(file):
        if not file.exists():
            _make_key(file)
        return Keyring(file.read_text("ascii").split(), origin=str(file))


def keyring_of(settings: Settings) -> Keyring:
    """Return the keyring that the settings name, as `open_keyring` does."""
    key = settings.secret_key
    return open_keyring(key.get_secret_value() if key else None, settings.home)


def add_key(home: Path) -> Keyring:
    """Put a new key in front of those in `home/secret.key` and return the keyring of all.

    One step for readers, and one at a time for writers: no key is lost, whatever is stopped or runs beside it.
    """
    file = home / KEY_FILE
    open_keyring(None, home)  # made where it is missing, refused where it holds anything else
    with _explained(file), _locked(home) as folder:
        with NamedTemporaryFile(dir=home, prefix=".secret-", delete=False) as draft:  # mode 0600 from the start
            draft.write(Fernet.generate_key() + b"\n" + file.read_bytes())
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).replace(file)
        os.fsync(folder)  # what is encrypted from here on must not outlive its key
        return Keyring(file.read_text("ascii").split(), origin=str(file))


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _explained(file: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(
            f"The key file {file} cannot be used: {error}.",
            remedy="Make the folder writable, name another with PATCHBAY_HOME, or set PATCHBAY_SECRET_KEY.",
        ) from error


def _make_key(file: Path) -> None:
    """Make the key file in one step: of several processes the first wins, and none reads half a key."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=file.parent, prefix=".secret-") as draft:  # mode 0600 from the start
        draft.write(Fernet.generate_key() + b"\n")
        draft.flush()
        os.fsync(draft.fileno())
        with suppress(FileExistsError):
            os.link(draft.name, file)
