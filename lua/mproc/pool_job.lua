-- SPDX-License-Identifier: MIT
-- A job: what one call of a pool's methods asked for, from one task to an endless stream. Used by pool_*.lua; jobs that
-- users get are Futures (future.lua).
--
-- Fields: pool, verb, f, number (of the job in its pool), single (one task, no items); mode (pool_label.lua); version;
-- source, granule (pool_source.lua, pool_feed.lua); fed, arrived: items sent and reported; exhausted: no more to send;
-- messages: chunks out; cost: seconds an item; bytes, out: of a result, of an item; stop_word (0: none);
-- ended; deaths. deliver(job, index, ok, ...) takes one item's outcome, complete(job) makes the job's of them.
-- Invariant: pool.live holds the jobs that have not ended, by number; each ends once, by job.finish.

local core = require("mproc.core")
local errors = require("mproc.errors")
local functions = require("mproc.pool_functions")
local words = require("mproc.pool_words")

local job = {}

-- The pools whose state is "open" and that are not broken: what is in here is a pool that takes tasks.
job.open = setmetatable({}, { __mode = "k" })

local UNREAD_MAX = 1000 -- failed futures that are remembered

function job.prepare(pool)
  pool.live, pool.nlive, pool.nended, pool.next_job = {}, 0, 0, 1
  pool.busy, pool.busy_since = 0, 0 -- seconds in which some job was live; since when one is
  pool.feeding = {} -- a list of jobs with more to send
  pool.due, pool.due_from, pool.due_to = {}, 1, 0 -- ended jobs whose callbacks have not run
  pool.unread, pool.unread_more = {}, 0 -- failed futures that nobody has asked yet; how many besides
end

local function is_callable(f)
  local mt = debug.getmetatable(f)
  return type(mt) == "table" and mt.__call ~= nil
end

-- example: how it is called, a format of `verb`.
function job.check_function(f, example, verb)
  if type(f) == "function" or is_callable(f) then
    return
  end
  example = example:format(verb)
  if f == nil then
    errors.raise("the task is nil - did you write f(...) instead of f? Write %s", example)
  elseif type(f) == "string" then
    errors.raise("the task must be a function, got the string %q; pass the function itself, without quotes", f)
  end
  errors.raise("the task must be a function, got %s - did you write f(...) instead of f? Write %s", errors.show(f),
    example)
end

local REMEDY = {
  closed = "the pool is closed: close(), join() or the end of its scope came before; make a new one with mproc.Pool()",
  terminated = "the pool is terminated: terminate() or an error in its scope ended it; make a new one with "
    .. "mproc.Pool()",
}

function job.check_open(pool)
  if REMEDY[pool.state] then
    errors.raise("%s", REMEDY[pool.state])
  end
end

-- What every job begins with goes into the class of jobs.
function job.inherit(class)
  class.fed, class.arrived, class.messages, class.bytes, class.out, class.ended = 0, 0, 0, 0, 0, false
end

-- The number of the next job.
function job.take_number(pool)
  local number = pool.next_job
  pool.next_job = number + 1
  return number
end

-- It lives from now on; it has pool, number and stop_word.
function job.enlist(pool, self)
  if pool.nlive == 0 then
    pool.busy_since = core.time()
  end
  pool.live[self.number], pool.nlive = self, pool.nlive + 1
end

-- Fills in what every job has, and makes it live. `self` has verb, f, mode, deliver; the rest is its own.
function job.begin(pool, self)
  self.pool, self.number, self.stop_word = pool, job.take_number(pool), words.take(pool)
  job.enlist(pool, self)
  if self.version then
    functions.use(self.version)
  end
  return self
end

-- Futures that were asked meanwhile make room; what is more than can be told is counted.
local function note_unread(pool, failed)
  if #pool.unread == UNREAD_MAX then
    local kept = {}
    for _, other in ipairs(pool.unread) do
      if not other.read then
        kept[#kept + 1] = other
      end
    end
    if #kept > UNREAD_MAX // 2 then
      pool.unread_more = pool.unread_more + #kept - UNREAD_MAX // 2
      table.move({}, 1, #kept - UNREAD_MAX // 2, UNREAD_MAX // 2 + 1, kept)
    end
    pool.unread = kept
  end
  table.insert(pool.unread, failed)
end

-- What jobs of many items have besides.
local function finish_source(pool, self)
  self.exhausted = true
  if self.version then
    functions.release(pool, self.version)
    self.version = nil
  end
  if self.source then
    self.source:close()
    self.source = nil
  end
end

-- The end of a job: nothing more of it is sent, what still arrives is dropped. Its callbacks are due.
function job.finish(self)
  local pool = self.pool
  if self.ended then
    return
  end
  self.ended, pool.nended = true, pool.nended + 1
  if pool.live[self.number] then
    pool.live[self.number], pool.nlive = nil, pool.nlive - 1
    if pool.nlive == 0 then
      pool.busy = pool.busy + core.time() - pool.busy_since
    end
  end
  if not self.single then
    finish_source(pool, self)
  end
  if self.is_future then
    pool.due_to = pool.due_to + 1
    pool.due[pool.due_to] = self
    if self.failed and not self.read then
      note_unread(pool, self)
    end
  end
  if self.stop_word ~= 0 and self.messages == 0 then
    words.give_back(pool, self.stop_word)
    self.stop_word = 0
  end
  if self.progress then -- last, for Ctrl-C in a function of the user's raises
    self.progress:finish(self)
  end
end

-- Once all that was sent has been reported, and there is no more.
function job.check_complete(self)
  if self.exhausted and self.arrived == self.fed and not self.ended then
    self:complete()
  end
end

-- Ends every job that has not ended with that error, oldest first. told: who asked for it needs no news of it.
function job.fail_all(pool, err, told)
  local numbers = {}
  for number in pairs(pool.live) do
    numbers[#numbers + 1] = number
  end
  table.sort(numbers)
  for _, number in ipairs(numbers) do
    local self = pool.live[number]
    if self then -- none of the others' ends has ended it
      self.read = self.read or told
      self:abort(err)
    end
  end
  pool.feeding = {}
end

return job
