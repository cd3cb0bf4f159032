"""Single verbs, by the words of real servers."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.upstream.imap.commands.acl import DeleteAcl, GetAcl, SetAcl
from gateway.upstream.imap.commands.append import Append, format_internaldate
from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.commands.copy import Copied, Copy, Move
from gateway.upstream.imap.commands.create import Create
from gateway.upstream.imap.commands.getmetadata import GetMetadata
from gateway.upstream.imap.commands.getquota import GetQuotaRoot, QuotaRoot
from gateway.upstream.imap.commands.id import Id
from gateway.upstream.imap.commands.list import ListMailboxes
from gateway.upstream.imap.commands.myrights import MyRights
from gateway.upstream.imap.commands.namespace import NamespaceCommand
from gateway.upstream.imap.commands.search import Search, to_ranges
from gateway.upstream.imap.commands.setmetadata import SetMetadata
from gateway.upstream.imap.commands.store import Store
from gateway.upstream.imap.encode import Dialect, Unencodable
from gateway.upstream.imap.lexer import Malformed
from gateway.upstream.imap.mailbox import Namespace, Namespaces, Selected
from gateway.upstream.imap.names import MailboxNames
from gateway.upstream.imap.response import parse_data, parse_status


def written(command: Command[Any], dialect: Dialect | None = None) -> bytes:
    return b"".join(p for p in command.line(dialect or Dialect()).pieces(b"t") if isinstance(p, bytes))


def converse(command: Command[Any], *said: bytes, tagged: bytes = b"t OK done") -> Any:
    """Give a command these responses and return its result."""
    command.line(Dialect())
    command.sent_as(b"t35")
    for raw in said:
        data = parse_data(raw)
        assert command.on_status(parse_status(raw)) if data.kind == "OK" else command.on_data(data)
    return command.result(parse_status(tagged))


@pytest.mark.parametrize(
    ("said", "namespaces"),
    [
        (b'* NAMESPACE (("" "/")) NIL NIL', Namespaces((Namespace("", "/"),))),
        (b'* NAMESPACE (("" NIL)) NIL NIL', Namespaces((Namespace("", None),))),
        (
            b'* NAMESPACE (("INBOX." ".")) NIL (("#shared." ".")("shared." "."))',
            Namespaces((Namespace("INBOX.", "."),), (Namespace("#shared.", "."),), (Namespace("shared.", "."),)),
        ),
    ],
)
def test_namespace(said: bytes, namespaces: Namespaces) -> None:
    """Dovecot's, a flat one, Courier's two shared ones."""
    assert converse(NamespaceCommand(), said) == namespaces


def test_id_quota_rights() -> None:
    """NIL values are left out; Courier's quota without a list has no resources; rights are letters."""
    assert converse(Id({"name": "x"}), b'* ID ("name" "Dovecot" "version" NIL)') == {"name": "Dovecot"}
    assert converse(Id({}), b"* ID NIL") == {}
    dovecot = [b'* QUOTAROOT INBOX "User quota"', b'* QUOTA "User quota" (STORAGE 2 20971520)']
    assert converse(GetQuotaRoot("INBOX"), *dovecot) == [QuotaRoot("User quota", {"STORAGE": (2, 20971520)})]
    assert converse(GetQuotaRoot("INBOX"), b'* QUOTA "ROOT"') == [QuotaRoot("ROOT", {})]
    assert converse(MyRights("INBOX"), b'* MYRIGHTS "INBOX" "acdilrsw"') == "acdilrsw"
    assert not MyRights("INBOX").on_data(parse_data(b"* MYRIGHTS other lr"))


def test_acl() -> None:
    """Pairs of identifier and rights, however they are quoted; of other mailboxes it is none of ours."""
    assert converse(GetAcl("a b"), b'* ACL "a b" bob lrswipkxtecda "anyone" "" {4}\r\nj"x" lr odd') == {
        "bob": "lrswipkxtecda",
        "anyone": "",
        'j"x"': "lr",
    }
    assert converse(GetAcl("a")) == {}
    assert not GetAcl("a").on_data(parse_data(b"* ACL b bob lr"))
    assert not GetAcl("a").on_data(parse_data(b"* ACL"))
    assert written(SetAcl("a b", 'j"x', "-lr")) == b't SETACL "a b" "j\\"x" "-lr"\r\n'
    assert written(DeleteAcl("a", "bob")) == b"t DELETEACL a bob\r\n"


def test_metadata() -> None:
    """Values come as literals, strings or NIL; entry names have no case; news of changed entries are no answer."""
    entry = "/private/comment"
    assert converse(GetMetadata("a", entry), b"* METADATA a (/private/comment {2}\r\n17)") == "17"
    assert converse(GetMetadata("a", entry), b'* METADATA "a" ("/PRIVATE/COMMENT" "1 7" "/x" NIL)') == "1 7"
    assert converse(GetMetadata("a", entry), b"* METADATA a (/private/comment NIL)") is None
    assert not GetMetadata("a", entry).on_data(parse_data(b"* METADATA a /private/comment"))
    assert not GetMetadata("a", entry).on_data(parse_data(b"* METADATA b (/private/comment NIL)"))
    assert SetMetadata("a", entry, "17").line(Dialect()).pieces(b"t") == [
        b't SETMETADATA a (/private/comment "17")\r\n'
    ]
    assert SetMetadata("a", entry, None).line(Dialect()).pieces(b"t") == [b"t SETMETADATA a (/private/comment NIL)\r\n"]


