"""Reports that arrive about what was sent: delivery status (RFC 3464) and disposition (RFC 8098) notifications.

RFC 8621 section 7: `deliveryStatus`, `dsnBlobIds`, `mdnBlobIds`.

Rule 1: a report is matched by its Original-Envelope-Id, which is ours and cannot be guessed; else by the Message-ID of
        what it returns. Anybody may claim anything: what matches no submission of this account changes nothing.
Rule 2: it costs little: only what is new, only while there are submissions of the last weeks, and of those messages
        only the ones whose structure has a report in it are read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.account.account import Account
from gateway.account.backend import WHOLE, SectionRequest
from gateway.account.ids import message_blob_id
from gateway.account.records import Applied, EmailRow
from gateway.account.submitting import SUBMISSIONS
from gateway.account.user_records import Record
from gateway.jmap.errors import MethodError
from gateway.jmap.types import date_to_seconds
from gateway.message import delivery_status, disposition
from gateway.message.delivery_status import DeliveryReport
from gateway.message.disposition import DispositionReport
from gateway.message.parse import parse_message
from gateway.message.report import typed_address

RECENT_S = 30 * 86_400  # mail systems give up after days; people read after weeks
SKEW_S = 3600  # between the clocks of the gateway and the mail server
PAUSE_S = 1.0  # mail arrives in bunches
MAX_NEW = 1000  # looked at in one go, the newest; a first index brings more
MAX_REPORT_OCTETS = 1 << 20  # a report that returns a large message whole has its statuses before it
MAX_REPORTS_KEPT = 100  # blob ids of one submission
POSITION = "receipts"  # the gateway's own record: how far the account's Emails have been looked at

_TYPES = delivery_status.TYPES | disposition.TYPES

log = logging.getLogger(__name__)

Report = DeliveryReport | DispositionReport


class Receipts:
    """Looks at what arrives in one account, while it is open."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._since = ""
        self._has_recent = False
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Go on where it was left."""
        with self._account.snapshot() as snapshot:
            self._since = snapshot.state("Email")
        records = self._account.user_records
        self._has_recent = bool(_recent(await records.look(SUBMISSIONS, None)))
        kept = (await records.look(POSITION, None)).by_id.get(POSITION)
        if self._has_recent and kept is not None:
            self._since = kept["state"]
            self._news.set()
        self._account.subscribe(self._applied)
        self._task = asyncio.create_task(self._run(), name=f"receipts {self._account.id}")

    async def aclose(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _applied(self, applied: Applied) -> None:
        if SUBMISSIONS in applied.states:
            self._has_recent = True
        if self._has_recent and "EmailDelivery" in applied.states:
            self._news.set()

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            await asyncio.sleep(PAUSE_S)
            self._news.clear()
            try:
                await self._look()
            except MethodError as error:  # the upstream is away: when more comes, or the account is opened, again
                log.info("reports could not be read", extra={"account": self._account.id, "reason": error.kind})
            except Exception:
                log.exception("reports could not be read", extra={"account": self._account.id})

    async def _look(self) -> None:
        """Look at what is new, and write down what it says."""
        recent = _recent(await self._account.user_records.look(SUBMISSIONS, None))
        self._has_recent = bool(recent)
        if not recent:
            return
        since_s = min(date_to_seconds(record["sendAt"]) for record in recent.values()) - SKEW_S
        state, ids = self._new_since(self._since)
        reports = await self._read(await self._with_reports(ids, since_s))
        await self._write(reports, state)
        self._since = state

    def _new_since(self, since: str) -> tuple[str, list[str]]:
        with self._account.snapshot() as snapshot:
            ids: list[str] = []
            try:
                while True:
                    found = snapshot.changes("Email", since)
                    ids += found.created
                    if not found.has_more:
                        break
                    since = found.new_state
            except MethodError:  # the index was built anew: what came before is not known to be new
                return snapshot.state("Email"), []
            return found.new_state, ids[-MAX_NEW:]

    async def _with_reports(self, ids: Sequence[str], since_s: float) -> list[str]:
        """Return those that came lately and have a report in them, oldest first."""
        with self._account.snapshot() as snapshot:
            rows = [row for row in snapshot.emails(ids).values() if row.received_at_s >= since_s]
        if not rows:
            return []
        await self._account.backend.load_details([row.id for row in rows if row.preview is None])
        with self._account.snapshot() as snapshot:
            loaded = snapshot.emails([row.id for row in rows], with_structure=True)
        return [row.id for row in sorted(loaded.values(), key=lambda row: row.received_at_s) if _has_report(row)]

    async def _read(self, ids: Sequence[str]) -> list[tuple[str, Report]]:
        """Return the reports by their blob ids, in order."""
        found: list[tuple[str, Report]] = []
        for id in ids:  # one after another: each may have a megabyte
            request = SectionRequest(id, WHOLE, MAX_REPORT_OCTETS)
            octets = (await self._account.backend.load_sections([request])).get((id, WHOLE))
            report = await asyncio.to_thread(_parse, octets) if octets is not None else None
            if report is not None:
                found.append((message_blob_id(id), report))
        return found

    async def _write(self, reports: Sequence[tuple[str, Report]], state: str) -> None:
        records = self._account.user_records
        async with records.lock:
            now = dict((await records.look(SUBMISSIONS, None)).by_id)
            changed: dict[str, Record | None] = {}
            for blob_id, report in reports:
                id = match(report, now)
                if id is not None and (record := with_report(now[id], blob_id, report)) != now[id]:
                    now[id] = changed[id] = record
            if changed:
                await records.write_all({SUBMISSIONS: changed, POSITION: {POSITION: {"state": state}}})


def match(report: Report, submissions: Mapping[str, Record]) -> str | None:
    """Return the id of the submission that a report is about; of several with one Message-ID the newest that fits."""
    envelope_id = report.envelope_id if isinstance(report, DeliveryReport) else None
    if envelope_id is not None:
        for id, record in submissions.items():
            if record.get("envid") == envelope_id:
                return id
    if report.message_id is None:
        return None
    fitting = [id for id, record in submissions.items() if record.get("messageId") == report.message_id]
    fitting.sort(key=lambda id: str(submissions[id]["sendAt"]))
    naming = [id for id in fitting if any(_recipient(submissions[id], one) for one in _addresses(report))]
    return next(reversed(naming or fitting), None)


def with_report(submission: Record, blob_id: str, report: Report) -> Record:
    """Return the submission with what a report says of it; the same when it was told before."""
    name = "dsnBlobIds" if isinstance(report, DeliveryReport) else "mdnBlobIds"
    if blob_id in submission[name]:
        return submission
    statuses: dict[str, Any] = dict(submission["deliveryStatus"] or {})
    for addresses, change in _changes(report):
        recipient = next((found for one in addresses if (found := _recipient(submission, one))), None)
        if recipient is None and len(statuses) == 1 and len(tuple(_changes(report))) == 1:
            recipient = next(iter(statuses))  # forwarded: the report names where it ended
        if recipient is not None:
            statuses[recipient] = {**statuses[recipient], **change}
    blob_ids = [*submission[name], blob_id][-MAX_REPORTS_KEPT:]
    return {**submission, "deliveryStatus": statuses or None, name: blob_ids}


def _changes(report: Report) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Yield what a report says of each recipient that it names: the addresses, and properties of a DeliveryStatus."""
    if isinstance(report, DispositionReport):
        if report.type == "displayed":
            yield _addresses(report), {"displayed": "yes"}
        return
    for one in report.recipients:
        change: dict[str, Any] = {"smtpReply": one.smtp_reply}
        if one.action in ("delivered", "failed"):  # section 7: no other action changes it
            change["delivered"] = one.delivered
        yield tuple(address for address in (one.original_recipient, one.final_recipient) if address), change


def _addresses(report: Report) -> tuple[str, ...]:
    if isinstance(report, DeliveryReport):
        return tuple(address for addresses, _change in _changes(report) for address in addresses)
    typed = [value for value in (report.original_recipient, report.final_recipient) if value]
    return tuple(typed_address(value)[1] for value in typed)


def _recipient(submission: Record, address: str) -> str | None:
    """Return the recipient of a submission that an address means."""
    statuses = submission["deliveryStatus"] or {}
    return next((one for one in statuses if one.casefold() == address.casefold()), None)


def _recent(view: Any) -> dict[str, Record]:
    since_s = time.time() - RECENT_S
    return {
        id: record
        for id, record in view.by_id.items()
        if record["undoStatus"] == "final" and date_to_seconds(record["sendAt"]) >= since_s
    }


def _has_report(row: EmailRow) -> bool:
    return row.structure is not None and any(part.type in _TYPES for part in row.structure.walk())


def _parse(octets: bytes) -> Report | None:
    message = parse_message(octets)
    return delivery_status.delivery_report_of(message) or disposition.disposition_report_of(message)
