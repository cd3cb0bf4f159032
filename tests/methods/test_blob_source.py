"""Any blob id opened (RFC 8620 section 6.2, RFC 8621 section 4.1.4)."""

from __future__ import annotations

from base64 import encodebytes

import pytest

from gateway.methods import blob_source
from gateway.methods.blob_source import Blob, BlobTooLarge, open_blob, read_blob
from tests.methods.world import World

LETTER = """MIME-Version: 1.0
Subject: inside
Content-Type: multipart/mixed; boundary=in

--in

text inside
--in
Content-Type: application/octet-stream; name=a.bin
Content-Transfer-Encoding: base64

AAECAwQ=
--in--
"""


def carrying(letter: str, encoding: str = "7bit") -> str:
    """Return a message that has another one attached."""
    if encoding == "base64":
        letter = encodebytes(letter.replace("\n", "\r\n").encode()).decode()
    boundary = f"out{len(letter)}"
    return (
        f"Subject: outside\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary={boundary}\n\n"
        f"--{boundary}\n\ntext outside\n"
        f"--{boundary}\nContent-Type: message/rfc822\nContent-Transfer-Encoding: {encoding}\n\n{letter}\n"
        f"--{boundary}--\n"
    )


async def opened(world: World, blob_id: str) -> Blob:
    blob = await open_blob(world.account, blob_id)
    assert blob is not None
    return blob


async def read(world: World, blob_id: str) -> bytes:
    return await read_blob(world.account, blob_id, max_octets=1_000_000)


async def test_whole_message(world: World) -> None:
    """The blob of an Email is the message as it is, with its size, and never more in memory than a chunk."""
    id = await world.deliver(carrying(LETTER))
    blob = await opened(world, f"m_{id}")
    chunks = [chunk async for chunk in blob.chunks]
    assert b"".join(chunks) == world.messages[id]
    assert len(chunks) > 10
    assert blob.size_octets == len(world.messages[id])


async def test_part(world: World) -> None:
    """The blob of a part is its content without the transfer encoding."""
    id = await world.deliver(LETTER)
    blob = await opened(world, f"p2_{id}")
    assert (blob.type, blob.name) == ("application/octet-stream", "a.bin")
    assert await read(world, f"p2_{id}") == b"\0\1\2\3\4"
    assert await read(world, f"p1_{id}") == b"text inside"


async def test_known_size(world: World) -> None:
    """The size is told before the octets where it is known without reading them."""
    id = await world.deliver(LETTER)
    assert (await opened(world, f"p1_{id}")).size_octets == 11
    assert (await opened(world, f"p2_{id}")).size_octets is None
    await world.call("Email/get", ids=[id])
    assert (await opened(world, f"p2_{id}")).size_octets == 5


async def test_upload(world: World) -> None:
    """An upload is read as it was put."""
    blob_id = world.uploads.add(b"x" * 5000, "text/plain")
    blob = await opened(world, blob_id)
    assert (blob.size_octets, blob.type) == (5000, "text/plain")
    assert await read(world, blob_id) == b"x" * 5000


@pytest.mark.parametrize("encoding", ["7bit", "base64"])
async def test_part_of_an_attached_message(world: World, encoding: str) -> None:
    """A part of a message that is a part, or an upload, opens too, however deep."""
    id = await world.deliver(carrying(carrying(LETTER), encoding))
    inner = f"p2_p2_{id}"
    assert (await read(world, inner)).startswith(b"MIME-Version: 1.0\r\nSubject: inside\r\n")
    assert await read(world, f"p2_{inner}") == b"\0\1\2\3\4"
    upload = world.uploads.add(carrying(LETTER).replace("\n", "\r\n").encode())
    assert await read(world, f"p2_p2_{upload}") == b"\0\1\2\3\4"


async def test_unseen_mailbox(world: World) -> None:
    """A blob of an Email in a mailbox that is not indexed yet is found."""
    await world.add_mailbox("late", is_indexed=False)
    id = await world.deliver(LETTER, "late")
    assert await read(world, f"p2_{id}") == b"\0\1\2\3\4"


async def test_not_found(world: World) -> None:
    """What does not exist is not found: no email, no part, no upload, no id of ours, or a multipart."""
    id = await world.deliver(LETTER)
    deep = "p1_" * 40 + id
    for blob_id in ("m_nothing", "p1_nothing", f"p9_{id}", f"p1-1_{id}", f"u_{'0' * 64}", "nonsense", id, "", deep):
        assert await open_blob(world.account, blob_id) is None


async def test_vanished(world: World) -> None:
    """A message that is gone upstream is not found, before any octet is given out."""
    id = await world.deliver(LETTER)
    await world.call("Email/get", ids=[id])
    world.gone.add(id)
    for blob_id in (f"m_{id}", f"p2_{id}"):
        assert await open_blob(world.account, blob_id) is None


async def test_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob that is larger than asked is refused before it is in memory, its size known or not."""
    id = await world.deliver(LETTER)
    for blob_id in (f"m_{id}", f"p2_{id}"):
        with pytest.raises(BlobTooLarge):
            await read_blob(world.account, blob_id, max_octets=4)
    monkeypatch.setattr(blob_source, "MAX_PARSED_OCTETS", 10)
    outer = await world.deliver(carrying(LETTER))
    assert await open_blob(world.account, f"p1_p2_{outer}") is None


async def test_closes_its_source(world: World) -> None:
    """A download that is given up, read or not, gives its connection back at once."""
    id = await world.deliver(LETTER)
    for chunks_read in (0, 1):
        blob = await opened(world, f"p2_{id}")
        for _ in range(chunks_read):
            await anext(blob.chunks)
        assert world.streaming == 1
        await blob.chunks.aclose()
        assert world.streaming == 0
    with pytest.raises(BlobTooLarge):
        await read_blob(world.account, f"m_{id}", max_octets=1)
    assert world.streaming == 0
