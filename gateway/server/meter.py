"""Counts what sync does."""

from __future__ import annotations

from gateway.metrics import Metrics


class SyncMeter:
    """A `sync.link.Meter` that feeds the metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def swept(self, seconds: float, changed_mailboxes: int) -> None:
        self._metrics.sync_sweeps.labels("changed" if changed_mailboxes else "same").inc()

    def failed(self) -> None:
        self._metrics.sync_sweeps.labels("failed").inc()

    def answered(self, age_s: float) -> None:
        self._metrics.sync_lag.observe(age_s)

    def indexed(self, mailbox: str, done: int, total: int) -> None:
        """Progress is shown by `jmap-gateway sync`; here it is not counted."""

    def audited(self, found: int) -> None:
        self._metrics.audit_findings.inc(found)
