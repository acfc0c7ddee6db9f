-- SPDX-License-Identifier: MIT
-- Commands that run at once: starts them, waits for their ends, puts out what they printed. Used by mproc.cli.run.
--
-- A job: number, columns, command (text), argv, attempts; while it runs handle (core.spawn), began, started_at (the
-- wall clock, for the log), ends_by (with a timeout), told (it was asked to end). State: plan (what jobs.run takes),
-- running (a list of jobs), waiting (number -> job that has ended, with keep_order), next_out, failed, done, stopping.

local core = require("mproc.core")
local mproc = require("mproc")
local template = require("mproc.cli.template")
local usage = require("mproc.cli.usage")

local jobs = {}

local SIGTERM, SIGKILL = core.SIGTERM, core.SIGKILL
local GRACE_SECONDS = 2 -- between SIGTERM and SIGKILL
local POLL_SECONDS = 0.01 -- where the system cannot tell of ends
local LOOK_SECONDS = 0.25 -- how often it looks whether somebody still reads
local WAITING_MOST = 256 -- jobs that have ended and wait for their turn: each keeps two files open
local READ_BYTES = 1 << 20
local NOT_RUN = 127 -- exit code of a command that cannot be started, as the shell has it
local TELL_SECONDS = 0.2

-- --- output ---

local function check_write(ok, message)
  if not ok then
    usage.stop("cannot write its output: %s", message)
  end
end

-- Line by line, with a prefix.
local function send_tagged(handle, which, to, prefix)
  local at, rest = 0, ""
  repeat
    local part = handle:read(which, at, READ_BYTES)
    at = at + #part
    local text = rest .. part
    local cut = part ~= "" and #text - (text:reverse():find("\n", 1, true) or #text + 1) + 1 or #text
    rest = text:sub(cut + 1)
    local tagged = text:sub(1, cut):gsub("([^\n]*\n?)", function(line)
      return line ~= "" and prefix .. line or nil
    end)
    to(tagged)
  until part == ""
end

local function put_out(state, job)
  local handle = job.handle
  if state.plan.ungrouped or not handle then
    return
  elseif state.plan.tag then
    local prefix = (job.columns.whole or table.concat(job.columns, " ")) .. "\t"
    send_tagged(handle, "out", function(text) check_write(core.write_out(text)) end, prefix)
    send_tagged(handle, "err", core.write_stderr, prefix)
  else
    check_write(handle:send("out", 1))
    check_write(handle:send("err", 2))
  end
end

local function finish(state, job)
  put_out(state, job)
  if job.handle then
    job.handle:close()
  end
end

-- In the order of the arguments, or at once.
local function hand_out(state, job)
  if not state.plan.keep_order then
    return finish(state, job)
  end
  state.waiting[job.number], state.nwaiting = job, state.nwaiting + 1
  while state.waiting[state.next_out] do
    finish(state, state.waiting[state.next_out])
    state.waiting[state.next_out], state.nwaiting = nil, state.nwaiting - 1
    state.next_out = state.next_out + 1
  end
end

