"""Message encryption for Web Push (RFC 8291): the content coding aes128gcm (RFC 8188) with keys agreed by ECDH. Pure.

Rule 1: a message is one record, with a key pair and a salt of its own.
"""

from __future__ import annotations

import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RECORD_OCTETS = 4096  # what every push service takes (RFC 8030 section 7.2), and the record size that is announced
POINT_OCTETS = 65  # an uncompressed point of P-256
AUTH_OCTETS = 16
SALT_OCTETS = 16
_OVERHEAD_OCTETS = SALT_OCTETS + 4 + 1 + POINT_OCTETS + 1 + 16  # header, delimiter, tag
MAX_PLAIN_OCTETS = RECORD_OCTETS - _OVERHEAD_OCTETS
_LAST_RECORD = b"\x02"


def check_keys(p256dh: bytes, auth: bytes) -> None:
    """Raise `ValueError` where these are not the keys of a push subscription (section 3.1)."""
    if len(p256dh) != POINT_OCTETS or len(auth) != AUTH_OCTETS:
        raise ValueError("not an uncompressed point and 16 octets")
    ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)  # ValueError off the curve


def encrypt(
    plain: bytes,
    p256dh: bytes,
    auth: bytes,
    *,
    private_key: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """Return a body in aes128gcm for the subscription's keys; `private_key` and `salt` are drawn unless given."""
    if len(plain) > MAX_PLAIN_OCTETS:
        raise ValueError("a push message holds at most 3993 octets")
    key = private_key or ec.generate_private_key(ec.SECP256R1())
    salt = salt or os.urandom(SALT_OCTETS)
    theirs = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), p256dh)
    ours = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    secret = key.exchange(ec.ECDH(), theirs)
    content_key, nonce = derive(secret, auth, p256dh, ours, salt)
    head = salt + RECORD_OCTETS.to_bytes(4, "big") + bytes((len(ours),)) + ours
    return head + AESGCM(content_key).encrypt(nonce, plain + _LAST_RECORD, None)


def derive(secret: bytes, auth: bytes, receiver: bytes, sender: bytes, salt: bytes) -> tuple[bytes, bytes]:
    """Return the content encryption key and the nonce (section 3.4); the same on both sides."""
    material = _hkdf(auth, secret, b"WebPush: info\0" + receiver + sender, 32)
    return (
        _hkdf(salt, material, b"Content-Encoding: aes128gcm\0", 16),
        _hkdf(salt, material, b"Content-Encoding: nonce\0", 12),
    )


def _hkdf(salt: bytes, material: bytes, info: bytes, octets: int) -> bytes:
    return HKDF(hashes.SHA256(), octets, salt, info).derive(material)
