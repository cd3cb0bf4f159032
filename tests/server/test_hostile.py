"""What a hostile client sends to every method of a whole gateway (RFC 8620 sections 3.6 and 5, and each type's own).

Whatever it is, the answer is a response of that method or one of the errors that the RFCs define for it: never a fault
of ours (`serverFail`), never a problem of the whole request; and a call that is refused has changed nothing.

`SOAK=1` makes it longer; SEED picks other calls.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest

from gateway.jmap.method import Registry
from gateway.methods import register
from tests.server.conftest import JmapClient, MakeGateway
from tests.server.hostile import Known, Twister, good_calls, words_of
from tests.server.sending import by_sink
from tests.server.test_shares import WRITE, Sharing
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import Upstream

SOAK = os.environ.get("SOAK") == "1"
ROUNDS = int(os.environ.get("ROUNDS", "400" if SOAK else "4"))  # of one call to each method
SEED = int(os.environ.get("SEED", "8620"))
pytestmark = [pytest.mark.upstream, pytest.mark.timeout(7200 if SOAK else 300)]

LETTER = (
    b"From: Ann <ann@example.org>\r\nTo: %b\r\nSubject: n%d\r\nMessage-ID: <%d@x>\r\n"
    b"Disposition-Notification-To: a@b.example\r\nX-A: b\r\n\r\nhello\r\n"
)
SCRIPT = 'require ["fileinto"];\r\nkeep;\r\n'

# RFC 8620 section 3.6.1.
PROBLEMS = {f"urn:ietf:params:jmap:error:{kind}" for kind in ("notJSON", "notRequest", "limit", "unknownCapability")}
# RFC 8620 sections 3.6.2, 3.7, 5.1 to 5.6 and 6.3.
EVERY = {
    *("invalidArguments", "invalidResultReference"),
    *("accountNotFound", "accountReadOnly", "accountNotSupportedByMethod"),
}
OWN = {
    "get": {"requestTooLarge"},
    "changes": {"cannotCalculateChanges"},
    "set": {"requestTooLarge", "stateMismatch"},
    "query": {"unsupportedFilter", "unsupportedSort", "anchorNotFound"},
    "queryChanges": {"cannotCalculateChanges", "tooManyChanges", "unsupportedFilter", "unsupportedSort"},
    "copy": {"requestTooLarge", "stateMismatch", "fromAccountNotFound", "fromAccountNotSupportedByMethod"},
    "import": {"requestTooLarge", "stateMismatch"},
    "parse": {"requestTooLarge"},
    "lookup": {"requestTooLarge", "unknownDataType"},
    "upload": {"requestTooLarge"},
    "send": {"requestTooLarge"},
}
SNIPPETS = {"unsupportedFilter", "requestTooLarge"}  # RFC 8621 section 5.1
SET_ERRORS = {  # RFC 8620 section 5.3
    *("forbidden", "overQuota", "tooLarge", "rateLimit", "notFound", "invalidPatch", "willDestroy"),
    *("invalidProperties", "singleton"),
    *("alreadyExists",),  # section 5.4
}
OWN_SET_ERRORS = {
    "Mailbox": {"mailboxHasChild", "mailboxHasEmail"},  # RFC 8621 section 2.5
    "Email": {"blobNotFound", "tooManyKeywords", "tooManyMailboxes", "invalidEmail"},  # sections 4.6 and 4.8
    "Identity": {"forbiddenFrom"},  # section 6.3
    "EmailSubmission": {  # section 7.5
        *(
            "invalidEmail",
            "tooManyRecipients",
            "noRecipients",
            "invalidRecipients",
            "forbiddenMailFrom",
            "forbiddenFrom",
        ),
        *("forbiddenToSend", "cannotUnsend"),
    },
    "MDN": {"mdnAlreadySent", "noRecipients"},  # RFC 9007 section 2.1
    "SieveScript": {"invalidSieve", "sieveIsActive", "blobNotFound"},  # RFC 9661 section 2.2
    "Blob": {"blobNotFound"},  # RFC 9404 section 4.1
}


class Attacker:
    """A client whose calls are good until they are twisted."""

    def __init__(self, client: JmapClient, sharing: Sharing) -> None:
        self.client, self.sharing = client, sharing
        self.known = Known(client.account_id, "")
        self._serial = itertools.count(1)

    async def look(self) -> None:
        """See what there is, and see to it that there is something."""
        client, known = self.client, self.known
        address = f"{client.login}@mail.test"
        letters = [LETTER % (address.encode(), n, n) for n in itertools.islice(self._serial, 3)]
        self.sharing.server.append(client.login, *letters)
        _status, session = await client.session()
        client.using = list(session["capabilities"])
        known.account, known.address = client.account_id, address
        known.other = next(id for id in session["accounts"] if id != client.account_id)
        boxes = (await client.call("Mailbox/get", ids=None))["list"]
        boxes.sort(key=lambda box: box["role"] != "inbox")
        known.mailboxes = [box["id"] for box in boxes]
        query = await client.call("Email/query", filter=None, limit=50)
        emails = await client.call("Email/get", ids=query["ids"], properties=["blobId", "threadId"])
        known.emails = query["ids"]
        known.threads = [email["threadId"] for email in emails["list"]]
        known.theirs = (await client.call("Email/query", accountId=known.other, limit=5))["ids"]
        made = await client.call(
            "Blob/upload",
            create={"s": {"data": [{"data:asText": SCRIPT}]}, "m": {"data": [{"data:asText": letters[0].decode()}]}},
        )
        script, message = made["created"]["s"]["id"], made["created"]["m"]["id"]
        known.blobs = [message, *(email["blobId"] for email in emails["list"])]
        known.records = {"script": [script], "spare": known.mailboxes[6:]}
        known.states = {"Email": emails["state"], "Email/query": query["queryState"]}
        for name in ("Mailbox", "Thread"):
            known.states |= {name: (await client.call(f"{name}/get", ids=[]))["state"]}
        for name in ("Identity", "EmailSubmission", "Principal", "ShareNotification", "Quota", "SieveScript"):
            got = await client.call(f"{name}/get", ids=None, properties=["id"])
            known.records |= {name: [record["id"] for record in got["list"]]}
            known.states |= {name: got["state"]}
        _status, answer = await self.post([["PushSubscription/get", {"ids": None}, "0"]])
        known.records |= {"PushSubscription": [one["id"] for one in answer["methodResponses"][0][1]["list"]]}

    async def post(self, calls: Any) -> tuple[int, Any]:
        return await self.send(json.dumps({"using": self.client.using, "methodCalls": calls}).encode())

    async def send(self, octets: bytes) -> tuple[int, Any]:
        url = f"{self.client.url}/jmap/api"
        headers = {**self.client.headers, "Content-Type": "application/json"}
        async with self.client.http.post(url, data=octets, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def attack(self, method: str, arguments: dict[str, Any], *, looked: Sequence[str] = ()) -> None:
        """Make one call, and see that it is answered as it may be; `looked`: types whose state is looked at as well."""
        states = [[f"{name}/get", {"accountId": self.known.account, "ids": []}] for name in looked]
        before, after = ([[*call, when] for call in states] for when in ("before", "after"))
        status, answer = await self.post([*before, [method, arguments, "it"], *after])
        if status == 400:  # what is no I-JSON is no matter of a method
            assert answer["type"] in PROBLEMS, answer
            return
        assert status == 200, answer
        (name, response), *implied = [(name, got) for name, got, id in answer["methodResponses"] if id == "it"]
        check_answer(method, arguments, name, response)
        for name, response in implied:
            check_answer("Email/set", {}, name, response)
        if name == "error":
            was, became = (
                [got["state"] for _, got, id in answer["methodResponses"] if id == when] for when in ("before", "after")
            )
            assert was == became, "refused, and done"


def check_answer(method: str, arguments: dict[str, Any], name: str, answer: dict[str, Any]) -> None:
    """The response is one that the RFCs allow."""
    record, _, verb = method.partition("/")
    if name == "error":
        allowed = EVERY | (SNIPPETS if record == "SearchSnippet" else OWN.get(verb, set()))
        assert answer["type"] in allowed, answer
        return
    assert name == method, answer
    errors = [
        error
        for failed in ("notCreated", "notUpdated", "notDestroyed", "notCopied", "notSent")
        for error in (answer.get(failed) or {}).values()
    ]
    for error in errors:
        assert error["type"] in SET_ERRORS | OWN_SET_ERRORS.get(record, set()), error
        named = error.get("properties", [])
        assert all(type(one) is str for one in named), error
    for asked, made, failed in (
        ("create", "created", "notCreated"),
        ("update", "updated", "notUpdated"),
        ("destroy", "destroyed", "notDestroyed"),
        ("emails", "created", "notCreated"),
        ("send", "sent", "notSent"),
        ("blobIds", "copied", "notCopied"),
    ):
        if asked in arguments and failed in answer:
            done, not_done = set(answer[made] or ()), set(answer[failed] or ())
            assert not done & not_done, answer
            assert None not in (answer[made] or {"": 1}, answer[failed] or {"": 1})
            if asked in ("create", "emails", "send"):
                assert done | not_done == set(arguments[asked] or ()), answer


OUTDATED = ("anchorNotFound", "cannotCalculateChanges", "stateMismatch")  # by the calls before
STATES = ("Mailbox", "Email", "Identity", "EmailSubmission")


def round_of(calls: Mapping[str, Sequence[dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Return each call once, or three times: in what writes there is more that can be wrong."""
    once = ("/get", "/changes", "/query", "/queryChanges", "/echo")
    return [(name, one) for name, each in calls.items() for one in [*each] * (1 if name.endswith(once) else 3)]


