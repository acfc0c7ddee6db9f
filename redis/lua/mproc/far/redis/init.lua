-- SPDX-License-Identifier: MIT
-- Pools over several machines, on Redis or Valkey: what mproc's core requires for addresses of the schemes redis,
-- rediss, redis+sentinel and redis+unix. Its parts are loaded when they are used.

local redis = {}

local parts = {
  main = function(...) -- of the keeper, the process beside a pool's owner
    return require("mproc.far.redis.keeper").main(...)
  end,
  work = function(...) -- mproc worker
    return require("mproc.far.redis.worker").main(...)
  end,
  check = function(...) -- mproc worker --check
    return require("mproc.far.redis.look").check(...)
  end,
  look = function(...) -- mproc top
    return require("mproc.far.redis.look").open(...)
  end,
}

for name, part in pairs(parts) do
  redis[name] = part
end

-- What is wrong with an address, or nil. The address itself is not repeated: it may hold a password.
function redis.refuse(address)
  local target, message = require("mproc.far.redis.url").parse(address)
  return not target and message or nil
end

return redis
