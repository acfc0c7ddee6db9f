-- SPDX-License-Identifier: MIT
-- Results as they come: a session that blocks in XREAD. Used by mproc.far.redis.keeper alone.
--
-- self.back: the session; last: the id of the last entry that was delivered, of this connection.

local deliver = require("mproc.far.redis.keeper.deliver")
local say = require("mproc.far.redis.keeper.say")
local session = require("mproc.far.redis.session")

local reader = {}

local BLOCK_MS = 2000 -- below what a session takes for silence
local AT_ONCE = 64 -- entries

-- The id after that one.
local function after(id)
  local time, number = id:match("^(%d+)-(%d+)$")
  return ("%s-%d"):format(time, tonumber(number) + 1)
end

local function read(self)
  self.back:send(function(streams, text, kind)
    if kind == "disconnected" then
      return
    elseif text then
      say.refuse(self, text)
    end
    local last = streams and deliver.entries(self, streams[1][2])
    if last then
      self.last = last
      self.out:send(nil, "XTRIM", self.stream, "MINID", after(last))
    end
    read(self)
  end, "XREAD", "COUNT", AT_ONCE, "BLOCK", BLOCK_MS, "STREAMS", self.stream, self.last)
end

function reader.open(self)
  self.last = "0"
  self.back = session.new(self.target, {
    on_up = function()
      self.last = "0"
      read(self)
    end,
  })
end

return reader
