"""The Envelope of an EmailSubmission (RFC 8621 section 7): generated from the Email, or given and checked.

Rule 1: an address is a Mailbox of RFC 5321; nothing else reaches a server. Neither does a parameter that the server
        has not offered, or one that we set ourselves.
Rule 2: HOLDFOR and HOLDUNTIL (RFC 4865) are ours: they become the time when the message is released.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.account.own_addresses import OwnAddresses, matches
from gateway.account.submitting import Offers
from gateway.jmap.errors import SetError
from gateway.jmap.types import date_to_seconds, is_date
from gateway.message.headers import Field, as_addresses
from gateway.message.mailbox import is_mailbox, is_parameter

# Which extension brings a parameter (RFC 3461, 4865, 2852, 6710, 7293).
MAIL_PARAMETERS: Mapping[str, str] = {
    "RET": "DSN",
    "ENVID": "DSN",
    "BY": "DELIVERBY",
    "MT-PRIORITY": "MT-PRIORITY",
}
RCPT_PARAMETERS: Mapping[str, str] = {"NOTIFY": "DSN", "ORCPT": "DSN", "RRVS": "RRVS"}
OURS = frozenset({"SIZE", "BODY", "SMTPUTF8"})  # follow from the message: taken, and set anew
HOLD = frozenset({"HOLDFOR", "HOLDUNTIL"})
# Extensions that a client may use. Those of the transport alone are hidden (section 1.3.2).
SHOWN = frozenset({"SIZE", "8BITMIME", "SMTPUTF8", "DSN", "DELIVERBY", "MT-PRIORITY", "RRVS", "ENHANCEDSTATUSCODES"})

_HOLD_FOR = re.compile(r"[0-9]{1,9}\Z")
_VALUES: Mapping[str, re.Pattern[str]] = {
    "RET": re.compile(r"(?:FULL|HDRS)\Z", re.IGNORECASE),
    "NOTIFY": re.compile(r"(?:NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY)){0,2})\Z", re.IGNORECASE),
    "ORCPT": re.compile(r"[A-Za-z0-9-]{1,64};[^;].*\Z"),
    "ENVID": re.compile(r"[\x20-\x7e]{1,100}\Z"),  # RFC 3461 section 4.4
}


@dataclass(frozen=True, slots=True)
class CheckedEnvelope:
    """`envelope` is what the record shows; `sending` what goes out, our own parameters left away."""

    envelope: Mapping[str, Any]
    sending: Mapping[str, Any]
    delay_s: float | None = None
    until_s: float | None = None


def is_address(text: str) -> bool:
    """Tell whether mail can be sent to this address."""
    return is_mailbox(text)


def generate(fields: Sequence[Field], identity_email: str, own: OwnAddresses) -> Mapping[str, Any]:
    """Return the envelope that the header asks for. Raise `invalidEmail`."""
    sender = _sender(fields)
    if sender is None or not (matches(identity_email, sender) and sender in own):
        # One that stands for a domain is no address: then it is the login's own.
        sender = own.addresses[0] if identity_email.startswith("*") else identity_email
    recipients: dict[str, str] = {}
    for name in ("to", "cc", "bcc"):
        for address in _addresses(fields, name):
            recipients.setdefault(folded(address), address)
    return {
        "mailFrom": {"email": sender, "parameters": None},
        "rcptTo": [{"email": address, "parameters": None} for address in recipients.values()],
    }


def check(envelope: Mapping[str, Any], offers: Offers, own: OwnAddresses) -> CheckedEnvelope:
    """Check an envelope. Raise the SetErrors of section 7.5."""
    sender, recipients = envelope["mailFrom"], envelope["rcptTo"]
    if not recipients:
        raise SetError("noRecipients")
    if len(recipients) > offers.max_recipients:
        text = f"a message has at most {offers.max_recipients} recipients"
        raise SetError("tooManyRecipients", text, maxRecipients=offers.max_recipients)
    if wrong := [one["email"] for one in recipients if not is_address(one["email"])]:
        raise SetError("invalidRecipients", "these are not addresses", invalidRecipients=wrong)
    if sender["email"] and not is_mailbox(sender["email"], is_local=True):
        raise _invalid("mailFrom is not an address")
    if sender["email"] and sender["email"] not in own:
        raise SetError("forbiddenMailFrom", "this is not an address that you may send from")
    parameters, delay_s, until_s = _mail_parameters(sender.get("parameters") or {}, offers)
    unique: dict[str, Mapping[str, Any]] = {}
    for one in recipients:
        kept = _parameters(one.get("parameters") or {}, RCPT_PARAMETERS, offers)
        unique.setdefault(folded(one["email"]), {"email": one["email"], "parameters": kept})
    shown = {
        "mailFrom": {"email": sender["email"], "parameters": sender.get("parameters")},
        "rcptTo": [{"email": one["email"], "parameters": one.get("parameters")} for one in recipients],
    }
    sending = {"mailFrom": {"email": sender["email"], "parameters": parameters}, "rcptTo": list(unique.values())}
    return CheckedEnvelope(shown, sending, delay_s, until_s)


def folded(address: str) -> str:
    """Return what two spellings of one address have in common: only the domain's case is free."""
    local, _at, domain = address.rpartition("@")
    return f"{local}@{domain.lower()}"


