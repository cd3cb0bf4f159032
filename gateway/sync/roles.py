"""The JMAP role of a mailbox (RFC 8621 section 2): from its special-use attribute (RFC 6154), else from its name.

Rule 1: a role has one mailbox. The attribute wins over a name; among equals the one nearest the root, then the first.
Rule 2: only drafts, sent, trash, junk and archive are guessed from names; a client cannot work without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_BY_ATTRIBUTE = {
    "\\all": "all",
    "\\archive": "archive",
    "\\drafts": "drafts",
    "\\flagged": "flagged",
    "\\important": "important",
    "\\junk": "junk",
    "\\sent": "sent",
    "\\trash": "trash",
}
ATTRIBUTES = {role: f"\\{role.capitalize()}" for role in _BY_ATTRIBUTE.values()}  # as CREATE and METADATA want them

# Names that common servers and clients give, in the common languages; compared by casefold.
_NAMES = {
    "drafts": (
        "drafts|draft|entwürfe|brouillons|borradores|bozze|concepten|rascunhos|utkast|kladder|luonnokset|"
        "wersje robocze|koncepty|rozepsané|piszkozatok|черновики|чернетки|taslaklar|πρόχειρα|下書き|草稿|"
        "草稿箱|임시 보관함|المسودات|טיוטות"
    ),
    "sent": (
        "sent|sent items|sent messages|sent mail|sent-mail|gesendet|gesendete objekte|gesendete elemente|"
        "envoyés|messages envoyés|éléments envoyés|enviados|elementos enviados|mensajes enviados|inviati|"
        "posta inviata|verzonden|verzonden items|enviadas|itens enviados|skickat|skickade|sendt|"
        "sendte elementer|lähetetyt|wysłane|elementy wysłane|odeslané|odeslaná pošta|elküldött|"
        "отправленные|надіслані|gönderilmiş öğeler|απεσταλμένα|送信済み|送信済みメール|已发送|寄件備份|"
        "보낸 편지함|البريد المرسل|דואר שנשלח"
    ),
    "trash": (
        "trash|deleted|deleted items|deleted messages|bin|papierkorb|gelöschte objekte|"
        "gelöschte elemente|corbeille|éléments supprimés|papelera|elementos eliminados|cestino|"
        "posta eliminata|prullenbak|verwijderde items|lixo|lixeira|itens excluídos|papperskorg|"
        "papperskorgen|papirkurv|papirkurven|slettet|slettede elementer|roskakori|kosz|elementy usunięte|"
        "koš|kuka|lomtár|удаленные|удалённые|корзина|кошик|çöp kutusu|κάδος απορριμμάτων|ごみ箱|ゴミ箱|"
        "已删除|垃圾桶|지운 편지함|سلة المهملات|אשפה"
    ),
    "junk": (
        "junk|junk e-mail|junk email|junk mail|spam|bulk mail|spamverdacht|pourriel|courrier indésirable|"
        "indésirables|correo no deseado|posta indesiderata|ongewenste e-mail|ongewenst|lixo eletrônico|"
        "lixo eletrónico|skräppost|søppelpost|uønsket e-post|roskaposti|niechciane|wiadomości-śmieci|"
        "nevyžádaná pošta|levélszemét|спам|нежелательная почта|небажана пошта|önemsiz|ανεπιθύμητα|"
        "迷惑メール|垃圾邮件|垃圾郵件|스팸|بريد غير هام|דואר זבל"
    ),
    "archive": (
        "archive|archives|archived|archiv|archivo|archivio|archief|arquivo|arquivos|arkiv|arkisto|"
        "archiwum|archív|archívum|архив|архів|arşiv|αρχείο|アーカイブ|归档|封存|보관함|أرشيف|ארכיון"
    ),
}
_BY_NAME = {name: role for role, names in _NAMES.items() for name in names.split("|")}

SORT_ORDER = {"inbox": 1, "drafts": 2, "sent": 3, "archive": 4, "junk": 5, "trash": 6}
UNSORTED = 10  # after the mailboxes with a role, as clients show them


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mailbox that may get a role. `depth` counts from 0 at the root of the personal namespace."""

    path: str
    name: str
    depth: int
    attributes: frozenset[str]
    is_inbox: bool


def role_of_name(name: str) -> str | None:
    """Return the role that a name alone may give."""
    return _BY_NAME.get(name.casefold())


def assign_roles(candidates: Sequence[Candidate]) -> dict[str, str]:
    """Return {path: role}, at most one path a role and one role a path."""
    roles: dict[str, str] = {}
    taken: set[str] = set()

    def give(candidate: Candidate, role: str | None) -> None:
        if role is not None and role not in taken and candidate.path not in roles:
            roles[candidate.path] = role
            taken.add(role)

    by_depth = sorted(candidates, key=lambda candidate: candidate.depth)
    for candidate in by_depth:
        give(candidate, "inbox" if candidate.is_inbox else None)
    for candidate in by_depth:
        for attribute in sorted(candidate.attributes):
            give(candidate, _BY_ATTRIBUTE.get(attribute))
    for candidate in by_depth:
        if not candidate.is_inbox:
            give(candidate, role_of_name(candidate.name))
    return roles
