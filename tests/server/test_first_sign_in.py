"""The first minute of an account: a client works while the rest of the mail is still being indexed."""

from __future__ import annotations

import pytest

from tests.server.conftest import MakeGateway
from tests.upstreams.upstream import Upstream, expect_ok

pytestmark = pytest.mark.upstream

MESSAGE = b"Subject: %d\r\nMessage-ID: <%d@example.com>\r\n\r\nx\r\n"


async def test_a_state_from_before_the_index_was_complete_is_good_for_ifinstate(
    dovecot: Upstream, gateway: MakeGateway
) -> None:
    """What the index has come to know meanwhile is told by /changes, and refuses no write; what others do does."""
    login = dovecot.fresh_login()
    dovecot.append(login, MESSAGE % (1, 1))
    dovecot.append(login, *[MESSAGE % (n, n) for n in range(2, 40)], mailbox="Elsewhere")
    client = (await gateway(dovecot))(login)
    mailboxes = await client.call("Mailbox/get", ids=None)
    (inbox,) = (one["id"] for one in mailboxes["list"] if one["role"] == "inbox")
    (id,) = (await client.call("Email/query", filter={"inMailbox": inbox}))["ids"]
    state = (await client.call("Email/get", ids=[id]))["state"]

    assert len((await client.call("Email/query", filter={}))["ids"]) == 39  # all is indexed now
    now = (await client.call("Email/get", ids=[]))["state"]
    changes = await client.call("Email/changes", sinceState=state)
    assert changes["newState"] == now
    assert changes["updated"] == changes["destroyed"] == []
    flag = {id: {"keywords/$flagged": True}}
    answer = await client.call("Email/set", ifInState=state, update=flag)
    assert (answer["oldState"], answer["updated"]) == (now, {id: None})

    state = answer["newState"]
    with dovecot.selected(login) as imap:
        expect_ok(imap.store("1", "+FLAGS", r"(\Seen)"))
    _, refused = await client.request(("Email/set", {"ifInState": state, "update": flag}))
    assert refused["methodResponses"][0][:2] == ["error", {"type": "stateMismatch"}]
