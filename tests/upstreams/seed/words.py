"""People, prose and subjects, drawn from one seeded generator."""

from __future__ import annotations

import base64
import email.header
import email.utils
import random
import re

PEOPLE: list[tuple[str, str]] = [
    ("Alice Example", "alice@mail.test"),
    ("Bob Baker", "bob@mail.test"),
    ("Carol Chen", "carol@mail.test"),
    ("Jürgen Müller", "juergen.mueller@example.de"),
    ("Zoë Łukasik", "zoe@example.pl"),
    ("山田 太郎", "taro@example.jp"),
    ("Иван Петров", "ivan@example.ru"),
    ("O'Hara, Pat", "pat@example.ie"),
    ("محمد علي", "mo@example.eg"),
    ('Anna "Ann" Quote', "ann@example.com"),
    ("", "noname@example.net"),
    *(
        (f"{first} {last}", f"{first}.{last}@{domain}".lower())
        for first in ("Dan", "Eve", "Finn", "Gwen", "Hugo", "Iris", "Jack", "Kim", "Liam", "Mona")
        for last in ("Ashe", "Boyd", "Cole", "Drew")
        for domain in ("example.com", "corp.example")
    ),
]
VOCABULARY = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an "
    "they which one you were her all she there would their we him been has when who will more no if out so "
    "meeting invoice project budget report schedule customer contract delivery server release deadline "
    "review proposal summary travel hotel flight order shipping account payment quarterly roadmap design "
    "feedback attached document version please thanks regards tomorrow monday friday update question issue "
    "database network mailbox protocol gateway search thread latency password token naïve café straße "
    "Zürich größer señor façade coöperate résumé"
)
WORDS = VOCABULARY.split()
CJK = "会議資料確認送付予定本日明日打合東京大阪開発環境更新依頼回答"
CYRILLIC = ["встреча", "отчёт", "проект", "договор", "оплата", "сервер", "письмо", "завтра", "спасибо", "вопрос"]
CHARSETS = ("iso-8859-1", "windows-1252", "iso-2022-jp", "koi8-r", "utf-8", "utf-8")
POOL_OCTETS = 600_000  # attachments are cut from one pool, as fresh random octets are slow to make
BASE64_LINE = 78  # 76 characters and CRLF, for 57 octets


def base64_lines(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


class Words:
    """One generator of everything that is said in the mail."""

    def __init__(self, seed: int, *, attachment_scale: float = 1.0) -> None:
        self.random = random.Random(seed)
        self.attachment_scale = attachment_scale
        self.pool = base64_lines(self.random.randbytes(POOL_OCTETS))
        self.prose = [self.paragraph() for _ in range(800)]

    def words(self, count: int) -> str:
        """Return words, early ones of the list far commoner (roughly Zipf's law)."""
        size = len(WORDS)
        return " ".join(WORDS[int(size * self.random.random() ** 1.7)] for _ in range(count))

    def paragraph(self) -> str:
        text = self.words(self.random.randint(15, 90)).capitalize() + "."
        return "\r\n".join(re.findall(r".{1,72}(?:\s|$)", text))

    def text(self, *, quote: bool = False) -> str:
        count = min(1 + int(self.random.expovariate(0.35)), 40)
        body = "\r\n\r\n".join(self.random.choices(self.prose, k=count))
        if quote:
            quoted = self.random.choice(self.prose).replace("\r\n", "\r\n> ")
            body += f"\r\n\r\nOn a day, someone wrote:\r\n> {quoted}"
        return body + "\r\n"

    def blob(self, limit_octets: int = 400_000) -> bytes:
        """Return base64 lines of a log-normally distributed size."""
        octets = min(int(self.random.lognormvariate(9.6, 1.3) * self.attachment_scale), limit_octets) + 100
        lines = octets // 57
        start = self.random.randrange(0, len(self.pool) // BASE64_LINE - lines) * BASE64_LINE
        return self.pool[start : start + lines * BASE64_LINE]

    def address(self, who: tuple[str, str] | None = None) -> str:
        name, address = who or self.random.choice(PEOPLE)
        return email.utils.formataddr((name, address)) if name else address

    def encoded(self, text: str) -> str:
        """Return a field value with RFC 2047 encoded words, in a charset that can hold it."""
        if text.isascii():
            return text
        able = []
        for charset in CHARSETS:
            try:
                text.encode(charset)
            except UnicodeError:
                continue
            able.append(charset)
        return email.header.Header(text, self.random.choice(able), maxlinelen=70).encode(linesep="\r\n")

    def subject(self) -> str:
        chance = self.random.random()
        if chance < 0.08:
            return "".join(self.random.choices(CJK, k=self.random.randint(4, 30)))
        if chance < 0.14:
            return " ".join(self.random.choices(CYRILLIC, k=self.random.randint(2, 6)))
        return self.words(self.random.randint(2, 9)).capitalize()

    def boundary(self) -> str:
        return f"=_{self.random.getrandbits(64):016x}"