@pytest.fixture
async def attacker(dovecot_shared: Upstream, smtp_sink: SmtpSink, gateway: MakeGateway) -> Attacker:
    dovecot_shared.place.wait_for_ports("sieve")
    sharing = Sharing(dovecot_shared)
    sharing.create("Team", WRITE, messages=2)
    sieve = f'sieve = "sieve://{dovecot_shared.host}:{dovecot_shared.ports["sieve"]}"'
    start = await gateway(dovecot_shared, more=by_sink(smtp_sink, sieve), staleness_s=5)
    attacker = Attacker(start(sharing.guest), sharing)
    await attacker.look()
    return attacker


def test_every_method_is_called() -> None:
    """A new method has a place in the calls."""
    registry = Registry()
    register(registry)
    names = {*registry.names(), "PushSubscription/get", "PushSubscription/set"}
    assert set(good_calls(Known("A", "B"), Random(1))) == names


async def test_good_calls_succeed(attacker: Attacker) -> None:
    """Before they are twisted they are what their methods take."""
    draw = Random(SEED)
    failed = {}
    for name, choices in good_calls(attacker.known, draw).items():
        for arguments in choices:
            _status, answer = await attacker.post([[name, arguments, "0"]])
            answered, response, _ = answer["methodResponses"][0]
            if answered == "error" and response["type"] not in OUTDATED:
                failed[name] = response
            check_answer(name, arguments, answered, response)
    assert not failed


