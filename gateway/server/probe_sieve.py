"""What `jmap-gateway probe` says of the ManageSieve server, in plain words."""

from __future__ import annotations

from collections.abc import Callable

from gateway.server.upstreams import Provider
from gateway.sync.sieve.scripts import facts_of
from gateway.upstream.imap import Credentials
from gateway.upstream.managesieve import ManageSieveError

_WANTED = {
    "vacation": "there is no vacation reply: urn:ietf:params:jmap:vacationresponse is not offered",
    "include": "a vacation reply cannot be switched on while a script of the user's is active",
    "date": "a vacation reply cannot be held to a time",
    "relational": "a vacation reply cannot be held to a time",
}


async def tell_sieve(provider: Provider, credentials: Credentials, out: Callable[[str], None]) -> None:
    """Print what the ManageSieve server of an upstream offers a login."""
    out("")
    if provider.sieve is None:
        out('No ManageSieve server is configured ("sieve"): clients get neither filters nor the vacation reply.')
        return
    address = provider.sieve.endpoint
    where = f"The ManageSieve server at {address.host}:{address.port} ({address.security})"
    keeper = provider.sieve_connection(lambda: credentials)
    try:
        async with keeper.connection() as connection:
            facts, listed = facts_of(connection.capabilities), await connection.list_scripts()
    except ManageSieveError as error:
        out(f"{where} cannot be used: {error}")
        out("As long as that is so, clients get neither filters nor the vacation reply.")
        return
    finally:
        await keeper.aclose()
    active = next((f"{one.name!r} is active" for one in listed if one.is_active), "none is active")
    out(f"{where} calls itself {facts.implementation}. It has {len(listed)} scripts of this login; {active}.")
    out(f"Its Sieve knows: {' '.join(facts.extensions)}")
    offered = ["urn:ietf:params:jmap:sieve", *(["urn:ietf:params:jmap:vacationresponse"] if facts.has_vacation else [])]
    out(f"JMAP clients get: {', '.join(offered)}.")
    for extension, effect in _WANTED.items():
        if extension not in facts.extensions:
            out(f"  {extension} is missing: {effect}")
