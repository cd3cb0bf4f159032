"""A sink of one's own: it needs no mail server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.upstreams import sink as sink_server
from tests.upstreams.place import Place
from tests.upstreams.sink import SmtpSink


@pytest.fixture(scope="package")
def sink() -> Iterator[SmtpSink]:
    place = Place("smtp-sink")
    try:
        yield sink_server.start(place)
    finally:
        place.close()
