"""PushSubscription/get and /set, over the real subscriptions and store; no message leaves."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.jmap.errors import MethodError
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context, Registry
from gateway.methods import push_subscription
from gateway.push.guard import Guard
from gateway.push.subscriptions import MAX_LIFETIME_S, Subscriptions
from gateway.store import PushRecord, SqliteStore
from tests.push.service import Device

URL = "https://push.example.com/device?x=y"
NOW_S = 1_800_000_000


def utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Logins:
    """What is called with the first subscription of a login, and after its last."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    async def made(self, owner: str) -> None:
        self.calls.append(f"made {owner}")

    async def gone(self, owner: str) -> None:
        self.calls.append(f"gone {owner}")


class Client:
    """One login's method calls."""

    def __init__(self, registry: Registry, owner: str) -> None:
        self._registry, self.owner = registry, owner
        self.context = Context(login="ann", accounts={}, using=frozenset(), limits=Limits(), owner=owner)

    async def call(self, name: str, **arguments: Any) -> dict[str, Any]:
        registered = self._registry.get(f"PushSubscription/{name}")
        assert registered is not None
        answer = await registered.method(self.context, arguments)
        assert isinstance(answer, dict)
        return answer

    async def create(self, **properties: Any) -> dict[str, Any]:
        """Create one and return what the server told of it."""
        answer = await self.call("set", create={"k": {"deviceClientId": "d", "url": URL, **properties}})
        assert answer["notCreated"] is None, answer
        told: dict[str, Any] = answer["created"]["k"]
        return told

    async def refused(self, **properties: Any) -> dict[str, Any]:
        """Try to create one and return the SetError."""
        answer = await self.call("set", create={"k": {"deviceClientId": "d", "url": URL, **properties}})
        assert answer["created"] is None, answer
        error: dict[str, Any] = answer["notCreated"]["k"]
        return error

    async def code(self, subscriptions: Subscriptions, id: str) -> str:
        """What the device would learn from the push."""
        return next(record.code for record in await subscriptions.of(self.owner) if record.id == id)


class Place:
    def __init__(self, store: SqliteStore) -> None:
        self.store, self.logins, self.now_s = store, Logins(), float(NOW_S)
        self.subscriptions = Subscriptions(
            store,
            Guard(),
            first_made=self.logins.made,
            last_gone=self.logins.gone,
            max_of_a_login=3,
            clock=lambda: self.now_s,
        )
        self.registry = Registry()
        push_subscription.register(self.registry, self.subscriptions)

    def client(self, owner: str = "a1") -> Client:
        return Client(self.registry, owner)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    store = await SqliteStore.open(tmp_path)
    yield Place(store)
    await store.close()


async def test_a_subscription_is_made(place: Place) -> None:
    """The answer tells what the client does not know: the id, the expiry that was set, and the defaults."""
    told = await place.client().create()
    id = told.pop("id")
    assert told == {"expires": utc(NOW_S + MAX_LIFETIME_S), "keys": None, "verificationCode": None, "types": None}
    answer = await place.client().call("get", ids=None)
    assert answer == {
        "list": [
            {
                "id": id,
                "deviceClientId": "d",
                "verificationCode": None,
                "expires": utc(NOW_S + MAX_LIFETIME_S),
                "types": None,
            }
        ],
        "notFound": [],
    }


async def test_the_second_subscription_works_too(place: Place) -> None:
    """And the ids of both are found, in the order asked for."""
    first = await place.client().create(deviceClientId="one")
    second = await place.client().create(deviceClientId="two")
    ids = [second["id"], "nothing", first["id"]]
    answer = await place.client().call("get", ids=ids, properties=["deviceClientId"])
    assert answer["list"] == [
        {"id": second["id"], "deviceClientId": "two"},
        {"id": first["id"], "deviceClientId": "one"},
    ]
    assert answer["notFound"] == ["nothing"]


async def test_empty_results_are_null(place: Place) -> None:
    """Clients take `{}` for failure; there is no state, and no account."""
    assert await place.client().call("set") == dict.fromkeys(
        ("created", "updated", "destroyed", "notCreated", "notUpdated", "notDestroyed")
    )


@pytest.mark.parametrize("name", ["url", "keys"])
async def test_private_properties_are_never_returned(place: Place, name: str) -> None:
    """Asking for them is `forbidden` (RFC 8620 section 7.2.1)."""
    await place.client().create(keys=Device().keys)
    with pytest.raises(MethodError) as error:
        await place.client().call("get", ids=None, properties=["id", name])
    assert error.value.kind == "forbidden"


