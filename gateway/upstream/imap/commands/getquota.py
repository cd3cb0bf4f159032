"""GETQUOTAROOT (RFC 9208 section 4.1.3)."""

from dataclasses import dataclass, field

from gateway.upstream.imap.commands.command import Command
from gateway.upstream.imap.encode import Dialect, Line
from gateway.upstream.imap.lexer import number_of, text_of
from gateway.upstream.imap.response import Data, Status


@dataclass(slots=True)
class QuotaRoot:
    """One quota root: what it limits, in the RFC's units (STORAGE: 1,024 octets)."""

    name: str
    resources: dict[str, tuple[int, int]] = field(default_factory=dict)  # "STORAGE" -> (used, limit)


class GetQuotaRoot(Command[list[QuotaRoot]]):
    """Ask which quota roots a mailbox counts towards, and how full they are."""

    verb = "GETQUOTAROOT"
    family = "QUOTA"

    def __init__(self, name: str) -> None:
        self._name = name
        self._roots: list[QuotaRoot] = []

    def line(self, dialect: Dialect) -> Line:
        return Line(dialect, "GETQUOTAROOT ").mailbox(self._name)

    def on_data(self, data: Data) -> bool:
        if data.kind != "QUOTA":
            return data.kind == "QUOTAROOT"
        # Courier leaves the list out:  * QUOTA "ROOT"
        name, resources = (*data.values(), None, None)[:2]
        root = QuotaRoot(text_of(name) or "")
        told = resources if isinstance(resources, list) else []
        for kind, used, limit in zip(told[::3], told[1::3], told[2::3], strict=False):
            key, numbers = text_of(kind), (number_of(used), number_of(limit))
            if key and numbers[0] is not None and numbers[1] is not None:
                root.resources[key.upper()] = (numbers[0], numbers[1])
        self._roots.append(root)
        return True

    def result(self, status: Status) -> list[QuotaRoot]:
        return self._roots
