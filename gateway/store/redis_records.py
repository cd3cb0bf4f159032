"""The `RecordStore` in Redis: two scripts, one that reads one moment and one that writes all or nothing.

Rule 1: the records, their journal and the state of a type are read together and written together.
Rule 2: what is forgotten, and when, is as in the embedded store (`sqlite_records`).
Rule 3: a write that is made a second time, for its answer was lost, is told from a new one by its mark.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping

from gateway.store import keys, sqlite_records
from gateway.store.api import RecordChange, RecordHistory, Records, RecordState
from gateway.store.redis_link import FENCE, RedisLink, Script, Value
from gateway.store.sqlite_records import MARK_OCTETS

# KEYS: states, records, journal, writes. ARGV: type, which ("all", "some"), whether history is wanted, then ids.
_READ = Script.of(
    """
local out = {redis.call('HGET', KEYS[1], ARGV[1])}
if ARGV[2] == 'all' then
  out[2] = redis.call('HGETALL', KEYS[2])
else
  out[2] = {}
  for i = 4, #ARGV do
    local octets = redis.call('HGET', KEYS[2], ARGV[i])
    if octets then table.insert(out[2], ARGV[i]); table.insert(out[2], octets) end
  end
end
if ARGV[3] == '1' or ARGV[2] == 'all' then
  out[3] = redis.call('HGETALL', KEYS[3])
else
  out[3] = {}
  for i = 1, #out[2], 2 do
    table.insert(out[3], out[2][i])
    table.insert(out[3], redis.call('HGET', KEYS[3], out[2][i]) or '0 0 0 0')
  end
end
out[4] = ARGV[3] == '1' and redis.call('ZRANGE', KEYS[4], 0, -1) or {}
return out
"""
)

# KEYS: lease, states, then for each type records, journal, writes, tombstones.
# ARGV: token, mark, now, time before which writes are old, mark of no write, most writes, most tombstones,
# then for each type its name, how many records, and of each id, "1" if it is destroyed, octets.
_WRITE = Script.of(
    FENCE
    + """
local mark, now, old = ARGV[2], ARGV[3], tonumber(ARGV[4])
local seq = tonumber(redis.call('HGET', KEYS[2], 'seq') or '0') + 1
local last = string.format('%.0f', seq - 1) .. ' ' .. mark
local out, at, key, is_new = {}, 8, 3, false

local function forget(journal, writes, tombstones)
  local floor = 0
  for _, write in ipairs(redis.call('ZRANGE', writes, 0, 99)) do
    local number, _, time = string.match(write, '^(%d+) (%x+) (%d+)$')
    if tonumber(time) >= old then break end
    floor = tonumber(number)
  end
  local count = redis.call('ZCARD', writes) - tonumber(ARGV[6])
  if count > 0 then floor = math.max(floor, tonumber(redis.call('ZRANGE', writes, count, count, 'WITHSCORES')[2])) end
  count = redis.call('ZCARD', tombstones) - tonumber(ARGV[7])
  if count > 0 then
    floor = math.max(floor, tonumber(redis.call('ZRANGE', tombstones, count - 1, count - 1, 'WITHSCORES')[2]))
  end
  if floor > 0 then
    redis.call('ZREMRANGEBYSCORE', writes, '-inf', '(' .. floor)
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', tombstones, '-inf', floor)) do redis.call('HDEL', journal, id) end
    redis.call('ZREMRANGEBYSCORE', tombstones, '-inf', floor)
  end
end

