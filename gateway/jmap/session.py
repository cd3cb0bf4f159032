"""The Session object (RFC 8620 section 2).

Rule 1: `state` is a hash of all the rest, so it changes when anything else does and never otherwise: it is the same
after a restart and on every node.
Rule 2: the URL templates hold the standard variables, each once, and no other braces: clients substitute by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, Protocol
from urllib.parse import quote

import orjson

from gateway.jmap.capability import CORE, PRINCIPALS_OWNER, core_capability
from gateway.jmap.limits import Limits

STATE_OCTETS: Final = 8  # a preferably short string; it tells versions of one Session apart, and is no secret

DOWNLOAD_VARIABLES: Final = ("accountId", "blobId", "type", "name")
UPLOAD_VARIABLES: Final = ("accountId",)
EVENT_SOURCE_VARIABLES: Final = ("types", "closeafter", "ping")

_VARIABLE = re.compile(r"\{([A-Za-z]+)\}")


@dataclass(frozen=True, slots=True)
class Urls:
    """The absolute URLs of the endpoints; all but `api` are URI templates of level 1 (RFC 6570)."""

    api: str
    download: str
    upload: str
    event_source: str

    def __post_init__(self) -> None:
        _check_template("apiUrl", self.api, ())
        _check_template("downloadUrl", self.download, DOWNLOAD_VARIABLES)
        _check_template("uploadUrl", self.upload, UPLOAD_VARIABLES)
        _check_template("eventSourceUrl", self.event_source, EVENT_SOURCE_VARIABLES)


class DescribesAccount(Protocol):
    """What the Session tells of an account; `account.Account` is one, and so is `AccountInfo`."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def is_personal(self) -> bool: ...
    @property
    def is_read_only(self) -> bool: ...
    @property
    def capabilities(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def session_capabilities(self) -> Mapping[str, Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class AccountInfo:
    id: str
    name: str
    is_personal: bool = True
    is_read_only: bool = False
    capabilities: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    session_capabilities: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def session_object(
    login: str,
    accounts: Iterable[DescribesAccount],
    limits: Limits,
    urls: Urls,
    extra_capabilities: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    event_source_ticket: str | None = None,
) -> dict[str, Any]:
    """Return the Session of a login.

    The capabilities are the core one, for each that an account has the object that it gives or an empty one, and the
    `extra_capabilities`, whose objects are shown (WebSocket's has the URL). The ticket is appended to eventSourceUrl
    after the state is taken: it is new each time, and the Session is not.
    """
    accounts = list(accounts)
    # One URI each, in a set order: the order is part of what the state is a hash of.
    offered = sorted(
        {uri for account in accounts for uri in account.capabilities if uri not in (CORE, PRINCIPALS_OWNER)}
    )
    capabilities: dict[str, Any] = {CORE: core_capability(limits)}
    capabilities.update({uri: {} for uri in offered})
    for account in accounts:
        capabilities.update(account.session_capabilities)
    capabilities.update(extra_capabilities or {})
    session: dict[str, Any] = {
        "capabilities": capabilities,
        "accounts": {account.id: account_object(account) for account in accounts},
        "primaryAccounts": _primary_accounts(accounts, offered),
        "username": login,
        "apiUrl": urls.api,
        "downloadUrl": urls.download,
        "uploadUrl": urls.upload,
        "eventSourceUrl": urls.event_source,
    }
    session["state"] = _state(session)
    if event_source_ticket is not None:
        separator = "&" if "?" in urls.event_source else "?"
        session["eventSourceUrl"] += f"{separator}ticket={quote(event_source_ticket, safe='')}"
    return session


def session_state(session: Mapping[str, Any]) -> str:
    """Return the `sessionState` that goes with a Session, for responses to API requests (RFC 8620 section 3.4)."""
    state: str = session["state"]
    return state


def account_object(account: DescribesAccount) -> dict[str, Any]:
    """Return the Account object of the Session, and of a Principal (RFC 9670 section 2)."""
    return {
        "name": account.name,
        "isPersonal": account.is_personal,
        "isReadOnly": account.is_read_only,
        "accountCapabilities": {uri: dict(value) for uri, value in account.capabilities.items()},
    }


def _primary_accounts(accounts: Iterable[DescribesAccount], offered: Iterable[str]) -> dict[str, str]:
    """Name the first of the login's own accounts for each capability; a shared one is nobody's default."""
    own = [account for account in accounts if account.is_personal]
    primary = {}
    for uri in offered:
        account_id = next((account.id for account in own if uri in account.capabilities), None)
        if account_id is not None:
            primary[uri] = account_id
    return primary


def _state(session: Mapping[str, Any]) -> str:
    content = orjson.dumps(session, option=orjson.OPT_SORT_KEYS)
    return blake2b(content, digest_size=STATE_OCTETS).hexdigest()


def _check_template(name: str, url: str, variables: tuple[str, ...]) -> None:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{name} is not an absolute URL")
    rest = _VARIABLE.sub("", url)
    if sorted(_VARIABLE.findall(url)) != sorted(variables) or "{" in rest or "}" in rest:
        expected = " ".join(f"{{{variable}}}" for variable in variables) or "no variables"
        raise ValueError(f"{name} must hold exactly {expected}")
