"""Who sent this request."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections import Counter

import orjson
import pytest

from gateway.auth import Authenticator, TooManyAttempts, Unauthorized, UpstreamLogin, UpstreamUnavailable, account_id
from gateway.secret import Secret
from gateway.store.api import StoreUnavailable
from gateway.upstream.imap.errors import AuthenticationFailed, ConnectError, Timeout
from gateway.upstream.sasl import Credentials, OAuthCredentials, PasswordCredentials

KEY = b"k" * 32
PROOF_KEY = b"p" * 32


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Upstream:
    """Knows one password; counts how often it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Credentials]] = []
        self.error: BaseException | None = None
        self.delay_s = 0.0

    async def __call__(self, upstream: str, credentials: Credentials) -> None:
        self.asked.append((upstream, credentials))
        await asyncio.sleep(self.delay_s)
        if self.error is not None:
            raise self.error
        good = credentials.password if isinstance(credentials, PasswordCredentials) else credentials.token
        if good.reveal() != "right" and not good.reveal().startswith("e30."):
            raise AuthenticationFailed("no", "AUTHENTICATIONFAILED")


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def make(
    upstream: Upstream, clock: Clock, *logins: UpstreamLogin, step_s: float = 0.0, **options: object
) -> Authenticator:
    return Authenticator(
        logins or (UpstreamLogin("main"),),
        upstream,
        account_key=KEY,
        clock=clock,
        refusal_step_s=step_s,
        **options,  # type: ignore[arg-type]  # each test gives what it means
    )


def basic(login: str, password: str = "right") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()}


def bearer(**claims: object) -> dict[str, str]:
    middle = base64.urlsafe_b64encode(orjson.dumps(claims)).decode().rstrip("=")
    return {"Authorization": f"Bearer e30.{middle}.s"}


async def test_accepted_and_remembered(upstream: Upstream, clock: Clock) -> None:
    """The upstream is asked once, then again after the cache has run out."""
    auth = make(upstream, clock, cache_s=300)
    caller = await auth.authenticate(basic("ann@x"), "1.2.3.4")
    assert (caller.login, caller.upstream) == ("ann@x", "main")
    assert caller.account_id == account_id(KEY, "main", "ann@x")
    assert await auth.authenticate(basic("ann@x"), "1.2.3.4") == caller
    assert len(upstream.asked) == 1
    clock.now += 301
    await auth.authenticate(basic("ann@x"), "1.2.3.4")
    assert len(upstream.asked) == 2


async def test_forget(upstream: Upstream, clock: Clock) -> None:
    auth = make(upstream, clock)
    caller = await auth.authenticate(basic("ann"), "p")
    auth.forget(caller.account_id)
    await auth.authenticate(basic("ann"), "p")
    assert len(upstream.asked) == 2


