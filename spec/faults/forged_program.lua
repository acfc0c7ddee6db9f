-- SPDX-License-Identifier: MIT
-- forged_program.lua SEED COUNT [FROM]: bytes that claim to be objects. Each is an encoding of an object of some kind
-- with a few bits, bytes, numbers or tags changed; what decodes is used by every method there is. Nothing may crash or
-- wait for ever; raising is fine. Ends with "done"; says on stderr which one is tried.

local mproc = require("mproc")

math.randomseed(tonumber(arg[1]))
local COUNT, FROM = tonumber(arg[2]), tonumber(arg[3]) or 1
local BIT = 0.001 -- seconds that a call may wait

io.stdout:setvbuf("no")

-- One of each kind; they are kept, so that what is decoded means something.
local a, b = mproc.Pipe()
local lock, queue = mproc.Lock(), mproc.Queue()
queue:put_many({ 1, "two", { 3 } })
local child = mproc.Process(function() mproc.sleep(600) end)
child.daemon = true
child:start()
local died = select(2, pcall(function()
  local p = mproc.Process(os.exit, 3):start()
  p:join()
  p:result()
end))
local objects = {
  lock, mproc.RLock(), mproc.Semaphore(2), mproc.BoundedSemaphore(2), mproc.Event(), mproc.Barrier(1), mproc.RWLock(),
  mproc.Condition(), mproc.Condition(lock), mproc.Barrier(2, nil, BIT), queue, mproc.Queue{ maxsize = 2,
  on_death = "report" }, mproc.JoinableQueue(), mproc.SimpleQueue(), a, b, mproc.Value("integer", 3),
  mproc.Value("double", 1.5), mproc.Array("integer", { 1, 2, 3 }), mproc.Array("uint8", 300), child,
  mproc.current_process(), died, mproc.Value("integer"):lock(),
}
for _, kind in ipairs({ "Dict", "List", "Set", "Namespace" }) do
  local ok, made = pcall(function() return mproc[kind]({ 1, 2 }) end)
  if ok and made then objects[#objects + 1] = made end
end

if mproc.freeze then objects[#objects + 1] = mproc.freeze{ 1, { 2 }, name = "x" } end

local samples = {}
for _, object in ipairs(objects) do
  local ok, bytes = pcall(mproc.encode, object)
  if ok then samples[#samples + 1] = bytes end
  ok, bytes = pcall(mproc.encode, { object, { object, "text" }, n = 3 })
  if ok then samples[#samples + 1] = bytes end
end
assert(#samples > 30, "the objects cannot be encoded")

local function byte_at(s, i, c)
  return s:sub(1, i - 1) .. string.char(c & 255) .. s:sub(i + 1)
end

local random = math.random
local CHANGES = {
  function(s) -- a bit
    local i = random(#s)
    return byte_at(s, i, s:byte(i) ~ (1 << random(0, 7)))
  end,
  function(s) return byte_at(s, random(#s), random(0, 255)) end,
  function(s) -- a small number more or less: other slots, generations, tags
    local i = random(#s)
    return byte_at(s, i, s:byte(i) + random(-3, 3))
  end,
  function(s) -- a limit
    local i = random(#s)
    local limit = ({ -1, 0, 1 << 31, 1 << 32, math.mininteger, math.maxinteger })[random(6)]
    return s:sub(1, i - 1) .. string.pack("<i8", limit) .. s:sub(i + 8)
  end,
  function(s) -- the beginning of one, the end of another
    local other = samples[random(#samples)]
    return s:sub(1, random(#s)) .. other:sub(random(#other))
  end,
  function(s) -- another's bytes in the middle
    local other, i = samples[random(#samples)], random(#s)
    local from = random(#other)
    local part = other:sub(from, from + random(12))
    return s:sub(1, i - 1) .. part .. s:sub(i + #part)
  end,
  function(s) return s:sub(1, random(#s)) end,
}

local function forge()
  local s = samples[random(#samples)]
  for _ = 1, random(3) do s = CHANGES[random(#CHANGES)](s) end
  return s
end

-- What waits is given a short time, where it takes one.
local ARGUMENTS = {
  { BIT }, {}, { 1 }, { 1, BIT }, { "x", BIT }, { 1, 1 }, { 1, { 1 } }, { function(x) return x end, BIT }, { -1 },
  { { 1, 2 }, BIT },
}
-- Signals would hit the wrong one, and these wait without a limit.
local NEVER = { terminate = true, kill = true, interrupt = true, start = true, run = true, extend = true, init = true,
  with = true, read_with = true, write_with = true, update = true, items = true }
-- What takes its time at another place, or waits for ever without one.
local TIMED = { acquire = { BIT }, read_acquire = { BIT }, write_acquire = { BIT }, guard = { BIT },
  read_guard = { BIT }, write_guard = { BIT }, wait = { BIT }, join = { BIT }, result = { BIT }, get = { BIT },
  recv = { BIT }, poll = { BIT },
  lease = { BIT }, put = { "x", BIT }, send = { "x", BIT }, put_many = { { 1, 2 }, BIT }, get_many = { 3, BIT },
  recv_bytes = { 100, BIT }, send_bytes = { "xyz", 1, 2, BIT }, wait_for = { function() return false end, BIT } }

local function methods_of(object)
  local mt = debug.getmetatable(object)
  local index = mt and mt.__index
  return type(index) == "table" and index or {}
end

local NAMES = {}
for _, object in ipairs(objects) do
  for name in pairs(methods_of(object)) do NAMES[name] = true end
end
for name in ("acquire release locked owner mine guard read_acquire read_release write_acquire write_release reads "
  .. "writes read_guard write_guard get_value wait wait_for notify notify_all set clear is_set abort reset put get "
  .. "empty close "
  .. "full qsize put_nowait get_nowait put_many get_many lease orphans task_done join unfinished fileno send recv poll "
  .. "send_bytes recv_bytes add exchange compare_exchange lock sub totable fill bytes set_bytes is_alive result stats "
  .. "keys values pop setdefault has append extend insert remove shift sort index"):gmatch("%a[%w_]*") do
  NAMES[name] = true
end
local FIELDS = { "value", "name", "pid", "ident", "exitcode", "daemon", "sentinel", "closed", "readable", "writable",
  "parties", "n_waiting", "broken", "action", "timeout", "kind", 1, 3, -1, 1 << 40 }

local function use_fields(object)
  for _, name in ipairs(FIELDS) do
    pcall(function() return object[name] end)
  end
  pcall(function() object.value = 5 end)
  pcall(function() object[2] = 5 end)
  pcall(function() return #object end)
  pcall(function() return pairs(object)(object) end)
  pcall(tostring, object)
  pcall(mproc.encode, object)
  pcall(mproc.unsendable, object)
  pcall(mproc.wait, { object }, 0)
  pcall(function() return object == lock end)
end

local function use(object)
  use_fields(object)
  for name in pairs(NAMES) do
    local found, method = pcall(function() return object[name] end)
    if found and type(method) == "function" and not NEVER[name] then
      if TIMED[name] then
        pcall(method, object, table.unpack(TIMED[name]))
      else
        for _, arguments in ipairs(ARGUMENTS) do pcall(method, object, table.unpack(arguments)) end
      end
    end
  end
  pcall(function() local _ <close> = object end)
end

local decoded = 0
local seen = {}
local function use_all(value, depth)
  if depth > 4 or seen[value] then return end
  if type(value) == "userdata" or type(value) == "table" and getmetatable(value) then
    seen[value] = true
    decoded = decoded + 1
    use(value)
  end
  if type(value) == "table" then
    seen[value] = true
    for k, v in next, value do
      if k ~= nil then use_all(k, depth + 1) end
      if v ~= nil then use_all(v, depth + 1) end
    end
  end
end

for i = 1, COUNT do
  local bytes = forge()
  if i >= FROM then
    local ok, value = pcall(mproc.decode, bytes)
    if ok and value ~= nil and (type(value) == "table" or type(value) == "userdata") then
      io.stderr:write(i, " ")
      seen = {}
      use_all(value, 0)
    end
  end
  if i % 50 == 0 then collectgarbage() end
end
print(decoded > 0 and "done" or "nothing could be decoded")
os.exit(0) -- what the objects hold is not closed in order: some are in a state that nobody would bring about
