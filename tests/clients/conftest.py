"""One gateway over https for all tests of clients, in front of Dovecot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients.gateway import Client, Gateway, serving
from tests.upstreams.upstream import Upstream


@pytest.fixture(scope="session")
def gateway(dovecot: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with serving(dovecot, tmp_path_factory.mktemp("clients")) as running:
        yield running


@pytest.fixture
def client(gateway: Gateway) -> Client:
    """Somebody whose account holds no mail."""
    return gateway.client()
