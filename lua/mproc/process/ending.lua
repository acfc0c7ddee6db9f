-- SPDX-License-Identifier: MIT
-- The methods of a process that wait for its end, hasten it, and let it go. Loaded by the first start or use, by
-- init.lua.

local check = require("mproc.check")
local class = require("mproc.process.class")
local core = require("mproc.core")
local errors = require("mproc.errors")
local result = require("mproc.process.result")
local states = require("mproc.process.states")

local ending = {}

local record_of = class.record_of
local title, check_open, check_own_child = states.title, states.check_open, states.check_own_child
local poll_exit = states.poll_exit

-- true, or false, "timeout".
function ending.join(self, timeout)
  local record = record_of(self)
  check.timeout(timeout)
  check_own_child(record, "join")
  if record.exitcode then
    return true
  end
  core.collect_strays()
  local ended, word = record.handle:wait(timeout)
  if not ended then
    return false, word
  end
  poll_exit(self, record)
  return true
end

-- What the target returned; raises its error, or how the process died; nil, "timeout".
function ending.result(self, timeout)
  local record = record_of(self)
  check.timeout(timeout)
  check_own_child(record, "take the result of")
  core.collect_strays()
  local outcome = record.outcome or result.await(record, timeout, function()
    poll_exit(self, record)
  end)
  if not outcome then
    return nil, "timeout"
  end
  return result.deliver(outcome)
end

function ending.is_alive(self)
  local record = record_of(self)
  if record.closed or not record.pid then
    return false
  elseif record.pid == core.getpid() then
    return true
  elseif not core.inherited(record.owner_pid) then
    return not poll_exit(self, record)
  end
  return record.exitcode == nil and record.handle:alive()
end

local function check_signal_options(what, opts)
  if opts == nil then
    return
  elseif type(opts) ~= "table" then
    errors.raise("%s takes a table such as { tree = true }, got %s", what, errors.show(opts))
  end
  check.options(opts, what .. " has", { "tree" })
end

local function send_signal(self, number, what, opts)
  local record = record_of(self)
  check_open(record)
  check_signal_options(what, opts)
  if not record.pid then
    errors.raise("cannot %s %s before it is started; call start() first", what, title(record))
  elseif not record.handle then
    errors.raise("%s cannot %s itself; use os.exit or error", title(record), what)
  elseif poll_exit(self, record) then
    return true
  end
  return record.handle:signal(number, opts and opts.tree)
end

-- Each true, or nil, message, NAME. Harmless once it has ended. opts: { tree = true } takes its descendants too.
function ending.terminate(self, opts)
  return send_signal(self, core.SIGTERM, "terminate", opts)
end

function ending.kill(self, opts)
  return send_signal(self, core.SIGKILL, "kill", opts)
end

function ending.interrupt(self)
  return send_signal(self, core.SIGINT, "interrupt")
end

-- For mproc.wait: ready once it has ended.
function ending.to_source(self)
  local record = record_of(self)
  if record.closed then
    return nil, title(record) .. " is closed"
  elseif record.pid == core.getpid() then
    return nil, title(record) .. " cannot wait for itself"
  elseif not record.pid then
    return nil, title(record) .. " is not started; call start() first"
  end
  return record.handle
end

function ending.close(self)
  local record = record_of(self)
  if record.closed then
    return
  elseif core.inherited(record.owner_pid) or record.pid == core.getpid() then
    errors.raise("%s is not a child of this process; only its parent can close it", title(record))
  elseif record.pid and not poll_exit(self, record) then
    errors.raise("%s still runs; join() or terminate() it before close()", title(record))
  end
  local handle = record.handle
  record.closed, record.handle, record.results, record.message, record.outcome = true, nil, nil, false, false
  record.args, record.bytes, record.target = nil, nil, nil
  if handle then
    handle:close()
  end
end

-- The end of a scope: only where it was opened, not in a child that inherited it.
function ending.leave_scope(self, err)
  local record = record_of(self)
  if record.closed or core.inherited(record.owner_pid) or record.pid == core.getpid() then
    return
  elseif record.pid and not poll_exit(self, record) then
    if err ~= nil then
      ending.terminate(self)
    end
    ending.join(self)
  end
  ending.close(self)
end

-- No error out of nowhere comes between two of their steps.
local shielded = {}
for name, f in pairs(ending) do
  shielded[name] = core.shield(f)
end

return shielded
