"""The addresses that an account may send from, as the configuration has them. Pure.

Rule 1: the domain of an address is compared without case; so is the local part, for nobody gives Ann and ann to two
        people and a phone writes the first letter large.
Rule 2: "*@example.com" stands for every address of the domain, and "*" for every address: the upstream decides then.
"""

from __future__ import annotations

from collections.abc import Iterable

ANY = "*"


class OwnAddresses:
    """The default address first."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self.addresses = tuple(dict.fromkeys(addresses))
        self._plain = {_folded(address) for address in self.addresses}

    def __contains__(self, address: str) -> bool:
        folded = _folded(address)
        _local, at, domain = folded.rpartition("@")
        return folded in self._plain or ANY in self._plain or bool(at and f"*@{domain}" in self._plain)

    def identities(self) -> tuple[str, ...]:
        """Return those that are an Identity from the start."""
        return tuple(address for address in self.addresses if address != ANY)


def matches(pattern: str, address: str) -> bool:
    """Tell whether an Identity's `email` allows an address (RFC 8621 section 6)."""
    return address in OwnAddresses((pattern,))


def addresses_of(login: str, address: str, aliases: Iterable[str], more: Iterable[str] = ()) -> OwnAddresses:
    """Return the addresses of a login: templates filled in, then those that are listed for it.

    "{login}" stands for the login, "{user}" for what is before its @, "{domain}" for what is behind it.
    """
    user, at, domain = login.rpartition("@")
    words = {"{login}": login, "{user}": user if at else login, "{domain}": domain if at else ""}

    def filled(template: str) -> str:
        for word, value in words.items():
            template = template.replace(word, value)
        return template

    found = [filled(template) for template in (address, *aliases)]
    # Without a domain in the login "ann@{domain}" would be half an address.
    return OwnAddresses([found[0], *(one for one in found[1:] if not one.endswith("@")), *more])


def _folded(address: str) -> str:
    return address.casefold()
