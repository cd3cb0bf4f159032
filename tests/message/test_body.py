"""Which parts are body and which attachments (RFC 8621 section 4.1.4)."""

from __future__ import annotations

import pytest

from gateway.message.body import body_value, flatten, has_attachment, preview_part
from gateway.message.part import Part


def leaf(
    section: str, type_: str, disposition: str | None = None, *, name: str | None = None, cid: str | None = None
) -> Part:
    return Part(section, type_, disposition=disposition, name=name, cid=cid, encoded_octets=1)


def multi(subtype: str, *subparts: Part, section: str = "") -> Part:
    return Part(section, f"multipart/{subtype}", subparts=subparts)


# The structure of the RFC's example, its letters for sections.
RFC_EXAMPLE = multi(
    "mixed",
    leaf("A", "text/plain", "inline"),
    multi(
        "mixed",
        multi(
            "alternative",
            multi("mixed", leaf("B", "text/plain", "inline"), leaf("C", "image/jpeg", "inline"),
                  leaf("D", "text/plain", "inline")),
            multi("related", leaf("E", "text/html"), leaf("F", "image/jpeg")),
        ),
        leaf("G", "image/jpeg", "attachment"),
        leaf("H", "application/x-excel"),
        leaf("J", "message/rfc822"),
    ),
    leaf("K", "text/plain", "inline"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("root", "text", "html", "attachments", "has"),
    [
        (RFC_EXAMPLE, "ABCDK", "AEK", "CFGHJ", True),
        (leaf("1", "text/html"), "1", "1", "", False),
        (leaf("1", "image/png"), "1", "1", "", False),
        (leaf("1", "text/plain", "attachment"), "", "", "1", True),
        (multi("alternative", leaf("1", "text/html")), "1", "1", "", False),
        (multi("alternative", leaf("1", "text/plain"), leaf("2", "image/png")), "1", "1", "2", True),
        (multi("mixed", leaf("1", "text/plain"), leaf("2", "text/plain", name="n")), "1", "1", "2", True),
        (multi("mixed", leaf("1", "text/plain", name="n"), leaf("2", "text/plain")), "12", "12", "", False),
        (multi("mixed", leaf("1", "text/plain"), leaf("2", "application/pdf", "inline")), "1", "1", "2", False),
        (multi("related", leaf("1", "text/html"), leaf("2", "image/png", cid="c")), "1", "1", "2", False),
        (multi("related", leaf("1", "text/html"), leaf("2", "image/png")), "1", "1", "2", True),
        (multi("related", leaf("1", "text/html"), leaf("2", "image/png", "attachment", cid="c")), "1", "1", "2", True),
        (multi("signed", leaf("1", "text/plain"), leaf("2", "application/pgp-signature")), "1", "1", "2", False),
        (multi("mixed", leaf("1", "text/plain"), leaf("2", "application/pgp-signature")), "1", "1", "2", True),
        (multi("mixed"), "", "", "", False),
    ],
)
def test_flatten(root: Part, text: str, html: str, attachments: str, has: bool) -> None:
    """The three lists are those of the RFC's algorithm, and hasAttachment follows from the third."""
    lists = flatten(root)
    assert ["".join(part.section for part in parts) for parts in lists] == [text, html, attachments]
    assert has_attachment(root) is has


def test_depth_is_bounded() -> None:
    """A tree deeper than any mail is not followed to its end, and does not raise."""
    root = leaf("1", "text/plain")
    for _ in range(3000):
        root = multi("mixed", root)
    assert flatten(root).text == []
    assert has_attachment(root) is False


def test_preview_is_made_of_the_first_text() -> None:
    """Media before the text, and empty texts, are passed over."""
    empty = Part("1", "text/plain")
    assert preview_part(flatten(multi("mixed", empty, leaf("2", "image/png"), leaf("3", "text/html")))) == leaf(
        "3", "text/html"
    )
    assert preview_part(flatten(leaf("1", "image/png"))) is None


def test_body_value_reports_either_problem() -> None:
    """An unknown encoding is as much a problem as an unknown charset."""
    assert body_value(b"a\r\n", Part("1", "text/plain", charset="utf-8")) == ("a\n", False)
    assert body_value(b"a", Part("1", "text/plain", charset="utf-8", encoding="x-none")) == ("a", True)
    assert body_value(b"a", Part("1", "text/plain", charset="x-none")) == ("a", True)
