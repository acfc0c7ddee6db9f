-- SPDX-License-Identifier: MIT
-- The callers of a manager beyond its listener: one connection each, served in turn. Used by server/init.lua.
--
-- A peer is { connection, out (replies that did not go yet, oldest first), keeps (object -> how many proxies) }. What
-- it sends is decoded without functions and handles, and held against the shape of a request; it reaches the objects
-- alone that it was given. Nothing here waits for it: while a reply of its own has not gone, it is not read.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")
local objects = require("mproc.manager.server.objects")
local protocol = require("mproc.manager.protocol")

local remotes = {}

local PAUSE_SECONDS = 0.1 -- before the listener is asked again after the system had no descriptor

-- --- replies ---

local function send(peer, reply)
  return pcall(peer.connection.send, peer.connection, reply, 0)
end

-- True when nothing is left to go out.
local function flush(peer)
  while peer.out[1] do
    local ok, sent = send(peer, peer.out[1])
    if not ok then
      peer.over = true
      return false
    elseif not sent then
      return false
    end
    table.remove(peer.out, 1)
  end
  return true
end

-- What does not go at once stays with the peer, plain data.
local function reply(peer, seq, word, value)
  local ok, sent = send(peer, { seq, word, value })
  if not ok then
    peer.over = true
  elseif not sent then
    peer.out[#peer.out + 1] = { seq, word, value }
  end
end

-- An error that cannot go as it is goes as its text.
local function fail(peer, seq, err)
  local bytes, reason = protocol.pack_abroad("error", { n = 1, err })
  if not bytes then
    bytes = protocol.pack_abroad("error", { n = 1, errors.text_in_place_of(err, reason) })
  end
  reply(peer, seq, "failed", bytes)
end

local function answer(peer, seq, ok, ...)
  if ok == nil then
    return reply(peer, seq, "refused", (...))
  elseif not ok then
    return fail(peer, seq, (...))
  end
  local bytes, reason = protocol.pack_abroad("result", table.pack(...))
  if bytes then
    return reply(peer, seq, "returned", bytes)
  end
  return fail(peer, seq, reason)
end

-- --- requests ---

local function keep(peer, entry)
  peer.keeps[entry.id] = (peer.keeps[entry.id] or 0) + 1
  entry.remote = entry.remote + 1
end

local function drop(state, peer, id)
  local count, entry = peer.keeps[id], state.entries[id]
  if count and entry then
    peer.keeps[id] = count > 1 and count - 1 or nil
    entry.remote = entry.remote - 1
    objects.look(state, entry)
  end
end

local verbs = {} -- each (state, peer, seq, id, name, bytes): false for what is no request

function verbs.hello(state, peer, seq)
  reply(peer, seq, "object", state.name)
end

function verbs.call(state, peer, seq, id, name, bytes)
  local args, n = protocol.read_list(bytes, check.ARGUMENTS_MAX)
  if not args or type(name) ~= "string" then
    return false
  end
  answer(peer, seq, objects.call(peer.keeps[id] and state.entries[id], name, table.unpack(args, 1, n)))
end

function verbs.create(state, peer, seq, _, name, bytes)
  local args, n = protocol.read_list(bytes, check.ARGUMENTS_MAX)
  if not args or type(name) ~= "string" then
    return false
  end
  local entry, failed, err = objects.create(state, name, table.unpack(args, 1, n))
  if not entry then
    return answer(peer, seq, failed, err)
  end
  keep(peer, entry)
  reply(peer, seq, "object", entry.id)
end

function verbs.get(state, peer, seq, _, name)
  local id, why = objects.find(state, name)
  if not id then
    return reply(peer, seq, "refused", why)
  end
  keep(peer, state.entries[id])
  reply(peer, seq, "object", id)
end

function verbs.drop(state, peer, _, list)
  if type(list) ~= "table" then
    return false
  end
  for _, id in ipairs(list) do
    drop(state, peer, id)
  end
end

local function serve(state, peer, request)
  local verb = type(request) == "table" and math.type(request[1]) == "integer" and verbs[request[2]]
  if not verb or verb(state, peer, request[1], request[3], request[4], request[5]) == false then
    peer.over = true
  end
end

-- --- peers ---

local function forget(state, at, peer)
  table.remove(state.peers, at)
  peer.connection:close()
  for id, count in next, peer.keeps do
    local entry = state.entries[id]
    if entry then
      entry.remote = entry.remote - count
      objects.look(state, entry)
    end
  end
end

-- One request of the peer's. True when there was something to do.
local function step(state, peer)
  if not flush(peer) then
    return false
  end
  local ok, value, word = pcall(peer.connection.recv, peer.connection, 0)
  if ok and value == nil and word == "timeout" then
    return false
  elseif not ok or value == nil then
    peer.over = true
  else
    serve(state, peer, value)
  end
  return true
end

-- Takes one who has come. True when there was one, with the key or without.
local function accept(state)
  if state.pause_until > core.time() then
    return false
  end
  local connection, word, name = state.listener:accept(0)
  if connection then
    state.peers[#state.peers + 1] = { connection = connection, out = {}, keeps = {}, over = false }
  elseif name and name ~= "EAUTH" then
    state.pause_until = core.time() + PAUSE_SECONDS
    return false
  end
  return connection ~= nil or word ~= "timeout"
end

-- A request of each, and one who has come. True when there was something to do.
function remotes.step(state)
  local busy = state.listener and accept(state) or false
  for at = #state.peers, 1, -1 do
    local peer = state.peers[at]
    busy = step(state, peer) or busy
    if peer.over then
      forget(state, at, peer)
    end
  end
  return busy
end

-- Adds to the list what tells of them. True when a reply waits to go, which nothing tells of.
function remotes.watch(state, list)
  if state.listener and state.pause_until <= core.time() then
    list[#list + 1] = state.listener:fileno()
  end
  local sends = false
  for _, peer in ipairs(state.peers) do
    list[#list + 1] = peer.connection:fileno()
    sends = sends or peer.out[1] ~= nil or peer.connection:events() == "rw"
  end
  return sends
end

function remotes.close(state)
  if state.listener then
    state.listener:close()
  end
  for _, peer in ipairs(state.peers) do
    flush(peer)
  end
  state.peers = {} -- what is left of frames goes out at the process's end: no peer is waited for before another
end

return remotes
