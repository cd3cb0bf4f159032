"""The mirror of an account's index in Redis: a snapshot in parts, a stream of the batches since, and a head over both.

Rule 1: every write checks the lease's token, and an append the head too: a log has one writer and no gaps.
Rule 2: what cannot be shown to be complete is not there. Parts and entries are counted (keys may be evicted or expire
        one by one), and the head names the run of the server that took it: one that was started anew, or another that
        stood in for it, may lack the end.
Rule 3: all of it is derived, and expires when an account is idle for long.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from gateway.store import keys
from gateway.store.api import Head, Lease, Mirrored, MirrorLost, MirrorSizes
from gateway.store.redis_link import FENCE, RedisLink, Script

LIFETIME_S = 30 * 86_400  # without a write or a new owner: as long as tombstones are kept
UNFINISHED_S = 600  # a snapshot whose writer has gone
ENTRIES_AT_ONCE = 50  # of the log: a window of a first indexing has some 100 KB
NO_SNAPSHOT = -1  # it is still to come; 0: the index was empty

_RUN = "local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')\n"
_SIZES = "local sizes = redis.call('HMGET', KEYS[2], 'octets', 'base_octets')\nsizes[3] = redis.call('XLEN', KEYS[3])\n"
_LOST = "redis.error_reply('MIRROR lost')"
_EXPIRE = "for i = 2, 4 do redis.call('PEXPIRE', KEYS[i], ARGV[2]) end\n"

# KEYS: lease, head, log, snapshot. ARGV: token, lifetime in ms, then
# epoch, step, token of the head; how many parts the snapshot has.
_BEGIN = Script.of(
    FENCE
    + _RUN
    + """
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4])
redis.call('HSET', KEYS[2], 'epoch', ARGV[3], 'step', ARGV[4], 'token', ARGV[5], 'run', run,
  'base', ARGV[4], 'base_token', ARGV[5], 'parts', ARGV[6], 'octets', 0, 'base_octets', ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
"""
)

# A write that changes nothing: where it is refused, so is an append.
_CHECK = Script.of(
    FENCE
    + f"""
local run = redis.call('HGET', KEYS[2], 'run')
if not run then return {_LOST} end
redis.call('HSET', KEYS[2], 'run', run)
"""
)

# epoch, step, token of the head; then the entries.
_APPEND = Script.of(
    FENCE
    + _RUN
    + f"""
local head = redis.call('HMGET', KEYS[2], 'epoch', 'step', 'token')
local count = #ARGV - 5
local last = string.format('%.0f', ARGV[4] + count)
if head[1] == ARGV[3] and head[2] == last and head[3] == ARGV[1] and (ARGV[4] ~= last) then
  {_SIZES}return sizes
end
if head[1] ~= ARGV[3] or head[2] ~= ARGV[4] or head[3] ~= ARGV[5] then return {_LOST} end
local octets = 0
for i = 1, count do
  local entry = ARGV[5 + i]
  octets = octets + #entry
  redis.call('XADD', KEYS[3], string.format('%.0f-0', ARGV[4] + i), 't', ARGV[1], 'b', entry)
end
redis.call('HSET', KEYS[2], 'step', last, 'token', ARGV[1], 'run', run)
redis.call('HINCRBY', KEYS[2], 'octets', octets)
{_EXPIRE}
{_SIZES}return sizes
"""
)

_LOOK = Script.of(
    FENCE
    + _RUN
    + f"""
{_EXPIRE}
local head = redis.call('HMGET', KEYS[2], 'epoch', 'step', 'token', 'run', 'base', 'base_token', 'parts', 'octets',
  'base_octets')
head[10] = redis.call('LLEN', KEYS[4])
head[11] = redis.call('XLEN', KEYS[3])
head[12] = run
return head
"""
)

# KEYS: lease, head, log, snapshot, new snapshot. ARGV: token, lifetime in ms, a part.
_ADD_PART = Script.of(
    FENCE
    + """
redis.call('RPUSH', KEYS[5], ARGV[3])
redis.call('PEXPIRE', KEYS[5], ARGV[2])
"""
)

# epoch, step, token that it is of; number and octets of the parts.
_PUT_SNAPSHOT = Script.of(
    FENCE
    + f"""
if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[3] or redis.call('LLEN', KEYS[5]) ~= tonumber(ARGV[6]) then
  return {_LOST}
end
local before = redis.call('XLEN', KEYS[3])
redis.call('RENAME', KEYS[5], KEYS[4])
redis.call('XTRIM', KEYS[3], 'MINID', string.format('%.0f', ARGV[4] + 1))
local after = redis.call('XLEN', KEYS[3])
local octets = tonumber(redis.call('HGET', KEYS[2], 'octets'))
octets = before > 0 and math.floor(octets * after / before) or 0
redis.call('HSET', KEYS[2], 'base', ARGV[4], 'base_token', ARGV[5], 'parts', ARGV[6], 'octets', octets,
  'base_octets', ARGV[7])
{_EXPIRE}
"""
)


class RedisMirror:
    """A `Mirror`."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link

    async def begin(self, lease: Lease, head: Head, *, is_empty: bool) -> None:
        await self._link.run(
            _BEGIN, _keys(lease), lease.token, LIFETIME_S * 1000, *head, 0 if is_empty else NO_SNAPSHOT
        )

    async def check(self, lease: Lease) -> None:
        await self._link.run(_CHECK, _keys(lease), lease.token)

    async def append(self, lease: Lease, after: Head, entries: Sequence[bytes]) -> MirrorSizes:
        answer = await self._link.run(_APPEND, _keys(lease), lease.token, LIFETIME_S * 1000, *after, *entries)
        return MirrorSizes(*map(int, answer))

    async def put_snapshot(self, lease: Lease, of: Head, parts: AsyncIterator[bytes]) -> None:
        new = keys.mirror_snapshot_new(lease.account_id, lease.token)
        touched = [*_keys(lease), new]
        await self._link.call("DEL", new)
        count = octets = 0
        async for part in parts:
            await self._link.run(_ADD_PART, touched, lease.token, UNFINISHED_S * 1000, part)
            count, octets = count + 1, octets + len(part)
        await self._link.run(_PUT_SNAPSHOT, touched, lease.token, LIFETIME_S * 1000, *of, count, octets)

    async def load(self, lease: Lease, have: Head | None, *, acked: Head | None = None) -> Mirrored | None:
        found = await self._link.run(_LOOK, _keys(lease), lease.token, LIFETIME_S * 1000)
        if any(value is None for value in found):
            return None
        head = Head(found[0].decode(), int(found[1]), int(found[2]))
        base = Head(head.epoch, int(found[4]), int(found[5]))
        parts, sizes = int(found[6]), MirrorSizes(int(found[7]), int(found[8]), int(found[10]))
        is_complete = found[3] == found[11] if acked is None else _is_acked(acked, head, lease)
        if not is_complete or int(found[10]) < head.step - base.step:
            return None
        if have is not None and await self._leads(lease.account_id, have, base, head):
            entries = self._entries(lease.account_id, have.step, head.step)
            return Mirrored(head, sizes, have, False, _nothing(), entries)
        if parts == NO_SNAPSHOT or int(found[9]) != parts:
            return None
        entries = self._entries(lease.account_id, base.step, head.step)
        return Mirrored(head, sizes, base, True, self._parts(lease.account_id, parts), entries)

    async def _leads(self, account_id: str, have: Head, base: Head, head: Head) -> bool:
        """Tell whether `have` is a moment of the history that the log can go on from."""
        if have in (head, base):
            return True
        if have.epoch != head.epoch or not base.step < have.step < head.step:
            return False
        found = await self._link.call("XRANGE", keys.mirror_log(account_id), have.step, have.step)
        return bool(found) and _fields(found[0])[b"t"] == str(have.token).encode()

    async def _parts(self, account_id: str, count: int) -> AsyncIterator[bytes]:
        for number in range(count):
            part: bytes | None = await self._link.call("LINDEX", keys.mirror_snapshot(account_id), number)
            if part is None:
                raise MirrorLost("a part of the snapshot is missing")
            yield part

    async def _entries(self, account_id: str, after: int, last: int) -> AsyncIterator[tuple[int, bytes]]:
        log = keys.mirror_log(account_id)
        while after < last:
            found = await self._link.call("XRANGE", log, after + 1, last, "COUNT", ENTRIES_AT_ONCE)
            for entry in found:
                after += 1
                if entry[0] != b"%d-0" % after:
                    raise MirrorLost("an entry of the log is missing")
                fields = _fields(entry)
                yield int(fields[b"t"]), fields[b"b"]
            if not found:
                raise MirrorLost("the end of the log is missing")


def _is_acked(acked: Head, head: Head, lease: Lease) -> bool:
    """Tell whether a head is what the owner has left, or what it has added since without hearing of it."""
    return head == acked or (head.epoch == acked.epoch and head.token == lease.token and head.step > acked.step)


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _keys(lease: Lease) -> list[str]:
    id = lease.account_id
    return [keys.lease(id), keys.mirror_head(id), keys.mirror_log(id), keys.mirror_snapshot(id)]


def _fields(entry: tuple[bytes, dict[bytes, bytes] | list[bytes]]) -> dict[bytes, bytes]:
    """Return the fields of a stream's entry, as either version of the protocol gives them."""
    fields = entry[1]
    return fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=True))