def test_list_with_rights_and_status() -> None:
    """LIST-STATUS and LIST-MYRIGHTS belong to the entry before them; a name said twice is one entry."""
    entries = converse(
        ListMailboxes("", "*"),
        b'* LIST (\\HasNoChildren) "/" a',
        b'* LIST (\\Sent) "/" a',
        b"* STATUS a (MESSAGES 1)",
        b"* MYRIGHTS a lrs",
    )
    assert [(e.name, e.attributes, e.status, e.rights) for e in entries] == [
        ("a", {"\\hasnochildren", "\\sent"}, {"MESSAGES": 1}, "lrs")
    ]
    assert not ListMailboxes("", "*").on_data(parse_data(b"* STATUS b (MESSAGES 1)"))


@pytest.mark.parametrize(
    ("extended", "said", "ranges"),
    [
        (True, b'* ESEARCH (TAG "t35") UID MIN 1 MAX 5 ALL 1:3,5 COUNT 4', [(1, 3), (5, 5)]),
        (True, b'* ESEARCH (TAG "t35") UID', []),
        (True, b"* ESEARCH UID ALL 7", [(7, 7)]),
        (False, b"* SEARCH 5 4 3 1 (MODSEQ 6)", [(1, 1), (3, 5)]),
        (False, b"* SEARCH 1 2 ", [(1, 2)]),
        (False, b"* SEARCH", []),
    ],
)
async def test_search(extended: bool, said: bytes, ranges: list[tuple[int, int]]) -> None:
    """Both forms of an answer, empty ones and Courier's order included."""
    assert await to_ranges(converse(Search(["ALL"], extended=extended), said)) == ranges


async def test_search_of_others_and_of_many() -> None:
    """Another command's ESEARCH is not ours; a million numbers become one range."""
    search = Search(["ALL"], extended=True)
    search.sent_as(b"t1")
    assert not search.on_data(parse_data(b'* ESEARCH (TAG "t2") UID ALL 1'))
    numbers = b"* SEARCH " + b" ".join(b"%d" % number for number in range(1, 1_000_001))
    assert await to_ranges(converse(Search(["ALL"], extended=False), numbers)) == [(1, 1_000_000)]


def test_copyuid() -> None:
    """Both sets in their order (RFC 4315); MOVE's untagged code; nothing without UIDPLUS; nonsense is malformed."""
    assert converse(Copy("1:2", "x"), tagged=b"t OK [COPYUID 9 2,1 6:7] x") == Copied(9, (2, 1), (6, 7))
    assert converse(Move("2", "x"), b"* OK [COPYUID 9 2 7] Moved UIDs.") == Copied(9, (2,), (7,))
    assert converse(Copy("1", "x")) == Copied()
    for nonsense in (b"9 1:2 3", b"9 1", b"9 a b", b"9 1:4294967295 1:4294967295"):
        with pytest.raises(Malformed):
            converse(Copy("1", "x"), tagged=b"t OK [COPYUID " + nonsense + b"] x")


def test_append() -> None:
    """Flags, the date in UTC, UTF8 where it is enabled, and where the message went."""
    append = Append("x", b"abc", octets=3, flags=["\\Seen", "$a"], internaldate_s=0)
    assert written(append) == b't APPEND x (\\Seen $a) " 1-Jan-1970 00:00:00 +0000" {3}\r\nabc\r\n'
    assert written(Append("x", b"abc", octets=3, has_utf8_headers=True), Dialect(MailboxNames(utf8=True))) == (
        b"t APPEND x UTF8 (~{3}\r\nabc)\r\n"
    )
    assert converse(append, tagged=b"t OK [APPENDUID 12 5] x") == (12, 5)
    assert converse(append) == (None, None)
    assert format_internaldate(1_700_000_000) == '"14-Nov-2023 22:13:20 +0000"'


@pytest.mark.parametrize("flag", ["a b", "a)", "\\Seen)", "", "\\", "a\r\nb", "é", '"a"', "%"])
def test_flags_cannot_break_out(flag: str) -> None:
    """A keyword that is no atom is refused before anything is sent."""
    with pytest.raises(Unencodable):
        written(Store("1", "+", [flag]))


def test_store_and_create() -> None:
    """UNCHANGEDSINCE and its [MODIFIED]; a special use and the new MAILBOXID."""
    assert written(Store("1:2", "-", ["\\Seen"], unchanged_since=7)) == (
        b"t UID STORE 1:2 (UNCHANGEDSINCE 7) -FLAGS (\\Seen)\r\n"
    )
    assert converse(Store("1", "+", ["a"]), tagged=b"t OK [MODIFIED 1] x").modified == [(1, 1)]
    assert written(Create("x", special_use="\\Sent")) == b"t CREATE x (USE (\\Sent))\r\n"
    assert converse(Create("x"), tagged=b"t OK [MAILBOXID (yg)] x") == "yg"


def test_permanent_flags() -> None:
    """`\\*` allows new keywords, but no system flag that is not listed; saying nothing allows all."""
    assert Selected("x").can_store("$a")
    listed = Selected("x", permanent_flags=("\\Seen", "\\*"))
    assert listed.can_store("$a")
    assert listed.can_store("\\seen")
    assert not listed.can_store("\\Flagged")
    assert not Selected("x", permanent_flags=("\\Seen",)).can_store("$a")
