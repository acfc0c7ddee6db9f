-- SPDX-License-Identifier: MIT
-- What a manager owns: its objects, who keeps them, and how their methods are called. Used by server/, in the manager's
-- process.
--
-- An entry is { object, kind, id, at (its place in state.list), lives (the manager's ends of the pipes whose other ends
-- its proxies have), remote (how many connections' proxies), named }. What is named stays; what else has no life and no
-- remote proxy goes.

local check = require("mproc.check")
local core = require("mproc.core")
local errors = require("mproc.errors")
local options = require("mproc.manager.options")
local protocol = require("mproc.manager.protocol")
local traceback = require("mproc.process.traceback")

local objects = {
  TOLD_TO_END = {}, -- the error by which SIGTERM leaves the loop: what it has ended is answered by nobody
}

local call_user = protocol.call
traceback.callers[call_user] = true

local REFUSAL = {} -- the error of a call that is the caller's mistake; why: in `refused`
local refused
local depth, entry_point = 0, nil -- how many managers' loops this process has inherited, its own included
local title -- "manager 'x' (pid n)"

-- --- errors ---

local function with_trace(text)
  return ("%s\nremote traceback of the %s:\n%s"):format(text, title, traceback.of_task(entry_point, depth, 1))
end

-- The message handler: what it gives is never nil, and can be sent in the tree.
local function describe(err)
  if rawequal(err, REFUSAL) or type(err) == "number" or type(err) == "boolean" then
    return err
  elseif err == nil or type(err) == "string" then
    return with_trace(errors.text_of(err))
  end
  local bytes, reason = core.pack(err, "error")
  if bytes then
    return err
  end
  return with_trace(errors.text_in_place_of(err, reason))
end

objects.describe = describe

-- From now on this process is that manager, whose loop is `loop`.
function objects.enter(name_of_manager, loop)
  depth, entry_point, title = depth + 1, loop, name_of_manager
end

-- --- calls ---

local function refuse(format, ...)
  refused = format:format(...)
  error(REFUSAL, 0)
end

-- The names of a table's methods, for a message.
local function names_of(object)
  local names = {}
  local function add(from)
    for key, value in next, from do
      if type(key) == "string" and key:sub(1, 1) ~= "_" and check.is_callable(value) then
        names[#names + 1] = key
      end
    end
  end
  if type(object) == "table" then
    add(object)
  end
  local mt = debug.getmetatable(object)
  if type(mt) == "table" and type(rawget(mt, "__index")) == "table" then
    add(mt.__index)
  end
  table.sort(names)
  return names
end

local function refuse_method(entry, name, value)
  if value ~= nil then
    refuse("'%s' of '%s' is a %s, no method; give the object a method that returns it", name, entry.kind, type(value))
  end
  if name == "close" then
    refuse("'%s' has no method 'close'; a proxy lets go of its object by itself, when it is dropped or a variable with "
      .. "<close> ends", entry.kind)
  end
  local names = names_of(entry.object)
  local near = check.nearest(name, names)
  refuse("'%s' has no method '%s'%s", entry.kind, name, near and ("; did you mean '%s'?"):format(near)
    or #names > 0 and #names < 20 and "; it has " .. table.concat(names, ", ") or "")
end

-- What runs inside the protected call. As in Python, a name that begins with an underscore is the object's own.
local function call_method(entry, name, ...)
  if name:byte() == 95 then
    refuse("'%s' of '%s' is the object's own: names that begin with an underscore cannot be called", name, entry.kind)
  end
  local object = entry.object
  local method = object[name]
  if type(method) ~= "function" and not check.is_callable(method) then
    refuse_method(entry, name, method)
  end
  return method(object, ...)
end

objects.call_method = call_method

local function construct(name, constructor, ...)
  local object = constructor(...)
  if not options.is_object(object) then
    refuse("the constructor '%s' must return an object, a table or a userdata with methods; it returned %s", name,
      object == nil and "nothing" or "a " .. type(object))
  end
  return object
end

-- What came of it: true and values; false and the error; nil and a text when it was the caller's mistake.
local function outcome(ok, ...)
  if not ok and protocol.told_to_end() then
    error(objects.TOLD_TO_END, 0)
  elseif not ok and rawequal((...), REFUSAL) then
    return nil, refused
  elseif select("#", ...) > protocol.RESULTS_MOST then
    return false, ("the method returned %d results, and at most %d can travel; return a table of them"):format(
      select("#", ...), protocol.RESULTS_MOST)
  end
  return ok, ...
end

objects.outcome = outcome

-- Calls the object's method as outcome says. The entry may be nil.
function objects.call(entry, name, ...)
  if not entry then
    return nil, "the object is gone"
  end
  return outcome(call_user(call_method, describe, entry, name, ...))
end

local function raise_here(ok, ...)
  if not ok and rawequal((...), REFUSAL) then
    errors.raise("%s", refused)
  elseif not ok then
    error((...), 0)
  end
  return ...
end

-- The same from inside the manager, where a call is a call: what it raises it raises.
function objects.call_here(entry, name, ...)
  if not entry then
    errors.raise("the object is gone")
  end
  return raise_here(pcall(call_method, entry, name, ...))
end

-- --- the book ---

-- state: the manager's. The named objects, in the order of their names.
function objects.open(state, named)
  state.entries, state.list, state.named, state.next_id = {}, {}, {}, 1
  state.walk = 0 -- where the sweep has come to
  local names = {}
  for name in next, named do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local entry = objects.add(state, name, named[name])
    entry.named = true
    state.named[name] = entry.id
  end
end

function objects.add(state, kind, object)
  local id, at = state.next_id, #state.list + 1
  local entry = { object = object, kind = kind, id = id, at = at, lives = {}, remote = 0, named = false }
  state.next_id = id + 1
  state.entries[id], state.list[at] = entry, entry
  return entry
end

-- Makes an object: the entry; or as outcome of what raised.
function objects.create(state, name, ...)
  local constructor = state.constructors[name]
  if not constructor then
    local names = names_of(state.constructors)
    return nil, nil, state.named[name] and ("'%s' is an object that is there; get('%s') gives it"):format(name, name)
      or ("the manager has no constructor '%s'; it has %s"):format(name,
        #names > 0 and table.concat(names, ", ") or "none")
  end
  local ok, object = outcome(call_user(construct, describe, name, constructor, ...))
  if not ok then
    return nil, ok, object
  end
  return objects.add(state, name, object)
end

-- The number of the object by that name; or nil and why not.
function objects.find(state, name)
  local id = state.named[name]
  if id then
    return id
  elseif state.constructors[name] then
    return nil, ("'%s' is a constructor; create('%s', ...) makes an object"):format(name, name)
  end
  local names = {}
  for known in next, state.named do
    names[#names + 1] = known
  end
  table.sort(names)
  return nil, ("the manager has no object '%s'; it has %s"):format(name,
    #names > 0 and table.concat(names, ", ") or "none")
end

-- The last entry takes the place of this one.
local function forget(state, entry)
  local list = state.list
  local last = list[#list]
  list[entry.at], last.at = last, entry.at
  list[#list] = nil
  state.entries[entry.id] = nil
  state.garbage = true
end

-- One more end that keeps the object; or nil, message, NAME.
function objects.lend(entry)
  local life, its_end, name = core.pipe(false)
  if not life then
    return nil, its_end, name
  end
  entry.lives[#entry.lives + 1] = life
  return its_end
end

local function lend_here(entry)
  local its_end, message = objects.lend(entry)
  return its_end or errors.raise("cannot make a proxy: %s", message)
end

-- From inside the manager: the number of a new object, and an end that keeps it.
function objects.create_here(state, name, ...)
  local entry, ok, err = objects.create(state, name, ...)
  if not entry and ok == nil then
    errors.raise("%s", err)
  elseif not entry then
    error(err, 0)
  end
  return entry.id, lend_here(entry)
end

function objects.get_here(state, name)
  local id, why = objects.find(state, name)
  return id or errors.raise("%s", why), lend_here(state.entries[id])
end

-- Lets the object go if nobody keeps it.
function objects.look(state, entry)
  local lives = entry.lives
  for i = #lives, 1, -1 do
    if lives[i]:poll(0) then
      table.remove(lives, i):close()
    end
  end
  if not (entry.named or entry.remote > 0 or lives[1]) then
    forget(state, entry)
  end
end

-- Looks at so many entries, and at others the next time.
function objects.sweep(state, most)
  for _ = 1, math.min(most, #state.list) do
    local list = state.list
    state.walk = state.walk % math.max(#list, 1) + 1
    local entry = list[state.walk]
    if entry then
      objects.look(state, entry)
    end
  end
end

-- Nobody keeps any of them.
function objects.close(state)
  for _, entry in ipairs(state.list) do
    for _, life in ipairs(entry.lives) do
      life:close()
    end
  end
  state.list, state.entries, state.named = {}, {}, {}
end

return objects
