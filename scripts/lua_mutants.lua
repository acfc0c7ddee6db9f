-- SPDX-License-Identifier: MIT
-- lua_mutants.lua DIRECTORY [NAME...]: as mutants.sh, for what guards against errors, user code, numbers and words in
-- the Lua layer: copies lua/ with one deliberate fault, and runs the test that must notice. Prints a table; fails when
-- a mutant is not caught, or is none any more because its text has changed. `make lua-mutants` runs it.

-- name, kind, file, { what is replaced, by what, ... }, the spec, a test's name in it, environment
local MUTANTS = {
  { "NUMBER", "what is known before user code runs is trusted behind it", "pool/owner/functions.lua", {
    "  known.next_id = id + 1\n", "",
    "  version.refs = version.refs - 1\n", "  version.refs = version.refs - 1\n  known.next_id = id + 1\n",
  }, "spec/faults/finalizers_spec.lua", "the same pool, generational" },
  { "SHIELD", "a hook of the program's reaches the pool's own code", "pool/calls/map.lua", {
    "local shield, of_pool = core.shield, record.of_pool",
    "local shield, of_pool = function(f) return f end, record.of_pool",
  }, "spec/faults/raise_everywhere_pool_spec.lua", "Pool:map, of an iterator", "MPROC_FAULTS_POINTS=40" },
  { "BREAKS", "what an initializer raises is not told", "pool/worker/init.lua", {
    "    run.report(slot, slot.record.pid, 0, protocol.BROKEN, 0, 0, err)\n", "",
  }, "spec/faults/user_code_workers_spec.lua", "the initializer raises a table", "MPROC_FAULTS_COMPLETE=1" },
  { "PROTECT", "a callback's error ends the call that ran it", "pool/owner/loop.lua", {
    "  local ok, err = outside(f, ...)\n  if ok == nil then\n    loop.raise_interrupt(err)",
    "  local ok, err = true, f(...)\n  if ok == nil then\n    loop.raise_interrupt(err)",
  }, "spec/faults/user_code_spec.lua", "a callback of a future raises a string", "MPROC_FAULTS_COMPLETE=1" },
  { "WIDTH", "a chunksize is not checked", "pool/owner/source.lua", {
    "    chunksize = check.count(\"chunksize\", chunksize, 1)\n", "",
  }, "spec/faults/limits_spec.lua", "Pool:map, chunksize option", "MPROC_FAULTS_COMPLETE=1" },
  { "ARGUMENTS", "a list's n is believed", "check.lua", {
    "  return check.count(name, n, 0, \"a count\", most)", "  return n",
  }, "spec/faults/limits_spec.lua", "Pool:apply, n of args", "MPROC_FAULTS_COMPLETE=1" },
  { "ROOM", "a worker waits for room in the arena for ever", "pool/protocol.lua", {
    "ROOM_SECONDS = 5,", "ROOM_SECONDS = 3600,",
  }, "spec/regress/pool_full_arena_spec.lua", nil },
  { "STILLBORN", "workers that never come up are started for ever", "pool/owner/deaths.lua", {
    "if all.failed_starts >= FAILED_STARTS_MAX then", "if false then",
  }, "spec/faults/endless_spec.lua", "break the pool when they leave with 3" },
  { "ITSELF", "a call waits for the iterator that has called it", "pool/owner/loop.lua", {
    "elseif not deadline and waits_for_itself(state) and not is_over(subject) then", "elseif false then",
  }, "spec/regress/callee_spec.lua", "would wait for an iterator" },
  { "WORD", "Ctrl-C is told by its text", "pool/owner/loop.lua", {
    "  if ok == nil then\n    loop.raise_interrupt(err)\n  elseif not ok then",
    "  if not ok and tostring(err):find(\"interrupted!\") then\n    loop.raise_interrupt(err)\n  elseif not ok then",
  }, "spec/faults/words_spec.lua", "interrupted!\" is an error like others" },
  { "SETTING", "nonsense in a setting is taken", "debug/log.lua", {
    "  if not LEVELS[level] then\n    error(", "  if not LEVELS[level] then\n    return nil, (",
  }, "spec/faults/settings_spec.lua", "MPROC_DEBUG" },
  { "TRACE", "an error that is nil loses its text", "pool/worker/context.lua", {
    "  if err == nil or kind == \"string\" then", "  if kind == \"string\" then",
  }, "spec/regress/pool_error_values_spec.lua", nil },
}

local directory, wanted = arg[1], {}
for i = 2, #arg do wanted[arg[i]] = true end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

local function replace(text, from, to)
  local first, last = text:find(from, 1, true)
  if not first then return nil end
  return text:sub(1, first - 1) .. to .. text:sub(last + 1)
end

-- The tree with the fault; nil when the text is another by now.
local function make(name, file, changes)
  local tree = directory .. "/" .. name
  assert(os.execute(("rm -rf '%s' && mkdir -p '%s' && cp -r lua '%s'"):format(tree, tree, tree)))
  local path = tree .. "/lua/mproc/" .. file
  local text = read(path)
  for i = 1, #changes, 2 do
    text = text and replace(text, changes[i], changes[i + 1])
  end
  if not text then return nil end
  write(path, text)
  return tree
end

-- What a log tells of the first test that failed.
local function said(log)
  local test, rest = log:match("[FE][^\n]* %-> [^\n]*\n([^\n]*)\n(.*)")
  if not test then return "it ended early" end
  return ("%s: %s"):format(test:sub(-40), rest:match("FAULT[^\n]*") or rest:match("^[^\n]*:%d+: ([^\n]*)") or rest)
end

-- The first line that tells, when the test has failed; nil when it has not.
local function caught(tree, spec, test, env)
  local filter = test and "--filter='" .. test:gsub("[%s%p]", ".") .. "'" or "" -- busted hands words on unquoted
  local command = ("LUA_PATH='%s/lua/?.lua;%s/lua/?/init.lua;'\"$LUA_PATH\" %s timeout -k 2 300 '%s' "
    .. "--lua=\"$(command -v '%s')\" -o plainTerminal %s %s >'%s/log' 2>&1 </dev/null"):format(tree, tree, env or "",
    os.getenv("BUSTED") or "busted", os.getenv("LUA") or "lua5.4", filter, spec, tree)
  local ok = os.execute(command)
  local log = read(tree .. "/log")
  if ok and not log:find("[1-9]%d* success") then return nil, "no such test" end
  return not ok and said(log) or nil
end

local uncaught = 0
print(("%-10s %4s  %s"):format("mutant", "s", "caught by"))
io.stdout:setvbuf("line")
for _, m in ipairs(MUTANTS) do
  local name, _, file, changes, spec, test, env = table.unpack(m, 1, 7)
  if not next(wanted) or wanted[name] then
    local began, tree = os.time(), make(name, file, changes)
    local text, why
    if tree then
      text, why = caught(tree, spec, test, env)
    else
      why = "its text has changed"
    end
    if not text then uncaught = uncaught + 1 end
    text = text or "NOTHING: " .. (why or "the test passes")
    print(("%-10s %4d  %s"):format(name, os.time() - began, text:sub(1, 100)))
  end
end
print(uncaught .. " not caught")
os.exit(uncaught == 0)