def from_addresses(fields: Sequence[Field], name: str = "from") -> list[str]:
    """Return the addresses of a field, all fields of that name taken together."""
    return _addresses(fields, name)


def is_redirected(fields: Sequence[Field], own: OwnAddresses) -> bool:
    """Tell whether this is somebody else's message sent on (RFC 5322 section 3.6.6): the sender is in Resent-From."""
    senders = _addresses(fields, "resent-from")
    return bool(senders) and all(sender in own for sender in senders)


def _sender(fields: Sequence[Field]) -> str | None:
    for name in ("sender", "from"):
        values = [value for field, value in fields if field.lower() == name]
        if not values:
            continue
        addresses = [address["email"] for value in values for address in as_addresses(value)]
        if len(values) > 1 or len(addresses) > 1:
            raise SetError("invalidEmail", f"there is more than one address in {name}", properties=[name])
        if addresses:
            return str(addresses[0])
    return None


def _addresses(fields: Sequence[Field], name: str) -> list[str]:
    return [address["email"] for field, value in fields if field.lower() == name for address in as_addresses(value)]


def _mail_parameters(
    given: Mapping[str, str | None], offers: Offers
) -> tuple[Mapping[str, str | None], float | None, float | None]:
    delay_s = until_s = None
    rest: dict[str, str | None] = {}
    for name, value in given.items():
        upper = name.upper()
        if upper == "HOLDFOR":
            if value is None or not _HOLD_FOR.match(value):
                raise _invalid("HOLDFOR is not a number of seconds")
            delay_s = float(value)
        elif upper == "HOLDUNTIL":
            if value is None or is_date(value) is not None:
                raise _invalid("HOLDUNTIL is not a date-time")
            until_s = date_to_seconds(value)
        else:
            rest[name] = value
    if delay_s is not None and until_s is not None:
        raise _invalid("HOLDFOR and HOLDUNTIL exclude one another")
    return _parameters(rest, MAIL_PARAMETERS, offers), delay_s, until_s


def _parameters(given: Mapping[str, str | None], known: Mapping[str, str], offers: Offers) -> dict[str, str | None]:
    """Return the parameters that go out, in upper case. Raise `invalidProperties`."""
    kept: dict[str, str | None] = {}
    for name, value in given.items():
        upper = name.upper()
        if upper in kept:
            raise _invalid(f"the parameter {upper[:64]} is given twice")
        if upper in OURS and known is MAIL_PARAMETERS:
            continue
        extension = known.get(upper)
        if extension is None or extension not in offers.extensions:
            raise _invalid(f"the server for sending offers no parameter {upper[:64]!r}")
        form = _VALUES.get(upper)
        if not is_parameter(upper, value) or value is None or (form is not None and not form.match(value)):
            raise _invalid(f"the parameter {upper} has a value that it cannot have")
        kept[upper] = value
    return kept


def _invalid(text: str) -> SetError:
    return SetError("invalidProperties", f"envelope: {text}", properties=["envelope"])


def shown_extensions(offers: Offers) -> dict[str, list[str]]:
    """Return `submissionExtensions` (section 1.3.2): what the server offers, and the delay, which is ours."""
    shown = {name: list(parameters) for name, parameters in sorted(offers.extensions.items()) if name in SHOWN}
    return {**shown, "FUTURERELEASE": [str(offers.max_delay_s)]}
