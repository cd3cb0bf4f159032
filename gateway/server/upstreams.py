"""What the configuration says of each upstream, as the objects that speak to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.account.own_addresses import OwnAddresses, addresses_of
from gateway.auth.login import UpstreamLogin
from gateway.config import Config
from gateway.config.checks import Address
from gateway.config.sections import Upstream
from gateway.metrics import ImapObserver, Metrics
from gateway.server.sieve import SieveEngine
from gateway.upstream.imap import Connection, Credentials, Endpoint, HostGate, Pool
from gateway.upstream.managesieve import Keeper
from gateway.upstream.smtp import SmtpServer


@dataclass(frozen=True, slots=True)
class Provider:
    """One upstream, ready to be connected to."""

    config: Upstream
    endpoint: Endpoint
    gate: HostGate
    observer: ImapObserver
    sieve: SieveEngine | None = None  # None: no ManageSieve server is configured

    def pool(self, credentials: Callable[[], Credentials]) -> Pool:
        """Return the connections of one login; `credentials` gives the newest."""

        async def current() -> Credentials:
            return credentials()

        return Pool(self.endpoint, current, size=self.config.max_connections, gate=self.gate, observer=self.observer)

    def sieve_connection(self, credentials: Callable[[], Credentials]) -> Keeper:
        """Return the ManageSieve connection of one login, where one is configured."""
        assert self.sieve is not None
        return Keeper(self.sieve.endpoint, credentials, enter=self.gate.enter)

    async def log_in(self, credentials: Credentials) -> Connection:
        """Open a connection of its own. Raises ImapError."""
        await self.gate.enter()
        return await Connection.open(self.endpoint, credentials, observer=self.observer)

    async def verify(self, credentials: Credentials) -> None:
        """Prove credentials: log in, and out again."""
        connection = await self.log_in(credentials)
        await connection.logout()


def providers(config: Config, metrics: Metrics) -> Mapping[str, Provider]:
    """Return every configured upstream by name."""
    return {
        name: Provider(
            upstream,
            imap_endpoint(upstream),
            HostGate(logins_per_s=upstream.logins_per_second),
            metrics.imap_observer(name),
            sieve_engine(upstream),
        )
        for name, upstream in config.upstreams.items()
    }


def imap_endpoint(upstream: Upstream) -> Endpoint:
    """Return where and how to connect: imap:// means STARTTLS, unless TLS is switched off."""
    return _endpoint(upstream, upstream.imap)


def smtp_server(upstream: Upstream) -> SmtpServer | None:
    """Return the submission server of an upstream; None: it has none. submission:// means STARTTLS likewise."""
    if upstream.smtp is None:
        return None
    return SmtpServer(_endpoint(upstream, upstream.smtp), gate=HostGate(logins_per_s=upstream.logins_per_second))


def own_addresses(upstream: Upstream, login: str) -> OwnAddresses:
    """Return the addresses that a login may send from."""
    return addresses_of(
        login, upstream.address, upstream.aliases, (upstream.aliases_file or {}).get(login.casefold(), ())
    )


def sieve_engine(upstream: Upstream) -> SieveEngine | None:
    """Return what finds out about the ManageSieve server, where one is configured: sieve:// means STARTTLS as well."""
    return SieveEngine(_endpoint(upstream, upstream.sieve)) if upstream.sieve is not None else None


def _endpoint(upstream: Upstream, address: Address) -> Endpoint:
    is_clear = upstream.tls == "none"
    return Endpoint(
        address.host,
        address.port,
        "none" if is_clear and address.security == "starttls" else address.security,
        ca_file=str(upstream.ca_file) if upstream.ca_file else None,
        verify=not is_clear,
    )


def upstream_login(upstream: Upstream) -> UpstreamLogin:
    """Return how logins of this upstream prove themselves."""
    return UpstreamLogin(
        upstream.name,
        upstream.domains,
        upstream.auth,  # type: ignore[arg-type] # the configuration allows these three words only
        upstream.master_login,
        upstream.master_password,
        tells_login=upstream.oauth_userinfo_url is not None,
    )
