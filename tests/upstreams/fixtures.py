"""The pytest fixtures over the servers: `dovecot`, `dovecot_uidplus`, `dovecot_bare`, and `upstream` for each in turn.

Each server starts once per test run, when first asked for. UPSTREAMS=require turns a server that cannot be started
into a failure (continuous integration sets it); UPSTREAMS=none skips them all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from tests.upstreams import courier as courier_server
from tests.upstreams import cyrus as cyrus_server
from tests.upstreams import debian
from tests.upstreams import dovecot as dovecot_server
from tests.upstreams import sink as sink_server
from tests.upstreams.place import Place
from tests.upstreams.redis import Cluster, RedisServer, Watched
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import Upstream

KEPT_LOGS = Path(__file__).resolve().parents[2] / ".cache" / "logs"
Server = TypeVar("Server")
KEPT = pytest.StashKey[list[Path]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say where the servers' logs of a failed run are."""
    for path in config.stash.get(KEPT, []):
        terminalreporter.line(f"server log kept: {path}")


@contextmanager
def running(
    request: pytest.FixtureRequest, name: str, needs: str, start: Callable[[Place], Server]
) -> Iterator[Server]:
    """Run one server; keep its logs if anything failed meanwhile."""
    wanted = os.environ.get("UPSTREAMS", "")
    reason = "UPSTREAMS=none" if wanted == "none" else debian.missing(needs)
    if reason is not None:
        if wanted == "require":
            pytest.fail(f"{name}: {reason}")
        pytest.skip(f"{name}: {reason}")
    place = Place(name)
    failed_before = request.session.testsfailed
    try:
        yield start(place)
    finally:
        if request.session.testsfailed > failed_before:
            place.keep_logs(KEPT_LOGS / name)
            request.config.stash.setdefault(KEPT, []).append(KEPT_LOGS / name)
        place.close()


@pytest.fixture(scope="session")
def dovecot(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """Dovecot as Debian ships it."""
    with running(request, "dovecot", "dovecot", lambda place: dovecot_server.start(place)) as server:
        yield server


@pytest.fixture(scope="session")
def dovecot_uidplus(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """Dovecot that advertises IMAP4rev1 and UIDPLUS only."""
    with running(request, "dovecot-uidplus", "dovecot", lambda place: dovecot_server.start(place, "uidplus")) as server:
        yield server


@pytest.fixture(scope="session")
def dovecot_bare(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """Dovecot that advertises IMAP4rev1 and nothing else."""
    with running(request, "dovecot-bare", "dovecot", lambda place: dovecot_server.start(place, "bare")) as server:
        yield server


@pytest.fixture(scope="session")
def dovecot_shared(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """Dovecot with ACLs, other users' mailboxes and public ones."""
    with running(
        request, "dovecot-shared", "dovecot", lambda place: dovecot_server.start(place, shares=True)
    ) as server:
        yield server


@pytest.fixture(scope="session")
def cyrus(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """Cyrus as Debian ships it."""
    with running(request, "cyrus", "cyrus", cyrus_server.start) as server:
        yield server


@pytest.fixture(scope="session")
def courier(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """Courier's imapd."""
    with running(request, "courier", "courier", lambda place: courier_server.start(place)) as server:
        yield server


@pytest.fixture(scope="session")
def courier_shared(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    """Courier's imapd with the mailboxes of other users."""
    with running(
        request, "courier-shared", "courier", lambda place: courier_server.start(place, shares=True)
    ) as server:
        yield server


@pytest.fixture(scope="session")
def smtp_sink(dovecot: Upstream) -> SmtpSink:
    """An SMTP server that keeps what it gets; mail for DOMAIN goes on to `dovecot`, whose submission relay it is."""
    return sink_server.start(dovecot.place, lmtp_port=dovecot.ports["lmtp"])


@pytest.fixture(scope="session")
def shared_redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A Redis for tests that leave it running; each takes accounts of its own, or empties it first."""
    with running(request, "redis", "redis", RedisServer) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A Redis Cluster of three masters."""
    with running(request, "redis-cluster", "redis", Cluster) as cluster:
        yield cluster


@pytest.fixture
def watched_redis(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """A Redis with a replica and a Sentinel, for one test."""
    with running(request, "redis-watched", "redis", Watched) as watched:
        yield watched


@pytest.fixture
def own_redis(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A Redis for one test, which writes down what it is told (appendonly)."""
    with running(request, "redis-own", "redis", lambda place: RedisServer(place, "redis", *DURABLE)) as server:
        yield server


DURABLE = ("--appendonly", "yes", "--appendfsync", "everysec")
UPSTREAMS = ("dovecot", "dovecot_uidplus", "dovecot_bare", "cyrus", "courier")


@pytest.fixture(params=UPSTREAMS)
def upstream(request: pytest.FixtureRequest) -> Upstream:
    """Each server in turn: a test that uses this runs once for every one of them."""
    server = request.getfixturevalue(request.param)
    assert isinstance(server, Upstream)
    return server
