"""What a list view wants beyond the header: body structure, preview, hasAttachment. Read in bulk, kept in the index.

Rule 1: the server's PREVIEW (RFC 8970) where it has one and says something; else the start of the first text part.
Rule 2: what somebody else has loaded meanwhile stays: the sizes of its parts may be known by now (`sizes`).
Rule 3: a message whose structure makes no sense is one part of plain text: it can be shown and is not asked for again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from gateway.account.records import Batch, EmailDetail
from gateway.message.body import flatten, has_attachment
from gateway.message.charset import decode_text
from gateway.message.part import Part
from gateway.message.preview import preview
from gateway.message.transfer import decode_transfer
from gateway.sync.link import Link
from gateway.sync.places import Place, at_place, places_of
from gateway.sync.structure import part_of
from gateway.upstream.imap import CommandFailed, Connection, Message, Range

PREVIEW_OCTETS = 4_096  # of the encoded part: 256 characters even after base64, quoted-printable and some HTML


async def load_details(link: Link, email_ids: Sequence[str]) -> int:
    """Put the details of those that lack them into the index, as one batch. Return for how many that was possible."""
    found = await asyncio.gather(*(_load(link, place) for place in places_of(link, _lacking(link, email_ids))))
    details = {detail.email_id: detail for of_place in found for detail in of_place}
    if new := [details[id] for id in _lacking(link, list(details))]:
        await link.account.apply(Batch(details=new))
    return len(details)


def _lacking(link: Link, email_ids: Sequence[str]) -> list[str]:
    with link.account.snapshot() as snapshot:
        return [row.id for row in snapshot.emails(email_ids).values() if row.preview is None]


async def _load(link: Link, place: Place) -> list[EmailDetail]:
    async with at_place(link, place) as connection:
        structures, previews = await _structures(connection, place.ranges())
        lacking = {uid: part for uid, part in structures.items() if not previews.get(uid)}
        previews |= await _previews(connection, lacking)
    return [
        EmailDetail(place.email_by_uid[uid], previews.get(uid) or "", part, has_attachment(part))
        for uid, part in structures.items()
        if uid in place.email_by_uid
    ]


async def _structures(connection: Connection, uids: list[Range]) -> tuple[dict[int, Part], dict[int, str]]:
    structures: dict[int, Part] = {}
    previews: dict[int, str] = {}

    def on_message(message: Message) -> None:
        structure = message.structure()
        structures[message.uid] = part_of(structure) if structure else Part("1", "text/plain", "us-ascii")
        if message.preview is not None:
            previews[message.uid] = message.preview

    if "PREVIEW" in connection.capabilities:
        try:
            await connection.fetch(uids, "UID PREVIEW BODYSTRUCTURE", on_message=on_message)
        except CommandFailed:  # one message that it cannot read fails the whole command on some servers
            structures.clear()
    if not structures:
        await connection.fetch(uids, "UID BODYSTRUCTURE", on_message=on_message)
    return structures, previews


async def _previews(connection: Connection, parts: dict[int, Part]) -> dict[int, str]:
    """Make previews from the start of the first text part of each message."""
    chosen: dict[int, Part] = {}
    by_section: dict[str, list[int]] = defaultdict(list)
    for uid, root in parts.items():
        lists = flatten(root)
        text = next((part for part in [*lists.text, *lists.html] if part.type.startswith("text/")), None)
        if text is not None and text.encoded_octets != 0:
            chosen[uid] = text
            by_section[text.section].append(uid)
    previews: dict[int, str] = {}

    def on_message(message: Message) -> None:
        part = chosen.get(message.uid)
        octets = message.sections.get(part.section) if part is not None else None
        if part is not None and octets:
            decoded, _ = decode_transfer(octets, part.encoding)
            text, _ = decode_text(decoded, part.charset)
            previews[message.uid] = preview(text, is_html=part.type == "text/html")

    await asyncio.gather(
        *(
            connection.fetch(
                [(uid, uid) for uid in sorted(uids)],
                f"UID BODY.PEEK[{section}]<0.{PREVIEW_OCTETS}>",
                on_message=on_message,
            )
            for section, uids in by_section.items()
        )
    )
    return previews
