-- SPDX-License-Identifier: MIT
-- How far a call has come, on stderr or by a function of the user's. Used by the calls with many items and by
-- owner/loop.lua.
-- On a terminal a bar, written over; in a file plain lines; in a pipe nothing, unless "lines" were asked for.

local core = require("mproc.core")
local errors = require("mproc.errors")

local progress = {}

local BAR_WIDTH = 30
local STDERR = 2
local EVERY = { bar = 0.1, lines = 2, call = 0.1 } -- seconds

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
  core.write_stderr(("\r%s [%s%s] %s\27[K%s"):format(self.title, ("#"):rep(filled), (" "):rep(BAR_WIDTH - filled),
    in_words(self, done, total), last and "\n" or ""))
end

function WRITE.lines(self, done, total)
  core.write_stderr(("%s: %s\n"):format(self.title, in_words(self, done, total)))
end

function WRITE.call(self, done, total, _, call_back)
  call_back(self.f, done, total)
end

local function advance(self, job, call_back)
  local now = core.time()
  if now >= self.next then
    self.next = now + EVERY[self.how]
    WRITE[self.how](self, job.arrived, self.total or job.exhausted and job.sent or nil, false, call_back)
  end
end

-- The job has ended: `exhausted` says whether all of its items were sent.
local function finish(self, job, call_back)
  WRITE[self.how](self, job.arrived, job.arrived == job.sent and job.sent or self.total, true, call_back)
end

-- Shows how far the jobs are. call_back(f, ...) calls code of the user's, which may use the pool.
function progress.show(state, call_back)
  local list, i = state.jobs.showing, 1
  while list[i] do
    local job = list[i]
    if job.ended then
      table.remove(list, i)
      finish(job.progress, job, call_back)
    else
      advance(job.progress, job, call_back)
      i = i + 1
    end
  end
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
function progress.start(state, wanted, job)
  if wanted == nil then
    wanted = state.progress
  end
  local how = wanted and how_to_show(wanted)
  if not how then
    return nil
  end
  local now = core.time()
  return { how = how, f = wanted, title = job.verb, began = now, next = now + EVERY[how], total = job.source.size }
end

return progress
