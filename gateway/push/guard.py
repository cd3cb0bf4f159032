"""Where a push message may go: a client names the URL, and the gateway stands inside somebody's network.

Rule 1: only to addresses of the public Internet, unless the configuration allows a network.
Rule 2: the address is looked at when the connection is made: what a name resolved to before means nothing.
Rule 3: an address that holds another (IPv4 in IPv6, NAT64, 6to4) is as good as the one it holds.
Rule 4: https only, no redirects, no proxies, no port that other protocols live on.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import aiohttp

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL_CHARS = 2048
MAX_CONNECTIONS = 100
MAX_CONNECTIONS_OF_A_HOST = 10
HTTPS_PORT = 443
FIRST_FREE_PORT = 1024  # below live mail, SSH and the like; some push services of one's own use 8443

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_GLOBAL = ipaddress.IPv6Network("2000::/3")  # RFC 4291 section 2.4: nothing else has been given out


class Refused(OSError):
    """The URL or the address is none that the gateway may call."""


class Guard:
    """Judges addresses and URLs. `allowed`: networks of one's own that may be called in spite of Rule 1."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def check_url(self, url: str) -> None:
        """Raise `Refused` for a URL that can never be called; its host's name is looked up later."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, HTTPS_PORT if parts.port is None else parts.port
        except ValueError:
            raise Refused("this is not a URL") from None
        if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
            raise Refused("this is not a URL, or it is too long")
        if parts.scheme != "https" or not host:
            raise Refused("the URL does not begin with https:// and a host")
        if parts.username is not None or parts.password is not None:
            raise Refused("the URL holds a user or a password")
        if port != HTTPS_PORT and port < FIRST_FREE_PORT:
            raise Refused("the URL's port is not one of a push service")
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return
        self.check_address(address)

    def check_address(self, address: Address) -> None:
        """Raise `Refused` for an address that may not be called."""
        if not is_public(address) and not any(address in network for network in self._allowed):
            raise Refused("the address is not one of the public Internet")

    def connector(self, ca_file: str | None = None) -> aiohttp.TCPConnector:
        """Return a connector that opens no connection anywhere else."""
        tls = ssl.create_default_context()
        if ca_file is not None:  # beside the system's
            tls.load_verify_locations(ca_file)
        return aiohttp.TCPConnector(
            ssl=tls,
            limit=MAX_CONNECTIONS,
            limit_per_host=MAX_CONNECTIONS_OF_A_HOST,
            socket_factory=self._socket,
        )

    def _socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Make the socket of one connection, if its address may be called."""
        family, kind, protocol, _name, target = info
        self.check_address(ipaddress.ip_address(str(target[0]).partition("%")[0]))
        return socket.socket(family, kind, protocol)


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to somebody on the public Internet."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _GLOBAL or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
