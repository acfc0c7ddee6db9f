-- SPDX-License-Identifier: MIT
-- How far a call has come, on stderr or by a function of the user's. Used by pool_lists.lua and pool_stream.lua.
-- On a terminal a bar, written over; in a file plain lines; in a pipe nothing, unless "lines" were asked for.

local core = require("mproc.core")
local drive = require("mproc.pool_drive")
local errors = require("mproc.errors")

local progress = {}

local BAR_WIDTH = 30
local STDERR = 2
local EVERY = { bar = 0.1, lines = 2, call = 0.1 } -- seconds

local Progress = {}
Progress.__index = Progress

local function seconds_in_words(s)
  if s >= 3600 then
    return ("%d:%02d:%02d"):format(s // 3600, s % 3600 // 60, s % 60 // 1)
  end
  return ("%d:%02d"):format(s // 60, s % 60 // 1)
end

-- "37/100, 12.5/s, 0:05 left"
local function in_words(self, done, total)
  local elapsed = core.time() - self.began
  local rate = elapsed > 0 and done / elapsed or 0
  local text = ("%d%s, %.1f/s"):format(done, total and "/" .. total or "", rate)
  if total and done < total and rate > 0 then
    return ("%s, %s left"):format(text, seconds_in_words((total - done) / rate))
  end
  return ("%s, %s"):format(text, seconds_in_words(elapsed))
end

local WRITE = {}

function WRITE.bar(self, done, total, last)
  local filled = total and (total > 0 and BAR_WIDTH * done // total or BAR_WIDTH) or done % BAR_WIDTH
  core.complain(("\r%s [%s%s] %s\27[K%s"):format(self.title, ("#"):rep(filled), (" "):rep(BAR_WIDTH - filled),
    in_words(self, done, total), last and "\n" or ""))
end

function WRITE.lines(self, done, total)
  core.complain(("%s: %s\n"):format(self.title, in_words(self, done, total)))
end

function WRITE.call(self, done, total)
  drive.run_callback(self.f, done, total)
end

-- One item more has arrived.
function Progress:advance(job)
  local now = core.time()
  if now < self.next then
    return
  end
  self.next = now + EVERY[self.how]
  WRITE[self.how](self, job.arrived, self.total or job.exhausted and job.fed or nil, false)
end

-- The job has ended.
function Progress:finish(job)
  WRITE[self.how](self, job.arrived, job.exhausted and job.fed or self.total, true)
end

local function how_to_show(wanted)
  if type(wanted) == "function" then
    return "call"
  elseif wanted == "bar" or wanted == "lines" then
    return wanted
  elseif wanted ~= true then
    errors.raise("progress must be true, false, \"bar\", \"lines\" or a function, got %s", errors.show(wanted))
  end
  local kind = core.kind_of_file(STDERR)
  return kind == "terminal" and "bar" or kind ~= "pipe" and "lines" or nil
end

-- What shows a job's progress, or nil. wanted: the call's option, or nil for the pool's.
function progress.start(pool, wanted, job)
  if wanted == nil then
    wanted = pool.progress
  end
  local how = wanted and how_to_show(wanted)
  if not how then
    return nil
  end
  local now = core.time()
  return setmetatable({ how = how, f = wanted, title = job.verb, began = now, next = now + EVERY[how],
    total = job.source.size }, Progress)
end

return progress
