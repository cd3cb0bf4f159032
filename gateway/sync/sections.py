"""Load header blocks, parts and whole messages of Emails.

Rule 1: small sections of many Emails cost one command a mailbox and shape; a large one is streamed, never held whole.
Rule 2: a message that vanished meanwhile is left out, or ends a stream with `SectionVanished`.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence

from gateway.account.backend import HEADER, SectionRequest, SectionVanished
from gateway.sync.link import Link
from gateway.sync.places import Place, at_place, places_of
from gateway.upstream.imap import ImapError, Message, SectionMissing

CHUNKS_AHEAD = 8  # read from the server before the client has taken the first: smooths, and bounds memory


async def load_sections(link: Link, requests: Sequence[SectionRequest]) -> Mapping[tuple[str, str], bytes]:
    """Return the octets by (email id, section)."""
    wanted: dict[str, dict[str, int | None]] = defaultdict(dict)
    for request in requests:
        wanted[request.email_id][request.section] = request.max_octets
    alone = await _without_multipart(link, [id for id, sections in wanted.items() if "1.MIME" in sections])
    found: dict[tuple[str, str], bytes] = {}

    async def load(place: Place) -> None:
        shapes: dict[str, list[int]] = defaultdict(list)
        for uid, email_id in place.email_by_uid.items():
            shapes[_items(wanted[email_id], is_alone=email_id in alone)].append(uid)

        def on_message(message: Message) -> None:
            email_id = place.email_by_uid.get(message.uid)
            for section in wanted[email_id] if email_id is not None else ():
                octets = message.sections.get(_asked(section, is_alone=email_id in alone))
                if email_id is not None and octets is not None:
                    found[email_id, section] = octets

        async with at_place(link, place) as connection:
            await asyncio.gather(
                *(
                    connection.fetch([(uid, uid) for uid in sorted(uids)], f"UID {items}", on_message=on_message)
                    for items, uids in shapes.items()
                )
            )

    await asyncio.gather(*(load(place) for place in places_of(link, wanted)))
    return found


async def stream_section(link: Link, email_id: str, section: str) -> AsyncGenerator[bytes, None]:
    """Yield one section in chunks; the server waits while the client does not read."""
    places = places_of(link, [email_id])
    if not places:
        raise SectionVanished(email_id)
    uid = next(iter(places[0].email_by_uid))
    queue: asyncio.Queue[bytes | ImapError | None] = asyncio.Queue(CHUNKS_AHEAD)

    async def pump() -> None:
        try:
            async with at_place(link, places[0]) as connection:
                await connection.fetch_section(uid, section, sink=queue.put)
            await queue.put(None)
        except ImapError as error:
            await queue.put(error)

    pumping = asyncio.create_task(pump())
    try:
        while (chunk := await queue.get()) is not None:
            if isinstance(chunk, SectionMissing):
                raise SectionVanished(email_id)
            if isinstance(chunk, ImapError):
                raise chunk
            yield chunk
    finally:
        pumping.cancel()
        await asyncio.gather(pumping, return_exceptions=True)


async def _without_multipart(link: Link, email_ids: Sequence[str]) -> set[str]:
    """Return those whose only part is the message itself: servers disagree on what its 1.MIME is."""
    if not email_ids:
        return set()
    with link.account.snapshot() as snapshot:
        rows = snapshot.emails(email_ids, with_structure=True)
    return {row.id for row in rows.values() if row.structure is not None and not row.structure.is_multipart}


def _asked(section: str, *, is_alone: bool) -> str:
    return HEADER if is_alone and section == "1.MIME" else section


def _items(sections: Mapping[str, int | None], *, is_alone: bool) -> str:
    parts = []
    for section, max_octets in sorted(sections.items()):
        partial = "" if max_octets is None else f"<0.{max(max_octets, 1)}>"  # a length of 0 is no nz-number
        parts.append(f"BODY.PEEK[{_asked(section, is_alone=is_alone)}]{partial}")
    return " ".join(dict.fromkeys(parts))
