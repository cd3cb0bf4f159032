"""The sections of the configuration as frozen values. A key is a field with its check; everything else is derived.

A field's metadata holds `check` (value -> ours, or `Wrong`). A field without one is not read from the file.
"""

# ruff: noqa: RUF009  # _key() is dataclasses.field() with a check: the call is the declaration

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from gateway.config.checks import (
    Address,
    Listen,
    Network,
    check_address,
    check_aliases,
    check_contact,
    check_directory,
    check_domain,
    check_file,
    check_http_url,
    check_listen,
    check_many,
    check_network,
    check_number,
    check_one_of,
    check_origin,
    check_own_address,
    check_public_url,
    check_secret,
    check_size,
    check_text,
    check_truth,
)
from gateway.config.redis_url import RedisAddress, check_redis_url
from gateway.secret import Secret


def _key(check: Callable[[Any], Any], default: Any = MISSING, *, fix: str = "") -> Any:
    return field(default=default, metadata={"check": check, "fix": fix})


@dataclass(frozen=True, slots=True, kw_only=True)
class Http:
    listen: Listen = _key(check_listen, Listen("127.0.0.1", 8080))
    public_url: str = _key(check_public_url, "")  # never empty once loaded
    tls_cert: Path | None = _key(check_file, None)
    tls_key: Path | None = _key(check_file, None)
    trusted_proxies: tuple[Network, ...] = _key(check_many(check_network), ())
    cors_origins: tuple[str, ...] = _key(check_many(check_origin), ("*",))
    event_source_tickets: bool = _key(check_truth, True)  # for browsers' EventSource, which sends no header
    linger_s: float = _key(check_number(0, 300, whole=False), 0.0)  # at SIGTERM: /readyz says no, requests are taken
    drain_s: float = _key(check_number(0.1, 300, whole=False), 20.0)  # then: requests under way may take so long


@dataclass(frozen=True, slots=True, kw_only=True)
class Admin:
    listen: Listen = _key(check_listen, Listen("127.0.0.1", 8081))


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    data_dir: Path = _key(check_directory, Path("var"))
    redis_url: RedisAddress | None = _key(check_redis_url, None)  # set: this node is one of several
    redis_ca_file: Path | None = _key(check_file, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """How nodes reach each other, once `store.redis_url` makes several of them one gateway."""

    listen: Listen = _key(check_listen, Listen("127.0.0.1", 8082))
    advertise: Listen | None = _key(check_listen, None)  # how other nodes reach `listen`; None: as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The core capability's numbers (RFC 8620 section 2), then our own."""

    max_size_upload: int = _key(check_size, 50_000_000)
    max_concurrent_upload: int = _key(check_number(1, 1000), 8)
    max_size_request: int = _key(check_size, 10_000_000)
    max_concurrent_requests: int = _key(check_number(1, 1000), 16)
    max_calls_in_request: int = _key(check_number(1, 10_000), 64)
    max_objects_in_get: int = _key(check_number(1, 100_000), 1000)
    max_objects_in_set: int = _key(check_number(1, 100_000), 1000)
    upload_quota: int = _key(check_size, 1_000_000_000)  # octets of unexpired uploads per account
    upload_lifetime_h: int = _key(check_number(1, 24 * 30), 24)

    def core(self) -> dict[str, int]:
        """Return the core capability's limits by name, as `jmap.limits.Limits` takes them."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name.startswith("max_")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    cache_s: int = _key(check_number(0, 3600), 300)  # how long a login is believed before the upstream is asked again
    vault_keys: Secret | None = _key(check_secret, None)  # a key ring (`auth.vault`); None: one in the data directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Push subscriptions (RFC 8620 section 7.2)."""

    allow: tuple[Network, ...] = _key(check_many(check_network), ())  # networks of one's own that may be called
    ca_file: Path | None = _key(check_file, None)
    contact: str | None = _key(check_contact, None)
    max_lifetime_d: int = _key(check_number(2, 90), 7)
    max_per_login: int = _key(check_number(1, 1000), 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    level: str = _key(check_one_of("debug", "info", "warning", "error"), "info")
    format: str = _key(check_one_of("logfmt", "json"), "logfmt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One mail provider. `name` is its table's name."""

    name: str
    domains: tuple[str, ...] = _key(check_many(check_domain), ("*",))
    imap: Address = _key(check_address("imaps", "imap"), fix='write imap = "imaps://imap.example.com"')
    smtp: Address | None = _key(check_address("submissions", "submission"), None)
    # Whom a login may send as: templates with {login}, {user}, {domain}, and what is listed for it.
    address: str = _key(check_own_address, "{login}")
    aliases: tuple[str, ...] = _key(check_many(check_own_address), ())
    aliases_file: Mapping[str, tuple[str, ...]] | None = _key(check_aliases, None)
    sieve: Address | None = _key(check_address("sieve", "sieves"), None)
    tls: str = _key(check_one_of("verify", "none"), "verify")
    ca_file: Path | None = _key(check_file, None)
    # password: the client's own; oauth: its token; master: its own to prove itself, the master login for the work
    auth: str = _key(check_one_of("password", "oauth", "master"), "password")
    master_login: str | None = _key(check_text, None)
    master_password: Secret | None = _key(check_secret, None)
    oauth_userinfo_url: str | None = _key(check_http_url, None)  # tells the login of an opaque token
    max_connections: int = _key(check_number(1, 100), 4)  # per account
    logins_per_second: float = _key(check_number(0.1, 1000, whole=False), 10.0)  # for the whole host
    max_staleness_s: float = _key(check_number(0, 3600, whole=False), 5.0)
    shared_accounts: bool = _key(check_truth, True)  # what others share becomes accounts of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    http: Http = Http()
    admin: Admin = Admin()
    store: Store = Store()
    cluster: Cluster = Cluster()
    limits: Limits = Limits()
    auth: Auth = Auth()
    push: Push = Push()
    log: Log = Log()
    upstreams: Mapping[str, Upstream] = field(default_factory=dict)
    strict_using: bool = _key(check_truth, False)
    warnings: tuple[str, ...] = ()  # what is allowed and yet unwise, for the log and `check-config`


SECTIONS: Mapping[str, type[Any]] = {
    "http": Http,
    "admin": Admin,
    "store": Store,
    "cluster": Cluster,
    "limits": Limits,
    "auth": Auth,
    "push": Push,
    "log": Log,
}
