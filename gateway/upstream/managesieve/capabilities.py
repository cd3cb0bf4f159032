"""What a ManageSieve server says of itself (RFC 5804 section 1.7). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.upstream.managesieve.response import Data

MAX_WORDS = 1000  # in one value; more are cut off


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities that mean something to us. None: not told."""

    implementation: str = ""
    extensions: tuple[str, ...] = ()  # of Sieve, as in `require`
    mechanisms: frozenset[str] = frozenset()  # of SASL, upper case
    notify: tuple[str, ...] | None = None  # URI schemes of "enotify"
    external_lists: tuple[str, ...] | None = None  # of "extlists" (RFC 6134 section 2.8)
    max_redirects: int | None = None
    offers_starttls: bool = False
    has_version: bool = False  # RENAMESCRIPT, CHECKSCRIPT and NOOP are there (section 1.7, VERSION)

    def sasl(self) -> frozenset[str]:
        """Return what `upstream.sasl` chooses from: AUTH=… and no LOGIN of IMAP's."""
        return frozenset(f"AUTH={mechanism}" for mechanism in self.mechanisms) | {"LOGINDISABLED"}


def parse_capabilities(lines: Sequence[Data]) -> Capabilities:
    """Read a CAPABILITY response or a greeting. Lines that make no sense are passed over."""
    told: dict[str, str | None] = {}
    for line in lines:
        if line[0].kind == "string":  # the last word counts, should a server repeat itself
            told[line[0].text.upper()] = line[1].text if len(line) > 1 and line[1].kind == "string" else None

    def words(name: str) -> tuple[str, ...] | None:
        return tuple(_clean(told[name] or "").split()[:MAX_WORDS]) if name in told else None

    redirects = told.get("MAXREDIRECTS") or ""
    return Capabilities(
        implementation=_clean(told.get("IMPLEMENTATION") or "")[:200],
        extensions=words("SIEVE") or (),
        mechanisms=frozenset(word.upper() for word in words("SASL") or ()),
        notify=words("NOTIFY"),
        external_lists=words("EXTLISTS"),
        max_redirects=int(redirects) if redirects.isascii() and redirects.isdigit() and len(redirects) < 10 else None,
        offers_starttls="STARTTLS" in told,
        has_version=bool(told.get("VERSION")),
    )


def _clean(text: str) -> str:
    """Take out what no JSON text may hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
