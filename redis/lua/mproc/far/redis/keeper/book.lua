-- SPDX-License-Identifier: MIT
-- The keeper's book: chunks that it has taken from the pool's queue, from then until all their results are the owner's.
-- Used by mproc.far.redis.keeper alone.
--
-- A chunk: k (its number), lease (its message, which stays in the pool's queue, and goes back to the owner when the
-- keeper dies), kind, count (items), flag (its job's cancel flag, or 0), f ({ name =, timeout = }), bytes; id (of its
-- entry in the stream, nil until the server has said it), is_sent; left (items without a result), got (offset -> true,
-- once results came singly), is_missing, is_stopping, asked (a request of cancel.lua).
-- Invariant: a chunk leaves the book when its last result is in the owner's queue, and its lease ends then, not before.

local message = require("mproc.far.redis.message")
local lazy = require("mproc.lazy") -- whose units are loaded once, which require does not know
local protocol = lazy.load("mproc.pool.protocol")

local Book = {}
Book.__index = Book

local DAMAGED = "the worker's answer is damaged: it has fewer results than the task has items"

local take, payload, put_results = protocol.lease_task, protocol.task_bytes, protocol.put_results

-- --- taking ---

-- slot: what the keeper was given; wait_for_room: called between two tries while the arena is full.
local function new(slot, wait_for_room)
  return setmetatable({
    slot = slot, wait_for_room = wait_for_room, chunks = {}, count = 0, bytes = 0, ended = 0, first = 1, last = 0,
    waiting = {}, closed = false,
  }, Book)
end

-- What lease_task gave: a lease and what it is of; or nil and why not.
local function note(self, lease, k, _, kind, count, flag, f, bytes)
  if not lease then
    self.closed = self.closed or k == "closed"
    return nil
  end
  local chunk = {
    k = k, lease = lease, kind = kind, count = count, flag = flag, f = f, bytes = bytes, left = count, id = nil,
    is_sent = false, got = false, is_missing = false, is_stopping = false, asked = nil,
  }
  self.chunks[k] = chunk
  self.count, self.bytes = self.count + 1, self.bytes + bytes
  return chunk
end

-- The next chunk of the pool's queue, or nil: there is none, or (closed) there will be none. f: its function's number.
function Book:take()
  return note(self, take(self.slot.tasks, 0))
end

function Book.payload(chunk)
  return payload(chunk.lease)
end

-- --- what is to be sent ---

-- Behind all others.
function Book:put_off(chunk)
  chunk.is_sent, chunk.id = false, nil
  self.last = self.last + 1
  self.waiting[self.last] = chunk
end

-- The next chunk to send, or nil. It stays the first until sent() is called.
function Book:next()
  while self.first <= self.last do
    local chunk = self.waiting[self.first]
    if self.chunks[chunk.k] == chunk and not chunk.is_sent then
      return chunk
    end
    self.waiting[self.first] = nil
    self.first = self.first + 1
  end
  self.first, self.last = 1, 0
  return nil
end

function Book:sent(chunk)
  chunk.is_sent = true
  self:next()
end

-- --- results ---

-- Nothing more of it is awaited.
local function close(self, chunk)
  self.chunks[chunk.k] = nil
  self.count, self.bytes, self.ended = self.count - 1, self.bytes - chunk.bytes, self.ended + 1
  chunk.lease:done()
end

-- Puts results of up to `count` items into the owner's queue, for which there is no room now and then: how many there
-- were. at: where they begin in the bytes.
local function put(self, k, offset, count, records, at)
  local slot, total = self.slot, 0
  while true do
    local items, why, name, before, rest = put_results(slot.results, k, offset + total, slot.index, count - total,
      records, at)
    if items then
      return total + items
    elseif name ~= "ENOMEM" then
      error(why, 0)
    end
    total, at = total + before, rest
    self.wait_for_room()
  end
end

local function fail_from(self, chunk, from, to, err)
  local record = message.record(protocol.FAILED, 0, protocol.pack_abroad("error", err))
  put(self, chunk.k, from, to - from, record:rep(to - from))
end

-- Of items that were split off: what is new of them.
local function deliver_singly(self, chunk, offset, records)
  chunk.got = chunk.got or {}
  local at = 1
  while at <= #records and offset < chunk.count do
    if not chunk.got[offset] and put(self, chunk.k, offset, 1, records, at) == 1 then
      chunk.got[offset], chunk.left = true, chunk.left - 1
    end
    at, offset = message.next_record(records, at), offset + 1
  end
end

local function deliver_whole(self, chunk, records)
  local items = put(self, chunk.k, 0, chunk.count, records)
  if items < chunk.count then
    fail_from(self, chunk, items, chunk.count, DAMAGED)
  end
  chunk.left = 0
end

-- Results of the chunk k, or of its items from `offset` on, if that is not nil. True when they were awaited.
function Book:deliver(k, offset, records)
  local chunk = self.chunks[k]
  if not chunk then
    return false
  elseif offset or chunk.got then
    deliver_singly(self, chunk, offset or 0, records)
  else
    deliver_whole(self, chunk, records)
  end
  if chunk.left <= 0 then
    close(self, chunk)
  end
  return true
end

local function skip_some(self, chunk, offset, count)
  local slot = self.slot
  while true do
    local posted, why, name = protocol.post(slot.results, chunk.k, offset, protocol.SKIPPED, count, slot.index, 0,
      "result")
    if posted then
      return
    elseif name ~= "ENOMEM" then
      error(why, 0)
    end
    self.wait_for_room()
  end
end

-- None of its items that have no result yet will run: they count as skipped, which is what becomes of a job that is
-- called off.
function Book:skip(chunk)
  if not chunk.got then
    skip_some(self, chunk, 0, chunk.count)
  else
    for offset = 0, chunk.count - 1 do
      if not chunk.got[offset] then
        skip_some(self, chunk, offset, 1)
      end
    end
  end
  close(self, chunk)
end

-- All that has no result fails.
function Book:fail(chunk, err)
  for offset = 0, chunk.count - 1 do
    if not (chunk.got and chunk.got[offset]) then
      fail_from(self, chunk, offset, offset + 1, err)
    end
  end
  close(self, chunk)
end

-- The chunks, oldest first.
function Book:list()
  local list = {}
  for _, chunk in pairs(self.chunks) do
    list[#list + 1] = chunk
  end
  table.sort(list, function(a, b) return a.k < b.k end)
  return list
end

return { new = new }
