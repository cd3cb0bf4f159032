"""A few dozen messages as one person might have them: threads, newsletters, receipts, attachments, other scripts."""

from __future__ import annotations

import base64
import email.policy
import email.utils
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from functools import partial

ME = "Sam Rivera <demo@example.com>"
NINA, OLU, MEI, TOM = (
    "Nina Kowalczyk <nina@harbour-press.example>",
    "Olu Adeyemi <olu@harbour-press.example>",
    "陳美玲 <meiling@paperlantern.example>",
    "Tomás Ó Briain <tomas@obriain.example>",
)
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
HOUR_S = 3600
# Folded by the standard library, and 8-bit free so that any server takes it.
WIRE = email.policy.SMTP.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class DemoMessage:
    """One message and how it lies in the account."""

    mailbox: str
    flags: str  # as IMAP writes them
    received_s: int  # Unix time
    octets: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """One row of the tables below."""

    hours_ago: float
    sender: str
    subject: str
    text: str
    to: str = ME
    mailbox: str = "INBOX"
    flags: str = r"\Seen"
    html: str = ""
    attachment: tuple[str, str] | None = None  # file name, media type
    reply_to_row: int | None = None  # row of the message that this one answers
    list_id: str = ""


ROWS: tuple[Note, ...] = (
    Note(0.4, NINA, "Proofs for the spring catalogue", "Sam,\n\nThe proofs are in. Page 14 still has the old cover of "
         "“Salt Roads”; everything else looks right to me. Could you look before four?\n\nNina",
         flags="", attachment=("catalogue-proof.pdf", "application/pdf")),
    Note(2.2, OLU, "Re: Reading on Thursday",
         "Seven is fine. I will bring the projector, you bring the cable this time.",
         flags="", reply_to_row=2),
    Note(5.0, ME, "Reading on Thursday",
         "Olu, could we start the reading at seven instead of half past six? The library "
         "closes its doors at nine either way.", to=OLU, mailbox="Sent"),
    Note(7.5, "Tidewater Rail <tickets@tidewater-rail.example>", "Your tickets to Port Ellery, 2 passengers",
         "Coach 4, seats 31 and 32. Departure 08:12. Show the attached ticket on your telephone or on paper.",
         html="<h1>Have a good trip</h1><p>Coach <b>4</b>, seats <b>31</b> and <b>32</b>. Departure 08:12.</p>",
         attachment=("tickets.pdf", "application/pdf")),
    Note(20, MEI, "封面設計初稿", "Sam 你好，\n\n附上封面的初稿，請看看顏色是否合適。星期五之前告訴我就可以。\n\n美玲",
         flags=r"\Flagged", attachment=("封面.png", "image/png")),
    Note(21, NINA, "Re: Print run for “Salt Roads”", "Three thousand, then. I will tell the printer today.",
         flags=r"\Seen \Answered", reply_to_row=6),
    Note(26, ME, "Re: Print run for “Salt Roads”", "Three thousand feels right. Last year we ran out in June.",
         to=NINA, mailbox="Sent", reply_to_row=7),
    Note(27, NINA, "Print run for “Salt Roads”", "The printer wants a number by Friday: two or three thousand copies?",
         flags=r"\Seen \Answered"),
    Note(30, "Municipal Library <events@library.example>", "Room booking confirmed",
         "Your booking of the Reading Room on "
         "Thursday from 18:00 to 21:00 is confirmed. Please leave the chairs as you found them."),
    Note(44, TOM, "Grianghraif ón oileán",
         "A Sam, a chara,\n\nSeo na grianghraif ón tsamhradh. Bhí an aimsir go hálainn!"
         "\n\nTomás", attachment=("trá.png", "image/png")),
    Note(50, "Kestrel Bank <noreply@kestrel-bank.example>", "Your statement is ready",
         "Your statement for last month is "
         "ready in online banking. We never ask for your password by mail.", flags=""),
    Note(54, "The Compositor <weekly@compositor.example>", "The Compositor #212: hyphens, hung and otherwise",
         "This week: why hanging punctuation came back, an interview with a punchcutter, and six new revivals.",
         html="<h2>The Compositor #212</h2><ul><li>Why hanging punctuation came back</li><li>An interview with a "
         "punchcutter</li><li>Six new revivals</li></ul><p><a href='https://compositor.example/212'>Read on</a></p>",
         list_id="The Compositor <weekly.compositor.example>"),
    Note(70, OLU, "Fwd: Paper prices from April",
         "See below. Nine per cent more for the uncoated stock; I think we should "
         "order now.\n\n---------- Forwarded message ----------\nFrom: sales@millbrook-paper.example\n\n"
         "Dear customer, from 1 April our prices change as follows …"),
    Note(80, "Jürgen Groß <j.gross@buchmesse.example>", "Standplan und Aufbauzeiten",
         "Guten Tag,\n\nIhr Stand ist 4.2 B 17. "
         "Der Aufbau ist am Dienstag ab 8 Uhr möglich. Grüße aus der Messeleitung",
         attachment=("Standplan Halle 4.pdf", "application/pdf")),
    Note(96, "Build bot <bot@forge.example>", "[salt-roads-web] Build 418 passed",
         "All 212 tests passed in 3 min 40 s.",
         list_id="salt-roads-web <salt-roads-web.forge.example>"),
    Note(97, "Build bot <bot@forge.example>", "[salt-roads-web] Build 417 failed", "2 of 212 tests failed:\n\n"
         "  test_checkout.py::test_vat_in_other_countries\n  test_checkout.py::test_rounding",
         list_id="salt-roads-web <salt-roads-web.forge.example>"),
    Note(120, NINA, "Lunch, and the contract",
         "Wednesday at the usual place? The contract with the translator is attached; "
         "section 4 is the one to read.", attachment=("contract.pdf", "application/pdf")),
    Note(118, ME, "Re: Lunch, and the contract", "Wednesday it is. Section 4 is fine if “exclusive” goes.", to=NINA,
         mailbox="Sent", reply_to_row=16),
    Note(150, "Иван Соколов <ivan@perevod.example>", "Вопрос о переводе",
         "Здравствуйте, Сэм!\n\nВ третьей главе есть игра "
         "слов, которую я не могу передать буквально. Можно ли её заменить?\n\nИван"),
    Note(200, "Green Bicycle Workshop <hello@greenbicycle.example>", "Your bicycle is ready",
         "New chain, new brake pads. "
         "48.50 in all. We are open until six, on Saturdays until one."),
    Note(260, OLU, "Notes from Monday",
         "1. Catalogue: proofs this week.\n2. Fair: Nina drives, Sam packs.\n3. Web shop: "
         "rounding bug first, then the newsletter."),
    Note(300, "Port Ellery Harbour Hotel <stay@harbourhotel.example>", "Reservation 7F3K2: two nights",
         "We look forward to your stay. Check-in from 15:00.",
         html="<p>We look forward to your stay.</p><p>Check-in from <b>15:00</b>.</p>"),
    Note(400, MEI, "Re: 合約", "收到，謝謝！", flags=r"\Seen \Answered"),
    Note(500, "Water & Light <billing@waterlight.example>", "Invoice 2291-04",
         "Amount due: 86.20. Thank you for paying by "
         "direct debit.", mailbox="Archive", attachment=("invoice-2291-04.pdf", "application/pdf")),
    Note(900, "Water & Light <billing@waterlight.example>", "Invoice 2290-88", "Amount due: 91.75.", mailbox="Archive",
         attachment=("invoice-2290-88.pdf", "application/pdf")),
    Note(950, TOM, "Address in Galway", "From May: 4 Quay Lane, Galway.", mailbox="Archive"),
    Note(1100, NINA, "Welcome aboard", "So glad that you are joining us. Your desk is the one by the window.",
         mailbox="Archive", flags=r"\Seen \Flagged"),
    Note(60, NINA, "Re: Cover copy", "Shorter. Much shorter. But yes.", reply_to_row=28,
         mailbox="Projects/Salt Roads"),
    Note(64, ME, "Cover copy", "“A road is a promise made by people who will not walk it.” Too much?", to=NINA,
         mailbox="Projects/Salt Roads"),
    Note(66, "Ada Lindqvist <ada@lindqvist.example>", "Map for the endpapers", "Here is the map, with the salt works "
         "where you wanted them.", mailbox="Projects/Salt Roads", attachment=("endpapers.png", "image/png")),
    Note(31, "Ruth Okafor <ruth@okafor.example>", "Rights for the audio book",
         "We would like to make an offer for the audio "
         "rights. Is Thursday good for a call?", mailbox="Projects/Salt Roads", flags=r"\Flagged"),
    Note(3, ME, "Letter to the bookshops", "Dear booksellers,\n\nthis spring we", to="", mailbox="Drafts",
         flags=r"\Draft \Seen"),
    Note(33, ME, "Re: Вопрос о переводе", "Dear Ivan, please do", to="Иван Соколов <ivan@perevod.example>",
         mailbox="Drafts", flags=r"\Draft \Seen", reply_to_row=18),
    Note(100, "Lucky Winner <prize@lottery.invalid>", "YOU HAVE WON!!!", "Send us your bank details to claim it.",
         mailbox="Junk", flags="$Junk"),
    Note(140, "Dr Cheap Watches <sale@watches.invalid>", "Time is running out", "90 % off. Really.", mailbox="Junk",
         flags="$Junk"),
    Note(220, "Parcel Service <track@parcels.example>", "Delivered: one parcel",
         "Left with your neighbour at number 12.",
         mailbox="Trash"),
)  # fmt: skip # a table reads better than forty exploded calls

