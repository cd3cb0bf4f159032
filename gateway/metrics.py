"""What the gateway counts, for Prometheus, in a registry of its own.

Rule 1: no label holds a login, an account, a mailbox or anything else that a client or a message chooses: label values
        are few and known.
Rule 2: what is counted per request costs a microsecond: children are looked up once and kept.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway import __version__

# Seconds. The list view's target is 2 ms, a first index takes seconds.
METHOD_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
COMMAND_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LAG_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300)
MAX_VERBS = 100  # IMAP has some 40 commands


class Metrics:
    """All counters of one gateway."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._requests = Counter(
            "jmap_gateway_http_requests", "HTTP requests answered", ["endpoint", "status"], registry=registry
        )
        self._request_seconds = Histogram(
            "jmap_gateway_http_request_seconds",
            "Time to answer an HTTP request",
            ["endpoint"],
            buckets=METHOD_BUCKETS,
            registry=registry,
        )
        self.requests_under_way = Gauge(
            "jmap_gateway_http_requests_under_way", "HTTP requests being answered", registry=registry
        )
        self._method_seconds = Histogram(
            "jmap_gateway_method_seconds",
            "Time of a method call",
            ["method"],
            buckets=METHOD_BUCKETS,
            registry=registry,
        )
        self._methods = Counter(
            "jmap_gateway_method_calls", "Method calls by outcome", ["method", "outcome"], registry=registry
        )
        self._logins = Counter(
            "jmap_gateway_logins",
            "Logins that were not answered from memory",
            ["upstream", "outcome"],
            registry=registry,
        )
        self._pushes = Counter(
            "jmap_gateway_push_messages", "Messages to push services by answer", ["answer"], registry=registry
        )
        self._submissions = Counter(
            "jmap_gateway_submission_attempts", "Attempts to send a message by outcome", ["outcome"], registry=registry
        )
        self._imap_seconds = Histogram(
            "jmap_gateway_imap_command_seconds",
            "Time of an IMAP command",
            ["upstream", "verb"],
            buckets=COMMAND_BUCKETS,
            registry=registry,
        )
        self._imap_commands = Counter(
            "jmap_gateway_imap_commands", "IMAP commands by result", ["upstream", "verb", "ok"], registry=registry
        )
        self._imap_octets = Counter(
            "jmap_gateway_imap_octets", "Octets of IMAP commands", ["upstream", "direction"], registry=registry
        )
        self._imap_connections = Gauge(
            "jmap_gateway_imap_connections", "IMAP connections that are open", ["upstream"], registry=registry
        )
        self._imap_closed = Counter(
            "jmap_gateway_imap_connections_closed", "IMAP connections ended", ["upstream", "reason"], registry=registry
        )
        self._quirks = Counter(
            "jmap_gateway_imap_quirks", "Oddities of upstreams that were met", ["upstream", "quirk"], registry=registry
        )
        self.sync_lag = Histogram(
            "jmap_gateway_sync_lag_seconds",
            "Age of what was known when a request was answered",
            buckets=LAG_BUCKETS,
            registry=registry,
        )
        self.sync_sweeps = Counter("jmap_gateway_sync_sweeps", "Resyncs by outcome", ["outcome"], registry=registry)
        self.audit_findings = Counter(
            "jmap_gateway_audit_findings", "Differences found by an audit of a mailbox", registry=registry
        )
        self.accounts_moved = Counter(
            "jmap_gateway_accounts_moved",
            "Accounts given to another node so that each has its share",
            registry=registry,
        )
        self.leases_lost = Counter(
            "jmap_gateway_leases_lost", "Accounts closed because another node may own them", registry=registry
        )
        self._forwards = Counter(
            "jmap_gateway_forwards", "Requests passed on to the account's owner", ["outcome"], registry=registry
        )
        self._forward_seconds = Histogram(
            "jmap_gateway_forward_seconds",
            "Time until the owner of the account began to answer",
            buckets=METHOD_BUCKETS,
            registry=registry,
        )
        Gauge("jmap_gateway_info", "The version", ["version"], registry=registry).labels(__version__).set(1)
        self._children: dict[tuple[str, ...], tuple[Histogram, Counter]] = {}

    def request_done(self, endpoint: str, status: int, seconds: float) -> None:
        """Count an HTTP request. `endpoint` is the name of a module of `web`."""
        key = ("http", endpoint, str(status))
        children = self._children.get(key)
        if children is None:
            children = (self._request_seconds.labels(endpoint), self._requests.labels(endpoint, str(status)))
            self._children[key] = children
        children[0].observe(seconds)
        children[1].inc()

    def forward_done(self, outcome: str, seconds: float) -> None:
        """Count a request that was passed on: answered | moved | unreachable | lost."""
        self._forwards.labels(outcome).inc()
        if outcome == "answered":
            self._forward_seconds.observe(seconds)

    def method_done(self, method: str, seconds: float, outcome: str) -> None:
        """Count a method call: the dispatcher's `on_call`, which tells the names of registered methods only."""
        key = ("method", method, outcome)
        children = self._children.get(key)
        if children is None:
            children = (self._method_seconds.labels(method), self._methods.labels(method, outcome))
            self._children[key] = children
        children[0].observe(seconds)
        children[1].inc()

    def login_done(self, upstream: str, outcome: str) -> None:
        """Count a login: the authenticator's `on_login`."""
        self._logins.labels(upstream, outcome).inc()

    def push_done(self, answer: str) -> None:
        """Count a push message by what its service answered: the courier's `on_push`."""
        self._pushes.labels(answer).inc()

    def submission_done(self, outcome: str) -> None:
        """Count an attempt to send: the outbox's `on_attempt`."""
        self._submissions.labels(outcome).inc()

    def gauge(self, name: str, help_text: str, read: Callable[[], float]) -> None:
        """Show a number that is read when the metrics are: accounts open, octets or rows of the indexes."""
        Gauge(f"jmap_gateway_{name}", help_text, registry=self.registry).set_function(read)

    def imap_observer(self, upstream: str) -> ImapObserver:
        """Return what counts the connections of one upstream."""
        return ImapObserver(self, upstream)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self.registry)


class ImapObserver:
    """Counts what IMAP connections to one upstream do; an `upstream.imap` Observer by its shape."""

    def __init__(self, metrics: Metrics, upstream: str) -> None:
        self._metrics, self._upstream = metrics, upstream
        self._open = metrics._imap_connections.labels(upstream)
        self._octets_in = metrics._imap_octets.labels(upstream, "in")
        self._octets_out = metrics._imap_octets.labels(upstream, "out")
        self._verbs: dict[tuple[str, bool], tuple[Histogram, Counter]] = {}

    def connection_opened(self) -> None:
        self._open.inc()

    def connection_closed(self, reason: str) -> None:
        self._open.dec()
        self._metrics._imap_closed.labels(self._upstream, reason).inc()

    def command_done(self, verb: str, *, seconds: float, octets_in: int, octets_out: int, ok: bool) -> None:
        children = self._verbs.get((verb, ok))
        if children is None:
            name = verb if len(self._verbs) < MAX_VERBS else "other"
            children = self._verbs[verb, ok] = (
                self._metrics._imap_seconds.labels(self._upstream, name),
                self._metrics._imap_commands.labels(self._upstream, name, "true" if ok else "false"),
            )
        children[0].observe(seconds)
        children[1].inc()
        self._octets_in.inc(octets_in)
        self._octets_out.inc(octets_out)

    def quirk_seen(self, name: str) -> None:
        self._metrics._quirks.labels(self._upstream, name).inc()
