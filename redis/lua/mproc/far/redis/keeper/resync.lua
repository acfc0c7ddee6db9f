-- SPDX-License-Identifier: MIT
-- What a keeper asks and says when it has (re)connected, so that whatever the server has forgotten is there again and
-- nothing runs twice that need not. Used by mproc.far.redis.keeper alone.
--
-- The order matters. A worker's commit takes the entry and adds the result in one step; so when an entry is found to be
-- missing first, and the results are read afterwards, a chunk without both is lost, and is sent again. Results are read
-- from the beginning: ids of a promoted replica may lie behind.

local core = require("mproc.core")
local deliver = require("mproc.far.redis.keeper.deliver")
local message = require("mproc.far.redis.message")
local say = require("mproc.far.redis.keeper.say")

local resync = {
  EXPIRES_MS = 60000, -- what is left of an owner that died
  FULL_SECONDS = 0.25, -- until what the server had no memory for is tried again
}

local RESULTS_AT_ONCE = 256

-- What the server says to a command: a refusal ends the keeper. After another error, if the command is needed, all is
-- asked again.
local function note_error(self, text, kind, is_needed)
  if kind == "refused" then
    say.refuse(self, text)
  elseif is_needed and kind == "error" then
    say.full(self, text)
    self.again_at = core.time() + resync.FULL_SECONDS
  end
end

-- --- what was lost ---

-- All results that are there have been delivered: what is missing now is lost.
local function send_lost(self)
  for _, chunk in ipairs(self.book:list()) do
    if chunk.is_missing then
      chunk.is_missing = false
      self.resubmitted = (self.resubmitted or 0) + 1
      self.book:put_off(chunk)
    end
  end
  self.is_ready = not self.again_at
end

-- Reads the results from `from` on, and so on until there are no more.
local function read_results(self, from)
  self.out:send(function(entries, text, kind)
    if not entries then
      return note_error(self, text, kind, true)
    end
    local last = deliver.entries(self, entries)
    if last and #entries == RESULTS_AT_ONCE then
      read_results(self, "(" .. last)
    else
      send_lost(self)
    end
  end, "XRANGE", self.stream, from, "+", "COUNT", RESULTS_AT_ONCE)
end

-- An entry whose holder died is split, and those of its items have other ids: nobody asks whether these are there.
local function ask_for(self, chunk)
  local id = chunk.id
  self.out:send(function(entries, text, kind)
    if not entries then
      note_error(self, text, kind, true)
    elseif not entries[1] and chunk.id == id then
      chunk.is_missing = true
    end
  end, "XRANGE", self.keys.tasks, id, id)
end

-- Looks which of the chunks that are out the server does not have any more, and sends them again. all: those, too,
-- whose number the server has not told: whether they arrived nobody knows.
local function look_for_lost(self, all)
  local any = false
  for _, chunk in ipairs(self.book:list()) do
    if chunk.id then
      ask_for(self, chunk)
      any = true
    elseif chunk.is_sent and all then
      chunk.is_missing = true
    end
  end
  if any or all then
    read_results(self, "-")
  end
end

-- The connection has lasted, but workers may have dropped what they had.
function resync.look_for_lost(self)
  look_for_lost(self, false)
end

-- --- the beginning ---

-- The tasks must not be evicted. Who may not ask takes the user's word.
local function check_policy(self)
  self.out:send(function(reply)
    local policy = reply and reply[2]
    if policy and policy ~= "noeviction" then
      say.refuse(self, ("its maxmemory-policy is %s, by which it may drop tasks; set it to noeviction"):format(policy))
    end
  end, "CONFIG", "GET", "maxmemory-policy")
end

-- The session is up: group and result stream exist or are made, then it is looked for what was lost.
function resync.begin(self)
  local out = self.out
  self.is_ready, self.again_at = false, nil
  check_policy(self)
  out:send(function(_, text, kind) note_error(self, text, kind) end, "XGROUP", "CREATE", self.keys.tasks, "w", "0",
    "MKSTREAM")
  out:script(function(_, text, kind) note_error(self, text, kind, true) end, "live", { self.stream },
    { message.HELLO, resync.EXPIRES_MS })
  for _, id in ipairs(self.far.earlier) do
    out:send(nil, "DEL", self.keys.result(id))
  end
  look_for_lost(self, true)
end

return resync
