"""jmapc, a client library in Python, does its round against the gateway in front of Dovecot.

https://github.com/smkent/jmapc: it speaks https only, formats URL templates with `str.format`, and fails on any
property of the Session that it knows and does not find.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import jmapc
import pytest
from jmapc import (
    Comparator,
    EmailAddress,
    EmailBodyPart,
    EmailQueryFilterCondition,
    Ref,
)
from jmapc.methods import (
    CoreEcho,
    CoreEchoResponse,
    EmailChanges,
    EmailChangesResponse,
    EmailGet,
    EmailGetResponse,
    EmailQuery,
    EmailQueryChanges,
    EmailQueryChangesResponse,
    EmailQueryResponse,
    MailboxChanges,
    MailboxChangesResponse,
    MailboxGet,
    MailboxGetResponse,
    SearchSnippetGet,
    SearchSnippetGetResponse,
    ThreadGet,
    ThreadGetResponse,
)

from tests.clients.gateway import Gateway
from tests.clients.signed import Signed, client_of

pytestmark = pytest.mark.upstream

FIRST = """From: Ann <ann@example.com>
To: me@mail.test
Message-ID: <first@example.com>
Date: Mon, 1 Jan 2024 10:00:00 +0000
Subject: A walk in the park

Shall we meet at the fountain?
"""
REPLY = """From: Bob <bob@example.com>
To: me@mail.test
Message-ID: <second@example.com>
In-Reply-To: <first@example.com>
References: <first@example.com>
Date: Tue, 2 Jan 2024 10:00:00 +0000
Subject: Re: A walk in the park

I will bring an umbrella.
"""


@pytest.fixture
def signed(gateway: Gateway) -> Signed:
    return Signed(gateway)


def test_sign_in(signed: Signed) -> None:
    """It finds its account and every field of the core capability."""
    session = signed.client.jmap_session
    assert session.username == signed.login
    assert session.primary_accounts.mail == signed.client.account_id
    assert session.capabilities.core.max_objects_in_get >= 500
    assert "urn:ietf:params:jmap:blob" in session.capabilities.urns
    echoed = signed.request(CoreEcho(data={"hello": "world"}), CoreEchoResponse)
    assert echoed.data == {"hello": "world"}


def test_wrong_password(gateway: Gateway) -> None:
    client = client_of(gateway, gateway.upstream.fresh_login(), "wrong")
    with pytest.raises(OSError, match="401"):
        _ = client.jmap_session


def test_mailboxes(signed: Signed) -> None:
    """Mailboxes have their roles, one of each."""
    mailboxes = signed.request(MailboxGet(ids=None), MailboxGetResponse).data
    roles = [mailbox.role for mailbox in mailboxes if mailbox.role]
    assert sorted(roles) == ["archive", "drafts", "inbox", "junk", "sent", "trash"]
    assert {mailbox.id for mailbox in mailboxes if mailbox.role == "inbox"} == {signed.mailbox("inbox")}


def test_query_and_get(signed: Signed) -> None:
    """The emails of a query, by reference in the same request, newest first, with bodies and threads."""
    signed.append(FIRST, flags="\\Seen", at_s=1_704_103_200)
    signed.append(REPLY, at_s=1_704_189_600)
    results = signed.client.request(
        [
            EmailQuery(
                filter=EmailQueryFilterCondition(in_mailbox=signed.mailbox("inbox")),
                sort=[Comparator(property="sentAt", is_ascending=False)],
                limit=10,
                calculate_total=True,
            ),
            EmailGet(ids=Ref("/ids"), fetch_text_body_values=True),
            ThreadGet(ids=Ref("/list/*/threadId")),
            SearchSnippetGet(ids=Ref("/ids", 0), filter=EmailQueryFilterCondition(text="umbrella")),
        ],
        raise_errors=True,
    )
    query, get, thread, snippet = (result.response for result in results)
    assert isinstance(query, EmailQueryResponse)
    assert query.total == 2
    assert isinstance(get, EmailGetResponse)
    reply, first = get.data
    assert (reply.subject, first.subject) == ("Re: A walk in the park", "A walk in the park")
    assert first.mail_from == [EmailAddress("Ann", "ann@example.com")]
    assert first.sent_at == datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert (first.keywords, reply.keywords) == ({"$seen": True}, {})
    assert reply.in_reply_to == ["first@example.com"]
    assert reply.text_body
    assert reply.body_values
    assert reply.body_values[str(reply.text_body[0].part_id)].value == "I will bring an umbrella.\n"
    assert isinstance(thread, ThreadGetResponse)
    assert [one.email_ids for one in thread.data] == [[first.id, reply.id]]
    assert isinstance(snippet, SearchSnippetGetResponse)
    assert [one.preview for one in snippet.data if one.preview] == ["I will bring an <mark>umbrella</mark>."]


def test_changes(signed: Signed) -> None:
    """What others change shows in /changes and /queryChanges."""
    mailbox_state = signed.request(MailboxGet(ids=[]), MailboxGetResponse).state
    state = signed.request(EmailGet(ids=[]), EmailGetResponse).state
    query_state = signed.request(EmailQuery(), EmailQueryResponse).query_state
    assert state
    assert mailbox_state
    signed.append(FIRST)
    changes = signed.request(EmailChanges(since_state=state), EmailChangesResponse)
    assert len(changes.created) == 1
    assert signed.request(MailboxChanges(since_state=mailbox_state), MailboxChangesResponse).updated
    asked = EmailQueryChanges(since_query_state=query_state)
    added = signed.request(asked, EmailQueryChangesResponse).added
    assert [(item.id, item.index) for item in added] == [(changes.created[0], 0)]


def test_too_old(signed: Signed) -> None:
    """A state that nobody gave out is an error the library knows."""
    answer = signed.client.request(EmailChanges(since_state="nonsense"))
    assert isinstance(answer, jmapc.errors.CannotCalculateChanges)


def test_attachment(signed: Signed, tmp_path: Path) -> None:
    """An attachment is downloaded by the template, octet for octet."""
    signed.append(
        "MIME-Version: 1.0\nSubject: x\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\n"
        'Content-Type: application/pdf\nContent-Disposition: attachment; filename="a report.pdf"\n'
        "Content-Transfer-Encoding: base64\n\nAAECAwQ=\n--b--\n"
    )
    found = signed.request(EmailQuery(filter=EmailQueryFilterCondition(has_attachment=True)), EmailQueryResponse)
    assert isinstance(found.ids, list)
    (attachment,) = signed.email(found.ids[0]).attachments or [EmailBodyPart()]
    assert (attachment.name, attachment.type, attachment.size) == ("a report.pdf", "application/pdf", 5)
    signed.client.download_attachment(attachment, tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes() == b"\0\1\2\3\4"
