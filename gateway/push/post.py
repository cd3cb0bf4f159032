"""One push message to one push service (RFC 8030 section 5), and what its answer means.

Rule 1: the answer's body is not read, its redirects are not followed.
Rule 2: a message is encrypted whenever the subscription has keys (RFC 8620 section 7.2).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from time import time
from typing import Literal

import aiohttp

from gateway.push.encryption import encrypt
from gateway.push.guard import Guard, Refused
from gateway.push.vapid import Vapid

TIMEOUT_S = 30.0
TTL_S = 3 * 86_400  # how long the service keeps it for a device that is off: longer, and the client asks anyway
MAX_RETRY_AFTER_S = 6 * 3600.0

Urgency = Literal["low", "normal", "high"]


class Answer(enum.Enum):
    DELIVERED = "delivered"
    GONE = "gone"  # the subscription is no more
    LATER = "later"  # the service or the way to it has trouble
    SLOWER = "slower"  # too many
    REFUSED = "refused"  # this message will never be taken


@dataclass(frozen=True, slots=True)
class Target:
    """Where a subscription's messages go. Nothing of it prints: who knows it can write to the device."""

    url: str = field(repr=False)
    p256dh: bytes = field(default=b"", repr=False)  # empty: not encrypted
    auth: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    answer: Answer
    retry_after_s: float | None = None  # as the service says
    detail: str = ""  # a status or the type of an error, for the log


class Poster:
    """Posts messages. `aclose()` at the end."""

    def __init__(self, guard: Guard, vapid: Vapid, ca_file: str | None = None) -> None:
        self.guard, self._vapid = guard, vapid
        self._http = aiohttp.ClientSession(
            connector=guard.connector(ca_file),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
        )

    async def aclose(self) -> None:
        await self._http.close()

    async def post(
        self, target: Target, plain: bytes, *, urgency: Urgency = "normal", topic: str | None = None
    ) -> Outcome:
        """Send a message; a later one of the same topic takes its place at the service while it waits there."""
        headers = {
            "Content-Type": "application/json",
            "TTL": str(TTL_S),
            "Urgency": urgency,
            "Authorization": self._vapid.authorization(target.url),
        }
        if topic is not None:
            headers["Topic"] = topic
        body = plain
        if target.p256dh:
            headers["Content-Encoding"] = "aes128gcm"
            body = encrypt(plain, target.p256dh, target.auth)
        try:
            self.guard.check_url(target.url)
            async with self._http.post(target.url, data=body, headers=headers, allow_redirects=False) as response:
                response.close()
                return judge(response.status, response.headers.get("Retry-After"))
        except Refused:
            return Outcome(Answer.REFUSED, detail="address")
        except (aiohttp.ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            if _is_refused(error):
                return Outcome(Answer.REFUSED, detail="address")
            return Outcome(Answer.LATER, detail=type(error).__name__)


def _is_refused(error: BaseException) -> bool:
    """Tell whether the guard let no connection be made; where it refused some addresses of several, another failed."""
    return isinstance(getattr(error, "os_error", None), Refused)


def judge(status: int, retry_after: str | None = None) -> Outcome:
    """Return what a status means (RFC 8030 sections 5 and 7.3, RFC 9110 section 15)."""
    detail = str(status)
    if 200 <= status < 300:
        return Outcome(Answer.DELIVERED, detail=detail)
    if status in (404, 410):
        return Outcome(Answer.GONE, detail=detail)
    wait_s = _seconds(retry_after)
    if status == 429:
        return Outcome(Answer.SLOWER, wait_s, detail)
    if status >= 500 or status == 408:
        return Outcome(Answer.LATER, wait_s, detail)
    return Outcome(Answer.REFUSED, detail=detail)


def _seconds(retry_after: str | None) -> float | None:
    """Read Retry-After: seconds or a date (RFC 9110 section 10.2.3)."""
    if not retry_after:
        return None
    if retry_after.strip().isdigit():
        return min(float(retry_after[:12]), MAX_RETRY_AFTER_S)
    try:
        seconds = parsedate_to_datetime(retry_after).timestamp() - time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
