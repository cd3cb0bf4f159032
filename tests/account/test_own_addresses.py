"""Whom a login may send as."""

from __future__ import annotations

import pytest

from gateway.account.own_addresses import OwnAddresses, addresses_of


def test_templates_are_filled_in() -> None:
    """The login's own address comes first, and once."""
    own = addresses_of(
        "ann@a.example", "{login}", ["{user}@b.example", "*@{user}.{domain}", "{login}"], ["x@c.example"]
    )
    assert own.addresses == ("ann@a.example", "ann@b.example", "*@ann.a.example", "x@c.example")
    assert own.identities() == own.addresses


def test_a_login_without_a_domain() -> None:
    assert addresses_of("ann", "{user}@a.example", ["{user}@{domain}"]).addresses == ("ann@a.example",)
    assert addresses_of("ann", "{login}", []).addresses == ("ann",)


@pytest.mark.parametrize("address", ["ann@a.example", "Ann@A.Example", "any@b.example", "x@B.EXAMPLE"])
def test_own(address: str) -> None:
    assert address in OwnAddresses(["ann@a.example", "*@b.example"])


@pytest.mark.parametrize(
    "address", ["bob@a.example", "ann@x.a.example", "ann@a.example.evil", "any@c.b.example", "", "b.example"]
)
def test_foreign(address: str) -> None:
    assert address not in OwnAddresses(["ann@a.example", "*@b.example"])


def test_any_address() -> None:
    """The upstream decides; it is no identity."""
    own = OwnAddresses(["ann@a.example", "*"])
    assert "who@ever.example" in own
    assert own.identities() == ("ann@a.example",)