while at <= #ARGV do
  local type, count = ARGV[at], tonumber(ARGV[at + 1])
  local records, journal, writes, tombstones = KEYS[key], KEYS[key + 1], KEYS[key + 2], KEYS[key + 3]
  at, key = at + 2, key + 4
  local state, changed = redis.call('HGET', KEYS[2], type), false
  if state == last then table.insert(out, type); table.insert(out, state) end
  for i = 1, count do
    local id, gone, octets = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    at = at + 3
    local before = redis.call('HGET', records, id)
    if (gone == '1' and before) or (gone == '0' and before ~= octets) then
      changed = true
      local was = redis.call('HGET', journal, id)
      local created, first, dead = '', '', '1'
      if was then created, first, dead = string.match(was, '^%d+ (%d+) (%d+) (%d)$') end
      local this = string.format('%.0f', seq)
      if not was then first = this end
      if gone == '0' and dead == '1' then created = this end
      redis.call('HSET', journal, id, this .. ' ' .. created .. ' ' .. first .. ' ' .. gone)
      if gone == '1' then
        redis.call('HDEL', records, id)
        redis.call('ZADD', tombstones, seq, id)
      else
        redis.call('HSET', records, id, octets)
        redis.call('ZREM', tombstones, id)
      end
    end
  end
  if changed then
    is_new = true
    -- The state before the first write can be told from as well.
    if not state then redis.call('ZADD', writes, 0, '0 ' .. ARGV[5] .. ' 0') end
    state = string.format('%.0f', seq) .. ' ' .. mark
    redis.call('ZADD', writes, seq, state .. ' ' .. now)
    redis.call('HSET', KEYS[2], type, state)
    table.insert(out, type)
    table.insert(out, state)
    forget(journal, writes, tombstones)
  end
end
if is_new then redis.call('HSET', KEYS[2], 'seq', string.format('%.0f', seq)) end
return out
"""
)


async def read(
    link: RedisLink, zero: str, account_id: str, type: str, ids: Collection[str] | None, *, with_history: bool
) -> Records:
    """Return records; `zero` is the mark of a type that was never written."""
    touched = [keys.record_states(account_id), *_keys(account_id, type)[:3]]
    which: list[Value] = ["all"] if ids is None else ["some"]
    wanted = () if ids is None else tuple(dict.fromkeys(ids))
    answer = await link.run(_READ, touched, type, *which, int(with_history), *wanted)
    state, octets, journal, writes = answer
    rows = {
        id.decode(): [int(number) for number in text.split()]
        for id, text in zip(journal[::2], journal[1::2], strict=True)
    }
    found = {id.decode(): one for id, one in zip(octets[::2], octets[1::2], strict=True)}
    by_id = dict(sorted(found.items(), key=lambda item: (rows[item[0]][1], item[0])))
    now = _state(state) if state is not None else RecordState(0, zero)
    if not with_history:
        return Records(now, by_id)
    marks = {one.seq: one.mark for one in map(_state, writes)} or {now.seq: now.mark}
    changes = [
        RecordChange(changed, id, created, first, gone == 1) for id, (changed, created, first, gone) in rows.items()
    ]
    return Records(now, by_id, RecordHistory(marks, sorted(changes)))


async def states(link: RedisLink, account_id: str) -> dict[str, RecordState]:
    found = await link.call("HGETALL", keys.record_states(account_id))
    pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
    return {type.decode(): _state(text) for type, text in pairs if type != b"seq"}


async def write(
    link: RedisLink,
    zero: str,
    token: int,
    account_id: str,
    writes: Mapping[str, Mapping[str, bytes | None]],
    now_s: int,
) -> dict[str, RecordState]:
    touched = [keys.lease(account_id), keys.record_states(account_id)]
    bounds = (sqlite_records.MAX_WRITES, sqlite_records.MAX_TOMBSTONES)
    arguments: list[Value] = [secrets.token_hex(MARK_OCTETS), now_s, now_s - sqlite_records.KEEP_S, zero, *bounds]
    for type, records in writes.items():
        touched += _keys(account_id, type)
        arguments += [type, len(records)]
        for id, octets in records.items():
            arguments += [id, int(octets is None), octets or b""]
    answer = await link.run(_WRITE, touched, token, *arguments)
    return {type.decode(): _state(text) for type, text in zip(answer[::2], answer[1::2], strict=True)}


def _keys(account_id: str, type: str) -> list[str]:
    makers = (keys.records, keys.record_journal, keys.record_writes, keys.record_tombstones)
    return [make(account_id, type) for make in makers]


def _state(text: bytes) -> RecordState:
    seq, mark, *_ = text.decode().split()
    return RecordState(int(seq), mark)
