"""What jmapc sends: a draft written and submitted in one request, and a look at what became of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from jmapc import (
    Email,
    EmailAddress,
    EmailBodyPart,
    EmailBodyValue,
    EmailSubmission,
    EmailSubmissionQueryFilterCondition,
    UndoStatus,
)
from jmapc.methods import (
    EmailSet,
    EmailSetResponse,
    EmailSubmissionGet,
    EmailSubmissionGetResponse,
    EmailSubmissionQuery,
    EmailSubmissionQueryResponse,
    EmailSubmissionSet,
    EmailSubmissionSetResponse,
    IdentityGet,
    IdentityGetResponse,
)

from tests.clients.gateway import serving
from tests.clients.signed import Signed
from tests.upstreams.sink import SmtpSink
from tests.upstreams.upstream import DOMAIN, Upstream

pytestmark = pytest.mark.upstream


@pytest.fixture
def signed(dovecot: Upstream, smtp_sink: SmtpSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signed]:
    """Signed in at a gateway that sends by Dovecot's submission service."""
    more = f'smtp = "submission://{dovecot.host}:{dovecot.ports["submission"]}"\naddress = "{{user}}@{DOMAIN}"\n'
    with serving(dovecot, tmp_path_factory.mktemp("sending"), of_upstream=more) as gateway:
        yield Signed(gateway)


def test_a_mail_is_written_and_sent(signed: Signed, dovecot: Upstream, smtp_sink: SmtpSink) -> None:
    """As in the example of the library: two calls in one request, and the draft ends in Sent."""
    (identity,) = signed.request(IdentityGet(), IdentityGetResponse).data
    assert identity.email == f"{signed.login}@{DOMAIN}"
    assert identity.may_delete is False
    drafts, sent = signed.mailbox("drafts"), signed.mailbox("sent")
    to = dovecot.fresh_login()
    draft = Email(
        mailbox_ids={drafts: True},
        keywords={"$draft": True},
        mail_from=[EmailAddress("Me", identity.email)],
        to=[EmailAddress("Zoë", f"{to}@{DOMAIN}")],
        subject="Grüße",
        text_body=[EmailBodyPart(part_id="text", type="text/plain")],
        body_values={"text": EmailBodyValue(value="Hello.\n")},
    )
    results = signed.client.request(
        [
            EmailSet(create={"draft": draft}),
            EmailSubmissionSet(
                create={"go": EmailSubmission(identity_id=identity.id, email_id="#draft")},
                on_success_update_email={
                    "#go": {"keywords/$draft": None, f"mailboxIds/{drafts}": None, f"mailboxIds/{sent}": True}
                },
            ),
        ],
        raise_errors=True,
    )
    created, submitted, moved = (result.response for result in results)
    assert isinstance(created, EmailSetResponse)
    assert isinstance(submitted, EmailSubmissionSetResponse)
    assert isinstance(moved, EmailSetResponse)
    submission = (submitted.created or {})["go"]
    assert submission is not None
    assert moved.not_updated is None
    filter = EmailSubmissionQueryFilterCondition(undo_status=UndoStatus.FINAL)
    found = signed.request(EmailSubmissionQuery(filter=filter), EmailSubmissionQueryResponse)
    assert found.ids == [submission.id]
    (record,) = signed.request(EmailSubmissionGet(ids=[str(submission.id)]), EmailSubmissionGetResponse).data
    assert record.undo_status is UndoStatus.FINAL
    assert [status.smtp_reply[:3] for status in (record.delivery_status or {}).values()] == ["250"]
    (kept,) = smtp_sink.to(f"{to}@{DOMAIN}", 1)
    assert b"Hello." in kept.octets
    assert created.created is not None
    email = signed.email(str((created.created["draft"] or draft).id))
    assert email.mailbox_ids == {sent: True}
    assert email.keywords == {}
    with dovecot.selected(to) as inbox:
        assert inbox.search(None, "ALL")[1] == [b"1"]
