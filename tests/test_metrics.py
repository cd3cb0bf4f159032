"""What is counted."""

from __future__ import annotations

from gateway.metrics import MAX_VERBS, Metrics
from gateway.upstream.imap.timeouts import Observer


def test_imap_commands() -> None:
    """Commands, octets and connections are told by upstream."""
    metrics = Metrics()
    observer: Observer = metrics.imap_observer("main")
    observer.connection_opened()
    observer.connection_opened()
    observer.connection_closed("Disconnected")
    observer.command_done("FETCH", seconds=0.2, octets_in=1000, octets_out=20, ok=True)
    observer.command_done("FETCH", seconds=0.2, octets_in=5, octets_out=20, ok=False)
    observer.quirk_seen("no-uidnext")
    text = metrics.text().decode()
    for expected in (
        'jmap_gateway_imap_connections{upstream="main"} 1.0',
        'jmap_gateway_imap_connections_closed_total{reason="Disconnected",upstream="main"} 1.0',
        'jmap_gateway_imap_commands_total{ok="true",upstream="main",verb="FETCH"} 1.0',
        'jmap_gateway_imap_octets_total{direction="in",upstream="main"} 1005.0',
        'jmap_gateway_imap_octets_total{direction="out",upstream="main"} 40.0',
        'jmap_gateway_imap_quirks_total{quirk="no-uidnext",upstream="main"} 1.0',
    ):
        assert expected in text


def test_verbs_are_bounded() -> None:
    metrics = Metrics()
    observer = metrics.imap_observer("main")
    for number in range(MAX_VERBS + 50):
        observer.command_done(f"X{number}", seconds=0, octets_in=0, octets_out=0, ok=True)
    assert f'verb="X{MAX_VERBS + 10}"' not in metrics.text().decode()


def test_gauges_are_read_when_shown() -> None:
    metrics = Metrics()
    rows = [1, 2]
    metrics.gauge("index_rows", "Rows of all indexes", lambda: len(rows))
    rows.append(3)
    assert "jmap_gateway_index_rows 3.0" in metrics.text().decode()


def test_two_do_not_share() -> None:
    """Each has a registry of its own: tests and several gateways in one process do not collide."""
    one, other = Metrics(), Metrics()
    one.method_done("Email/get", 0.001, "ok")
    assert 'method="Email/get"' not in other.text().decode()


def test_the_version_is_shown() -> None:
    from gateway import __version__

    assert f'jmap_gateway_info{{version="{__version__}"}} 1.0' in Metrics().text().decode()
