"""Secrets at rest: AES-256-GCM with a key ring (NIST SP 800-38D).

Rule 1: a sealed value names its key, so that keys rotate: new values take the first of the ring, old ones still open.
Rule 2: account and field are authenticated with it: a sealed value copied to another place does not open there.
Rule 3: a nonce is 96 random bits; one key seals far fewer than 2**32 values (section 8.3).

Sealed: octet 1 (version) · octet n · n octets of key id · 12 of nonce · ciphertext and tag.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.secret import Secret

VERSION = 1
KEY_OCTETS = 32  # AES-256
NONCE_OCTETS = 12
TAG_OCTETS = 16
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class VaultError(Exception):
    """A sealed value cannot be opened, or a key ring cannot be used."""


class Vault:
    """Seal and open with the keys of a ring: key id -> 32 octets, the current one first."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        if not keys:
            raise VaultError("the key ring is empty")
        for key_id, key in keys.items():
            if not _KEY_ID.fullmatch(key_id) or len(key) != KEY_OCTETS:
                raise VaultError(f"a key of the ring needs a plain name and {KEY_OCTETS} octets")
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._current = next(iter(keys))
        self._current_key = keys[self._current]

    @classmethod
    def from_text(cls, text: Secret) -> Vault:
        """Read a key ring: lines of `ID BASE64`, the current key first; `#` begins a comment."""
        keys: dict[str, bytes] = {}
        for number, line in enumerate(text.reveal().splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            try:
                key_id, encoded = words
                key = base64.b64decode(encoded, validate=True)
            except (ValueError, binascii.Error):
                raise VaultError(f"line {number} of the key ring is not `ID BASE64`") from None
            if key_id in keys:
                raise VaultError(f"line {number} of the key ring repeats the id {key_id}")
            keys[key_id] = key
        return cls(keys)

    def seal(self, secret: Secret, *, account_id: str, field: str) -> bytes:
        """Return the secret sealed with the current key, for this account and field only."""
        name = self._current.encode()
        nonce = os.urandom(NONCE_OCTETS)
        head = bytes((VERSION, len(name))) + name
        value = secret.reveal().encode("utf-8", "surrogatepass")
        return head + nonce + self._ciphers[self._current].encrypt(nonce, value, _bound(head, account_id, field))

    def open(self, sealed: bytes, *, account_id: str, field: str) -> Secret:
        """Return the secret, or raise `VaultError`."""
        key_id, head = _head(sealed)
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise VaultError(f"the key {key_id} is not in the ring")
        nonce, text = sealed[len(head) : len(head) + NONCE_OCTETS], sealed[len(head) + NONCE_OCTETS :]
        try:
            value = cipher.decrypt(nonce, text, _bound(head, account_id, field))
        except InvalidTag:
            raise VaultError("a sealed value was changed, or belongs elsewhere") from None
        return Secret(value.decode("utf-8", "surrogatepass"))

    def derived(self, purpose: str) -> bytes:
        """Return a key for a purpose of its own, made from the current one: another ring has another."""
        return hashlib.blake2b(purpose.encode(), key=self._current_key, digest_size=KEY_OCTETS).digest()

    def is_current(self, sealed: bytes) -> bool:
        """Tell whether the value is sealed with the current key; where not, seal it anew when it is next opened."""
        return _head(sealed)[0] == self._current


def new_key_line(key_id: str) -> str:
    """Return a line for a key ring, with a new random key."""
    return f"{key_id} {base64.b64encode(os.urandom(KEY_OCTETS)).decode()}"


def _head(sealed: bytes) -> tuple[str, bytes]:
    if len(sealed) < 2 or sealed[0] != VERSION:
        raise VaultError("not a sealed value of a version known here")
    head = sealed[: 2 + sealed[1]]
    if len(sealed) < len(head) + NONCE_OCTETS + TAG_OCTETS:
        raise VaultError("a sealed value is cut short")
    return head[2:].decode("ascii", "replace"), head


def _bound(head: bytes, account_id: str, field: str) -> bytes:
    """Return the associated data: each piece with its length, so that none can be read as part of its neighbour."""
    pieces = (head, account_id.encode(), field.encode())
    return b"".join(len(piece).to_bytes(4, "big") + piece for piece in pieces)
