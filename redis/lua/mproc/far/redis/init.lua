-- SPDX-License-Identifier: MIT
-- Pools over several machines, on Redis or Valkey: what mproc's core requires for addresses of the schemes redis,
-- rediss, redis+sentinel and redis+unix. Its parts are loaded when they are used.

local redis = {}

-- Of the keeper, the process beside a pool's owner.
function redis.main(...)
  return require("mproc.far.redis.keeper").main(...)
end

-- What an address says, a target (url.lua); or nil and what is wrong. The address is not repeated: it may hold a
-- password. address: nil for MPROC_URL; version: of the code, or nil.
function redis.parse(address, version)
  return require("mproc.far.redis.url").parse(address, version)
end

-- mproc worker: until it is told to leave.
function redis.work(target, options)
  return require("mproc.far.redis.worker").run(target, options)
end

-- A pattern of --allow, for options.allow of work(); or nil and what is wanted.
function redis.pattern(text)
  return require("mproc.far.redis.worker.allow").compile(text)
end

-- mproc worker --check: writes what there is to know, and gives an exit status.
function redis.check(target)
  return require("mproc.far.redis.look").check(target)
end

-- mproc top: a view of a queue. view:take([the look before]) -> a look | nil, message.
function redis.look(target)
  return require("mproc.far.redis.look").open(target)
end

-- What is wrong with an address, or nil.
function redis.refuse(address)
  local target, message = redis.parse(address)
  return not target and message or nil
end

return redis
