"""The size of each part once decoded (RFC 8621 section 4.1.4, `size`), which BODYSTRUCTURE does not tell.

Rule 1: what is stored as it is needs no question. Else BINARY.SIZE (RFC 3516) answers, or the part is read and counted.
Rule 2: a size is asked for once: it is kept with the structure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from gateway.account.records import Batch, EmailDetail, EmailRow
from gateway.message.part import Part
from gateway.message.transfer import decoder
from gateway.sync.link import Link
from gateway.sync.places import Place, at_place, places_of
from gateway.upstream.imap import CommandFailed, Connection, Message, SectionMissing

MAX_PARTS_ASKED = 100  # in one FETCH: keeps the command below the servers' line limits


async def load_sizes(link: Link, email_ids: Sequence[str]) -> None:
    """Make `decoded_octets` of every leaf of these structures known in the index."""
    with link.account.snapshot() as snapshot:
        rows = snapshot.emails(email_ids, with_structure=True)
    lacking = {id: row for id, row in rows.items() if row.structure is not None and _unknown(row.structure)}
    places = places_of(link, lacking)
    found = await asyncio.gather(*(_load(link, place, lacking) for place in places))
    details = [detail for of_place in found for detail in of_place]
    if details:
        await link.account.apply(Batch(details=details))


async def _load(link: Link, place: Place, rows: dict[str, EmailRow]) -> list[EmailDetail]:
    async with at_place(link, place) as connection:
        return await asyncio.gather(
            *(_sized(connection, uid, rows[email_id]) for uid, email_id in place.email_by_uid.items())
        )


async def _sized(connection: Connection, uid: int, row: EmailRow) -> EmailDetail:
    if row.structure is None:
        raise ValueError("sizes are asked for where there is a structure")
    unknown = _unknown(row.structure)
    sizes = await _binary_sizes(connection, uid, unknown)
    for part in unknown:
        if part.section not in sizes:
            sizes[part.section] = await _counted(connection, uid, part)
    structure = _with_sizes(row.structure, sizes)
    return EmailDetail(row.id, row.preview or "", structure, bool(row.has_attachment))


async def _binary_sizes(connection: Connection, uid: int, parts: list[Part]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    if "BINARY" not in connection.capabilities:
        return sizes

    def on_message(message: Message) -> None:
        sizes.update(message.binary_sizes)

    for at in range(0, len(parts), MAX_PARTS_ASKED):
        items = " ".join(f"BINARY.SIZE[{part.section}]" for part in parts[at : at + MAX_PARTS_ASKED])
        try:
            await connection.fetch([(uid, uid)], f"UID {items}", on_message=on_message)
        except CommandFailed:
            continue  # an encoding that it does not know (RFC 3516 section 4.3): those are counted
    return sizes


async def _counted(connection: Connection, uid: int, part: Part) -> int:
    decode, octets = decoder(part.encoding), 0

    def count(chunk: bytes) -> None:
        nonlocal octets
        octets += len(decode.feed(chunk))

    try:
        await connection.fetch_section(uid, part.section, sink=count)
    except SectionMissing:
        return part.encoded_octets  # gone meanwhile: the next sweep takes the email away
    return octets + len(decode.finish())


def _unknown(root: Part) -> list[Part]:
    return [part for part in root.walk() if not part.is_multipart and part.decoded_octets is None]


def _with_sizes(part: Part, sizes: dict[str, int]) -> Part:
    if part.is_multipart:
        return replace(part, subparts=tuple(_with_sizes(child, sizes) for child in part.subparts))
    return replace(part, decoded_octets=sizes.get(part.section, part.decoded_octets))
