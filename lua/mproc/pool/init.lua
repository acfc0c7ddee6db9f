-- SPDX-License-Identifier: MIT
-- Pool: a number of workers that run tasks. This file makes it and ends it; its other methods are in
-- pool_tasks.lua, pool_lists.lua, pool_stream.lua, pool_search.lua and pool_stats.lua. Used by init.lua.
--
-- A pool has no thread or process of its own beside its workers: its owner moves it along in every call that waits
-- (pool_drive.lua). Fields beyond those of pool_chunks, pool_crew, pool_functions and pool_job: maker, state
-- ("open", "closed", "terminated"), broken and broken_error (workers cannot start), size, tasks, results (queues).

local chunks = require("mproc.pool_chunks")
local core = require("mproc.core")
local crew = require("mproc.pool_crew")
local drive = require("mproc.pool_drive")
local errors = require("mproc.errors")
local functions = require("mproc.pool_functions")
local insights = require("mproc.pool_insights")
local job = require("mproc.pool_job")
local lists = require("mproc.pool_lists")
local options = require("mproc.pool_options")
local pool_errors = require("mproc.pool_errors")
local search = require("mproc.pool_search")
local serial = require("mproc.pool_serial")
local stats = require("mproc.pool_stats")
local stream = require("mproc.pool_stream")
local tasks = require("mproc.pool_tasks")
local words = require("mproc.pool_words")

local UNREAD_SHOWN = 10

local Pool = { __name = "mproc.Pool" }
Pool.__index = Pool

for name, method in pairs({
  apply = tasks.apply, submit = tasks.submit, apply_async = tasks.apply_async,
  map = lists.map, starmap = lists.starmap, each = lists.each,
  map_async = lists.map_async, starmap_async = lists.starmap_async,
  imap = stream.imap, imap_unordered = stream.imap_unordered,
  reduce = search.reduce, filter = search.filter, any = search.any, all = search.all, find = search.find,
  stats = stats.of, workers = stats.workers, insights = insights.of,
}) do
  Pool[name] = method
end

-- --- for futures and streams ---

-- Nobody wants what a job still has out.
function Pool:abandon(of)
  words.stop(self, of.stop_word)
  job.finish(of)
end

-- True when nothing of the job had begun, and nothing will.
function Pool:withdraw(of)
  return words.withdraw(self, of.stop_word)
end

function Pool:has_begun(of)
  return words.has_begun(self, of.stop_word)
end

-- --- moving along, and the end ---

-- Moves things along once: results, callbacks, replacements, retries. Waits for up to `timeout` seconds (by default not
-- at all) when there is nothing to do. True when something has happened.
function Pool:step(timeout)
  drive.check_owner(self)
  errors.check_timeout(timeout)
  if self.state == "terminated" then
    return false
  end
  local ok, any = pcall(drive.step, self, timeout or 0)
  if not ok then
    drive.note_interrupt(any)
    error(any, 0)
  end
  return any
end

-- A descriptor for event loops. When it is readable, several times a second at least, step() has something to look at.
function Pool:fileno()
  drive.check_owner(self)
  if self.state == "terminated" then
    errors.raise("this pool is terminated: nothing will move any more")
  end
  return self.results:fileno()
end

-- From now on there are n workers.
function Pool:resize(n)
  drive.check_owner(self)
  job.check_open(self)
  if self.run_here then
    errors.raise("a serial pool has no workers")
  elseif self.broken then
    error(self.broken_error, 0)
  end
  return crew.resize(self, options.processes(n))
end

-- Errors that nobody has asked for are told once.
local function tell_unread(self)
  local lines, count = {}, 0
  for _, failed in ipairs(self.unread) do
    if not failed.read then
      failed.read = true
      count = count + 1
      if count <= UNREAD_SHOWN then
        local ok, text = pcall(tostring, failed.err)
        lines[#lines + 1] = ("mproc: %s failed and nobody asked: %s\n"):format(pool_errors.name_task(failed, 0),
          ok and text or "an error of type " .. type(failed.err))
      end
    end
  end
  count = count + self.unread_more
  self.unread, self.unread_more = {}, 0
  if count > UNREAD_SHOWN then
    lines[#lines + 1] = ("mproc: and %d more\n"):format(count - UNREAD_SHOWN)
  end
  if count > 0 then
    core.complain(table.concat(lines))
  end
end

-- No more tasks; those that were given are still done.
function Pool:close()
  drive.check_owner(self)
  if self.state == "terminated" then
    return
  end
  self.state, job.open[self] = "closed", nil
  drive.step(self, 0)
  if self.nlive == 0 then
    tell_unread(self)
  end
end

local function is_idle(self)
  return self.nlive == 0 and self.in_flight == 0
end

-- The streams' windows open: who joins waits for all of their input.
local function open_windows(self)
  for _, live in pairs(self.live) do
    live.window = nil
  end
end

-- Closes, and waits until all is done and the workers have left. true, or false, "timeout".
function Pool:join(timeout)
  drive.check_owner(self)
  errors.check_timeout(timeout)
  if self.state == "open" then
    self.state, job.open[self] = "closed", nil
  end
  local deadline = drive.deadline(timeout)
  if self.state == "closed" and not self.finished then
    open_windows(self)
    if not drive.await(self, is_idle, self, deadline) then
      return false, "timeout"
    end
    self.finishing = true
    self.tasks:close()
    if not crew.join(self, deadline) then
      return false, "timeout"
    end
    self.finished = true
    if self.run_here and self.finalizer then
      self.finalizer()
    end
  end
  tell_unread(self)
  return true
end

-- Ends the workers whatever they do. What is pending fails.
function Pool:terminate()
  drive.check_owner(self)
  if self.state == "terminated" or self.finished then
    return
  end
  self.state, self.finishing, job.open[self] = "terminated", true, nil
  crew.kill(self)
  job.fail_all(self, pool_errors.terminated(), true)
  drive.run_due(self)
  crew.join(self)
  self.finished = true
  chunks.drop_all(self)
  self.tasks, self.results = nil, nil
  tell_unread(self)
end

function Pool:__close(err)
  if self.maker ~= core.self() then
    return
  elseif err ~= nil then
    drive.note_interrupt(err)
    self:terminate()
  else
    self:join()
  end
end

-- Dropped without close: nobody can have asked for what is left. Never waits.
function Pool:__gc()
  if self.maker == core.self() and not self.finished then
    crew.kill(self)
  end
end

function Pool:__tostring()
  return ("mproc.Pool: %d workers, %s, %d tasks pending"):format(self.size, self.broken and "broken" or self.state,
    self.in_flight)
end

function Pool.__mproc_encode()
  error("a pool belongs to the process that made it; make another one there, or send it tasks through a queue", 0)
end

local function make(...)
  local self = options.read(...)
  self.maker, self.maker_pid, self.state, self.size = core.self(), core.getpid(), "open", self.processes
  self.max_tasks, self.death_error = self.maxtasksperchild, crew.death_error
  self.on_crash, self.retries = self.on_crash or "error", self.retries or 3
  job.open[self] = true
  chunks.prepare(self)
  functions.prepare(self)
  job.prepare(self)
  crew.prepare(self)
  return self
end

-- A pool, or nil, message, NAME when the system has no room for its workers.
local function new(...)
  local self = make(...)
  local ok, message, name = crew.furnish(self)
  if not ok then
    return nil, message, name
  elseif self.serial then
    serial.prepare(self)
    return setmetatable(self, Pool)
  end
  ok, message, name = crew.fill(self)
  setmetatable(self, Pool)
  if not ok then
    self:terminate()
    return nil, message, name
  end
  return self
end

return new