async def test_nothing_prints_a_secret(upstream: Upstream, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the caller nor the log shows what was sent."""
    caplog.set_level(logging.DEBUG)
    auth = make(upstream, clock, UpstreamLogin("main", master_password=Secret("right")))
    caller = await auth.authenticate(basic("ann"), "p")
    with pytest.raises(Unauthorized):
        await auth.authenticate(basic("ann", "wrong-pw"), "p")
    shown = repr(caller) + "".join(str(vars(record)) for record in caplog.records) + repr(auth._upstreams)
    assert "right" not in shown
    assert "wrong-pw" not in shown


async def test_no_header(upstream: Upstream, clock: Clock) -> None:
    with pytest.raises(Unauthorized):
        await make(upstream, clock).authenticate({}, "p")


async def test_wrong_is_remembered_briefly(upstream: Upstream, clock: Clock) -> None:
    """A client that retries a wrong password in a loop does not reach the upstream each time."""
    auth = make(upstream, clock)
    for _ in range(5):
        with pytest.raises(Unauthorized):
            await auth.authenticate(basic("ann", "wrong"), "p")
    assert len(upstream.asked) == 1
    clock.now += 11
    with pytest.raises(Unauthorized):
        await auth.authenticate(basic("ann", "wrong"), "p")
    assert len(upstream.asked) == 2


async def test_unknown_and_wrong_look_alike(upstream: Upstream) -> None:
    """Wrong password, quick or slow, and a domain that nobody serves: one text, one time."""
    auth = Authenticator([UpstreamLogin("main", domains=["x"])], upstream, account_key=KEY, refusal_step_s=0.2)
    seen = []
    for login, delay_s in [("ann@x", 0.0), ("ann@x", 0.05), ("nobody@x", 0.1), ("ann@unserved", 0.0), ("bare", 0.0)]:
        upstream.delay_s = delay_s
        began = time.monotonic()
        with pytest.raises(Unauthorized) as caught:
            await auth.authenticate(basic(login, f"wrong{delay_s}"), "p")
        seen.append((time.monotonic() - began, str(caught.value)))
    assert {text for _, text in seen} == {"wrong login or password"}
    assert max(s for s, _ in seen) - min(s for s, _ in seen) < 0.05


async def test_many_at_once_are_one_login(upstream: Upstream, clock: Clock) -> None:
    upstream.delay_s = 0.02
    auth = make(upstream, clock)
    callers = await asyncio.gather(*(auth.authenticate(basic("ann"), "p") for _ in range(50)))
    assert len(set(callers)) == 1
    assert len(upstream.asked) == 1


async def test_one_giving_up_stops_no_other(upstream: Upstream, clock: Clock) -> None:
    upstream.delay_s = 0.02
    auth = make(upstream, clock)
    first = asyncio.create_task(auth.authenticate(basic("ann"), "p"))
    second = asyncio.create_task(auth.authenticate(basic("ann"), "p"))
    await asyncio.sleep(0.005)
    first.cancel()
    assert (await second).login == "ann"
    assert len(upstream.asked) == 1


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("refused"),
        Timeout("silence"),
        ConnectionResetError(),
        TimeoutError(),
        AuthenticationFailed("later", "UNAVAILABLE"),
        AuthenticationFailed("many", "LIMIT"),
    ],
)
async def test_an_unreachable_upstream_is_no_refusal(upstream: Upstream, clock: Clock, error: BaseException) -> None:
    """503 and not 401, and the next request may succeed at once."""
    auth = make(upstream, clock)
    upstream.error = error
    for _ in range(20):  # and it costs no attempts
        with pytest.raises(UpstreamUnavailable):
            await auth.authenticate(basic("ann"), "p")
    upstream.error = None
    assert (await auth.authenticate(basic("ann"), "p")).login == "ann"


async def test_guessing_is_slowed_down(upstream: Upstream, clock: Clock) -> None:
    """After ten wrong ones from here this login waits; another login and another network do not."""
    auth = make(upstream, clock)
    for number in range(10):
        with pytest.raises(Unauthorized):
            await auth.authenticate(basic("ann", f"guess{number}"), "1.1.1.1")
    with pytest.raises(TooManyAttempts) as caught:
        await auth.authenticate(basic("ann"), "1.1.1.1")
    assert 0 < caught.value.retry_after_s <= 10
    assert await auth.authenticate(basic("bob"), "1.1.1.1")
    assert await auth.authenticate(basic("ann"), "2.2.2.2")
    clock.now += 11
    assert await auth.authenticate(basic("ann", "right"), "1.1.1.1")


async def test_parallel_guesses_are_bounded(upstream: Upstream, clock: Clock) -> None:
    upstream.delay_s = 0.01
    auth = make(upstream, clock)
    results = await asyncio.gather(
        *(auth.authenticate(basic("ann", f"guess{n}"), "p") for n in range(100)), return_exceptions=True
    )
    assert Counter(type(result) for result in results) == {Unauthorized: 10, TooManyAttempts: 90}


async def test_the_domain_decides(upstream: Upstream, clock: Clock) -> None:
    auth = make(upstream, clock, UpstreamLogin("a", domains=["a.example"]), UpstreamLogin("rest", domains=["*"]))
    found = [(await auth.authenticate(basic(login), "p")).upstream for login in ("x@A.example", "x@b.example", "bare")]
    assert found == ["a", "rest", "rest"]


async def test_master_proves_with_the_own_password(upstream: Upstream, clock: Clock) -> None:
    """The caller's password is checked; the work is done by the master login for it."""
    auth = make(
        upstream, clock, UpstreamLogin("m", mode="master", master_login="boss", master_password=Secret("right"))
    )
    caller = await auth.authenticate(basic("ann"), "p")
    assert upstream.asked == [("m", PasswordCredentials("ann", Secret("right")))]
    assert caller.credentials == PasswordCredentials("boss", Secret("right"), authzid="ann")
    with pytest.raises(Unauthorized):
        await auth.authenticate(basic("ann", "wrong"), "p")


async def test_bearer(upstream: Upstream, clock: Clock) -> None:
    """A token is passed on with the login that it claims; the mail server judges both."""
    auth = make(upstream, clock, UpstreamLogin("o", mode="oauth"))
    headers = bearer(email="ann@x", exp=time.time() + 3600)
    caller = await auth.authenticate(headers, "p")
    assert caller.login == "ann@x"
    assert isinstance(caller.credentials, OAuthCredentials)


async def test_bearer_is_not_believed_past_its_expiry(upstream: Upstream, clock: Clock) -> None:
    auth = make(upstream, clock, UpstreamLogin("o", mode="oauth"))
    headers = bearer(email="ann@x", exp=time.time() + 30)
    await auth.authenticate(headers, "p")
    clock.now += 31
    await auth.authenticate(headers, "p")
    assert len(upstream.asked) == 2


async def test_bearer_where_passwords_are_wanted(upstream: Upstream, clock: Clock) -> None:
    auth = make(upstream, clock)
    with pytest.raises(Unauthorized):
        await auth.authenticate(bearer(email="ann@x"), "p")
    assert upstream.asked == []


async def test_token_as_password(upstream: Upstream, clock: Clock) -> None:
    """Clients that know only Basic send the token for a password."""
    auth = make(upstream, clock, UpstreamLogin("o", mode="oauth"))
    caller = await auth.authenticate(basic("ann@x"), "p")
    assert caller.credentials == OAuthCredentials("ann@x", Secret("right"))


async def test_opaque_token(upstream: Upstream, clock: Clock) -> None:
    """The provider is asked whose it is; one that it does not know is refused."""

    async def login_of_token(name: str, token: Secret) -> str | None:
        assert name == "o"
        return "ann@x" if token.reveal() == "right" else None

    auth = make(upstream, clock, UpstreamLogin("o", mode="oauth", tells_login=True), login_of_token=login_of_token)
    assert (await auth.authenticate({"Authorization": "Bearer right"}, "p")).login == "ann@x"
    with pytest.raises(Unauthorized):
        await auth.authenticate({"Authorization": "Bearer other"}, "p")


def test_account_ids() -> None:
    """Keyed, without case in the domain only, and valid Ids."""
    one = account_id(KEY, "main", "ann@Example.com")
    assert one == account_id(KEY, "main", "ann@example.COM")
    assert (
        len({one, account_id(b"l" * 32, "main", "ann@example.com"), account_id(KEY, "other", "ann@example.com")}) == 3
    )
    assert account_id(KEY, "main", "Ann@example.com") != one
    assert account_id(KEY, "main", "ann") != account_id(KEY, "main", "ANN")
    assert one.isalnum()
    assert len(one) <= 255


# ---------------------------------------------------------------- what other nodes have proven


class Kept:
    """What nodes share, on a test's clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.by_account: dict[str, dict[bytes, float]] = {}
        self.is_away = False

    def _look(self) -> None:
        if self.is_away:
            raise StoreUnavailable("away")

    async def lasts_s(self, account_id: str, proof: bytes) -> float:
        self._look()
        return max(0.0, self.by_account.get(account_id, {}).get(proof, 0.0) - self._clock())

    async def add(self, account_id: str, proof: bytes, lasts_s: float) -> None:
        self._look()
        self.by_account.setdefault(account_id, {})[proof] = self._clock() + lasts_s

    async def drop(self, account_id: str) -> None:
        self._look()
        self.by_account.pop(account_id, None)


@pytest.fixture
def kept(clock: Clock) -> Kept:
    return Kept(clock)


@pytest.fixture
def nodes(upstream: Upstream, clock: Clock, kept: Kept) -> list[Authenticator]:
    return [make(upstream, clock, proofs=kept, proof_key=PROOF_KEY) for _ in range(2)]


async def test_the_upstream_is_asked_once_by_all(nodes: list[Authenticator], upstream: Upstream) -> None:
    callers = [await node.authenticate(basic("bob"), "10.0.0.1") for node in nodes]
    assert len(upstream.asked) == 1
    assert callers[0] == callers[1]


async def test_nobody_is_believed_for_longer(nodes: list[Authenticator], upstream: Upstream, clock: Clock) -> None:
    """A node that hears of a proof late believes it for what is left of its time."""
    await nodes[0].authenticate(basic("bob"), "10.0.0.1")
    clock.now += 299
    await nodes[1].authenticate(basic("bob"), "10.0.0.1")
    assert len(upstream.asked) == 1
    clock.now += 2
    await nodes[1].authenticate(basic("bob"), "10.0.0.1")
    assert len(upstream.asked) == 2


async def test_a_token_is_not_shared_past_its_expiry(upstream: Upstream, clock: Clock, kept: Kept) -> None:
    node = make(upstream, clock, UpstreamLogin("main", mode="oauth"), proofs=kept, proof_key=PROOF_KEY)
    caller = await node.authenticate(bearer(email="ann@x", exp=time.time() + 40), "p")
    (until,) = kept.by_account[caller.account_id].values()
    assert 38 < until - clock.now <= 40


async def test_what_was_refused_is_nowhere(nodes: list[Authenticator], upstream: Upstream, kept: Kept) -> None:
    """A wrong password is not among the proofs; a right one does not make it good at any node."""
    await nodes[0].authenticate(basic("bob"), "10.0.0.1")
    before = {account_id: dict(proofs) for account_id, proofs in kept.by_account.items()}
    for node in nodes:
        with pytest.raises(Unauthorized):
            await node.authenticate(basic("bob", "wrong"), "10.0.0.1")
    assert kept.by_account == before
    assert len(upstream.asked) == 3


async def test_a_proof_does_not_help_to_guess(nodes: list[Authenticator], clock: Clock) -> None:
    """Whoever has guessed too often is not told by another node's proof which guess was right."""
    await nodes[0].authenticate(basic("bob"), "10.0.0.1")
    guesses = (nodes[1].authenticate(basic("bob", f"wrong{n}"), "10.0.0.2") for n in range(200))
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert {type(result) for result in results} == {Unauthorized, TooManyAttempts}
    with pytest.raises(TooManyAttempts):
        await nodes[1].authenticate(basic("bob"), "10.0.0.2")


async def test_a_refusal_later_ends_it(nodes: list[Authenticator], upstream: Upstream, kept: Kept) -> None:
    """No other node takes the login over as proven."""
    caller = await nodes[0].authenticate(basic("bob"), "10.0.0.1")
    nodes[0].refused(caller.account_id)
    await asyncio.sleep(0.01)
    assert kept.by_account == {}
    await nodes[1].authenticate(basic("bob"), "10.0.0.1")
    assert len(upstream.asked) == 2


async def test_closing_an_account_leaves_its_proofs(nodes: list[Authenticator], upstream: Upstream) -> None:
    """As it is handed over: its next owner need not ask."""
    caller = await nodes[0].authenticate(basic("bob"), "10.0.0.1")
    nodes[0].forget(caller.account_id)
    await nodes[1].authenticate(basic("bob"), "10.0.0.1")
    assert len(upstream.asked) == 1


async def test_without_the_store_the_upstream_is_asked(
    nodes: list[Authenticator],
    upstream: Upstream,
    kept: Kept,
) -> None:
    kept.is_away = True
    for node in nodes:
        await node.authenticate(basic("bob"), "10.0.0.1")
    assert len(upstream.asked) == 2
    nodes[0].refused("x")
    await nodes[0].aclose()  # what could not be told ends it no other way


async def test_what_is_shared_tells_no_password(upstream: Upstream, clock: Clock, kept: Kept) -> None:
    """It is a hash under a key: with another key it is another, and is believed by nobody."""
    await make(upstream, clock, proofs=kept, proof_key=PROOF_KEY).authenticate(basic("bob"), "10.0.0.1")
    ((proof, _),) = next(iter(kept.by_account.values())).items()
    assert len(proof) == 32
    assert b"right" not in proof
    await make(upstream, clock, proofs=kept, proof_key=b"o" * 32).authenticate(basic("bob"), "10.0.0.1")
    assert len(upstream.asked) == 2
