"""What can be an address of an envelope."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message.mailbox import is_mailbox, is_parameter


@pytest.mark.parametrize(
    "address",
    ["a@b", "a.b+c@d-e.example", "!#$%&'*+-/=?^_`{|}~@x.example", '"a b"@x.example', '"a\\"b"@x.example',
     "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "grün@grün.example", "用户@例子.广告"],
)  # fmt: skip
def test_addresses(address: str) -> None:
    assert is_mailbox(address)


@pytest.mark.parametrize(
    "address",
    ["", "a", "@", "a@", "@b", "a@b@c", ".a@b", "a.@b", "a..b@c", "a b@c", "a@b c", "a@-b", "a@b-", "a@.b", "a@b.",
     "<a@b>", "a>b@c", '"a>b"@c', '"a\nb"@c', '"a"b@c', "a@b\r\n", "a@b\n", "a\0@b", "a\x85@b", "a\u2028@b", "a@[",
     "a\ud800@b",
     "a" * 250 + "@b.example", "ü" * 124 + "@b.example"],
)  # fmt: skip
def test_what_is_none(address: str) -> None:
    assert not is_mailbox(address)


def test_a_login_without_a_domain() -> None:
    assert is_mailbox("ann", is_local=True)
    assert not is_mailbox("ann\n", is_local=True)
    assert not is_mailbox("ann")


@given(st.text(max_size=60))
def test_nothing_that_passes_ends_a_line(text: str) -> None:
    for shape in (text, f"{text}@x.example", f"a@{text}", f'"{text}"@x.example'):
        if is_mailbox(shape, is_local=True):
            assert not any(ord(one) < 32 or one in "<>\x7f\x85\u2028\u2029" for one in shape)
            assert " " not in shape or '"' in shape
            shape.encode()
    if is_parameter("ENVID", text):
        assert not any(ord(one) < 32 for one in text)


@pytest.mark.parametrize("name", ["", "A B", "A=B", "A\r\n", "-A", "Ä", "a" * 65])
def test_names_of_parameters(name: str) -> None:
    assert not is_parameter(name, None)
    assert is_parameter("RET", None)
