from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import PatchbayError, UsageFault
from runtime.store.secrets import Keyring, open_keyring

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@given(plain=st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_encrypted_comes_back(plain: str) -> None:
    keyring = Keyring([NEW])
    token = keyring.encrypt(plain)
    assert keyring.decrypt(token) == plain
    assert token != keyring.encrypt(plain)


def test_the_newest_key_encrypts_and_every_key_decrypts(tmp_path: Path) -> None:
    both = open_keyring(f" {NEW} , {OLD} ", tmp_path)
    assert both.decrypt(Keyring([OLD]).encrypt("a")) == "a"
    assert Keyring([NEW]).decrypt(both.encrypt("b")) == "b"
    assert list(tmp_path.iterdir()) == []


def test_a_token_of_another_key_names_the_remedy() -> None:
    with pytest.raises(PatchbayError, match=r"(?s)cannot be read.*PATCHBAY_SECRET_KEY"):
        Keyring([NEW]).decrypt(Keyring([OLD]).encrypt("a"))


@pytest.mark.parametrize(
    "text", ["password", ",", f"{NEW},short", "ü" * 44], ids=["word", "comma", "one_short", "letters"]
)
def test_what_is_no_key_is_refused_with_the_command_that_makes_one(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match=r"(?s)PATCHBAY_SECRET_KEY.*Fernet.generate_key") as caught:
        open_keyring(text, tmp_path)
    assert NEW not in str(caught.value)


def test_the_home_has_one_key_that_only_its_user_reads(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    token = open_keyring(None, home).encrypt("a")
    assert open_keyring("", home).decrypt(token) == "a"
    assert [file.name for file in home.iterdir()] == ["secret.key"]
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o600


def test_processes_that_begin_at_once_agree_on_a_key(tmp_path: Path) -> None:
    tokens: list[str] = []
    threads = [
        threading.Thread(target=lambda: tokens.append(open_keyring(None, tmp_path).encrypt("a"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {open_keyring(None, tmp_path).decrypt(token) for token in tokens} == {"a"}
    assert len(tokens) == 8


def test_a_key_file_that_is_damaged_or_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_bytes(b"\xff")
    with pytest.raises(UsageFault, match=r"secret\.key"):
        open_keyring(None, tmp_path)
    with pytest.raises(UsageFault, match="PATCHBAY_HOME"):
        open_keyring(None, tmp_path / "secret.key" / "below a file")
