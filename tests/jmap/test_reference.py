"""Result references and creation ids (RFC 8620 sections 3.7 and 5.3)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.jmap.errors import MethodError
from gateway.jmap.limits import Limits
from gateway.jmap.method import Context
from gateway.jmap.reference import Results, resolve_id, resolve_ids

ROOM = 10_000


def results(*responses: tuple[str, dict[str, Any], str], room: int = ROOM) -> Results:
    gathered = Results(room)
    for name, arguments, call_id in responses:
        gathered.add(name, arguments, call_id)
    return gathered


def reference(result_of: Any = "t0", name: Any = "Foo/changes", path: Any = "/created") -> dict[str, Any]:
    return {"resultOf": result_of, "name": name, "path": path}


def refusal(gathered: Results, arguments: dict[str, Any]) -> str:
    with pytest.raises(MethodError) as raised:
        gathered.resolve(arguments)
    return raised.value.kind


CHANGES = ("Foo/changes", {"created": ["f1", "f4"], "updatedProperties": None}, "t0")


def test_first_example() -> None:
    """The first example of section 3.7: the ids that /changes tells go into /get."""
    assert results(CHANGES).resolve({"accountId": "A1", "#ids": reference()}) == {
        "accountId": "A1",
        "ids": ["f1", "f4"],
    }


def test_second_example() -> None:
    """The second example of section 3.7: from a query to the Emails of its Threads."""
    gathered = results(
        ("Email/query", {"ids": ["msg1023", "msg223"]}, "t0"),
        (
            "Email/get",
            {"list": [{"id": "msg1023", "threadId": "trd194"}, {"id": "msg223", "threadId": "trd114"}]},
            "t1",
        ),
        (
            "Thread/get",
            {
                "list": [
                    {"id": "trd194", "emailIds": ["msg1020", "msg1021", "msg1023"]},
                    {"id": "trd114", "emailIds": ["msg201", "msg223"]},
                ]
            },
            "t2",
        ),
    )
    assert gathered.resolve({"#ids": reference("t0", "Email/query", "/ids")}) == {"ids": ["msg1023", "msg223"]}
    assert gathered.resolve({"#ids": reference("t1", "Email/get", "/list/*/threadId")}) == {"ids": ["trd194", "trd114"]}
    assert gathered.resolve({"#ids": reference("t2", "Thread/get", "/list/*/emailIds"), "properties": ["from"]}) == {
        "ids": ["msg1020", "msg1021", "msg1023", "msg201", "msg223"],
        "properties": ["from"],
    }


def test_null_is_a_value() -> None:
    """A reference to null, as to `updatedProperties`, gives null."""
    assert results(CHANGES).resolve({"#properties": reference(path="/updatedProperties")}) == {"properties": None}


def test_no_reference() -> None:
    """Arguments without references are passed on as they are; `#` inside a value or a deeper name is no reference."""
    arguments = {"ids": ["#k"], "update": {"#k": {"#ids": 1}}, "a#b": "#3b82f6"}
    assert results().resolve(arguments) is arguments


@pytest.mark.parametrize(
    "broken",
    [
        reference(result_of="t1"),
        reference(name="Foo/get"),
        reference(path="/destroyed"),
        reference(path="created"),
        reference(path="/created/*/x"),
        reference(result_of=0),
        reference(name=None),
        reference(path=["created"]),
        {"resultOf": "t0", "name": "Foo/changes"},
        {},
        None,
        "t0",
        [reference()],
    ],
)
def test_unresolved(broken: Any) -> None:
    """Any reference that fails to resolve is invalidResultReference, though others resolve."""
    assert refusal(results(CHANGES), {"#a": reference(), "#b": broken}) == "invalidResultReference"


def test_first_response_counts() -> None:
    """Of several responses with one call id the first is meant; the name must be its name."""
    gathered = results(("error", {"type": "x"}, "t0"), CHANGES)
    assert refusal(gathered, {"#ids": reference()}) == "invalidResultReference"
    assert gathered.resolve({"#ids": reference(name="error", path="/type")}) == {"ids": "x"}


def test_both_forms() -> None:
    """The same argument in normal and referenced form is invalidArguments, even if the reference is broken."""
    assert refusal(results(CHANGES), {"ids": [], "#ids": reference()}) == "invalidArguments"
    assert refusal(results(CHANGES), {"#ids": None, "ids": []}) == "invalidArguments"


def echoes(gathered: Results, names: str, calls: int) -> None:
    """Let each of many calls refer, by every name, to the whole of the call before it."""
    for call in range(calls):
        whole = reference(str(call), "Core/echo", "")
        arguments = gathered.resolve({f"#{name}": whole for name in names})
        gathered.add("Core/echo", arguments, str(call + 1))


def test_doubling() -> None:
    """Calls that refer twice to the one before them do not make a small request a large one."""
    gathered = results(("Core/echo", {"a": "x" * 100}, "0"))
    echoes(gathered, "ab", 5)
    with pytest.raises(MethodError, match="larger than maxSizeRequest"):
        echoes(gathered, "ab", 64)


def test_room_is_shared() -> None:
    """All references of a request together stay below its largest size; an empty value takes room too."""
    gathered = results(("Foo/get", {"list": ["x" * 90], "empty": [[]] * 50}, "t0"), room=190)
    arguments = {"#ids": reference(name="Foo/get", path="/list")}
    gathered.resolve(arguments)
    assert refusal(gathered, arguments) == "invalidResultReference"
    assert refusal(gathered, {"#x": reference(name="Foo/get", path="/empty")}) == "invalidResultReference"


def test_nesting() -> None:
    """A value is not nested ever deeper by references to what holds it."""
    with pytest.raises(MethodError, match="nested too deeply"):
        echoes(results(("Core/echo", {}, "0"), room=10**6), "a", 200)


@pytest.fixture
def context() -> Context:
    return Context("me", {}, frozenset(), Limits(), {"k": "M1", "dup": "M2"})


def test_resolve_id(context: Context) -> None:
    """`#` and a known creation id give the record's id; all else stays as it is, and names no record."""
    assert [resolve_id(context, value) for value in ("#k", "k", "#x", "#", "##k")] == ["M1", "k", "#x", "#", "##k"]


def test_latest_creation_counts(context: Context) -> None:
    """A reused creation id means the most recently created record."""
    context.created_ids["dup"] = "M3"
    assert resolve_id(context, "#dup") == "M3"


def test_resolve_ids(context: Context) -> None:
    """Ids are resolved as a value, in a list and as the keys of a map, and nowhere deeper."""
    assert resolve_ids(context, "#k") == "M1"
    assert resolve_ids(context, ["#k", "M9", 1]) == ["M1", "M9", 1]
    assert resolve_ids(context, {"#k": True, "M9": "#k"}) == {"M1": True, "M9": "#k"}
    assert resolve_ids(context, None) is None
