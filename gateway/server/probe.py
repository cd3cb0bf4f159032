"""`jmap-gateway probe`: log in upstream and say in plain words what works and what does not."""

from __future__ import annotations

from collections.abc import Callable

from gateway.config import Config
from gateway.jmap.capability import BLOB, CORE, MAIL
from gateway.metrics import Metrics
from gateway.secret import Secret
from gateway.server.offers import offered
from gateway.server.probe_sieve import tell_sieve
from gateway.server.upstreams import Provider, own_addresses, providers, smtp_server
from gateway.sync.identity import Identity
from gateway.sync.link import Facts
from gateway.sync.plan import Tier
from gateway.sync.quota import quotas_of
from gateway.sync.scope import PERSONAL, scope_of, scopes_of
from gateway.upstream.imap import CommandFailed, Connection, Credentials, Namespaces, PasswordCredentials
from gateway.upstream.imap.commands.getquota import GetQuotaRoot
from gateway.upstream.smtp import SmtpError

_TIERS = {
    Tier.QRESYNC: "QRESYNC: changes, new and vanished mail in one round trip. The best there is.",
    Tier.CONDSTORE: "CONDSTORE: changed flags and new mail at once; vanished mail costs a listing of uids.",
    Tier.NEITHER: "neither CONDSTORE nor QRESYNC: all flags of a mailbox are compared to find what changed.",
}
_IDENTITIES = {
    Identity.OBJECTID: "the server's own ids (OBJECTID).",
    Identity.GMAIL: "Gmail's message ids.",
    Identity.GUID: "Dovecot's GUIDs: they survive moves and renames.",
    Identity.FIELDS: "header fields, date and size: copies with the same of all these are taken for one Email.",
}
_WANTED = {
    "LIST-STATUS": "every look at the mailboxes costs a command for each of them",
    "SPECIAL-USE": "roles (Sent, Trash, …) are guessed from the mailboxes' names",
    "IDLE": "new mail is seen only when the gateway asks",
    "NOTIFY": "only one mailbox at a time tells of new mail by itself",
    "PREVIEW": "previews are made from the first part of each message",
    "BINARY": "sizes of attachments are learnt by reading them",
    "MOVE": "mail is moved by copying and expunging",
    "UIDPLUS": "the gateway has to look for what it has just stored",
    "QUOTA": "clients are not told how full the account is",
    "NAMESPACE": "what others share is not told apart from one's own mailboxes",
    "ACL": "rights are not known before something is tried",
    "ESEARCH": "search results take more octets",
}

MAX_SHOWN = 20  # names of others' accounts


async def probe(config: Config, login: str, password: Secret, out: Callable[[str], None]) -> int:
    """Print what the upstream of `login` offers. Raise `ValueError` or `OSError` with a text for people."""
    provider = provider_of(config, login)
    address = provider.endpoint
    out(f"{login} belongs to the upstream {provider.config.name}, {address.host}:{address.port} ({address.security}).")
    credentials = credentials_of(provider, login, password)
    connection = await provider.log_in(credentials)
    try:
        await _tell(connection, out)
    finally:
        await connection.logout()
    await _tell_sending(provider, login, credentials, out)
    await tell_sieve(provider, credentials, out)
    return 0


async def _tell_sending(provider: Provider, login: str, credentials: Credentials, out: Callable[[str], None]) -> None:
    """Log in to the server for sending too, without sending anything."""
    server = smtp_server(provider.config)
    out("")
    if server is None:
        out("Nothing can be sent: no smtp is configured.")
        return
    try:
        ehlo = await server.verify(credentials)
    except SmtpError as error:
        out(f"Nothing can be sent ({error.stage}): {error}")
        return
    out(f"Sending: logged in. The server offers: {' '.join(sorted(ehlo.extensions))}")
    out(f"{login} may send as {', '.join(own_addresses(provider.config, login).addresses)}.")
    if not ehlo.offers("DSN"):
        out("  DSN is missing: reports of failed deliveries are matched by Message-ID alone.")


async def _tell(connection: Connection, out: Callable[[str], None]) -> None:
    facts = Facts.of(connection)
    name = " ".join(connection.server_id.get(key, "") for key in ("name", "version")).strip()
    out(f"Logged in. The server calls itself {name or '(nothing)'}.")
    out(f"It offers: {' '.join(sorted(connection.capabilities))}")
    out("")
    out(f"Changes are found by {_TIERS[facts.tier]}")
    out(f"Emails are recognised by {_IDENTITIES[facts.identity]}")
    entries = await connection.list_mailboxes(returns=("SPECIAL-USE",))
    told = await _namespaces(connection)
    shared = scopes_of(entries, told)
    own = [entry for entry in entries if scope_of(entry.name, told) == PERSONAL]
    out(f"It has {len(own)} mailboxes.")
    if shared:
        names = ", ".join(scope.name for scope in shared[:MAX_SHOWN]) + (", …" if len(shared) > MAX_SHOWN else "")
        out(f"Others share with it: {names}. Each is an account of its own in the Session.")
    await _tell_quotas(connection, out)
    out(f"JMAP clients get: {', '.join((CORE, MAIL, BLOB, *offered(facts)))}.")
    missing = [f"  {item}: {effect}" for item, effect in _WANTED.items() if item not in connection.capabilities]
    out("Nothing is missing." if not missing else "Missing, and what that costs:")
    for line in missing:
        out(line)


async def _namespaces(connection: Connection) -> Namespaces:
    try:
        return await connection.namespaces()
    except CommandFailed:
        return Namespaces()


async def _tell_quotas(connection: Connection, out: Callable[[str], None]) -> None:
    if "QUOTA" not in connection.capabilities:
        return
    try:
        roots = await connection.run(GetQuotaRoot("INBOX"))
    except CommandFailed:
        roots = []
    quotas = quotas_of(roots)
    for quota in quotas:
        out(f"Of {quota.hard_limit} {quota.resource_type} ({quota.resource}) it uses {quota.used}.")
    if not quotas:
        out("It knows quotas, and limits this account by none.")


def provider_of(config: Config, login: str) -> Provider:
    """Return the upstream that serves a login. Raise ValueError where none does."""
    upstreams = providers(config, Metrics())
    _local, at, domain = login.rpartition("@")
    wanted = domain.lower() if at else "*"
    for domains in (wanted, "*"):
        for provider in upstreams.values():
            if domains in provider.config.domains:
                return provider
    raise ValueError(f'no upstream serves {wanted}: add it to the "domains" of one, or let one have "*"')


def credentials_of(provider: Provider, login: str, password: Secret) -> Credentials:
    """Return what the gateway would log in with for this login."""
    settings = provider.config
    if settings.auth == "master" and settings.master_login and settings.master_password:
        return PasswordCredentials(settings.master_login, settings.master_password, authzid=login)
    return PasswordCredentials(login, password)
