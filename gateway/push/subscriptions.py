"""Push subscriptions as their clients make and change them (RFC 8620 section 7.2).

Rule 1: a subscription belongs to the login that made it; nobody else learns that it exists.
Rule 2: it is durable before it is acknowledged, and erased as soon as it ends.
Rule 3: the verification code is known to whoever got the push, and to nobody else.
Rule 4: how many a login has, and how fast it makes them, is bounded: each causes a request to a stranger.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.jmap.errors import SetError
from gateway.push.courier import Courier
from gateway.push.encryption import check_keys
from gateway.push.guard import Guard, Refused
from gateway.store import PushRecord
from gateway.store.api import PushStore

ID_OCTETS = 12
CODE_OCTETS = 18  # 144 bits: nobody guesses it
MAX_LIFETIME_S = 7 * 86_400  # section 7.2: at least 48 hours, better 7 days, for a login that does not expire itself
MAX_OF_A_LOGIN = 20  # devices of one person
CREATIONS = 30  # of one login in a row, each a message to a URL that nobody has verified …
CREATIONS_PER_S = 1 / 60  # … and then so many
MAX_BUCKETS = 10_000

OwnerChanged = Callable[[str], Awaitable[None]]


async def _nobody(_owner: str) -> None:
    return None


class Subscriptions:
    """What the methods ask of push subscriptions (`methods.push_subscription.Subscriptions`).

    `first_made` is called with an owner before its subscription is kept, `last_gone` after its last one has ended: what
    the gateway needs to work for it without its client is kept in between.
    """

    def __init__(
        self,
        store: PushStore,
        guard: Guard,
        *,
        first_made: OwnerChanged = _nobody,
        last_gone: OwnerChanged = _nobody,
        max_lifetime_s: int = MAX_LIFETIME_S,
        max_of_a_login: int = MAX_OF_A_LOGIN,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._guard, self._clock = store, guard, clock
        self._first_made, self._last_gone = first_made, last_gone
        self._max_lifetime_s, self._max_of_a_login = max_lifetime_s, max_of_a_login
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # owner -> (tokens, at)
        self.courier: Courier | None = None  # set before the first call

    async def of(self, owner: str) -> Sequence[PushRecord]:
        """Return those of one login that have not expired."""
        now = self._clock()
        return [record for record in await self._store.subscriptions(owner) if record.expires_at_s > now]

    async def create(
        self,
        owner: str,
        *,
        device_client_id: str,
        url: str,
        keys: tuple[bytes, bytes] | None,
        expires_at_s: float | None,
        types: tuple[str, ...] | None,
    ) -> PushRecord:
        """Make a subscription and send its verification code. Raise `SetError`."""
        try:
            self._guard.check_url(url)
        except Refused as refusal:
            raise SetError("invalidProperties", str(refusal), properties=["url"]) from None
        p256dh, auth = keys or (b"", b"")
        if keys is not None:
            try:
                check_keys(p256dh, auth)
            except ValueError:
                detail = "keys are not an uncompressed point of P-256 and 16 octets (RFC 8291 section 3.1)"
                raise SetError("invalidProperties", detail, properties=["keys"]) from None
        expires = self._expiry(expires_at_s)
        if len(await self.of(owner)) >= self._max_of_a_login:
            detail = f"A login may have at most {self._max_of_a_login} push subscriptions."
            raise SetError("overQuota", detail)
        self._take_token(owner)
        record = PushRecord(
            id=f"p{secrets.token_hex(ID_OCTETS)}",
            owner=owner,
            device_client_id=device_client_id,
            url=url,
            p256dh=p256dh,
            auth=auth,
            code=secrets.token_urlsafe(CODE_OCTETS),
            expires_at_s=expires,
            types=types,
        )
        await self._first_made(owner)
        await self._store.put_subscription(record)
        if self.courier is not None:
            self.courier.verify(record)
        return record

    async def update(self, owner: str, id: str, changes: Mapping[str, Any]) -> PushRecord:
        """Change `verification_code`, `expires_at_s` or `types`. Raise `SetError`."""
        record = await self._one(owner, id)
        changed = record
        if "verification_code" in changes:
            code = changes["verification_code"]
            if code is None or not hmac.compare_digest(code.encode(), record.code.encode()):
                raise SetError("invalidProperties", "This is not the code.", properties=["verificationCode"])
            changed = replace(changed, is_verified=True)
        if "expires_at_s" in changes:
            changed = replace(changed, expires_at_s=self._expiry(changes["expires_at_s"]))
        if "types" in changes:
            changed = replace(changed, types=changes["types"])
        if changed != record:
            await self._store.put_subscription(changed)
            if self.courier is not None and (changed.is_verified or changed.expires_at_s != record.expires_at_s):
                self.courier.serve(changed)
        return changed

    async def destroy(self, owner: str, id: str) -> None:
        """End and erase a subscription. Raise `SetError`."""
        await self.end(await self._one(owner, id))

    async def end(self, record: PushRecord) -> None:
        """Erase a subscription: its client, its push service or its expiry has ended it."""
        await self._drop(record.owner, [record.id])

    async def end_all(self, owner: str) -> None:
        """Erase the subscriptions of a login whose credentials were revoked (section 7.2)."""
        await self._drop(owner, [record.id for record in await self._store.subscriptions(owner)])

    async def _drop(self, owner: str, ids: Sequence[str]) -> None:
        for id in ids:
            if self.courier is not None:
                self.courier.stop(id)
        await self._store.drop_subscriptions(owner, ids)
        if not await self._store.subscriptions(owner):
            await self._last_gone(owner)

    async def _one(self, owner: str, id: str) -> PushRecord:
        for record in await self.of(owner):
            if record.id == id:
                return record
        raise SetError("notFound")

    def _expiry(self, asked_s: float | None) -> int:
        """Return when a subscription ends that asks to end then."""
        now = self._clock()
        latest = int(now + self._max_lifetime_s)
        if asked_s is None:
            return latest
        if asked_s <= now:
            raise SetError("invalidProperties", "expires is in the past", properties=["expires"])
        return min(int(asked_s), latest)

    def _take_token(self, owner: str) -> None:
        now = self._clock()
        tokens, at = self._buckets.get(owner, (float(CREATIONS), now))
        tokens = min(CREATIONS, tokens + max(now - at, 0) * CREATIONS_PER_S)
        if tokens < 1:
            raise SetError("rateLimit", "Too many push subscriptions were made; try again in a minute.")
        self._buckets[owner] = (tokens - 1, now)
        self._buckets.move_to_end(owner)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
