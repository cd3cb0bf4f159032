"""Where Redis is, as one URL says it.

    redis://HOST:PORT/DB                one server; rediss:// with TLS
    unix:///PATH?db=DB                  one server on this machine
    redis://HOST:PORT,HOST:PORT,…       Redis Cluster, by some of its nodes; rediss:// with TLS
    redis+sentinel://HOST:PORT,…/NAME/DB    the master that Sentinels know by this name; rediss+sentinel:// with TLS

A login stands before the hosts: redis://:PASSWORD@HOST, redis://USER:PASSWORD@HOST. It is never repeated in an error.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote

from gateway.config.checks import Wrong
from gateway.secret import Secret

Kind = Literal["single", "unix", "cluster", "sentinel"]

PORT, SENTINEL_PORT = 6379, 26_379
_URL = re.compile(
    r"(?P<scheme>rediss?(?P<sentinel>\+sentinel)?)://(?:(?P<login>[^@/]*)@)?(?P<hosts>[^/?#]+)(?P<path>/[^?#]*)?"
)
_UNIX = re.compile(r"unix://(?:(?P<login>[^@/]*)@)?(?P<path>/[^?#]+)(?:\?db=(?P<db>\d{1,4}))?")
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9_.-]+))(?::(?P<port>\d{1,5}))?")
_FIX = 'write "redis://HOST:PORT/0"; config/gateway.toml has the forms for TLS, Redis Cluster and Sentinel'


class Host(NamedTuple):
    name: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisAddress:
    """What `redis_url` says."""

    kind: Kind
    hosts: tuple[Host, ...] = ()
    path: str = ""  # of the socket
    service: str = ""  # what Sentinels call the master
    db: int = 0
    tls: bool = False
    username: str | None = None
    password: Secret | None = None

    def __str__(self) -> str:
        """Return it without the login."""
        if self.kind == "unix":
            return f"unix://{self.path}"
        scheme = ("rediss" if self.tls else "redis") + ("+sentinel" if self.kind == "sentinel" else "")
        hosts = ",".join(f"[{name}]:{port}" if ":" in name else f"{name}:{port}" for name, port in self.hosts)
        return f"{scheme}://{hosts}" + (f"/{self.service}" if self.service else "")


def check_redis_url(value: Any) -> RedisAddress:
    """Read the URL; a fault never quotes it, for it may hold a password."""
    if not isinstance(value, str):
        raise Wrong("is not text", _FIX)
    if (found := _UNIX.fullmatch(value)) is not None:
        username, password = _login(found["login"])
        return RedisAddress(
            kind="unix", path=unquote(found["path"]), db=int(found["db"] or 0), username=username, password=password
        )
    if (found := _URL.fullmatch(value)) is None:
        raise Wrong("is not the URL of a Redis", _FIX)
    is_sentinel = found["sentinel"] is not None
    hosts = tuple(_host(text, SENTINEL_PORT if is_sentinel else PORT) for text in found["hosts"].split(","))
    kind: Kind = "sentinel" if is_sentinel else "cluster" if len(hosts) > 1 else "single"
    path = [part for part in (found["path"] or "").split("/") if part]
    service = path.pop(0) if is_sentinel and path else ""
    if is_sentinel and not service:
        raise Wrong("does not say what Sentinels call the master", 'write "redis+sentinel://HOST:26379/NAME/0"')
    if len(path) > 1 or (path and not re.fullmatch(r"\d{1,4}", path[0])):
        raise Wrong("has a path that is no number of a database", _FIX)
    db = int(path[0]) if path else 0
    if kind == "cluster" and db:
        raise Wrong("names a database, and Redis Cluster has only 0", "leave the number away")
    username, password = _login(found["login"])
    return RedisAddress(
        kind=kind,
        hosts=hosts,
        service=unquote(service),
        db=db,
        tls=found["scheme"].startswith("rediss"),
        username=username,
        password=password,
    )


def _host(text: str, default_port: int) -> Host:
    found = _HOST.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"] or default_port) < 65_536:
        raise Wrong("has a host that is none", _FIX)
    return Host(found["six"] or found["name"], int(found["port"] or default_port))


def _login(text: str | None) -> tuple[str | None, Secret | None]:
    username, colon, password = (text or "").partition(":")
    return unquote(username) or None, Secret(unquote(password)) if colon and password else None
