"""`sync.sieve.vacation_text`."""

from __future__ import annotations

import email
import email.policy
import re
from base64 import b64encode
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sync.sieve.vacation_text import DEFAULTS, Status, Vacation, moment, read, write
from tests.sync.sieve.test_script_text import unquote

STATUSES: tuple[Status, ...] = ("on", "leaving", "off")
TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=200)
SUBJECTS = st.none() | st.text(st.characters(exclude_categories=["C", "Z"]), max_size=100)
DATES = st.none() | st.sampled_from(["2020-02-29T00:00:00Z", "9999-12-31T23:59:60Z", "2026-01-02T03:04:05.5Z"])
NAMES = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=50)
STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def vacation(status: Status = "on", **properties: Any) -> Vacation:
    return Vacation(status, {**DEFAULTS, **properties})


@given(
    st.sampled_from(STATUSES),
    st.fixed_dictionaries(
        {
            "isEnabled": st.booleans(),
            "fromDate": DATES,
            "toDate": DATES,
            "subject": SUBJECTS,
            "textBody": TEXTS,
            "htmlBody": TEXTS,
        }
    ),
    st.lists(NAMES, max_size=2),
    st.booleans(),
    st.lists(NAMES, max_size=2),
)
def test_what_is_written_is_read_back(
    status: Status, properties: dict[str, Any], includes: list[str], is_behind: bool, addresses: list[str]
) -> None:
    """The comment brings everything back; beside its strings the script holds words that no text chooses."""
    told = Vacation(status, properties, tuple(includes), "digest", is_behind, tuple(addresses))
    script = write(told)
    assert read(script) == told
    commands = script.decode().split("\r\n#\r\n", 1)[1]
    bare = STRING.sub("", commands)
    words = set(re.findall(r"[^\s;,\[\](){}]+", bare))
    assert words <= {
        *(
            "require",
            "vacation",
            ":addresses",
            ":subject",
            ":mime",
            "include",
            ":personal",
            ":optional",
            "if",
            "allof",
            "anyof",
        ),
        *("not", "currentdate", ":zone", ":value", ":is"),
    }
    strings = [unquote(one) for one in STRING.findall(commands)]
    if status != "leaving" and properties["subject"] is not None:
        assert properties["subject"] in strings
    assert all(name in strings for name in includes)


def test_an_edited_script_is_no_longer_ours() -> None:
    """One octet changed anywhere, and the script is the user's."""
    script = write(vacation(subject="away"))
    for at in range(0, len(script), 7):
        edited = bytearray(script)
        edited[at] ^= 1
        assert read(bytes(edited)) is None, at
    assert read(script + b"keep;") is None
    assert read(b"") is None


@pytest.mark.parametrize(
    "about",
    [
        b"",
        b"[]",
        b"{}",
        b'{"status":"on","properties":{},"includes":[],"digest":"","behind":false}',
        b'{"status":"on","properties":{"isEnabled":1},"includes":7,"digest":"","behind":false}',
        b"\xff",
    ],
)
def test_a_forged_comment_is_no_ones(about: bytes) -> None:
    """A comment whose digest fits and whose content makes no sense is passed over."""
    rest = b"# " + b64encode(about) + b"\r\n#\r\nkeep;\r\n"
    script = b"# jmap-gateway vacation 1 " + sha256(rest).hexdigest().encode() + b"\r\n" + rest
    assert read(script) is None


def test_where_the_reply_stands() -> None:
    """Before what is included, or behind it; not at all when the script is to be left."""
    for status, is_behind, expected in (
        ("on", False, ["vacation", "include"]),
        ("on", True, ["include", "vacation"]),
        ("leaving", False, ["include"]),
        ("off", False, ["vacation", "include"]),
    ):
        told = Vacation(status, DEFAULTS, ("mine",), "", is_behind)  # type: ignore[arg-type] # of the table above
        lines = write(told).decode().split("\r\n#\r\n", 1)[1].split("\r\n")[1:]
        assert [line.split()[0] for line in lines if line] == expected


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2020-02-29T12:00:00Z", ("2020-02-29", "12:00:00")),
        ("2020-02-29T23:59:59.5Z", ("2020-03-01", "00:00:00")),
        ("2016-12-31T23:59:60Z", ("2017-01-01", "00:00:00")),
        ("9999-12-31T23:59:60Z", ("9999-12-31", "23:59:59")),
        ("0001-01-01T00:00:00Z", ("0001-01-01", "00:00:00")),
        ("1969-12-31T23:59:59.25Z", ("1970-01-01", "00:00:00")),
    ],
)
def test_moments(date: str, expected: tuple[str, str]) -> None:
    """A time is rounded up to the second: before it nothing is answered, from it on everything."""
    assert moment(date) == expected


def test_html_is_a_message_of_two_parts() -> None:
    """The entity is ASCII, and its parts say what they are to say; the same text is the same entity."""
    html = '<p>ä & <b>"b"</b></p>\r\n.\r\n--=_\r\n'
    script = write(vacation(htmlBody=html)).decode()
    assert script == write(vacation(htmlBody=html)).decode()
    entity = unquote(STRING.findall(script.split(":mime", 1)[1])[0])
    assert entity.isascii()
    message = email.message_from_string(entity, policy=email.policy.default)
    plain, rich = message.iter_parts()
    assert "ä & " in plain.get_content()
    assert rich.get_payload(decode=True) == html.encode()
