"""Parameters of Content-Type and Content-Disposition (RFC 2045, RFC 2183, RFC 2231)."""

from __future__ import annotations

import pytest

from gateway.message.parameters import MAX_PARAMETERS, file_name, parse_content_type, parse_value


@pytest.mark.parametrize(
    ("text", "value", "parameters"),
    [
        ("text/plain", "text/plain", {}),
        (" Text/HTML ; Charset=UTF-8", "text/html", {"charset": "UTF-8"}),
        ('text/plain; charset="us-ascii" (Plain)', "text/plain", {"charset": "us-ascii"}),
        ("text/plain; charset=us-ascii (Plain)", "text/plain", {"charset": "us-ascii"}),
        ("(a) text / (b) plain", "text/plain", {}),
        ("text/plain charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ('multipart/mixed; boundary="a;b\\"c"', "multipart/mixed", {"boundary": 'a;b"c'}),
        ('multipart/mixed; boundary="abc', "multipart/mixed", {"boundary": "abc"}),
        ("multipart/mixed; boundary==_x;;; a=b", "multipart/mixed", {"boundary": "=_x", "a": "b"}),
        ("a/b; x=1; x=2", "a/b", {"x": "1"}),
        ("text", "text/plain", {}),
        ("text; charset=utf-8", "text/plain", {"charset": "utf-8"}),
        ("", "text/plain", {}),
        (";;; /=\"", "text/plain", {}),
        # The examples of RFC 2231.
        ('a/b; url*0="ftp://";\r\n url*1="x.test"', "a/b", {"url": "ftp://x.test"}),
        ("a/b; t*=us-ascii'en-us'This%20is%20%2A", "a/b", {"t": "This is *"}),
        (
            "a/b; t*0*=us-ascii'en'This%20is%20even%20more%20; t*1*=%2A%2A%2Afun%2A%2A%2A%20; t*2=\"isn't it!\"",
            "a/b",
            {"t": "This is even more ***fun*** isn't it!"},
        ),
        # Cut inside a character, out of order, with a gap, without a charset, in an unknown one.
        ("a/b; t*1*=%A9; t*0*=utf-8''%C3", "a/b", {"t": "é"}),
        ("a/b; t*0=a; t*2=c", "a/b", {"t": "a"}),
        ("a/b; t*=%C3%A9", "a/b", {"t": "é"}),
        ("a/b; t*=x-none''%E9", "a/b", {"t": "é"}),
        ("a/b; t=old; t*=utf-8''new", "a/b", {"t": "new"}),
    ],
)  # fmt: skip
def test_content_type(text: str, value: str, parameters: dict[str, str]) -> None:
    """Type and parameters are read with their comments, continuations and mistakes."""
    assert parse_content_type(text) == (value, parameters)


def test_disposition_is_one_lower_case_word() -> None:
    """The disposition loses CFWS and parameters."""
    assert parse_value(" ATTACHMENT (x); a=b") == ("attachment", {"a": "b"})
    assert parse_value("") == ("", {})


@pytest.mark.parametrize(
    ("disposition", "content_type", "name"),
    [
        ('x; filename="a b.pdf"', "", "a b.pdf"),
        ("x; filename=a b (1).pdf; size=1", "", "a b (1).pdf"),
        ('x; filename="=?utf-8?B?w5xiZXI=?=.pdf"', "", "Über.pdf"),
        ('x; filename="=?utf-8?Q?a?= =?utf-8?Q?b?="', "", "ab"),
        ("x", "a/b; name=t.pdf", "t.pdf"),
        ("x; filename=", "a/b; name=t.pdf", "t.pdf"),
        ('x; filename="a\\"b"', "", 'a"b'),
        ("x; filename*=utf-8''a%0Ab%00", "", "ab"),
        ("x", "", None),
    ],
)
def test_file_name(disposition: str, content_type: str, name: str | None) -> None:
    """The name is the disposition's filename, else the type's name, decoded in whatever way it was encoded."""
    assert file_name(parse_value(disposition).parameters, parse_content_type(content_type).parameters) == name


def test_parameters_are_bounded() -> None:
    """Past the limit parameters are passed over."""
    text = "a/b; " + ";".join(f"p{number}=x" for number in range(10_000))
    assert len(parse_content_type(text).parameters) <= MAX_PARAMETERS
