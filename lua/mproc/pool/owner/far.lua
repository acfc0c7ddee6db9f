-- SPDX-License-Identifier: MIT
-- What is different at the owner of a pool over several machines. Such a pool has one process of its own, the keeper,
-- whose code the rock of its engine brings (mproc.far.<scheme>): it takes tasks from the pool's queue as a worker does,
-- has other machines run them, and reports what they give. So jobs, futures and the book of what is in flight are those
-- of every pool.
--
-- state.far, which this file alone writes: url; main (what the keeper runs); show (what the url may be called);
-- most (bytes of a message); fleet (what the keeper last told of the machines' workers); ids and what else keeper_slot
-- gives; TOO_LARGE, pack, raise_unsent, try_cancel (for others, who need not require this file).
-- An engine's module has refuse(url) -> what is wrong with it, or nil; and main(slot), the keeper, which ends when the
-- tasks' queue is closed and drained. It names scheme://… by what stands before a "+".

local core = require("mproc.core")
local errors = require("mproc.errors")
local pool_errors = require("mproc.pool.errors")
local protocol = require("mproc.pool.protocol")

local far = {}

local PATIENCE, MAX_BYTES, WINDOW = 300, 8 << 20, 64 << 20
local TOO_LARGE = "E2BIG" -- what core calls a message of too many bytes
local ID_DIGITS, IDS_KEPT = 16, 8 -- older ones' results have expired
local CANCEL_SECONDS, CANCEL_NAP = 2, 0.0005 -- how long the keeper's answer is waited for
local LEAVE_SECONDS = 1 -- what a keeper has to tell the engine that its pool is terminated

-- The module of the url's engine. Raises when its rock is not installed.
local function engine_of(url)
  local scheme = url:match("^(%a[%w+.-]*)://")
  if not scheme then
    errors.raise("url must be an address such as \"redis://host:6379/0?queue=name\", got %s", errors.show(url))
  end
  scheme = scheme:lower()
  local name = "mproc.far." .. scheme:match("^[^+]+")
  local ok, module = pcall(require, name)
  if ok then
    return module
  elseif type(module) == "string" and module:find("module '" .. name .. "' not found", 1, true) then
    errors.raise("a pool at %s://... needs a rock that has the module %s, such as mproc-redis for Redis and Valkey; "
      .. "there is none here: luarocks install mproc-redis", scheme, name)
  end
  error(module, 0)
end

-- What is not told again to who was told all: bytes of a value, or nil, what the codec says, whether it is refused.
local function pack(value, what)
  return protocol.pack_abroad(what, value)
end

-- The error of a single task that could not be sent, blamed on the caller.
local function raise_unsent(reason, name, ...)
  if name == TOO_LARGE then
    error(pool_errors.too_large("args", reason), 0)
  elseif name then
    errors.raise("cannot send the task: %s", reason)
  end
  local bytes, precise = pack(table.pack(...), "args")
  errors.raise_unsendable(bytes and reason or precise, true)
end

-- True when no machine has fetched anything of the job with that cancel flag, and none will. The keeper knows.
local function try_cancel(state, flag)
  local array, keeper = state.flags.array, state.workers.list[1]
  if flag == 0 or not array:compare_exchange(flag, protocol.QUEUED, protocol.ASKED) then
    return false
  elseif keeper and keeper.channel then
    protocol.post(keeper.channel, flag, 0, protocol.CANCEL, 0, 0, 0, "cancel")
  end
  local deadline = core.time() + CANCEL_SECONDS
  while array[flag] == protocol.ASKED and core.time() < deadline do
    core.sleep(CANCEL_NAP)
  end
  array:compare_exchange(flag, protocol.ASKED, protocol.BEGUN)
  return array[flag] == protocol.CANCELLED
end

-- An address as messages show it: user and password are nobody's business.
local function without_user(url)
  return (url:gsub("^(%a[%w+.-]*://)[^/]*@", "%1"))
end

-- What a pool with these options, which are checked, has as state.far.
function far.open(options)
  local module = engine_of(options.url)
  local wrong = module.refuse(options.url)
  if wrong then
    errors.raise("%s", wrong)
  end
  return {
    url = options.url, show = without_user(options.url), main = module.main, ids = {}, fleet = { workers = {} },
    patience = options.patience or PATIENCE, most = options.max_bytes or MAX_BYTES, window = options.window or WINDOW,
    TOO_LARGE = TOO_LARGE, LEAVE_SECONDS = LEAVE_SECONDS, pack = pack, raise_unsent = raise_unsent,
    try_cancel = try_cancel,
  }
end

-- What the keeper that is started now is told beside what every worker is; nil for a local pool. Each has an id of its
-- own, so that no late result of an earlier one's is taken for another's.
function far.keeper_slot(state)
  local self = state.far
  if not self then
    return nil
  end
  local earlier, id = table.move(self.ids, 1, #self.ids, 1, {}), core.random_name():sub(1, ID_DIGITS)
  self.ids = table.move(earlier, math.max(1, #earlier - IDS_KEPT + 2), #earlier, 1, {})
  self.ids[#self.ids + 1] = id
  return {
    url = self.url, show = self.show, id = id, earlier = earlier, patience = self.patience,
    window = self.window, most = self.most, timeout = state.task_timeout,
    retries = state.on_crash == "retry" and state.retries or 0,
  }
end

-- How messages go and come.
function far.transport(state, tasks)
  local way = protocol.transport(tasks, state.results)
  way.post = protocol.poster(state.far.most)
  way.inbox = protocol.inbox(state.results, "abroad")
  return way
end

-- What the keeper tells: { processes = how many processes work for the queue, ahead = chunks out for each,
-- seconds = what a chunk shall take, workers = a list of { name =, processes =, done =, failed =, working = } }.
function far.hear(state, fleet)
  state.far.fleet = fleet
  state.size = math.max(1, fleet.processes)
  state.pace.seconds, state.pace.ahead = fleet.seconds, fleet.ahead
end

return far
