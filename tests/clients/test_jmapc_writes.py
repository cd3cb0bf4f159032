"""What jmapc writes: a draft with an attachment and its whole life, and a mailbox's."""

from __future__ import annotations

from pathlib import Path

import pytest
from jmapc import Email, EmailAddress, EmailBodyPart, EmailBodyValue, Mailbox
from jmapc.methods import (
    EmailGet,
    EmailGetResponse,
    EmailQuery,
    EmailQueryResponse,
    EmailSet,
    EmailSetResponse,
    MailboxGet,
    MailboxGetResponse,
    MailboxSet,
    MailboxSetResponse,
)

from tests.clients.gateway import Gateway
from tests.clients.signed import Signed

pytestmark = pytest.mark.upstream


@pytest.fixture
def signed(gateway: Gateway) -> Signed:
    return Signed(gateway)


def test_the_whole_round(signed: Signed, tmp_path: Path) -> None:
    """Create a draft with an attachment, read it back, move, flag and destroy it."""
    octets = bytes(range(256)) * 100
    (tmp_path / "photo.png").write_bytes(octets)
    blob = signed.client.upload_blob(tmp_path / "photo.png")
    assert (blob.type, blob.size) == ("image/png", len(octets))
    drafts, archive = signed.mailbox("drafts"), signed.mailbox("archive")
    draft = Email(
        mailbox_ids={drafts: True},
        keywords={"$draft": True, "$seen": True},
        mail_from=[EmailAddress("Me", "me@mail.test")],
        to=[EmailAddress("Zoë", "zoe@example.com")],
        subject="Grüße aus Köln",
        text_body=[EmailBodyPart(part_id="text", type="text/plain")],
        body_values={"text": EmailBodyValue(value="A picture of the cathedral.\n")},
        attachments=[
            EmailBodyPart(blob_id=blob.id, type="image/png", name="Dom zu Köln.png", disposition="attachment")
        ],
    )
    made = signed.request(EmailSet(create={"draft": draft}), EmailSetResponse)
    assert made.not_created is None
    created = (made.created or {})["draft"]
    assert created is not None
    assert created.id
    assert created.size
    assert created.size > len(octets)

    email = signed.email(created.id)
    assert (email.blob_id, email.thread_id) == (created.blob_id, created.thread_id)
    assert (email.subject, email.mailbox_ids) == ("Grüße aus Köln", {drafts: True})
    assert email.to == [EmailAddress("Zoë", "zoe@example.com")]
    assert email.keywords == {"$draft": True, "$seen": True}
    assert email.has_attachment
    assert email.text_body
    assert email.body_values
    assert email.body_values[str(email.text_body[0].part_id)].value == "A picture of the cathedral.\n"
    (attachment,) = email.attachments or [EmailBodyPart()]
    assert (attachment.name, attachment.size) == ("Dom zu Köln.png", len(octets))
    signed.client.download_attachment(attachment, tmp_path / "back.png")
    assert (tmp_path / "back.png").read_bytes() == octets

    patch = {
        "keywords/$draft": None,
        "keywords/$flagged": True,
        f"mailboxIds/{drafts}": None,
        f"mailboxIds/{archive}": True,
    }
    moved = signed.request(EmailSet(update={created.id: patch}, if_in_state=made.new_state), EmailSetResponse)
    assert (moved.not_updated, moved.created, moved.destroyed) == (None, None, None)
    email = signed.email(created.id)
    assert (email.mailbox_ids, email.keywords) == ({archive: True}, {"$flagged": True, "$seen": True})
    with signed.gateway.upstream.selected(signed.login, "Archive") as connection:
        assert connection.search(None, "FLAGGED UNDRAFT")[1] == [b"1"]

    gone = signed.request(EmailSet(destroy=[created.id]), EmailSetResponse)
    assert gone.destroyed == [created.id]
    assert signed.request(EmailGet(ids=[created.id]), EmailGetResponse).not_found == [created.id]
    assert signed.request(EmailQuery(), EmailQueryResponse).ids == []


def test_mailbox_round(signed: Signed) -> None:
    """Create, rename and destroy a mailbox."""
    create = {"new": Mailbox(name="Reisen", parent_id=signed.mailbox("archive"))}
    created = (signed.request(MailboxSet(create=create), MailboxSetResponse).created or {})["new"]
    assert created is not None
    assert created.id
    signed.request(MailboxSet(update={created.id: {"name": "Städte"}}), MailboxSetResponse)
    (mailbox,) = signed.request(MailboxGet(ids=[created.id]), MailboxGetResponse).data
    assert (mailbox.name, mailbox.parent_id, mailbox.total_emails) == ("Städte", signed.mailbox("archive"), 0)
    assert signed.request(MailboxSet(destroy=[created.id]), MailboxSetResponse).destroyed == [created.id]
