"""Who we are to a push service."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from gateway.push.vapid import Vapid

URL = "https://push.example.com:8443/a/b?c=d"


def octets(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_token_is_signed_with_the_key_that_clients_are_told() -> None:
    """ES256 over the push service's origin, no longer than a day, with where to complain."""
    vapid = Vapid(b"k" * 32, "mailto:postmaster@example.com", clock=lambda: 1000.0)
    scheme, _, parameters = vapid.authorization(URL).partition(" ")
    named = dict(item.strip().split("=", 1) for item in parameters.split(","))
    assert (scheme, named["k"]) == ("vapid", vapid.capability()["applicationServerKey"])
    head, claims, signature = named["t"].split(".")
    assert json.loads(octets(head)) == {"typ": "JWT", "alg": "ES256"}
    told = json.loads(octets(claims))
    assert told == {"aud": "https://push.example.com:8443", "exp": told["exp"], "sub": "mailto:postmaster@example.com"}
    assert 0 < told["exp"] - 1000 <= 86_400
    raw = octets(signature)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), octets(named["k"]))
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(hashes.SHA256()))


def test_the_key_is_an_uncompressed_point() -> None:
    """In base64url, as a browser takes it (RFC 9749 section 3); the same octets, the same key."""
    key = Vapid(b"k" * 32).application_server_key
    assert (len(octets(key)), octets(key)[0], "=" in key) == (65, 4, False)
    assert key == Vapid(b"k" * 32).application_server_key != Vapid(b"o" * 32).application_server_key


def test_a_token_is_used_again_until_it_is_old() -> None:
    """Signing costs more than anything else of a message."""
    now = 0.0
    vapid = Vapid(b"k" * 32, clock=lambda: now)
    first = vapid.authorization(URL)
    now = 3600.0
    assert vapid.authorization("https://push.example.com:8443/other") == first
    now = 11.5 * 3600
    assert vapid.authorization(URL) != first
    assert vapid.authorization("https://other.example.com/") != vapid.authorization(URL)
