"""MIME entities of every common shape, each from Content-Type on."""

from __future__ import annotations

import base64
import datetime
import email.utils
import quopri
from collections.abc import Callable, Mapping

from tests.upstreams.seed.words import BASE64_LINE, PEOPLE, Words, base64_lines

EMPTY_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
FILES = (("pdf", "application/pdf"), ("docx", DOCX), ("png", "image/png"), ("zip", "application/zip"))
ME = ("Test User", "user@mail.test")
MAILERS = ("Outlook 16.0", "Apple Mail (2.3445)", "mutt 2.2", "Thunderbird")


class Bodies(Words):
    """Header blocks and entities."""

    serial = 0

    def headers(
        self, subject: str, message_id: str | None, references: list[str], when_s: int, mailbox: str = "INBOX"
    ) -> bytes:
        """Return the fields of a message up to and without those of its body."""
        draw = self.random
        self.serial += 1
        is_ours = mailbox in ("Sent", "Drafts")
        zone = datetime.timezone(datetime.timedelta(hours=draw.choice([0, 0, 1, 2, -5, -8, 9])))
        date = email.utils.format_datetime(datetime.datetime.fromtimestamp(when_s, zone))
        fields = [] if is_ours else self._trace(date)
        others = [self.address() for _ in range(int(draw.expovariate(1.2)))]
        fields.append("From: " + self.address(ME if is_ours else None))
        fields.append("To: " + ",\r\n\t".join([self.address(None if is_ours else ME), *others]))
        if draw.random() < 0.25:
            fields.append("Cc: " + ",\r\n\t".join(self.address() for _ in range(draw.randint(1, 5))))
        if draw.random() < 0.1:
            fields.append("Reply-To: " + self.address())
        own_id = message_id or f"<{draw.getrandbits(64):x}.{self.serial}@example.com>"
        fields += [f"Subject: {self.encoded(subject)}", f"Date: {date}", f"Message-ID: {own_id}"]
        if references:
            fields += [f"In-Reply-To: {references[-1]}", "References: " + "\r\n ".join(references[-20:])]
        if mailbox.startswith("Lists/"):
            name = mailbox[6:]
            fields += [
                f"List-Id: The {name} list <{name}.lists.example.org>",
                f"List-Post: <mailto:{name}@lists.example.org>",
                f"List-Unsubscribe: <https://lists.example.org/u/{name}>,\r\n <mailto:leave-{name}@lists.example.org>",
                "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
                "Precedence: list",
            ]
        if draw.random() < 0.3:
            fields.append(f"X-Mailer: {draw.choice(MAILERS)}")
        fields.append("MIME-Version: 1.0")
        return ("\r\n".join(fields) + "\r\n").encode()

    def _trace(self, date: str) -> list[str]:
        draw = self.random
        fields = [f"Return-Path: <{draw.choice(PEOPLE)[1]}>"]
        fields += [
            f"Received: from mx{hop}.example.com (mx{hop}.example.com [192.0.2.{draw.randint(1, 250)}])\r\n"
            f"\tby mail{hop}.mail.test with ESMTPS id {draw.getrandbits(48):x}\r\n"
            f"\tfor <user@mail.test>; {date}"
            for hop in range(draw.randint(1, 4))
        ]
        if draw.random() < 0.6:
            signature = f"{self.pool[:76].decode()}\r\n\t{self.pool[BASE64_LINE : BASE64_LINE + 76].decode()}"
            fields.append(
                f"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s1;\r\n\tb={signature}"
            )
        return fields

    def part(self, content_type: str, body: str | bytes, encoding: str | None = None, extra: str = "") -> bytes:
        transfer = f"Content-Transfer-Encoding: {encoding}\r\n" if encoding else ""
        head = f"Content-Type: {content_type}\r\n{transfer}{extra}\r\n"
        return head.encode() + (body.encode() if isinstance(body, str) else body)

    def multi(self, subtype: str, parts: list[bytes], parameters: str = "") -> bytes:
        boundary = self.boundary()
        mark = boundary.encode()
        inside = b"".join(b"--" + mark + b"\r\n" + part.rstrip(b"\r\n") + b"\r\n" for part in parts)
        head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"{parameters}\r\n\r\n'
        return head.encode() + inside + b"--" + mark + b"--\r\n"

    def plain(self, *, quote: bool = True) -> bytes:
        text, chance = self.text(quote=quote), self.random.random()
        if chance < 0.4:
            return self.part('text/plain; charset="us-ascii"', text.encode("ascii", "ignore"), "7bit")
        if chance < 0.6:
            return self.part("text/plain; charset=utf-8", text, "8bit")
        if chance < 0.8:
            return self.part("text/plain; charset=UTF-8; format=flowed", quoted_printable(text), "quoted-printable")
        if chance < 0.93:
            return self.part("text/plain; charset=utf-8", base64_lines(text.encode()), "base64")
        return self.part("text/plain; charset=iso-8859-1", text.encode("latin-1", "replace"), "8bit")

    def html(self, inline: str = "") -> bytes:
        paragraphs = "".join(f'<p style="font:12px sans-serif">{p}</p>\r\n' for p in self.text().split("\r\n\r\n"))
        style = "<head><style>p {margin:0}</style></head>"
        document = f"<html>{style}<body>\r\n{paragraphs}{inline}</body></html>\r\n"
        return self.part("text/html; charset=utf-8", quoted_printable(document), "quoted-printable")

    def attachment(self) -> bytes:
        suffix, content_type = self.random.choice(FILES)
        plain_name = self.words(2).encode("ascii", "ignore").decode()
        name = self.random.choice(
            [
                f'filename="{plain_name}.{suffix}"',
                f"filename*=UTF-8''%E4%BC%9A%E8%AD%B0%20{self.random.randint(1, 99)}.{suffix}",
                f'filename*0="a very long "; filename*1="name.{suffix}"',
                f'filename="=?utf-8?B?w5xiZXJzaWNodA==?=.{suffix}"',
            ]
        )
        return self.part(content_type, self.blob(), "base64", f"Content-Disposition: attachment; {name}\r\n")

    def alternative(self) -> bytes:
        return self.multi("alternative", [self.plain(), self.html()])

    def with_attachments(self) -> bytes:
        first = self.alternative() if self.random.random() < 0.6 else self.plain()
        count = self.random.choice([1, 1, 1, 2, 4])
        return self.multi("mixed", [first, *(self.attachment() for _ in range(count))])

    def inline_image(self) -> bytes:
        content_id = f"img{self.random.getrandbits(32):x}@example.com"
        extra = f"Content-ID: <{content_id}>\r\nContent-Disposition: inline\r\n"
        image = self.part("image/gif; name=pixel.gif", base64_lines(EMPTY_GIF), "base64", extra)
        related = self.multi("related", [self.html(f'<img src="cid:{content_id}">'), image], '; type="text/html"')
        return self.multi("alternative", [self.plain(), related])

    def forwarded(self) -> bytes:
        inner = self.headers(self.subject(), None, [], 1_600_000_000) + self.with_attachments()
        disposition = 'Content-Disposition: attachment; filename="forwarded.eml"\r\n'
        return self.multi("mixed", [self.plain(), self.part("message/rfc822", inner, None, disposition)])

    def nested(self, depth: int = 12) -> bytes:
        message = self.headers("innermost", None, [], 1_600_000_000) + self.plain()
        for level in range(depth):
            message = self.headers(f"level {level}", None, [], 1_600_000_000) + self.part("message/rfc822", message)
        return self.part("message/rfc822", message)

    def invitation(self) -> bytes:
        calendar = (
            f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
            f"UID:{self.random.getrandbits(64):x}@example.com\r\nDTSTAMP:20240101T000000Z\r\n"
            f"DTSTART:20240102T090000Z\r\nSUMMARY:{self.words(3)}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        )
        event = self.part("text/calendar; method=REQUEST; charset=utf-8", calendar, "8bit")
        return self.multi("alternative", [self.plain(), self.html(), event])

    def signed_smime(self) -> bytes:
        disposition = 'Content-Disposition: attachment; filename="smime.p7s"\r\n'
        octets = self.pool[: BASE64_LINE * 30]
        signature = self.part('application/pkcs7-signature; name="smime.p7s"', octets, "base64", disposition)
        parameters = '; protocol="application/pkcs7-signature"; micalg=sha-256'
        return self.multi("signed", [self.alternative(), signature], parameters)

    def signed_pgp(self) -> bytes:
        octets = self.pool[: BASE64_LINE * 6]
        armor = b"-----BEGIN PGP SIGNATURE-----\r\n\r\n" + octets + b"-----END PGP SIGNATURE-----\r\n"
        signature = self.part('application/pgp-signature; name="signature.asc"', armor)
        parameters = '; protocol="application/pgp-signature"; micalg=pgp-sha256'
        return self.multi("signed", [self.plain(), signature], parameters)

    def winmail(self) -> bytes:
        octets = base64_lines(b"\x78\x9f\x3e\x22" + self.random.randbytes(900))
        disposition = 'Content-Disposition: attachment; filename="winmail.dat"\r\n'
        tnef = self.part('application/ms-tnef; name="winmail.dat"', octets, "base64", disposition)
        return self.multi("mixed", [self.plain(), tnef])

    def bounce(self) -> bytes:
        status = (
            "Reporting-MTA: dns; mx.example.com\r\n\r\nFinal-Recipient: rfc822; gone@example.com\r\n"
            "Action: failed\r\nStatus: 5.1.1\r\n"
        )
        original = self.headers(self.subject(), None, [], 1_600_000_000)
        parts = [
            self.plain(quote=False),
            self.part("message/delivery-status", status),
            self.part("text/rfc822-headers", original),
        ]
        return self.multi("report", parts, "; report-type=delivery-status")

    def many_parts(self) -> bytes:
        return self.multi("mixed", [self.part("text/plain", f"part {number}\r\n") for number in range(60)])


def quoted_printable(text: str) -> bytes:
    return quopri.encodestring(text.replace("\r\n", "\n").encode()).replace(b"\n", b"\r\n")


# How often each shape comes, of about 100.
SHAPES: Mapping[Callable[[Bodies], bytes], float] = {
    Bodies.plain: 40,
    Bodies.html: 8,
    Bodies.alternative: 28,
    Bodies.with_attachments: 12,
    Bodies.inline_image: 4,
    Bodies.forwarded: 2,
    Bodies.signed_pgp: 1,
    Bodies.signed_smime: 1,
    Bodies.nested: 0.2,
    Bodies.many_parts: 0.2,
    Bodies.winmail: 0.3,
    Bodies.bounce: 1,
    Bodies.invitation: 1,
}
