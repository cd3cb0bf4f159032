"""What a reverse proxy tells of the client: Forwarded (RFC 7239) and the X-Forwarded-* headers.

Rule 1: they are believed only where the connection comes from a trusted proxy; from anybody else they are nothing.
Rule 2: of a list the last item counts that a trusted proxy has added: what stands before it may be the client's own.
Rule 3: what does not look like a host, a scheme or a path is left out, so that no header can be smuggled into a URL.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache

from aiohttp import web

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*){1,10}/?")
_PAIR = re.compile(r'\s*([A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]+))\s*(?:;|$)')


class Proxies:
    """The proxies that are trusted, by their networks."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = tuple(trusted)
        self._is_trusted = lru_cache(maxsize=4096)(self._look)

    def peer(self, request: web.Request) -> str:
        """Return the address of the client, as far as it can be known."""
        remote = _address(request.remote or "")
        if not self._trusted or not self._is_trusted(remote):
            return remote
        hops = [_address(pairs.get("for", "")) for pairs in _forwarded(request)] or [
            _address(hop) for hop in _listed(request, "X-Forwarded-For")
        ]
        for hop in reversed(hops):
            if not hop:
                break
            remote = hop
            if not self._is_trusted(hop):
                break
        return remote

    def base(self, request: web.Request) -> str | None:
        """Return the URL that the client knows the gateway by; None when no trusted proxy tells it."""
        if not self._trusted or not self._is_trusted(_address(request.remote or "")):
            return None
        elements = _forwarded(request)
        told = elements[-1] if elements else {}
        host = told.get("host") or _last(request, "X-Forwarded-Host")
        scheme = (told.get("proto") or _last(request, "X-Forwarded-Proto")).lower()
        prefix = _last(request, "X-Forwarded-Prefix")
        if not host and not scheme:
            return None
        host = host or request.headers.get("Host", "")
        scheme = scheme or "http"
        if not _HOST.fullmatch(host) or scheme not in ("http", "https"):
            return None
        return f"{scheme}://{host}{prefix.rstrip('/') if _PREFIX.fullmatch(prefix) else ''}"

    def _look(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._trusted)


def _address(text: str) -> str:
    """Return an IP address without port, brackets, zone or the IPv4 in IPv6 form; "" where it is none."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def _listed(request: web.Request, name: str) -> list[str]:
    return [item.strip() for line in request.headers.getall(name, ()) for item in line.split(",")]


def _last(request: web.Request, name: str) -> str:
    items = _listed(request, name)
    return items[-1] if items else ""


def _forwarded(request: web.Request) -> list[dict[str, str]]:
    """Return the elements of Forwarded, one a proxy; a malformed element is empty."""
    elements = []
    for line in request.headers.getall("Forwarded", ()):
        for element in re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', line[:4096]):
            pairs, at = {}, 0
            while found := _PAIR.match(element, at):
                pairs[found[1].lower()] = found[2] if found[2] is not None else found[3]
                at = found.end()
            elements.append(pairs if at == len(element) else {})
    return elements
