"""The connection to the ManageSieve server is cut at each step of each write: no script is lost, none is off."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.secret import Secret
from gateway.sync.sieve.script_text import needs
from gateway.upstream.managesieve import Connection
from gateway.upstream.sasl import PasswordCredentials
from gateway.upstream.tls import Endpoint
from tests.fakes.cut_sieve import CutSieve, Place, cutting_sieve
from tests.server.conftest import JmapClient, MakeGateway
from tests.server.sieve import FILING, create, upload
from tests.upstreams.upstream import Upstream

pytestmark = [pytest.mark.upstream, pytest.mark.timeout(300)]

NEW = "keep; # new"
MAX_STEPS = 10
# `make soak` cuts before a command as well, which is all but the same as within it.
PLACES: tuple[Place, ...] = ("before", "within", "after") if os.environ.get("CUTS") == "all" else ("within", "after")


@dataclass(slots=True)
class Scene:
    """An account whose script "mine" is active, and "spare" is not."""

    client: JmapClient
    other: Connection
    mine: str
    spare: str

    async def seen(self) -> tuple[dict[str, str], str | None]:
        """What is there, and what is active, by the other client's eyes."""
        listed = await self.other.list_scripts()
        scripts = {one.name: (await self.other.get_script(one.name)).decode() for one in listed}
        return scripts, next((one.name for one in listed if one.is_active), None)

    async def set_scripts(self, **arguments: Any) -> None:
        await self._call("SieveScript/set", arguments)

    async def set_vacation(self, **properties: Any) -> None:
        await self._call("VacationResponse/set", {"update": {"singleton": properties}})

    async def _call(self, name: str, arguments: dict[str, Any]) -> None:
        status, answer = await self.client.request((name, arguments))
        assert status == 200
        answered, response, _id = answer["methodResponses"][0]
        if answered == "error":
            assert response["type"] == "serverUnavailable", response
        for failed in ("notCreated", "notUpdated", "notDestroyed"):
            for error in (response.get(failed) or {}).values():
                assert error["type"] in ("serverFail", "sieveIsActive", "alreadyExists", "notFound"), error


async def no_preparation(_scene: Scene) -> None:
    pass


async def prepare_on(scene: Scene) -> None:
    await scene.set_vacation(isEnabled=True, subject="away")


async def create_one(scene: Scene) -> None:
    await scene.set_scripts(create={"a": {"name": "made", "blobId": await upload(scene.client, NEW)}})


async def change_mine(scene: Scene) -> None:
    blob_id = await upload(scene.client, NEW)
    await scene.set_scripts(update={scene.mine: {"name": "moved", "blobId": blob_id}})


async def rename_mine(scene: Scene) -> None:
    await scene.set_scripts(update={scene.mine: {"name": "moved"}})


async def destroy_spare(scene: Scene) -> None:
    await scene.set_scripts(destroy=[scene.spare])


async def activate_spare(scene: Scene) -> None:
    await scene.set_scripts(onSuccessActivateScript=scene.spare)


async def switch_on(scene: Scene) -> None:
    await scene.set_vacation(isEnabled=True, subject="away")


async def switch_off(scene: Scene) -> None:
    await scene.set_vacation(isEnabled=False)


async def change_text(scene: Scene) -> None:
    await scene.set_vacation(subject="changed")


Act = Callable[[Scene], Awaitable[None]]
ACTS: list[tuple[Act, Act]] = [
    (no_preparation, create_one),
    (no_preparation, change_mine),
    (no_preparation, rename_mine),
    (no_preparation, destroy_spare),
    (no_preparation, activate_spare),
    (no_preparation, switch_on),
    (prepare_on, switch_off),
    (prepare_on, change_text),
    (prepare_on, rename_mine),
    (prepare_on, activate_spare),
]


@pytest.fixture
async def proxy(dovecot: Upstream) -> AsyncIterator[CutSieve]:
    dovecot.place.wait_for_ports("sieve")
    async with cutting_sieve(dovecot.host, dovecot.ports["sieve"]) as proxy:
        yield proxy


@pytest.mark.parametrize("stays_away", [False, True])
@pytest.mark.parametrize(("prepare", "act"), ACTS, ids=lambda act: act.__name__)
async def test_a_cut_at_every_step(
    prepare: Act, act: Act, stays_away: bool, gateway: MakeGateway, dovecot: Upstream, proxy: CutSieve
) -> None:
    """Cut once, the write is done nonetheless. With the server away, what is there works; it can be had later."""
    more = f'sieve = "sieve://127.0.0.1:{proxy.port}"\nlogins_per_second = 1000'
    login_of = await gateway(dovecot, more=more)
    wanted: tuple[dict[str, str], str | None] | None = None
    for step in range(MAX_STEPS):
        cuts = 0
        for place in PLACES if step else (None, *PLACES):
            client = login_of(dovecot.fresh_login())
            proxy.arm(None)
            mine = await create(client, "mine", FILING, onSuccessActivateScript="#a")
            spare = await create(client, "spare", "discard;")
            endpoint = Endpoint("127.0.0.1", dovecot.ports["sieve"], "none")
            other = await Connection.open(endpoint, PasswordCredentials(client.login, Secret(dovecot.password)))
            scene = Scene(client, other, mine, spare)
            await prepare(scene)
            if place is not None:
                proxy.arm(step, place, stays_away=stays_away)
            await act(scene)
            cuts += proxy.has_cut
            scripts, active = await scene.seen()
            if place is None:
                wanted = scripts, active
            where = f"{step} {place}: {scripts}, {active}"
            assert wanted is not None
            _check(scripts, active, wanted, where)
            if not stays_away:
                assert (scripts, active) == wanted, where
            proxy.is_away = False
            await client.call("VacationResponse/get")
            healed = await scene.seen()
            _check(*healed, wanted, f"healed after {where}: {healed}")
            await act(scene)
            assert await scene.seen() == wanted, where
            await other.logout()
        if not cuts:
            return  # there are no more steps
    raise AssertionError("a write of so many steps")


def _check(scripts: dict[str, str], active: str | None, wanted: tuple[dict[str, str], str | None], where: str) -> None:
    """The user's scripts are there under their old or new names, once, and one of them filters mail."""
    owned = [name for name in scripts if name in ("mine", "moved")]
    assert len(owned) == 1, where
    assert scripts[owned[0]] in (FILING, NEW), where
    assert "spare" in scripts or "spare" not in wanted[0], where
    contents = {name: text.encode() for name, text in scripts.items()}
    works = {active, *(needs(active, contents).scripts if active is not None else ())}
    assert works & {*owned, "spare"}, where