async def test_twisted_calls(attacker: Attacker, caplog: pytest.LogCaptureFixture) -> None:
    """Each gets an error that the RFCs define, or succeeds; refused, it has changed no state."""
    caplog.set_level(logging.ERROR, "gateway")
    draw = Random(SEED)
    faults = []
    for turn in range(ROUNDS):
        if turn % 5 == 0:
            await attacker.look()
        good = good_calls(attacker.known, draw)
        twister = Twister(draw, attacker.known.ids(), words_of(good))
        for method, arguments in round_of(good):
            twisted = twister.twist(arguments)
            try:
                await attacker.attack(method, twisted, looked=STATES if draw.random() < 0.1 else ())
            except AssertionError as error:
                faults.append(f"{method} {json.dumps(twisted)[:1000]}: {str(error)[:400]}")
    faults += [getattr(record, "at", record.getMessage()) for record in caplog.records]
    assert not faults, "\n".join(faults)
    _status, session = await attacker.client.session()
    assert attacker.known.account in session["accounts"]
    assert (await attacker.client.call("Mailbox/get", ids=None))["list"]


async def test_twisted_requests(attacker: Attacker, caplog: pytest.LogCaptureFixture) -> None:
    """What is no Request is refused as a whole, by a problem that the RFC defines; else each call is answered."""
    caplog.set_level(logging.ERROR, "gateway")
    draw = Random(SEED)
    good = good_calls(attacker.known, draw)
    twister = Twister(draw, attacker.known.ids(), words_of(good))
    reference = {"resultOf": "0", "name": "Email/query", "path": "/ids"}
    for _ in range(ROUNDS * 30):
        calls = [
            ["Email/query", good["Email/query"][0], "0"],
            ["Email/get", {"accountId": attacker.known.account, "#ids": dict(reference), "properties": ["id"]}, "1"],
            ["Thread/get", {"accountId": attacker.known.account, "#ids": {**reference, "path": "/ids/*"}}, "2"],
        ]
        request = twister.twist({"using": attacker.client.using, "methodCalls": calls, "createdIds": {"c": "x"}})
        octets = bytearray(json.dumps(request).encode())
        if draw.random() < 0.3:
            where = draw.randrange(len(octets))
            octets[where : where + draw.randrange(3)] = draw.choice(
                (b"", b"\xff", b"\x00", b'"', b"{", b"]", b",", b"\\u")
            )
        status, answer = await attacker.send(bytes(octets))
        if status == 200:
            kinds = {got["type"] for name, got, _id in answer["methodResponses"] if name == "error"}
            assert not kinds & {"serverFail", "serverUnavailable", "serverPartialFail"}, octets
            assert len(answer["methodResponses"]) >= len(request["methodCalls"])
        else:
            assert (status, answer["type"] in PROBLEMS) == (400, True), (answer, octets)
    assert not caplog.records
