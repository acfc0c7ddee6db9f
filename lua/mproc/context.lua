-- SPDX-License-Identifier: MIT
-- Start methods by name, and what of mproc is bound to one. Used by init.lua. What a method does stands in
-- process/start.lua and process/spawn.lua, which read what is set here from core.state.

local check = require("mproc.check")
local class = require("mproc.process.class")
local core = require("mproc.core")
local errors = require("mproc.errors")
local forms = require("mproc.process.forms")
local lazy = require("mproc.lazy")

local context = {}

local state = core.state
local METHODS = { "fork", "spawn", "forkserver" }
local KNOWN = { fork = true, spawn = true, forkserver = true }

local function check_method(method)
  if not (type(method) == "string" and KNOWN[method]) then
    errors.raise("unknown start method %s; there are \"fork\", \"spawn\" and \"forkserver\"", errors.show(method))
  end
  return method
end

-- For processes that start from now on, of this one and of those that it starts.
function context.set_start_method(method)
  state.start_method = check_method(method)
end

function context.get_start_method()
  return state.start_method or METHODS[1]
end

function context.get_all_start_methods()
  return { table.unpack(METHODS) }
end

-- The interpreter that "spawn" executes, instead of the one that runs this program.
function context.set_executable(path)
  if check.text("path", path) == "" or path:find("\0", 1, true) then
    errors.raise("path must name an interpreter, got %s", errors.show(path))
  end
  state.executable = path
end

-- The modules that a fork server requires when it starts.
function context.set_forkserver_preload(modules)
  if type(modules) ~= "table" then
    errors.raise("set_forkserver_preload takes a list of names of modules, got %s", errors.show(modules))
  end
  local list = {}
  for i = 1, check.length("modules.n", modules) do
    list[i] = check.text(("modules[%d]"):format(i), modules[i])
  end
  state.preload = list
end

-- --- contexts ---

local contexts = {} -- method -> context

local Context = forms.Context

function Context.__index(_, key)
  return lazy.load("mproc")[key]
end

function Context.__mproc_encode(self)
  return self.get_start_method()
end

function Context.__tostring(self)
  return ("mproc.Context: \"%s\""):format(self.get_start_method())
end

-- What starts processes, bound; the rest is the same everywhere.
local function make(method)
  local made = {
    Process = class.bound(method),
    get_start_method = function() return method end,
    get_context = function(other) return context.get_context(other or method) end,
  }
  made.Pool = function(...)
    return lazy.load("mproc.pool").bound(method, ...)
  end
  made.Manager = function(...)
    return lazy.load("mproc.manager").made_of(made.Process)(...)
  end
  return setmetatable(made, Context)
end

-- A table with all of mproc whose processes start by that method, whatever is set elsewhere.
function context.get_context(method)
  if method == nil then
    method = context.get_start_method()
  end
  contexts[check_method(method)] = contexts[method] or make(method)
  return contexts[method]
end

return context
