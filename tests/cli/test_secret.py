"""`patchbay secret rotate`: a new key in front, every secret under it, and nothing lost or shown."""

from __future__ import annotations

import asyncio
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from runtime.errors import UsageFault
from runtime.store.memory import MemoryStore
from runtime.store.rotation import rotate_secrets
from runtime.store.secrets import Keyring, add_key, open_keyring
from tests.cli.conftest import Patchbay


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def tokens(store: MemoryStore, organization: str = "local") -> dict[str, str]:
    async def read() -> dict[str, str]:
        found = await store.ensure_organization(organization)
        return {row.name: row.value for row in await store.variables(found.id)}

    return asyncio.run(read())


def test_a_new_key_and_everything_under_it(patchbay: Patchbay, store: MemoryStore, home: Path) -> None:
    for name in ("A", "B"):
        patchbay("secret", "set", name, stdin=f"value of {name}")
    (old,) = (home / "secret.key").read_text().split()
    result = patchbay("secret", "rotate", "--new-key", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"rotated": 2, "current": 0, "unreadable": []}
    newest, *rest = (home / "secret.key").read_text().split()
    assert rest == [old]
    assert newest != old
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o600
    assert {name: Keyring([newest]).decrypt(token) for name, token in tokens(store).items()} == {
        "A": "value of A",
        "B": "value of B",
    }
    for hidden in ("value of", newest, old, *tokens(store).values()):
        assert hidden not in result.output
    assert "may be dropped" in result.stderr


def test_rotating_again_changes_nothing(patchbay: Patchbay, store: MemoryStore, home: Path) -> None:
    patchbay("secret", "set", "A", stdin="x")
    patchbay("secret", "rotate", "--new-key")
    before = tokens(store)
    result = patchbay("secret", "rotate")
    assert result.exit_code == 0
    assert "0 rotated, 1 already under the newest key, 0 unreadable" in result.stdout
    assert tokens(store) == before
    assert [path.name for path in home.iterdir() if path.name.startswith(".secret-")] == []


def test_the_keys_of_the_environment(patchbay: Patchbay, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    monkeypatch.setenv("PATCHBAY_SECRET_KEY", old)
    patchbay("secret", "set", "A", stdin="x")
    refused = patchbay("secret", "rotate", "--new-key")
    assert refused.exit_code == 2
    assert "in front of it" in refused.stderr
    monkeypatch.setenv("PATCHBAY_SECRET_KEY", f"{new},{old}")
    assert "1 rotated" in patchbay("secret", "rotate").stdout
    monkeypatch.setenv("PATCHBAY_SECRET_KEY", new)
    result = patchbay("secret", "rotate")
    assert "1 already under the newest key" in result.stdout
    assert "may be dropped" not in result.stderr


def test_what_no_key_opens_is_named_and_kept(
    patchbay: Patchbay, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    patchbay("secret", "set", "MINE", stdin="x")
    monkeypatch.setenv("PATCHBAY_ORG", "Acme")
    monkeypatch.setenv("PATCHBAY_SECRET_KEY", Fernet.generate_key().decode())
    patchbay("secret", "set", "THEIRS", stdin="y")
    monkeypatch.delenv("PATCHBAY_SECRET_KEY")
    before = tokens(store, "Acme")
    result = patchbay("secret", "rotate", "--new-key", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "rotated": 1,
        "current": 0,
        "unreadable": [{"organization": "Acme", "name": "THEIRS"}],
    }
    assert tokens(store, "Acme") == before
    assert "Keep all keys" in result.stderr
    assert "THEIRS of Acme" in patchbay("secret", "rotate").stdout


def test_a_store_that_is_away_is_3_and_the_next_run_goes_on(patchbay: Patchbay, store: MemoryStore, home: Path) -> None:
    patchbay("secret", "set", "A", stdin="x")
    store.away = True
    assert patchbay("secret", "rotate", "--new-key").exit_code == 3
    store.away = False
    assert "1 rotated" in patchbay("secret", "rotate").stdout
    assert open_keyring(None, home).decrypt(tokens(store)["A"]) == "x"


class Contended(MemoryStore):
    """A store in which somebody sets, or removes, a secret just before it is replaced."""

    def __init__(self, token: str | None) -> None:
        super().__init__()
        self.token = token

    async def replace_secret(self, organization_id: str, name: str, old: str, new: str) -> bool:
        token, self.token = self.token, "done"
        if token is None:
            await self.remove_variable(organization_id, name)
        elif token != "done":
            await self.set_variable(organization_id, name, token, is_secret=True)
        return await super().replace_secret(organization_id, name, old, new)


@pytest.mark.parametrize("key", ["old", "new", None])
async def test_what_is_set_meanwhile_stays(key: str | None) -> None:
    keys = {name: Fernet.generate_key().decode() for name in ("new", "old")}
    store = Contended(None if key is None else Keyring([keys[key]]).encrypt("set meanwhile"))
    acme = await store.ensure_organization("Acme")
    await store.set_variable(acme.id, "A", Keyring([keys["old"]]).encrypt("before"), is_secret=True)
    rotation = await rotate_secrets(store, Keyring([keys["new"], keys["old"]]))
    assert (rotation.rotated, rotation.current) == {"old": (1, 0), "new": (0, 1), None: (0, 0)}[key]
    left = [Keyring([keys["new"]]).decrypt(row.value) for row in await store.variables(acme.id)]
    assert left == ([] if key is None else ["set meanwhile"])


def test_no_key_is_lost_where_several_are_added_at_once(home: Path) -> None:
    token = open_keyring(None, home).encrypt("x")
    with ThreadPoolExecutor(4) as pool:
        keyrings = list(pool.map(lambda _: add_key(home), range(8)))
    assert len((home / "secret.key").read_text().split()) == 9
    last = open_keyring(None, home)
    assert all(last.decrypt(keyring.encrypt("y")) == "y" for keyring in keyrings)
    assert last.decrypt(token) == "x"


@pytest.mark.parametrize("content", ["", "no key\n", "\xff"])
def test_a_key_file_that_holds_something_else_is_left_alone(home: Path, content: str) -> None:
    home.mkdir()
    (home / "secret.key").write_text(content, encoding="latin-1")
    with pytest.raises(UsageFault, match=r"secret\.key"):
        add_key(home)
    assert (home / "secret.key").read_text(encoding="latin-1") == content
