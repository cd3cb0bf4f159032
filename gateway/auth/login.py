"""Who sent this request: its Authorization header, proven by logging in upstream, then believed for minutes.

Rule 1: an accepted header is remembered as a keyed hash (the key is drawn at start), never in the clear.
Rule 2: unknown login, wrong password and unserved domain get one answer, at the next whole `refusal_step_s` after
        the attempt began: how long the upstream took to refuse is not told.
Rule 3: many requests with the same new credentials cause one upstream login; one of them giving up stops no other.
Rule 4: an upstream that cannot be asked is never a refusal.
Rule 5: with several nodes, what one of them has proven the others believe for the rest of that time: a node that takes
        over hundreds of accounts need not ask for each. Only what was accepted gets there, as a keyed hash.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeVar

from gateway.auth import header
from gateway.auth.attempts import Attempts
from gateway.auth.caller import Caller, TooManyAttempts, Unauthorized, UpstreamUnavailable, account_id
from gateway.secret import Secret
from gateway.store.api import StoreError
from gateway.upstream.imap.errors import AuthenticationFailed, ImapError
from gateway.upstream.sasl import Credentials, NoMechanism, OAuthCredentials, PasswordCredentials

VERIFY_TIMEOUT_S = 30.0  # one upstream login, with TLS and a server that makes wrong passwords wait
REFUSAL_STEP_S = 3.0  # above the 2 seconds that Dovecot lets a wrong password wait
REFUSED_S = 10.0  # how long the same wrong header is refused without asking: a client that retries in a loop
MAX_KNOWN = 100_000  # remembered headers, about 60 MB; the oldest go first
MAX_UNDER_WAY = 256  # upstream logins at a time, a bound on memory and sockets
# Response codes (RFC 5530) with which a server refuses to look at the credentials now.
NOT_NOW = frozenset({"UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "CONTACTADMIN"})

log = logging.getLogger("gateway.auth")


class Verify(Protocol):
    async def __call__(self, upstream: str, credentials: Credentials, /) -> None:
        """Log in upstream and out again. Raise `AuthenticationFailed`, or any other `ImapError` or `OSError`."""


class Proofs(Protocol):
    """Where nodes tell one another which logins were accepted. Every call may raise `StoreError`."""

    async def lasts_s(self, account_id: str, proof: bytes, /) -> float:
        """Return for how long a login is still believed; 0: it is not known."""

    async def add(self, account_id: str, proof: bytes, lasts_s: float, /) -> None:
        """Have a login believed for so long."""

    async def drop(self, account_id: str, /) -> None:
        """Have no login of an account believed."""


V = TypeVar("V")
LoginOfToken = Callable[[str, Secret], Awaitable[str | None]]  # (upstream, opaque token) -> login
OnLogin = Callable[[str, str], None]  # (upstream or "none", accepted | refused | limited | unavailable)


@dataclass(frozen=True, slots=True)
class UpstreamLogin:
    """How logins of one upstream prove themselves."""

    name: str
    domains: Sequence[str] = ("*",)
    mode: Literal["password", "oauth", "master"] = "password"
    master_login: str | None = None
    master_password: Secret | None = field(default=None, repr=False)
    tells_login: bool = False  # `login_of_token` can tell the login of an opaque token


class _Known(NamedTuple):
    caller: Caller
    until: float


class _Claim(NamedTuple):
    """What a header claims: the login, how it is to be proven, and what the gateway works with then."""

    login: str
    upstream: str | None
    proof: Credentials | None
    work: Credentials | None
    expires_at_s: float | None = None


class Authenticator:
    """`authenticate()` is on the path of every request: a hit costs one hash and one look-up."""

    def __init__(
        self,
        upstreams: Sequence[UpstreamLogin],
        verify: Verify,
        *,
        account_key: bytes,
        cache_s: float = 300.0,
        login_of_token: LoginOfToken | None = None,
        on_login: OnLogin | None = None,
        refusal_step_s: float = REFUSAL_STEP_S,
        clock: Callable[[], float] = time.monotonic,
        proofs: Proofs | None = None,
        proof_key: bytes = b"",
    ) -> None:
        """`proof_key` is the one of all that share `proofs`, and is not kept where they are."""
        self._upstreams = {upstream.name: upstream for upstream in upstreams}
        self._by_domain = {domain: upstream.name for upstream in upstreams for domain in upstream.domains}
        self._verify, self._login_of_token = verify, login_of_token
        self._account_key, self._cache_s, self._refusal_step_s = account_key, cache_s, refusal_step_s
        self._on_login: OnLogin = on_login or (lambda _upstream, _outcome: None)
        self._clock = clock
        self._proofs, self._proof_key = proofs, proof_key
        self._hash_key = os.urandom(32)
        self._known: dict[bytes, _Known] = {}
        self._refused: dict[bytes, float] = {}
        self._under_way: dict[bytes, asyncio.Task[Caller]] = {}
        self._dropping: set[asyncio.Task[None]] = set()
        self._attempts = Attempts(clock)

    async def authenticate(self, headers: Mapping[str, str], peer: str) -> Caller:
        """Return the caller; raise `Unauthorized`, `TooManyAttempts` or `UpstreamUnavailable`."""
        value = headers.get("Authorization")
        if value is None:
            raise Unauthorized("this needs a login and a password, or a token")
        octets = value.encode("utf-8", "surrogateescape")
        key = hashlib.blake2b(octets, key=self._hash_key, digest_size=32).digest()
        known = self._known.get(key)
        if known is not None and known.until > self._clock():
            return known.caller
        if self._refused.get(key, 0.0) > self._clock():
            raise Unauthorized("wrong login or password")
        task = self._under_way.get(key)
        if task is None:
            parsed = header.parse(value)
            if len(self._under_way) >= MAX_UNDER_WAY:
                raise UpstreamUnavailable("too many logins at once")
            task = asyncio.create_task(self._prove(key, octets, parsed, peer), name="login")
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._landed(key, done))
        return await asyncio.shield(task)

    def claimed(self, headers: Mapping[str, str]) -> str | None:
        """Return the account id of the login that a header claims, unproven; None where it does not tell."""
        value = headers.get("Authorization")
        try:
            parsed = header.parse(value) if value is not None else None
        except Unauthorized:
            return None
        login = parsed.login if isinstance(parsed, header.Basic) else None
        if isinstance(parsed, header.Bearer):
            login = header.claims(parsed.token).login
        upstream = self._upstream_of(login) if login else None
        if login is None or upstream is None:
            return None
        return account_id(self._account_key, upstream.name, login)

    def forget(self, account: str) -> None:
        """Forget what was accepted here for this account."""
        for key in [key for key, known in self._known.items() if known.caller.account_id == account]:
            del self._known[key]

    def refused(self, account: str) -> None:
        """Ask the upstream again for this account: what was accepted has been refused since."""
        self.forget(account)
        if self._proofs is not None:
            task = asyncio.create_task(self._drop_proofs(self._proofs, account))
            self._dropping.add(task)
            task.add_done_callback(self._dropping.discard)

    async def aclose(self) -> None:
        """End the logins under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._dropping, return_exceptions=True)

    def _landed(self, key: bytes, task: asyncio.Task[Caller]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # seen here, for everybody who waited may have gone

    async def _prove(self, key: bytes, octets: bytes, parsed: header.Basic | header.Bearer, peer: str) -> Caller:
        began = self._clock()
        claimed = parsed.login if isinstance(parsed, header.Basic) else header.claims(parsed.token).login or ""
        upstream = "none"
        try:
            self._attempts.take(claimed, peer)
            try:
                claim = await self._claim(parsed)
                upstream = claim.upstream or "none"
                proof = hashlib.blake2b(octets, key=self._proof_key, person=b"login", digest_size=32).digest()
                lasts_s = await self._shared_s(claim, proof)
                if lasts_s <= 0:
                    await self._ask(claim)
            except BaseException as error:
                if not isinstance(error, Unauthorized):
                    self._attempts.give_back(claimed, peer)
                raise
        except Unauthorized:
            self._told(upstream, "refused", claimed, peer)
            self._remember(self._refused, key, self._clock() + REFUSED_S)
            spent = self._clock() - began
            if self._refusal_step_s > 0:
                await asyncio.sleep(self._refusal_step_s - spent % self._refusal_step_s)
            raise Unauthorized("wrong login or password") from None
        except TooManyAttempts:
            self._told(upstream, "limited", claimed, peer)
            raise
        except UpstreamUnavailable as error:
            self._told(upstream, "unavailable", claimed, peer, detail=str(error))
            raise
        self._attempts.give_back(claimed, peer)
        if lasts_s > 0:
            return self._accept(key, claim, lasts_s)[0]
        self._told(upstream, "accepted", claim.login, peer)
        caller, lasts_s = self._accept(key, claim, self._cache_s)
        await self._share(caller, proof, lasts_s)
        return caller

    async def _claim(self, parsed: header.Basic | header.Bearer) -> _Claim:
        if isinstance(parsed, header.Basic):
            upstream = self._upstream_of(parsed.login)
            if upstream is None:
                return _Claim(parsed.login, None, None, None)
            proof: Credentials = PasswordCredentials(parsed.login, parsed.password)
            if upstream.mode == "oauth":  # clients that know only Basic send the token for a password
                expires = header.claims(parsed.password).expires_at_s
                proof = OAuthCredentials(parsed.login, parsed.password)
                return _Claim(parsed.login, upstream.name, proof, proof, expires)
            work = proof
            if upstream.mode == "master" and upstream.master_login and upstream.master_password:
                work = PasswordCredentials(upstream.master_login, upstream.master_password, authzid=parsed.login)
            return _Claim(parsed.login, upstream.name, proof, work)
        told = header.claims(parsed.token)
        login = told.login or await self._ask_login(parsed.token)
        upstream = self._upstream_of(login) if login else None
        if login is None or upstream is None or upstream.mode != "oauth":
            return _Claim(login or "", None, None, None)
        proof = OAuthCredentials(login, parsed.token)
        return _Claim(login, upstream.name, proof, proof, told.expires_at_s)

    def _upstream_of(self, login: str) -> UpstreamLogin | None:
        _local, at, domain = login.rpartition("@")
        name = self._by_domain.get(domain.lower().rstrip(".") if at else "*") or self._by_domain.get("*")
        return self._upstreams[name] if name is not None else None

    async def _ask_login(self, token: Secret) -> str | None:
        """Ask whose an opaque token is; only where one upstream can be meant, for a token is shown to nobody else."""
        telling = [upstream.name for upstream in self._upstreams.values() if upstream.tells_login]
        if self._login_of_token is None or len(telling) != 1:
            return None
        try:
            async with asyncio.timeout(VERIFY_TIMEOUT_S):
                return await self._login_of_token(telling[0], token)
        except OSError as error:  # TimeoutError is one
            raise UpstreamUnavailable("the identity provider cannot be asked now") from error

    async def _ask(self, claim: _Claim) -> None:
        if claim.upstream is None or claim.proof is None:
            raise Unauthorized("no upstream for this login")
        try:
            async with asyncio.timeout(VERIFY_TIMEOUT_S):
                await self._verify(claim.upstream, claim.proof)
        except AuthenticationFailed as error:
            if error.code in NOT_NOW:
                raise UpstreamUnavailable("the mail server takes no logins now") from error
            raise Unauthorized("refused by the mail server") from None
        except (ImapError, NoMechanism, OSError) as error:
            log.warning("login could not be checked", extra={"upstream": claim.upstream, "error": type(error).__name__})
            raise UpstreamUnavailable("the mail server cannot be reached now") from error

    def _accept(self, key: bytes, claim: _Claim, lasts_s: float) -> tuple[Caller, float]:
        """Believe a claim for so long, or as long as its token is good; return the caller, and for how long."""
        assert claim.upstream is not None
        assert claim.work is not None
        identity = account_id(self._account_key, claim.upstream, claim.login)
        caller = Caller(claim.login, claim.upstream, identity, claim.work, claim.expires_at_s)
        if claim.expires_at_s is not None:
            lasts_s = min(lasts_s, claim.expires_at_s - time.time())
        if lasts_s > 0:
            self._remember(self._known, key, _Known(caller, self._clock() + lasts_s))
        return caller, lasts_s

    # ------------------------------------------------------------ what other nodes have proven

    async def _shared_s(self, claim: _Claim, proof: bytes) -> float:
        """Return for how long another node's proof is to be believed; 0: there is none."""
        if self._proofs is None or claim.upstream is None:
            return 0.0
        try:
            lasts_s = await self._proofs.lasts_s(account_id(self._account_key, claim.upstream, claim.login), proof)
        except StoreError as error:
            log.info("what other nodes have proven is not known", extra={"reason": str(error)})
            return 0.0
        return min(lasts_s, self._cache_s)

    async def _share(self, caller: Caller, proof: bytes, lasts_s: float) -> None:
        if self._proofs is None or lasts_s <= 0:
            return
        try:
            await self._proofs.add(caller.account_id, proof, lasts_s)
        except StoreError as error:
            log.info("other nodes are not told of a login", extra={"reason": str(error)})

    async def _drop_proofs(self, proofs: Proofs, account: str) -> None:
        try:
            await proofs.drop(account)
        except StoreError as error:  # then other nodes believe it until it expires
            log.warning("other nodes are not told of a refusal", extra={"account": account, "reason": str(error)})

    def _remember(self, where: dict[bytes, V], key: bytes, value: V) -> None:
        where.pop(key, None)  # to the end: the oldest stand first
        where[key] = value
        if len(where) > MAX_KNOWN:
            with contextlib.suppress(StopIteration):
                del where[next(iter(where))]

    def _told(self, upstream: str, outcome: str, login: str, peer: str, **fields: str) -> None:
        self._on_login(upstream, outcome)
        level = logging.DEBUG if outcome == "accepted" else logging.INFO
        log.log(
            level, "login", extra={"upstream": upstream, "outcome": outcome, "login": login, "peer": peer, **fields}
        )