MAILBOXES = ("Archive", "Drafts", "Junk", "Projects", "Projects/Salt Roads", "Sent", "Trash")


def messages(now_s: int) -> Iterator[DemoMessage]:
    """Yield the account's messages, oldest first, as if it were `now_s`."""
    for row in sorted(range(len(ROWS)), key=lambda n: -ROWS[n].hours_ago):
        note = ROWS[row]
        when_s = now_s - int(note.hours_ago * HOUR_S)
        yield DemoMessage(note.mailbox, note.flags, when_s, compose(row, when_s))


def compose(row: int, when_s: int) -> bytes:
    """Write one row as an RFC 5322 message."""
    note, message = ROWS[row], EmailMessage(policy=WIRE)
    put = partial(message.__setitem__)
    put("From", note.sender)
    if note.to:
        put("To", note.to)
    put("Subject", note.subject)
    put("Date", email.utils.formatdate(when_s))
    put("Message-ID", message_id(row))
    if note.reply_to_row is not None:
        put("In-Reply-To", message_id(note.reply_to_row))
        put("References", " ".join(message_id(earlier) for earlier in ancestors(row)))
    if note.list_id:
        put("List-Id", note.list_id)
    message.set_content(note.text + "\n")
    if note.html:
        message.add_alternative(f"<html><body>{note.html}</body></html>\n", subtype="html")
    if note.attachment:
        name, media_type = note.attachment
        main, _, sub = media_type.partition("/")
        content = PIXEL if media_type == "image/png" else one_page_pdf(note.subject)
        message.add_attachment(content, maintype=main, subtype=sub, filename=name)
    return message.as_bytes()


def message_id(row: int) -> str:
    return f"<demo-{row}@{ROWS[row].sender.rpartition('@')[2].rstrip('>')}>"


def ancestors(row: int) -> list[int]:
    """Rows that this one answers, the first of the thread first."""
    chain: list[int] = []
    parent = ROWS[row].reply_to_row
    while parent is not None:
        chain.insert(0, parent)
        parent = ROWS[parent].reply_to_row
    return chain


def one_page_pdf(title: str) -> bytes:
    """Return a small PDF that shows its title."""
    shown = title.encode("ascii", "replace").replace(b"(", b"[").replace(b")", b"]")
    stream = b"BT /F1 18 Tf 72 720 Td (" + shown + b") Tj ET"
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 5 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >> >> >>",
    )
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)
