"""What an account asks of the place where its Sieve scripts are, in JMAP's terms. `sync.sieve` answers it.

RFC 9661 (SieveScript), RFC 8621 section 8 (VacationResponse).

Rule 1: what is known of the scripts stands in the account's records (`account.user_records`): one of type SieveScript
    for each of them, and the one VacationResponse. A look brings them up to date; a state moves when anything does.
Rule 2: scripts are named by their ids here; an id outlives a rename.
Rule 3: every call may raise `MethodError("serverUnavailable")` or `MethodError("serverFail")`; every write that could
    not be carried out raises a `SetError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

SCRIPT: Final = "SieveScript"
VACATION: Final = "VacationResponse"
SINGLETON: Final = "singleton"  # the id of the one VacationResponse (RFC 8621 section 8)


@dataclass(frozen=True, slots=True)
class SieveFacts:
    """What the engine behind the account can do."""

    implementation: str
    extensions: tuple[str, ...]
    notification_methods: tuple[str, ...] | None
    external_lists: tuple[str, ...] | None
    max_redirects: int | None

    @property
    def has_vacation(self) -> bool:
        return "vacation" in self.extensions

    @property
    def has_dates(self) -> bool:
        """Tell whether a reply can be held to a time (RFC 5260 section 4)."""
        return {"date", "relational"} <= set(self.extensions)


@dataclass(frozen=True, slots=True)
class Switched:
    """Which script was made active and which inactive, by id; None: none was."""

    activated: str | None = None
    deactivated: str | None = None


class Scripts(Protocol):
    """The Sieve scripts of one account."""

    @property
    def facts(self) -> SieveFacts | None:
        """Return what the engine can do; None: not known."""

    async def refresh(self, *, now: bool = False) -> None:
        """Bring the records up to date, if they are older than may be; `now`: in any case."""

    async def content(self, digest: str) -> bytes | None:
        """Return the octets of the script with this SHA-256 (in hex); None: there is none."""

    async def validate(self, content: bytes) -> None:
        """Have a script checked. Raise SetError: invalidSieve, tooLarge."""

    async def create(self, name: str | None, content: bytes) -> str:
        """Store a new script, inactive, and return its id. `name` None: one is found for it."""

    async def change(self, id: str, *, name: str | None = None, content: bytes | None = None) -> None:
        """Rename a script, or replace its content, or both, or neither of them. None: stays as it is."""

    async def destroy(self, id: str) -> None:
        """Remove a script that is not in use."""

    async def activate(self, id: str | None) -> Switched:
        """Make a script the active one; None: make none active. The vacation's own: switch the vacation on."""

    async def set_vacation(self, properties: Mapping[str, Any]) -> None:
        """Replace the VacationResponse's properties, all of them but `id`."""

    async def aclose(self) -> None:
        """Let writes under way end, and give up the connection."""
