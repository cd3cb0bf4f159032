"""Encoded words (RFC 2047) where they may stand and where they may not."""

from __future__ import annotations

import pytest

from gateway.message.encodedwords import decode_anywhere, decode_unstructured, decode_words


@pytest.mark.parametrize(
    ("text", "decoded"),
    [
        # The examples of RFC 2047 section 8.
        ("=?ISO-8859-1?Q?a?=", "a"),
        ("=?ISO-8859-1?Q?a?= b", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a?=  \r\n =?ISO-8859-1?Q?b?=", "ab"),
        ("=?ISO-8859-1?Q?a_b?=", "a b"),
        ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
        ("=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=", "If you can read this yo"),
        # A character, then a base64 quantum, cut in two.
        ("=?utf-8?q?=E4=BC?= =?utf-8?q?=9A?=", "会"),
        ("=?utf-8?b?5Lw=?= =?utf-8?B?mg==?=", "会"),
        ("=?iso-2022-jp?B?GyRCOzNFRBsoQg==?= =?iso-2022-jp?B?GyRCQkBPOhsoQg==?=", "山田太郎"),
        # Broken payloads: as far as they go.
        ("=?utf-8?b?w6k?=", "é"),
        ("=?utf-8?b?w6*k=?=", "é"),
        ("=?utf-8?b?a?=", ""),
        ("=?utf-8?q?=C3?=", "\ufffd"),
        ("=?utf-8?q?=ZZ=?=", "=ZZ"),
        ("=?utf-8?q??=", ""),
        ("=?us-ascii?q?=E9?=", "\ufffd"),
        # Controls are dropped; a language is passed over.
        ("=?utf-8?q?a=00=0A=7Fb?=", "ab"),
        ("=?utf-8*en-GB?q?a?=", "a"),
        # No encoded words.
        ("x=?utf-8?q?a?=", "x=?utf-8?q?a?="),
        ("=?utf-8?q?a?=x", "=?utf-8?q?a?=x"),
        ("=?utf-8?q?a?==?utf-8?q?b?=", "=?utf-8?q?a?==?utf-8?q?b?="),
        ("=?utf-8?q?a b?=", "=?utf-8?q?a b?="),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("=?none?q?a?= =?utf-8?q?b?=", "=?none?q?a?= b"),
        ("=?rot13?q?a?= =?os?q?b?=", "=?rot13?q?a?= =?os?q?b?="),
        ("=?=?=", "=?=?="),
        ("  plain  ", "  plain  "),
    ],
)
def test_unstructured(text: str, decoded: str) -> None:
    """Words between white space are decoded together; all else stays as it is."""
    assert decode_unstructured(text) == decoded


def test_file_names_are_decoded_wherever_words_stand() -> None:
    """In a file name an encoded word need not keep its distance, and may hold blanks."""
    assert decode_anywhere("a=?utf-8?q?=C3=A9 b?==?utf-8?q?c?=.pdf") == "aé bc.pdf"
    assert decode_anywhere("=?none?q?a?=.pdf") == "=?none?q?a?=.pdf"


def test_words_given_whole() -> None:
    """Words of one unknown charset are not decoded."""
    assert decode_words(["=?utf-8?q?a?=", "=?utf-8?q?b?="]) == "ab"
    assert decode_words(["=?utf-8?q?a?=", "=?none?q?b?="]) is None
