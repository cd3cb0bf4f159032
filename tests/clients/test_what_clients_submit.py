"""What clients in use send to have mail sent, each in its own words, against the running gateway.

Seen in the traffic or the code of aerc, meli, Bulwark, jmap-demo-webmail, jmapc and jmap-jam.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.clients.gateway import CORE, MAIL, Client, Gateway, serving
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import DOMAIN, Upstream

pytestmark = pytest.mark.upstream

SUBMISSION = "urn:ietf:params:jmap:submission"
IDENTITY = {"id", "name", "email", "replyTo", "bcc", "textSignature", "htmlSignature", "mayDelete"}


@pytest.fixture(scope="module")
def sending(dovecot: Upstream, smtp_sink: SmtpSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose upstream has a server for sending; a login's address is the login at the domain."""
    more = f'smtp = "submission://{smtp_sink.host}:{smtp_sink.port}"\naddress = "{{user}}@{DOMAIN}"\n'
    with serving(dovecot, tmp_path_factory.mktemp("submitting"), of_upstream=more) as running:
        yield running


@pytest.fixture
def sender(sending: Gateway) -> Sender:
    return Sender(sending.client())


class Sender:
    """Somebody who writes to one address that nobody else writes to."""

    def __init__(self, client: Client, *, using: Sequence[str] = (CORE, MAIL, SUBMISSION)) -> None:
        self.client, self.using = client, using
        self.to = f"to-{client.login}@example.com"
        self.drafts, self.sent = client.mailbox("drafts"), client.mailbox("sent")
        self.identity = self.one("Identity/get", ids=None)["list"][0]

    def call(self, *calls: Sequence[Any]) -> list[Any]:
        """Return the responses, each (name, arguments, call id)."""
        responses: list[Any] = self.client.request(*calls, using=self.using)["methodResponses"]
        return responses

    def one(self, name: str, **arguments: Any) -> Any:
        ((answered, answer, _id),) = self.call((name, arguments))
        assert answered == name, answer
        return answer

    def draft(self, **properties: Any) -> dict[str, Any]:
        return {
            "mailboxIds": {self.drafts: True},
            "keywords": {"$draft": True, "$seen": True},
            "from": [{"name": "Me", "email": self.identity["email"]}],
            "to": [{"name": "Zoë", "email": self.to}],
            "subject": "Grüße",
            "textBody": [{"partId": "1", "type": "text/plain"}],
            "bodyValues": {"1": {"value": "Hello.\n"}},
            **properties,
        }

    def saved(self, **properties: Any) -> str:
        """Save a draft; return the id of its Email."""
        made = self.one("Email/set", create={"d": self.draft(**properties)})
        return str(made["created"]["d"]["id"])

    def submission(self, email_id: str, **properties: Any) -> dict[str, Any]:
        return {"emailId": email_id, "identityId": self.identity["id"], **properties}

    def moved(self) -> dict[str, Any]:
        """The patch that makes a draft a mail that was sent."""
        return {"keywords/$draft": None, f"mailboxIds/{self.drafts}": None, f"mailboxIds/{self.sent}": True}

    def email(self, id: str) -> Any:
        (email,) = self.one("Email/get", ids=[id], properties=["mailboxIds", "keywords"])["list"]
        return email

    def is_sent(self, id: str) -> bool:
        """Tell whether the Email stands in Sent and nowhere else; it is a draft in Drafts else."""
        email = self.email(id)
        where, is_draft = email["mailboxIds"], "$draft" in email["keywords"]
        assert where == ({self.drafts: True} if is_draft else {self.sent: True})
        return not is_draft


# ---------------------------------------------------------------- using


@pytest.mark.parametrize("using", [[MAIL], [CORE, MAIL], [CORE, MAIL, SUBMISSION]])
def test_capabilities_that_were_forgotten(sending: Gateway, smtp_sink: SmtpSink, using: list[str]) -> None:
    """A webmail names core and mail for Identity, Quota and EmailSubmission too, and never reads the error."""
    sender = Sender(sending.client(), using=using)
    responses = sender.call(
        ("Quota/get", {"ids": None}, "q"),
        ("Email/set", {"create": {"mail": sender.draft()}}, "e"),
        ("EmailSubmission/set", {"create": {"go": sender.submission("#mail")}}, "s"),
    )
    assert [name for name, _answer, _id in responses] == ["Quota/get", "Email/set", "EmailSubmission/set"]
    assert responses[2][1]["created"].keys() == {"go"}
    smtp_sink.to(sender.to, 1)


