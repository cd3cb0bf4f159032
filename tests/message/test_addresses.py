"""Address lists (RFC 5322 sections 3.4 and 4.4), also those that are none."""

from __future__ import annotations

import pytest

from gateway.message.addresses import Group, parse_addresses, parse_groups


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("a@b.c", [(None, "a@b.c")]),
        ("<a@b.c>", [(None, "a@b.c")]),
        ("Ann B. See <a@b.c>", [("Ann B. See", "a@b.c")]),
        ('"See, Ann" <a@b.c>', [("See, Ann", "a@b.c")]),
        ('" \\"Ann\\"\r\n See " <a@b.c>', [('"Ann" See', "a@b.c")]),
        ('"" <a@b.c>', [(None, "a@b.c")]),
        ("a@b.c (Ann)", [("Ann", "a@b.c")]),
        ("<a@b.c> (Ann \\(See\\))", [("Ann (See)", "a@b.c")]),
        ("(Ann) a@b.c", [(None, "a@b.c")]),
        ("Ann (x) See <a@b.c> (y)", [("Ann See", "a@b.c")]),
        ("=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M?= <a@b.c>", [("Jörg M", "a@b.c")]),
        ("=?utf-8?q?J=C3=B6rg?= M. <a@b.c>", [("Jörg M.", "a@b.c")]),
        ("=?utf-8?q?A,_B?= <a@b.c>", [("A, B", "a@b.c")]),
        ('"=?utf-8?q?a?=" <a@b.c>', [("=?utf-8?q?a?=", "a@b.c")]),
        ("x=?utf-8?q?a?= <a@b.c>", [("x=?utf-8?q?a?=", "a@b.c")]),
        ("Jörg <jörg@exämple.de>", [("Jörg", "jörg@exämple.de")]),
        ('"a b"@c.d', [(None, '"a b"@c.d')]),
        ('<"a b"@c.d>', [(None, '"a b"@c.d')]),
        ("a@[192.0.2.1], <b@[IPv6:::1]>", [(None, "a@[192.0.2.1]"), (None, "b@[IPv6:::1]")]),
        ("a . b @ c . d", [(None, "a.b@c.d")]),
        ("<@r.s,@t.u:a@b.c>", [(None, "a@b.c")]),
        ("< a @ b.c >", [(None, "a@b.c")]),
        # Broken.
        ("a@b.c; d@e.f", [(None, "a@b.c"), (None, "d@e.f")]),
        (",, a@b.c,,", [(None, "a@b.c")]),
        ("Ann", [(None, "Ann")]),
        ("Ann a@b.c", [("Ann", "a@b.c")]),
        ("Ann <>", [("Ann", "")]),
        ("<>", []),
        ("Ann <a@b.c, d@e.f", [("Ann", "a@b.c"), (None, "d@e.f")]),
        ("Ann <a@b.c> <d@e.f>", [("Ann", "a@b.c"), (None, "d@e.f")]),
        ('"Ann <a@b.c>, d@e.f', [("Ann", "a@b.c"), (None, "d@e.f")]),
        ("(Ann <a@b.c>", [("Ann", "a@b.c")]),
        ("a@b:c@d", [(None, "a@b:c@d")]),
        ("a\0@b.c", [(None, "a@b.c")]),
        ("", []),
    ],
)
def test_addresses(text: str, addresses: list[tuple[str | None, str]]) -> None:
    """Each mailbox gives its name and address, as well as they can be told apart."""
    assert [(found["name"], found["email"]) for found in parse_addresses(text)] == addresses


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("undisclosed-recipients:;", [("undisclosed-recipients", 0)]),
        ("a@b, c@d", [(None, 2)]),
        ("a@b, G: c@d, e@f;, g@h, i@j", [(None, 1), ("G", 2), (None, 2)]),
        ('"G, H" (x): a@b', [("G, H", 1)]),
        ("=?utf-8?q?=C3=A9?=: a@b;", [("é", 1)]),
        ("G: a@b, H: c@d; e@f", [("G", 1), ("H", 1), (None, 1)]),
        (":;", []),
    ],
)
def test_groups(text: str, groups: list[tuple[str | None, int]]) -> None:
    """Groups keep their members; mailboxes in a row outside of groups share one nameless group."""
    assert [(group.name, len(group.addresses)) for group in parse_groups(text)] == groups
    assert all(isinstance(group, Group) for group in parse_groups(text))
