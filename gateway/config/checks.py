"""The checks of single settings: a value as TOML or the environment gives it -> ours.

Rule 1: a check returns the value in its final type or raises `Wrong` with what is wrong and the fix.
Rule 2: text from the environment (`Text`) is read as whatever type the setting has; anything else must have that type.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from gateway.secret import Secret

Security = Literal["tls", "starttls", "none"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")


class Wrong(Exception):
    """A setting has a value that cannot be used."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what, self.fix = what, fix


class Text(str):
    """A value from the environment: text, to be read as whatever type its key has."""


def check_text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Wrong(f"{value!r} is not text", 'write it in quotes: key = "value"')
    return str(value)


def check_truth(value: Any) -> bool:
    if isinstance(value, Text) and value.lower() in ("true", "1", "yes", "false", "0", "no"):
        return value.lower() in ("true", "1", "yes")
    if not isinstance(value, bool):
        raise Wrong(f"{value!r} is neither true nor false", "write true or false, without quotes")
    return value


def check_number(minimum: float, maximum: float, *, whole: bool = True) -> Callable[[Any], Any]:
    def check(value: Any) -> float:
        try:
            number = (int(value) if whole else float(value)) if isinstance(value, Text) else value
        except ValueError:
            number = None
        allowed = (int,) if whole else (int, float)
        if isinstance(number, bool) or not isinstance(number, allowed) or not minimum <= number <= maximum:
            kind = "a whole number" if whole else "a number"
            raise Wrong(f"{value!r} is out of range", f"write {kind} from {minimum} to {maximum}, without quotes")
        return number

    return check


def check_size(value: Any) -> int:
    found = re.fullmatch(r"\s*(\d{1,15})\s*([A-Za-z]*)\s*", str(value)) if isinstance(value, str | int) else None
    if isinstance(value, bool) or not found or found[2].upper() not in _UNITS or not int(found[1]):
        raise Wrong(f"{value!r} is not a size", 'write octets (50000000) or text with a unit ("50 MB", "64 MiB")')
    return int(found[1]) * _UNITS[found[2].upper()]


