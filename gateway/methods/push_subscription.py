"""PushSubscription/get and /set (RFC 8620 sections 7.2.1, 7.2.2): without an account, a state or an `ifInState`.

Rule 1: a login sees and changes its own only; `url` and `keys` never come back.
Rule 2: the records and what is done with them are `push.subscriptions`'; here is what they look like in JSON.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from gateway.jmap import types
from gateway.jmap.arguments import Argument, check_arguments
from gateway.jmap.declare import REQUIRED
from gateway.jmap.errors import MethodError, SetError
from gateway.jmap.method import Arguments, Context, Registry
from gateway.jmap.objects.push_subscription import PUSH_SUBSCRIPTION
from gateway.jmap.reference import resolve_id
from gateway.methods.outcomes import Attempts
from gateway.methods.standard import requested_ids, requested_properties

T = TypeVar("T")

PRIVATE = frozenset({"url", "keys"})
_PROPERTIES = PUSH_SUBSCRIPTION.properties
_is_creations = types.map_of(types.is_id, types.is_object)
_is_updates = types.map_of(types.is_id_or_reference, types.is_object)

GET: Mapping[str, Argument] = {
    "ids": Argument(types.nullable(types.is_ids_or_references)),
    "properties": Argument(types.nullable(types.is_strings)),
}
SET: Mapping[str, Argument] = {
    "create": Argument(types.nullable(_is_creations)),
    "update": Argument(types.nullable(_is_updates)),
    "destroy": Argument(types.nullable(types.is_ids_or_references)),
}


class Record(Protocol):
    """One push subscription, as far as its client may see it."""

    @property
    def id(self) -> str: ...
    @property
    def device_client_id(self) -> str: ...
    @property
    def code(self) -> str: ...
    @property
    def is_verified(self) -> bool: ...
    @property
    def expires_at_s(self) -> int: ...
    @property
    def types(self) -> tuple[str, ...] | None: ...


class Subscriptions(Protocol):
    """The push subscriptions of all logins. Each call may raise `SetError`."""

    async def of(self, owner: str) -> Sequence[Record]:
        """Return those of one login."""

    async def create(
        self,
        owner: str,
        *,
        device_client_id: str,
        url: str,
        keys: tuple[bytes, bytes] | None,
        expires_at_s: float | None,
        types: tuple[str, ...] | None,
    ) -> Record: ...

    async def update(self, owner: str, id: str, changes: Mapping[str, Any]) -> Record:
        """Change `verification_code`, `expires_at_s` or `types`, those that are given."""

    async def destroy(self, owner: str, id: str) -> None: ...


def register(registry: Registry, subscriptions: Subscriptions) -> None:
    """Register both methods over these subscriptions."""
    registry.add("PushSubscription/get", PUSH_SUBSCRIPTION.capability, partial(get, subscriptions))
    registry.add("PushSubscription/set", PUSH_SUBSCRIPTION.capability, partial(set_records, subscriptions))


async def get(subscriptions: Subscriptions, context: Context, arguments: Arguments) -> Arguments:
    """PushSubscription/get."""
    checked = check_arguments(arguments, GET)
    asked = checked["properties"]
    if asked is not None and PRIVATE.intersection(asked):
        raise MethodError("forbidden", "url and keys are private to the device")
    names = requested_properties(PUSH_SUBSCRIPTION, asked, context.using)
    ids = requested_ids(context, checked["ids"])
    records = {record.id: record for record in await subscriptions.of(context.owner)}
    wanted = list(records) if ids is None else [id for id in ids if id in records]
    return {
        "list": [{name: value for name, value in _shown(records[id]).items() if name in names} for id in wanted],
        "notFound": [] if ids is None else [id for id in ids if id not in records],
    }


async def set_records(subscriptions: Subscriptions, context: Context, arguments: Arguments) -> Arguments:
    """PushSubscription/set."""
    checked = check_arguments(arguments, SET)
    create, update = checked["create"] or {}, checked["update"] or {}
    destroy = list(dict.fromkeys(checked["destroy"] or ()))
    if len(create) + len(update) + len(destroy) > context.limits.max_objects_in_set:
        raise MethodError("requestTooLarge", f"more than {context.limits.max_objects_in_set} objects")
    failed: dict[str, dict[str, Any]] = {"notCreated": {}, "notUpdated": {}, "notDestroyed": {}}

    attempts = Attempts()

    async def tried(kind: str, key: str, work: Callable[[], Awaitable[T]]) -> list[T]:
        done = await attempts.one(work())
        if isinstance(done, SetError):
            failed[kind][key] = done.object()
            return []
        return [done]

    created: dict[str, Any] = {}
    for key, values in create.items():
        for record in await tried("notCreated", key, partial(_create, subscriptions, context, values)):
            context.created_ids[key] = record.id
            created[key] = _told(record, values)
    updated: dict[str, Any] = {}
    for key, values in update.items():
        id = resolve_id(context, key)
        for record in await tried("notUpdated", key, partial(_update, subscriptions, context, id, values)):
            updated[id] = _clamped(record, values)
    destroyed: list[str] = []
    for key in destroy:
        id = resolve_id(context, key)
        if await tried("notDestroyed", key, partial(subscriptions.destroy, context.owner, id)):
            destroyed.append(id)
    done = {"created": created, "updated": updated, "destroyed": destroyed, **failed}
    return {name: value or None for name, value in done.items()}


async def _create(subscriptions: Subscriptions, context: Context, values: Mapping[str, Any]) -> Record:
    _check(values)
    missing = [name for name, declared in _PROPERTIES.items() if declared.default is REQUIRED and name not in values]
    if missing:
        raise SetError("invalidProperties", f"{missing[0]} is required", properties=missing)
    if "id" in values or values.get("verificationCode") is not None:
        name = "id" if "id" in values else "verificationCode"
        raise SetError("invalidProperties", f"{name} is set by the server", properties=[name])
    asked_types = values.get("types")
    return await subscriptions.create(
        context.owner,
        device_client_id=values["deviceClientId"],
        url=values["url"],
        keys=_keys(values.get("keys")),
        expires_at_s=_seconds(values.get("expires")),
        types=None if asked_types is None else tuple(asked_types),
    )


async def _update(subscriptions: Subscriptions, context: Context, id: str, values: Mapping[str, Any]) -> Record:
    _check(values)
    changes: dict[str, Any] = {}
    records = {record.id: record for record in await subscriptions.of(context.owner)}
    if id not in records:
        raise SetError("notFound")
    shown = _shown(records[id])
    for name, value in values.items():
        if _PROPERTIES[name].is_immutable and (name in PRIVATE or value != shown[name]):
            raise SetError("invalidProperties", f"{name} cannot be changed", properties=[name])
    if "verificationCode" in values:
        changes["verification_code"] = values["verificationCode"]
    if "expires" in values:
        changes["expires_at_s"] = _seconds(values["expires"])
    if "types" in values:
        changes["types"] = None if values["types"] is None else tuple(values["types"])
    return await subscriptions.update(context.owner, id, changes)


def _check(values: Mapping[str, Any]) -> None:
    """Raise `SetError` for a property that is unknown or has the wrong type."""
    for name, value in values.items():
        if name not in _PROPERTIES:
            kind = "invalidPatch" if "/" in name else "invalidProperties"
            named = name.partition("/")[0] if "/" in name else name
            raise SetError(kind, f"PushSubscription has no property {named!r:.80}", properties=[named[:80]])
        fault = _PROPERTIES[name].check(value)
        if fault is not None:
            raise SetError("invalidProperties", f"{name} {fault}", properties=[name])


def _keys(value: Mapping[str, str] | None) -> tuple[bytes, bytes] | None:
    if value is None:
        return None
    try:
        return _octets(value["p256dh"]), _octets(value["auth"])
    except (Base64Error, ValueError):
        raise SetError("invalidProperties", "keys are not base64url", properties=["keys"]) from None


def _octets(text: str) -> bytes:
    """Read base64url, padded or not."""
    if not text.isascii() or "+" in text or "/" in text:
        raise ValueError("not base64url")
    return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


def _seconds(value: str | None) -> float | None:
    return None if value is None else types.date_to_seconds(value)


def _shown(record: Record) -> dict[str, Any]:
    return {
        "id": record.id,
        "deviceClientId": record.device_client_id,
        # Before the client has sent it, the code is what proves that the client got the push.
        "verificationCode": record.code if record.is_verified else None,
        "expires": _date(record.expires_at_s),
        "types": None if record.types is None else list(record.types),
    }


def _told(record: Record, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the client does not know of what it created: what the server set or changed, and defaults."""
    told: dict[str, Any] = {"id": record.id, **_clamped_expiry(record, values)}
    told |= {name: None for name in ("keys", "verificationCode", "types") if name not in values}
    return told


def _clamped(record: Record, values: Mapping[str, Any]) -> dict[str, Any] | None:
    return (_clamped_expiry(record, values) or None) if "expires" in values else None


def _clamped_expiry(record: Record, values: Mapping[str, Any]) -> dict[str, Any]:
    expires = _date(record.expires_at_s)
    return {} if values.get("expires") == expires else {"expires": expires}


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
