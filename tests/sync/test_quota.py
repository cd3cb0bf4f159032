"""From QUOTA's words to limits in JMAP's terms."""

from __future__ import annotations

from gateway.jmap.types import MAX_INT
from gateway.sync.quota import MAX_NAME_CHARACTERS, MAX_QUOTAS, quotas_of
from gateway.upstream.imap.commands.getquota import QuotaRoot


def test_units_and_types() -> None:
    """STORAGE counts 1,024 octets; MESSAGE and MAILBOX are counts of what they say."""
    resources = {"STORAGE": (2, 100), "MESSAGE": (3, 50), "MAILBOX": (4, 5), "X-NUM-FOLDERS": (4, 6)}
    found = quotas_of([QuotaRoot("root", resources)])
    assert [(one.resource_type, one.types, one.used, one.hard_limit) for one in found] == [
        ("octets", ("Email",), 2048, 102_400),
        ("count", ("Email",), 3, 50),
        ("count", ("Mailbox",), 4, 5),
        ("count", ("Mailbox",), 4, 6),
    ]
    assert len({one.id for one in found}) == 4


def test_what_has_no_meaning_is_left_out() -> None:
    """An unknown resource, a root that limits nothing, a root told twice: nothing is made up."""
    roots = [
        QuotaRoot("", {"ANNOTATION-STORAGE": (1, 2)}),
        QuotaRoot("empty"),
        *[QuotaRoot("x", {"STORAGE": (1, 2)})] * 2,
    ]
    assert [one.root for one in quotas_of(roots)] == ["x"]


def test_hostile_numbers_and_names() -> None:
    """Numbers stay within an UnsignedInt, names and their number within bounds."""
    (one,) = quotas_of([QuotaRoot("n" * 10_000, {"STORAGE": (2**63, 2**64)})])
    assert (one.used, one.hard_limit) == (MAX_INT, MAX_INT)
    assert len(one.root) == MAX_NAME_CHARACTERS
    assert len(quotas_of([QuotaRoot(str(n), {"MESSAGE": (0, 1)}) for n in range(1000)])) == MAX_QUOTAS


def test_a_root_without_a_name() -> None:
    """RFC 2087's nameless root shows the resource as its name."""
    (one,) = quotas_of([QuotaRoot("", {"MESSAGE": (0, 1)})])
    assert one.record()["name"] == "MESSAGE"