@pytest.mark.parametrize(
    "arguments", [{"accountId": "a"}, {"ifInState": "s"}, {"ids": 3}, {"create": []}, {"destroy": "x"}]
)
async def test_arguments_that_are_not_its_own_are_refused(place: Place, arguments: dict[str, Any]) -> None:
    """It takes no accountId and no ifInState."""
    with pytest.raises(MethodError) as error:
        await place.client().call("set", **arguments)
    assert error.value.kind == "invalidArguments"


async def test_a_login_sees_its_own_only(place: Place) -> None:
    """Another one neither reads, changes nor destroys it."""
    id = (await place.client("a1").create())["id"]
    other = place.client("a2")
    assert (await other.call("get", ids=None))["list"] == []
    assert (await other.call("get", ids=[id]))["notFound"] == [id]
    answer = await other.call("set", update={id: {"types": None}}, destroy=[id])
    assert answer["notUpdated"][id]["type"] == answer["notDestroyed"][id]["type"] == "notFound"
    assert len((await place.client("a1").call("get", ids=None))["list"]) == 1


@pytest.mark.parametrize(
    ("properties", "named"),
    [
        ({"url": "http://push.example.com/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": 3}, "url"),
        ({"deviceClientId": ""}, "deviceClientId"),
        ({"deviceClientId": "x" * 513}, "deviceClientId"),
        ({"keys": {"p256dh": "AAAA", "auth": "AAAA"}}, "keys"),
        ({"keys": {"p256dh": "!", "auth": "AAAA"}}, "keys"),
        ({"keys": {"auth": "AAAA"}}, "keys"),
        ({"keys": "x"}, "keys"),
        ({"verificationCode": "x"}, "verificationCode"),
        ({"id": "x"}, "id"),
        ({"expires": "soon"}, "expires"),
        ({"expires": utc(NOW_S - 1)}, "expires"),
        ({"types": "Email"}, "types"),
        ({"types": [""]}, "types"),
        ({"types": ["x"] * 101}, "types"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_what_is_wrong_is_named(place: Place, properties: dict[str, Any], named: str) -> None:
    """invalidProperties with the property; nothing is kept."""
    error = await place.client().refused(**properties)
    assert (error["type"], error["properties"]) == ("invalidProperties", [named])
    assert await place.subscriptions.of("a1") == []
    assert place.logins.calls == []


@pytest.mark.parametrize("missing", ["url", "deviceClientId"])
async def test_what_is_missing_is_named(place: Place, missing: str) -> None:
    properties = {"deviceClientId": "d", "url": URL}
    del properties[missing]
    answer = await place.client().call("set", create={"k": properties})
    assert answer["notCreated"]["k"]["properties"] == [missing]


async def test_keys_may_be_padded_or_not(place: Place) -> None:
    """Base64url as RFC 4648 writes it, and as browsers do."""
    device = Device()
    padded = {
        "p256dh": urlsafe_b64encode(device.p256dh).decode(),
        "auth": urlsafe_b64encode(device.auth).decode(),
    }
    for keys in (padded, device.keys):
        await place.client().create(keys=keys)
    for record in await place.subscriptions.of("a1"):
        assert (record.p256dh, record.auth) == (device.p256dh, device.auth)


async def test_the_expiry_is_clamped_and_told(place: Place) -> None:
    """A week at most; one that is nearer stays and is not repeated."""
    assert (await place.client().create(expires=utc(NOW_S + 10**8)))["expires"] == utc(NOW_S + MAX_LIFETIME_S)
    told = await place.client().create(expires=utc(NOW_S + 3600))
    assert "expires" not in told
    place.now_s += 1800
    answer = await place.client().call("set", update={told["id"]: {"expires": utc(NOW_S + 10**8)}})
    assert answer["updated"] == {told["id"]: {"expires": utc(NOW_S + 1800 + MAX_LIFETIME_S)}}
    answer = await place.client().call("set", update={told["id"]: {"expires": utc(NOW_S + 7200)}})
    assert answer["updated"] == {told["id"]: None}
    answer = await place.client().call("set", update={told["id"]: {"expires": None}})
    assert answer["updated"] == {told["id"]: {"expires": utc(NOW_S + 1800 + MAX_LIFETIME_S)}}


async def test_one_that_has_expired_is_not_there(place: Place) -> None:
    """Whether it has been swept away yet or not."""
    id = (await place.client().create(expires=utc(NOW_S + 60)))["id"]
    place.now_s += 60
    assert (await place.client().call("get", ids=None))["list"] == []
    assert (await place.client().call("set", destroy=[id]))["notDestroyed"][id]["type"] == "notFound"


async def test_only_the_code_that_was_pushed_verifies(place: Place) -> None:
    """Another one is invalidProperties; the code is not to be had from /get before."""
    client = place.client()
    id = (await client.create())["id"]
    for wrong in ("", "x", None, "\u00e9"):
        answer = await client.call("set", update={id: {"verificationCode": wrong}})
        assert answer["notUpdated"][id]["type"] == "invalidProperties"
    assert (await client.call("get", ids=[id]))["list"][0]["verificationCode"] is None
    code = await client.code(place.subscriptions, id)
    assert (await client.call("set", update={id: {"verificationCode": code}}))["updated"] == {id: None}
    assert (await client.call("get", ids=[id]))["list"][0]["verificationCode"] == code
    assert len(code) >= 22  # 128 bits


@pytest.mark.parametrize(
    ("patch", "kind"),
    [
        ({"url": URL}, "invalidProperties"),
        ({"keys": None}, "invalidProperties"),
        ({"deviceClientId": "other"}, "invalidProperties"),
        ({"id": "other"}, "invalidProperties"),
        ({"keys/auth": "x"}, "invalidPatch"),
        ({"colour": "red"}, "invalidProperties"),
    ],
)
async def test_what_is_immutable_stays(place: Place, patch: dict[str, Any], kind: str) -> None:
    """url and keys even with the value that they have: it would tell."""
    client = place.client()
    id = (await client.create())["id"]
    answer = await client.call("set", update={id: patch})
    assert answer["notUpdated"][id]["type"] == kind


async def test_an_immutable_property_may_be_repeated(place: Place) -> None:
    """As in any /set (RFC 8620 section 5.3)."""
    client = place.client()
    id = (await client.create())["id"]
    answer = await client.call("set", update={id: {"id": id, "deviceClientId": "d", "types": ["Email"]}})
    assert answer["updated"] == {id: None}
    assert (await client.call("get", ids=[id], properties=["types"]))["list"] == [{"id": id, "types": ["Email"]}]


async def test_destroyed_is_gone(place: Place) -> None:
    """From the store too; twice in one call is once."""
    client = place.client()
    id = (await client.create())["id"]
    answer = await client.call("set", destroy=[id, id, "nothing"])
    assert answer["destroyed"] == [id]
    assert answer["notDestroyed"] == {"nothing": {"type": "notFound"}}
    assert await place.store.subscriptions() == []


async def test_a_creation_id_may_be_used_in_the_same_request(place: Place) -> None:
    """In update and destroy of a later call."""
    client = place.client()
    id = (await client.create())["id"]
    assert client.context.created_ids == {"k": id}
    assert (await client.call("set", update={"#k": {"types": []}}))["updated"] == {id: None}
    assert (await client.call("set", destroy=["#k"]))["destroyed"] == [id]


async def test_a_login_has_so_many(place: Place) -> None:
    """The next one is overQuota until one has gone."""
    client = place.client()
    ids = [(await client.create())["id"] for _ in range(3)]
    assert (await client.refused())["type"] == "overQuota"
    await place.client("a2").create()
    await client.call("set", destroy=ids[:1])
    await client.create()


async def test_making_them_is_slowed_down(place: Place) -> None:
    """Each sends a message to a stranger: a login that makes and destroys them in a loop has to wait."""
    client = place.client()
    for _ in range(30):
        await client.call("set", destroy=[(await client.create())["id"]])
    assert (await client.refused())["type"] == "rateLimit"
    await place.client("a2").create()
    place.now_s += 60
    await client.create()


async def test_what_a_login_needs_is_kept_from_the_first_to_the_last(place: Place) -> None:
    """Before the first is acknowledged, after the last has gone."""
    client = place.client()
    first, second = (await client.create())["id"], (await client.create())["id"]
    assert set(place.logins.calls) == {"made a1"}
    await client.call("set", destroy=[first])
    assert "gone a1" not in place.logins.calls
    await client.call("set", destroy=[second])
    assert place.logins.calls[-1] == "gone a1"


async def test_revoked_credentials_end_all_of_a_login(place: Place) -> None:
    """And nobody else's (RFC 8620 section 7.2)."""
    await place.client("a1").create()
    await place.client("a1").create()
    await place.client("a2").create()
    await place.subscriptions.end_all("a1")
    left: list[PushRecord] = list(await place.store.subscriptions())
    assert [record.owner for record in left] == ["a2"]
    assert place.logins.calls[-1] == "gone a1"


async def test_too_many_at_once_are_refused(place: Place) -> None:
    """maxObjectsInSet."""
    client = place.client()
    client.context.limits = Limits(max_objects_in_set=2)
    with pytest.raises(MethodError) as error:
        await client.call("set", destroy=["x", "y", "z"])
    assert error.value.kind == "requestTooLarge"
