"""/copy as every type has it (RFC 8620 section 5.4), on a type of our own."""

from __future__ import annotations

import pytest

from gateway.jmap.method import Responses
from tests.methods.nodes import Scene, refused


@pytest.fixture
def scene() -> Scene:
    return Scene()


async def test_copy(scene: Scene) -> None:
    """A copy has the original's properties but for those given; creation ids are registered."""
    scene.node("n", kind="odd")
    answer = await scene.copy(create={"k": {"id": "n", "name": "copy"}})
    assert answer == {
        "fromAccountId": "A1",
        "accountId": "A2",
        "oldState": "0",
        "newState": "1",
        "created": {"k": {"id": "Cn"}},
        "notCreated": None,
    }
    assert scene.other.nodes["Cn"]["kind"] == "odd"
    assert scene.other.nodes["Cn"]["name"] == "copy"
    assert scene.context.created_ids == {"k": "Cn"}


async def test_copy_errors(scene: Scene) -> None:
    """Accounts, states and objects that are wrong have their own errors."""
    scene.node("n")
    ok = {"k": {"id": "n"}}
    assert (await refused(scene.copy(create=ok, fromAccountId="A9"))).kind == "fromAccountNotFound"
    assert (await refused(scene.copy(create=ok, accountId="A9"))).kind == "accountNotFound"
    assert (await refused(scene.copy(create=ok, accountId="A1"))).kind == "invalidArguments"
    assert (await refused(scene.copy(create=ok, ifInState="x"))).kind == "stateMismatch"
    assert (await refused(scene.copy(create=ok, ifFromInState="x"))).kind == "stateMismatch"
    assert (await refused(scene.copy())).kind == "invalidArguments"
    assert (await refused(scene.copy(create={f"k{n}": {"id": "n"} for n in range(13)}))).kind == "requestTooLarge"
    wrong = {"a": {"id": "zz"}, "b": {}, "c": {"id": "n", "kind": "x", "odd": 1}, "d": {"id": "n", "name": "bad"}}
    answer = await scene.copy(create=wrong)
    errors = answer["notCreated"]
    assert errors["a"]["type"] == "notFound"
    assert errors["b"]["properties"] == ["id"]
    assert set(errors["c"]["properties"]) == {"kind", "odd"}
    assert errors["d"]["properties"] == ["name"]
    scene.place.capabilities = {}
    assert (await refused(scene.copy(create=ok))).kind == "fromAccountNotSupportedByMethod"


async def test_copy_and_destroy(scene: Scene) -> None:
    """onSuccessDestroyOriginal adds the response of one implicit /set, with what was copied and nothing else."""
    scene.node("n")
    scene.node("m")
    answer = await scene.copy(
        create={"k": {"id": "n"}, "bad": {"id": "m", "name": "bad"}}, onSuccessDestroyOriginal=True
    )
    assert isinstance(answer, Responses)
    (first, copied), (second, implicit) = answer.items
    assert (first, second) == ("Node/copy", "Node/set")
    assert set(copied["created"]) == {"k"}
    assert (implicit["accountId"], implicit["destroyed"]) == ("A1", ["n"])
    assert "m" in scene.place.nodes
    answer = await scene.copy(
        create={"k": {"id": "m"}}, onSuccessDestroyOriginal=True, destroyFromIfInState="not this one"
    )
    assert answer.items[1] == ("error", {"type": "stateMismatch"})
    assert "m" in scene.place.nodes
    answer = await scene.copy(create={"k": {"id": "zz"}}, onSuccessDestroyOriginal=True)
    assert isinstance(answer, dict)
