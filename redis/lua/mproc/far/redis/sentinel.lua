-- SPDX-License-Identifier: MIT
-- Asks sentinels where the master is. Used by session.lua, at each connect: that is how a fail-over is followed.

local connection = require("mproc.far.redis.connection")
local mproc = require("mproc")

local sentinel = {}

local SECONDS = 1 -- for one of them

local function ask(target, place, deadline)
  local c, message = connection.open({ tls = target.tls }, place.host, place.port, deadline)
  if not c then
    return nil, message
  end
  local replies
  replies, message = c:exchange({ { "SENTINEL", "get-master-addr-by-name", target.master } }, deadline)
  c:close()
  local at = replies and replies[1]
  local host, port = type(at) == "table" and at[1], type(at) == "table" and math.tointeger(tonumber(at[2]))
  if not (host and port) then
    return nil, message or ("%s:%d knows no master '%s'"):format(place.host, place.port, target.master)
  end
  return host, port
end

-- host, port of the master; or nil, message, kind.
function sentinel.master(target, deadline)
  local said
  for _, place in ipairs(target.sentinels) do
    local host, port = ask(target, place, math.min(deadline, mproc.time() + SECONDS))
    if host then
      return host, port
    end
    said = port
  end
  return nil, "no sentinel answers: " .. tostring(said), "disconnected"
end

return sentinel
