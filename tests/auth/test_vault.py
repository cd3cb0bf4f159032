"""Secrets at rest."""

from __future__ import annotations

import pytest

from gateway.auth import Vault, VaultError
from gateway.auth.vault import new_key_line
from gateway.secret import Secret

OLD, NEW = b"o" * 32, b"n" * 32
SECRET = Secret("pässword")


def test_sealed_and_opened() -> None:
    vault = Vault({"k1": OLD})
    sealed = vault.seal(SECRET, account_id="a", field="password")
    assert vault.open(sealed, account_id="a", field="password") == SECRET
    assert b"ssword" not in sealed


def test_no_two_alike() -> None:
    vault = Vault({"k1": OLD})
    assert vault.seal(SECRET, account_id="a", field="f") != vault.seal(SECRET, account_id="a", field="f")


@pytest.mark.parametrize(("account", "field"), [("b", "f"), ("a", "g"), ("af", ""), ("", "af")])
def test_bound_to_its_place(account: str, field: str) -> None:
    """A sealed value copied to another account or field does not open."""
    vault = Vault({"k1": OLD})
    sealed = vault.seal(SECRET, account_id="a", field="f")
    with pytest.raises(VaultError):
        vault.open(sealed, account_id=account, field=field)


def test_every_octet_counts() -> None:
    """A value changed or cut anywhere does not open, and nothing but VaultError comes out."""
    vault = Vault({"k1": OLD})
    sealed = vault.seal(SECRET, account_id="a", field="f")
    for at in range(len(sealed)):
        for changed in (sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], sealed[:at]):
            with pytest.raises(VaultError):
                vault.open(changed, account_id="a", field="f")


def test_rotation() -> None:
    """After a new key comes first, old values open and are known to be old; without the old key they do not."""
    sealed = Vault({"k1": OLD}).seal(SECRET, account_id="a", field="f")
    rotated = Vault({"k2": NEW, "k1": OLD})
    assert rotated.open(sealed, account_id="a", field="f") == SECRET
    assert not rotated.is_current(sealed)
    assert rotated.is_current(rotated.seal(SECRET, account_id="a", field="f"))
    with pytest.raises(VaultError, match="k1 is not in the ring"):
        Vault({"k2": NEW}).open(sealed, account_id="a", field="f")


def test_ring_from_text() -> None:
    text = f"# keys\n{new_key_line('2026')}\n\n{new_key_line('2025')}  # old\n"
    vault = Vault.from_text(Secret(text))
    assert vault.is_current(vault.seal(SECRET, account_id="a", field="f"))


BAD_RINGS = ["", "only-one-word", "k !!!", "k YQ==", "k\tYQ== more", f"{new_key_line('k')}\n" * 2]


@pytest.mark.parametrize("text", BAD_RINGS, ids=["empty", "a word", "no base64", "short", "more", "twice"])
def test_bad_rings(text: str) -> None:
    with pytest.raises(VaultError) as caught:
        Vault.from_text(Secret(text))
    assert "YQ==" not in str(caught.value)