def test_strictly_used(dovecot: Upstream, smtp_sink: SmtpSink, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With `strict_using` a method whose capability is not named is unknown, and one that is named works."""
    more = f'smtp = "submission://{smtp_sink.host}:{smtp_sink.port}"\n'
    with serving(dovecot, tmp_path_factory.mktemp("strict"), of_upstream=more, strict_using="true") as gateway:
        client = gateway.client()
        for using, expected in (((CORE, MAIL), "error"), ((CORE, SUBMISSION), "Identity/get")):
            ((name, answer, _id),) = client.request(("Identity/get", {"ids": None}), using=using)["methodResponses"]
            assert name == expected
            assert name != "error" or answer["type"] == "unknownMethod"


# ---------------------------------------------------------------- identities


def test_an_identity_has_every_field(sender: Sender) -> None:
    """There is one from the start; what was never set is told as empty."""
    (identity,) = sender.one("Identity/get", ids=None)["list"]
    assert identity.keys() == IDENTITY
    assert identity["email"] == f"{sender.client.login}@{DOMAIN}"
    assert (identity["name"], identity["textSignature"], identity["htmlSignature"]) == ("", "", "")
    assert (identity["replyTo"], identity["bcc"], identity["mayDelete"]) == (None, None, False)


def test_a_signature_is_kept(sender: Sender) -> None:
    """Clients write one field and keep what they had for the others."""
    id = sender.identity["id"]
    patch = {"name": "Zoë", "htmlSignature": '<p style="color:#3b82f6">Zoë</p>'}
    answer = sender.one("Identity/set", update={id: patch})
    assert (answer["updated"], answer["notUpdated"], answer["created"]) == ({id: None}, None, None)
    (identity,) = sender.one("Identity/get", ids=[id])["list"]
    assert identity == {**sender.identity, **patch}


def test_the_bare_login_is_a_sender(
    dovecot: Upstream, smtp_sink: SmtpSink, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Where the login is no address, and nothing else is configured, From is the login as it stands."""
    more = f'smtp = "submission://{smtp_sink.host}:{smtp_sink.port}"\n'
    with serving(dovecot, tmp_path_factory.mktemp("bare"), of_upstream=more) as gateway:
        sender = Sender(gateway.client())
        assert sender.identity["email"] == sender.client.login
        id = sender.saved()
        answer = sender.one("EmailSubmission/set", create={"go": sender.submission(id)})
        assert answer["notCreated"] is None
        (kept,) = smtp_sink.to(sender.to, 1)
        assert kept.envelope["sender"] == sender.client.login
        assert f"<{sender.client.login}>".encode() in kept.octets


# ---------------------------------------------------------------- write and submit


def test_written_and_submitted_in_one_request(sender: Sender, smtp_sink: SmtpSink) -> None:
    """`#mail` is the Email created before, `#go` the submission created here: the mail leaves and the draft moves."""
    written, submitted, moved = sender.call(
        ("Email/set", {"create": {"mail": sender.draft()}}, "w"),
        (
            "EmailSubmission/set",
            {"create": {"go": sender.submission("#mail")}, "onSuccessUpdateEmail": {"#go": sender.moved()}},
            "s",
        ),
    )
    id = written[1]["created"]["mail"]["id"]
    assert [response[0] for response in (written, submitted, moved)] == [
        "Email/set",
        "EmailSubmission/set",
        "Email/set",
    ]
    assert (submitted[2], moved[2]) == ("s", "s")
    made = submitted[1]["created"]["go"]
    assert made.keys() >= {"id", "threadId", "envelope", "sendAt", "undoStatus", "deliveryStatus"}
    assert (submitted[1]["notCreated"], submitted[1]["updated"], submitted[1]["destroyed"]) == (None, None, None)
    assert list(moved[1]["updated"]) == [id]
    assert (moved[1]["notUpdated"], moved[1]["created"]) == (None, None)
    assert sender.is_sent(id)
    (kept,) = smtp_sink.to(sender.to, 1)
    assert kept.envelope["sender"] == sender.identity["email"]
    assert b"Hello." in kept.octets


def test_a_draft_of_an_earlier_request(sender: Sender, smtp_sink: SmtpSink) -> None:
    """By its own id, with an envelope whose parameters are null, and destroyed once it has left."""
    id = sender.saved()
    envelope = {
        "mailFrom": {"email": sender.identity["email"], "parameters": None},
        "rcptTo": [{"email": sender.to, "parameters": None}],
    }
    submitted, destroyed = sender.call(
        (
            "EmailSubmission/set",
            {"create": {"go": sender.submission(id, envelope=envelope)}, "onSuccessDestroyEmail": ["#go"]},
        ),
    )
    assert submitted[1]["created"].keys() == {"go"}
    assert (destroyed[0], destroyed[1]["destroyed"]) == ("Email/set", [id])
    assert sender.one("Email/get", ids=[id])["notFound"] == [id]
    smtp_sink.to(sender.to, 1)


def test_keys_are_references(sender: Sender, smtp_sink: SmtpSink) -> None:
    """`go` is an id and no reference; `#go` of another request is none either. The mail leaves, the draft stays."""
    for key in ("go", "#gone"):
        id = sender.saved()
        responses = sender.call(
            (
                "EmailSubmission/set",
                {"create": {"go": sender.submission(id)}, "onSuccessUpdateEmail": {key: sender.moved()}},
            ),
        )
        assert [name for name, _answer, _id in responses] == ["EmailSubmission/set"]
        assert responses[0][1]["notCreated"] is None
        assert not sender.is_sent(id)
    smtp_sink.to(sender.to, 2)


def test_keys_are_references_of_earlier_calls_too(sender: Sender) -> None:
    """`createdIds`, and a call of the same request, say what `#go` is: undone, it is a draft again."""
    id = sender.saved()
    held = {
        "mailFrom": {"email": sender.identity["email"], "parameters": {"HOLDFOR": "3600"}},
        "rcptTo": [{"email": sender.to, "parameters": None}],
    }
    create = {"go": sender.submission(id, envelope=held)}
    response = sender.client.request(
        ("EmailSubmission/set", {"create": create, "onSuccessUpdateEmail": {"#go": sender.moved()}}),
        using=sender.using,
        createdIds={},
    )
    submission_id = response["createdIds"]["go"]
    assert sender.is_sent(id)
    back = {"keywords/$draft": True, f"mailboxIds/{sender.drafts}": True, f"mailboxIds/{sender.sent}": None}
    cancel = {"update": {submission_id: {"undoStatus": "canceled"}}, "onSuccessUpdateEmail": {"#go": back}}
    (_, canceled, _), (name, answer, _) = sender.client.request(
        ("EmailSubmission/set", cancel), using=sender.using, createdIds={"go": submission_id}
    )["methodResponses"]
    assert (list(canceled["updated"]), canceled["notUpdated"]) == ([submission_id], None)
    assert (name, list(answer["updated"])) == ("Email/set", [id])
    assert not sender.is_sent(id)


def test_what_was_not_written_is_not_submitted(sender: Sender, smtp_sink: SmtpSink) -> None:
    """The Email is refused: so is the submission that refers to it, and nothing leaves or moves."""
    written, submitted = sender.call(
        ("Email/set", {"create": {"mail": sender.draft(mailboxIds={"no-such-mailbox": True})}}, "w"),
        (
            "EmailSubmission/set",
            {"create": {"go": sender.submission("#mail")}, "onSuccessUpdateEmail": {"#go": sender.moved()}},
            "s",
        ),
    )
    assert written[1]["notCreated"].keys() == {"mail"}
    assert (submitted[0], submitted[1]["created"]) == ("EmailSubmission/set", None)
    error = submitted[1]["notCreated"]["go"]
    assert (error["type"], error["properties"]) == ("invalidProperties", ["emailId"])
    assert smtp_sink.to(sender.to) == []


def test_what_was_not_submitted_stays_a_draft(sender: Sender, smtp_sink: SmtpSink) -> None:
    """Two drafts, one of them to nobody: one is sent and moves, the other stays and is told of."""
    good, bad = sender.saved(), sender.saved(to=[], cc=[])
    submitted, moved = sender.call(
        (
            "EmailSubmission/set",
            {
                "create": {"a": sender.submission(good), "b": sender.submission(bad)},
                "onSuccessUpdateEmail": {"#a": sender.moved(), "#b": sender.moved()},
            },
        ),
    )
    assert submitted[1]["created"].keys() == {"a"}
    assert {key: error["type"] for key, error in submitted[1]["notCreated"].items()} == {"b": "noRecipients"}
    assert list(moved[1]["updated"]) == [good]
    assert (sender.is_sent(good), sender.is_sent(bad)) == (True, False)
    smtp_sink.to(sender.to, 1)
