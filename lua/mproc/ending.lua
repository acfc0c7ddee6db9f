-- SPDX-License-Identifier: MIT
-- The methods of a process that wait for its end, hasten it, and let it go. Used by process.lua.

local class = require("mproc.class")
local core = require("mproc.core")
local errors = require("mproc.errors")
local later = require("mproc.later")
local states = require("mproc.states")

local result = later.module("mproc.result")

local Process = class.Process
local record = class.record
local title, check_open, check_own_child, learn = states.title, states.check_open, states.check_own_child, states.learn

-- true, or false, "timeout".
function Process:join(timeout)
  local own = record(self)
  errors.check_timeout(timeout)
  check_own_child(own, "join")
  if own.exitcode then
    return true
  end
  local ended, word = own.handle:wait(timeout)
  if not ended then
    return false, word
  end
  learn(self, own)
  return true
end

-- What the target returned; raises its error, or how the process died; nil, "timeout".
function Process:result(timeout)
  local own = record(self)
  errors.check_timeout(timeout)
  check_own_child(own, "take the result of")
  local outcome = own.outcome or result.await(own, timeout, function()
    learn(self, own)
  end)
  if not outcome then
    return nil, "timeout"
  end
  return result.deliver(outcome)
end

function Process:is_alive()
  local own = record(self)
  if own.closed or not own.pid then
    return false
  elseif own.pid == core.getpid() then
    return true
  elseif own.maker == core.getpid() then
    return not learn(self, own)
  end
  return own.exitcode == nil and own.handle:alive()
end

local function check_signal_options(what, opts)
  if opts == nil then
    return
  elseif type(opts) ~= "table" then
    errors.raise("%s takes a table such as { tree = true }, got %s", what, errors.show(opts))
  end
  for key in pairs(opts) do
    if key ~= "tree" then
      errors.raise("unknown option %s; %s has tree", errors.show(key), what)
    end
  end
end

local function send_signal(self, number, what, opts)
  local own = record(self)
  check_open(own)
  check_signal_options(what, opts)
  if not own.pid then
    errors.raise("cannot %s %s before it is started; call start() first", what, title(own))
  elseif not own.handle then
    errors.raise("%s cannot %s itself; use os.exit or error", title(own), what)
  elseif learn(self, own) then
    return true
  end
  return own.handle:signal(number, opts and opts.tree)
end

-- Each true, or nil, message, NAME. Harmless once it has ended. opts: { tree = true } takes its descendants too.
function Process:terminate(opts)
  return send_signal(self, core.SIGTERM, "terminate", opts)
end

function Process:kill(opts)
  return send_signal(self, core.SIGKILL, "kill", opts)
end

function Process:interrupt()
  return send_signal(self, core.SIGINT, "interrupt")
end

-- For mproc.wait: ready once it has ended.
function class.to_source(self)
  local own = record(self)
  if own.closed then
    return nil, title(own) .. " is closed"
  elseif own.pid == core.getpid() then
    return nil, title(own) .. " cannot wait for itself"
  elseif not own.pid then
    return nil, title(own) .. " is not started; call start() first"
  end
  return own.handle
end

-- An fd that turns readable when the process ends; the sentinel by another name.
function Process:fileno()
  return self.sentinel
end

function Process:close()
  local own = record(self)
  if own.closed then
    return
  elseif own.maker ~= core.getpid() or own.pid == core.getpid() then
    errors.raise("%s is not a child of this process; only its parent can close it", title(own))
  elseif own.pid and not learn(self, own) then
    errors.raise("%s still runs; join() or terminate() it before close()", title(own))
  end
  if own.handle then
    own.handle:close()
  end
  own.closed, own.handle, own.results, own.outcome = true, nil, nil, nil
  own.args, own.bytes, own.target = nil, nil, nil
end

-- The end of a scope: only where it was opened, not in a child that inherited it.
function class.leave_scope(self, err)
  local own = record(self)
  if own.closed or own.maker ~= core.getpid() or own.pid == core.getpid() then
    return
  elseif own.pid and not learn(self, own) then
    if err ~= nil then
      self:terminate()
    end
    self:join()
  end
  self:close()
end
