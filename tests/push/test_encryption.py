"""Message encryption for Web Push."""

from __future__ import annotations

from base64 import urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.push.encryption import MAX_PLAIN_OCTETS, RECORD_OCTETS, check_keys, encrypt
from tests.push.service import Device


def octets(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_example_of_the_rfc() -> None:
    """RFC 8291 section 5 and appendix A, octet for octet."""
    private = ec.derive_private_key(
        int.from_bytes(octets("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"), "big"), ec.SECP256R1()
    )
    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        octets("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        octets("BTBZMqHH6r4Tts7J_aSIgg"),
        private_key=private,
        salt=octets("DGv6ra1nlYgDCS1FRnbzlw"),
    )
    assert body == octets(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru"
        "3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


@pytest.mark.parametrize("size", [0, 1, 500, MAX_PLAIN_OCTETS])
def test_the_device_reads_what_was_sent(size: int) -> None:
    """Whatever its size; the body is what a push service takes."""
    device = Device()
    body = encrypt(b"x" * size, device.p256dh, device.auth)
    assert len(body) <= RECORD_OCTETS
    assert device.decrypt(body) == b"x" * size


def test_what_is_too_large_is_refused() -> None:
    """A push service would refuse it."""
    device = Device()
    with pytest.raises(ValueError, match="3993"):
        encrypt(b"x" * (MAX_PLAIN_OCTETS + 1), device.p256dh, device.auth)


def test_two_messages_have_nothing_in_common() -> None:
    """Salt and key pair are new each time."""
    device = Device()
    first, second = (encrypt(b"x", device.p256dh, device.auth) for _ in range(2))
    assert first[:16] != second[:16]
    assert first[21:86] != second[21:86]


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [
        (b"", b"a" * 16),
        (b"\x04" + bytes(64), b"a" * 16),
        (b"\x04" + b"\xff" * 64, b"a" * 16),
        (b"\x02" * 33, b"a" * 16),
    ],
)
def test_false_keys_are_refused(p256dh: bytes, auth: bytes) -> None:
    """A point off the curve would give our side of the secret away."""
    with pytest.raises(ValueError):  # noqa: PT011  # the library words it
        check_keys(p256dh, auth)


def test_true_keys_are_taken() -> None:
    """Those of any browser."""
    device = Device()
    check_keys(device.p256dh, device.auth)
    with pytest.raises(ValueError, match="16 octets"):
        check_keys(device.p256dh, b"short")