def check_one_of(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            near = difflib.get_close_matches(str(value), choices, 1)
            hint = f'did you mean "{near[0]}"?' if near else "choose one of " + ", ".join(f'"{c}"' for c in choices)
            raise Wrong(f"{value!r} is unknown", hint)
        return str(value)

    return check


def check_many(check: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def check_all(value: Any) -> tuple[Any, ...]:
        if isinstance(value, Text):
            value = [item.strip() for item in value.split(",") if item.strip()]
        if not isinstance(value, list):
            raise Wrong(f"{value!r} is not a list", 'write it in brackets: key = ["first", "second"]')
        return tuple(check(item) for item in value)

    return check_all


def check_file(value: Any) -> Path:
    path = Path(check_text(value)).expanduser()
    if not path.is_file() or not os.access(path, os.R_OK):
        raise Wrong(f"{str(path)!r} is not a file that can be read here", "check the path and its permissions")
    return path


def check_directory(value: Any) -> Path:
    path = Path(check_text(value)).expanduser()
    if path.exists() and not path.is_dir():
        raise Wrong(f"{str(path)!r} is a file", "name a directory; it is made when it is missing")
    return path


def check_own_address(value: Any) -> str:
    """An address, or a template of one, that a login may send from."""
    text = check_text(value)
    rest = re.sub(r"\{(?:login|user|domain)\}", "x", text)
    if not re.fullmatch(r"\*|\*@[^\s@<>{}]+|[^\s@<>{}*]+(@[^\s@<>{}]+)?", rest):
        fix = 'write "{login}", "{user}@example.com", "*@example.com" for a domain, or "*" for any address'
        raise Wrong(f"{value!r} is no address", fix)
    return text


def check_aliases(value: Any) -> Mapping[str, tuple[str, ...]]:
    """Read a file of lines "LOGIN: ADDRESS ADDRESS"; "#" begins a comment."""
    path = check_file(value)
    found: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        login, colon, addresses = text.partition(":")
        if not colon or not login.strip():
            raise Wrong(
                f"line {number} of {str(path)!r} is not LOGIN: ADDRESS ADDRESS", "see aliases_file in the example"
            )
        checked = tuple(check_own_address(address.strip(",")) for address in addresses.split())
        key = login.strip().casefold()
        found[key] = (*found.get(key, ()), *checked)
    return found


def check_contact(value: Any) -> str:
    text = check_text(value)
    if not text.startswith(("mailto:", "https://")) or " " in text:
        raise Wrong(f"{value!r} is no mailto: or https: URL", 'write "mailto:postmaster@example.com"')
    return text


def check_network(value: Any) -> Network:
    try:
        return ipaddress.ip_network(check_text(value), strict=False)
    except ValueError:
        raise Wrong(f"{value!r} is not an IP address or network", 'write "10.0.0.1" or "10.0.0.0/8"') from None


def check_origin(value: Any) -> str:
    if value == "*":
        return "*"
    parts = split_url(value)
    if parts.scheme not in ("http", "https") or parts.path or parts.query or parts.fragment:
        raise Wrong(f"{value!r} is not an origin", 'write "https://webmail.example.com" (no path), or "*" for any')
    return str(value).lower()


def check_domain(value: Any) -> str:
    domain = check_text(value).lower().removeprefix("@").rstrip(".")
    if domain != "*" and not _HOST.fullmatch(domain):
        raise Wrong(f"{value!r} is not a domain", 'write the part after the @: "example.com", or "*" for the rest')
    return domain


def check_secret(value: Any) -> Secret:
    if not isinstance(value, str) or not value:
        raise Wrong("is not text", "write it in quotes, or name a file with the key that ends in _file")
    return Secret(str(value))


def split_url(value: Any) -> SplitResult:
    """Split an absolute URL. One with a login in it is refused without being repeated: it may hold a password."""
    try:
        parts = urlsplit(check_text(value))
        if parts.username is not None or parts.password is not None:
            raise Wrong("the URL has a login in it", "write SCHEME://HOST or SCHEME://HOST:PORT")
        if not parts.hostname or parts.port == 0:  # .port raises on nonsense
            raise ValueError
    except ValueError:
        raise Wrong(f"{value!r} is not a whole URL", "write SCHEME://HOST or SCHEME://HOST:PORT") from None
    return parts


class Listen(NamedTuple):
    """Where to accept connections."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def check_listen(value: Any) -> Listen:
    host, colon, port = check_text(value).rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    bracketed = bare is not host
    if not colon or not bare or (":" in bare) is not bracketed or not re.fullmatch(r"\d{1,5}", port):
        raise Wrong(f"{value!r} is not HOST:PORT", 'write "127.0.0.1:8080", "[::1]:8080" or "0.0.0.0:8080"')
    if int(port) > 65_535:
        raise Wrong(f"port {port} does not exist", "choose one from 1 to 65535")
    return Listen(bare, int(port))


class Address(NamedTuple):
    """A mail server, as a URL of the configuration names it."""

    host: str
    port: int
    security: Security


_SCHEMES: Mapping[str, tuple[int, Security]] = {
    "imaps": (993, "tls"),
    "imap": (143, "starttls"),
    "submissions": (465, "tls"),
    "submission": (587, "starttls"),
    "sieve": (4190, "starttls"),
    "sieves": (4190, "tls"),  # no registered scheme; some hosts speak TLS from the start
}


def check_address(*schemes: str) -> Callable[[Any], Address]:
    def check(value: Any) -> Address:
        example = " or ".join(f'"{scheme}://HOST"' for scheme in schemes)
        if isinstance(value, str) and "://" not in value:
            raise Wrong(f"{value!r} has no scheme", f"write {example}")
        parts = split_url(value)
        if parts.scheme not in schemes:
            raise Wrong(f"{value!r}: {parts.scheme}:// does not belong here", f"write {example}")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise Wrong(f"{parts.scheme}:// with more than host and port", f"write {example}, nothing else")
        port, security = _SCHEMES[parts.scheme]
        return Address(parts.hostname or "", parts.port or port, security)

    return check


def check_public_url(value: Any) -> str:
    parts = split_url(value)
    fix = 'write what a client types, for example "https://jmap.example.com"'
    if parts.scheme not in ("http", "https"):
        raise Wrong(f"{value!r} is no http:// or https:// URL", fix)
    if parts.query or parts.fragment:
        raise Wrong(f"{value!r} has a query or a fragment", fix)
    if "/.well-known" in parts.path:
        raise Wrong(f"{value!r} is the Session's URL", "leave /.well-known/jmap away")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*/?", parts.path) or {".", ".."} & set(parts.path.split("/")):
        raise Wrong(f"{value!r} has a path that URLs cannot be built on", "use only plain letters, digits and ._~-")
    return str(value).rstrip("/")


def check_http_url(value: Any) -> str:
    parts = split_url(value)
    if parts.scheme not in ("http", "https"):
        raise Wrong(f"{value!r} is no http:// or https:// URL", 'write "https://HOST/PATH"')
    return str(value)