local function tell_progress(state, last)
  if state.plan.progress and (last or core.time() >= state.tell_at) then
    state.tell_at = core.time() + TELL_SECONDS
    local terminal = core.kind_of_file(2) == "terminal"
    core.write_stderr(("%sjobs: %d done, %d failed, %d running%s"):format(terminal and "\r" or "", state.done,
      state.failed, #state.running, terminal and not last and "\27[K" or "\n"))
  end
end

-- --- one job ---

local function printed(job)
  return job.handle and job.handle:size("out") + job.handle:size("err") or 0
end

local function stop_all(state, signal)
  for _, job in ipairs(state.running) do
    job.told = job.told or core.time()
    job.handle:signal(signal)
  end
end

local function start(state, job)
  job.attempts, job.told, job.ends_by = (job.attempts or 0) + 1, nil, nil
  job.began, job.started_at = core.time(), os.time()
  local handle, message = core.spawn(job.argv, state.plan.ungrouped)
  job.handle = handle
  if not handle then
    core.write_stderr(("mproc: cannot run %s\n"):format(message))
    return false
  end
  job.ends_by = state.plan.timeout and job.began + state.plan.timeout
  table.insert(state.running, job)
  return true
end

local function note_failure(state, exitcode)
  if exitcode == 0 then
    return
  elseif state.plan.fail_fast and not state.stopping then
    state.stopping = true
    stop_all(state, SIGTERM)
  end
  state.failed = state.failed + 1
end

-- An attempt has ended: the job begins again, or is done.
local function end_attempt(state, job, exitcode)
  if state.plan.log then
    local received = state.plan.ungrouped and 0 or printed(job)
    state.plan.log:note(job, core.time() - job.began, received, exitcode)
  end
  if exitcode ~= 0 and job.attempts <= state.plan.retries and not state.stopping then
    if job.handle then
      job.handle:close()
    end
    return start(state, job) or end_attempt(state, job, NOT_RUN)
  end
  state.done = state.done + 1
  note_failure(state, exitcode)
  hand_out(state, job)
end

-- The next job to be started, or nil.
local function next_job(state)
  while true do
    local columns = state.plan.columns()
    if not columns then
      state.exhausted = true
      return nil
    end
    state.number = state.number + 1
    local job = { number = state.number, columns = columns }
    job.command, job.argv = template.apply(state.plan.command, columns, job.number)
    if not (state.plan.log and state.plan.log:has_done(job.number, job.command)) then
      return job
    end
    hand_out(state, job)
  end
end

-- --- all of them ---

local function fill(state)
  while not state.exhausted and not state.stopping and #state.running < state.plan.width
    and state.nwaiting < WAITING_MOST do
    local job = next_job(state)
    if job and not start(state, job) then
      end_attempt(state, job, NOT_RUN)
    end
  end
end

-- Ends jobs that take too long: first they are asked. Returns how long nothing is to be done.
local function check_times(state)
  local now, soonest = core.time(), LOOK_SECONDS
  for _, job in ipairs(state.running) do
    if job.ends_by and not job.told and now >= job.ends_by then
      job.told = now
      job.handle:signal(SIGTERM)
    elseif job.told and now >= job.told + GRACE_SECONDS then
      job.handle:signal(SIGKILL)
    end
    local due = job.told and job.told + GRACE_SECONDS or job.ends_by
    soonest = due and math.min(soonest, math.max(due - now, 0)) or soonest
  end
  return soonest
end

local function wait_for_ends(state, timeout)
  local fds = {}
  for i, job in ipairs(state.running) do
    fds[i] = job.handle:fileno()
    if not fds[i] then
      return core.sleep(math.min(timeout, POLL_SECONDS))
    end
  end
  mproc.wait(fds, timeout)
end

local function collect(state)
  for i = #state.running, 1, -1 do
    local job = state.running[i]
    local exitcode = job.handle:exitcode()
    if exitcode then
      table.remove(state.running, i)
      end_attempt(state, job, exitcode)
    end
  end
end

local function step(state)
  fill(state)
  if #state.running > 0 then
    wait_for_ends(state, check_times(state))
    collect(state)
  end
  tell_progress(state)
  if core.time() >= state.look_at then
    state.look_at = core.time() + LOOK_SECONDS
    if core.reader_gone() then
      os.exit(true)
    end
  end
end

local function is_over(state)
  return #state.running == 0 and (state.exhausted or state.stopping)
end

-- After an error: nobody is left behind. Who is asked and does not end is killed.
local function abandon(state)
  stop_all(state, SIGTERM)
  local deadline = core.time() + GRACE_SECONDS
  for _, job in ipairs(state.running) do
    while not job.handle:exitcode() and core.time() < deadline do
      core.sleep(POLL_SECONDS)
    end
    job.handle:signal(SIGKILL)
  end
end

local function loop(state)
  repeat
    step(state)
  until is_over(state)
end

-- plan: command (a template), columns (an iterator), width, log, keep_order, ungrouped, tag, fail_fast, retries,
-- timeout (seconds), progress. Returns the exit status.
function jobs.run(plan)
  local state = {
    plan = plan, running = {}, waiting = {}, nwaiting = 0, next_out = 1, number = 0, failed = 0, done = 0,
    exhausted = false, stopping = false, tell_at = 0, look_at = core.time() + LOOK_SECONDS,
  }
  local ok, err = pcall(loop, state)
  if not ok then
    abandon(state)
    error(err, 0)
  end
  tell_progress(state, true)
  return state.failed > 0 and 1 or 0
end

return jobs
