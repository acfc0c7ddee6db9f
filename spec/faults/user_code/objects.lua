-- SPDX-License-Identifier: MIT
-- Where mproc calls a program's own function outside of pools. Used by run_object.lua.
--
-- A place: make(act) -> scene; child: the act runs in a child; fate: "told" where the call goes on after an error,
-- which it raises otherwise.
-- A scene: call() -> whether the results are right; act is called in it. Optional: rests() -> whether nothing is held
-- afterwards; use(), what the function may do with the same object; close(), which closes it.

local acts = require("spec.faults.user_code.acts")
local class = require("spec.faults.user_code.hooked")
local mproc = require("mproc")

local places = {}

local SECONDS = 10

-- --- scopes, predicates, actions, updates ---

local function is_free(x)
  if x.locked then
    return not x:locked()
  elseif x.reads then
    return not x:reads() and not x:writes()
  end
  return x:get_value() == 1
end

local function scope(new, form)
  return { make = function(act)
    local x = new()
    return {
      call = function()
        if form:find("with") then
          return x[form](x, function(v) act() return v end, 5) == 5
        end
        local _ <close> = x[form](x)
        act()
        return true
      end,
      rests = function() return is_free(x) end,
    }
  end }
end
for _, kind in ipairs({ "Lock", "RLock", "Semaphore", "BoundedSemaphore", "Condition" }) do
  places[kind .. ":with"], places[kind .. ":guard"] = scope(mproc[kind], "with"), scope(mproc[kind], "guard")
end
for _, form in ipairs({ "read_with", "write_with", "read_guard", "write_guard" }) do
  places["RWLock:" .. form] = scope(mproc.RWLock, form)
end
places["Dict:with"] = { make = function(act)
  local d = mproc.Dict{ a = 1 }
  return {
    call = function() return d:with(function(x) act() return x + d.a end, 4) == 5 end,
    rests = function() return not d:lock():locked() end,
    use = function() d.b = 2 d:update("a", function(v) return v end) end,
  }
end }
places["a predicate of wait_for"] = { make = function(act)
  local c, n = mproc.Condition(), 0
  return {
    call = function()
      return c:with(function()
        return c:wait_for(function()
          n = n + 1
          act()
          return n >= 3 and "yes"
        end, 0.001) ~= nil
      end)
    end,
    rests = function() return not c:locked() end,
    use = function() c:notify_all() end,
  }
end }
places["a barrier's action"] = { make = function(act)
  local b = mproc.Barrier(1, function() act() end)
  return {
    call = function() return b:wait(SECONDS) == 0 end,
    rests = function()
      b:reset()
      return b.n_waiting == 0 and not b.broken
    end,
  }
end }
places["Value:update"] = { make = function(act)
  local v = mproc.Value("integer", 4)
  return {
    call = function() return v:update(function(x) act() return x + 1 end) >= 5 end,
    rests = function() return not v:lock():locked() and v.value >= 4 end,
    use = function() v:add(1) v:exchange(v.value) end,
  }
end }
places["Dict:update"] = { make = function(act)
  local d = mproc.Dict{ a = 4 }
  return {
    call = function() return d:update("a", function(x) act() return x + 1 end) >= 5 end,
    rests = function() return not d:lock():locked() and d.a >= 4 end,
    use = function() d:add("a", 1) d:update("b", function() return 1 end) end,
    close = function() d:close() end,
  }
end }
places["List:update"] = { make = function(act)
  local l = mproc.List{ 4 }
  return {
    call = function() return l:update(1, function(x) act() return x + 1 end) >= 5 end,
    rests = function() return not l:lock():locked() and l[1] >= 4 end,
    use = function() l:add(1, 1) l:append(7) end,
    close = function() l:close() end,
  }
end }
places["List:sort, its order"] = { make = function(act)
  local l = mproc.List{ 3, 1, 2 }
  return {
    call = function()
      l:sort(function(a, b) act() return a < b end)
      return l[1] == 1 and l[3] == 3
    end,
    rests = function() return not l:lock():locked() and #l >= 3 end,
    use = function() l:append(7) end,
    close = function() l:close() end,
  }
end }
places["__mproc_wait"] = { make = function(act)
  local e = mproc.Event()
  e:set()
  local object = setmetatable({}, { __mproc_wait = function() act() return e end })
  return { call = function() return mproc.wait({ object }, SECONDS)[1] == object end }
end }

-- --- hooks of the codec ---

-- What a place gives away and takes back: give(x, value), take(x) -> value.
local WAYS = {
  ["a queue's put and get"] = { mproc.Queue, function(q, v) q:put(v) end, function(q) return q:get(SECONDS) end },
  ["a queue's put_many and get_many"] = {
    mproc.Queue, function(q, v) q:put_many({ v }) end, function(q) return q:get_many(1, SECONDS)[1] end,
  },
  ["a queue's lease"] = { mproc.Queue, function(q, v) q:put(v) end, function(q)
    local v, lease = q:lease(SECONDS)
    lease:done()
    return v
  end },
  ["a queue's items"] = { mproc.Queue, function(q, v) q:put(v) end, function(q)
    return select(2, q:items()())
  end },
  ["a JoinableQueue"] = { mproc.JoinableQueue, function(q, v) q:put(v) end, function(q)
    local v = q:get(SECONDS)
    q:task_done()
    return v
  end },
  ["a connection"] = { function()
    local a, b = mproc.Pipe()
    return { a = a, b = b, close = function() a:close() b:close() end }
  end, function(x, v) x.a:send(v) end, function(x) return x.b:recv(SECONDS) end },
  ["a connection of sockets"] = { function()
    local listener <close> = assert(mproc.Listener({ authkey = false, trusted = true }))
    local a = assert(mproc.Client({ address = listener.address, authkey = false, trusted = true }))
    local b = assert(listener:accept(SECONDS))
    return { a = a, b = b, close = function() a:close() b:close() end }
  end, function(x, v) x.a:send(v) end, function(x) return x.b:recv(SECONDS) end },
  ["a Dict's item"] = { mproc.Dict, function(d, v) d.a = v end, function(d) return d.a end },
  ["a Dict's set_many and totable"] = {
    mproc.Dict, function(d, v) d:set_many{ a = v } end, function(d) return d:totable().a end,
  },
  ["a Dict's pairs"] = { mproc.Dict, function(d, v) d.a = v end, function(d)
    local step, x = pairs(d)
    return select(2, step(x))
  end },
  ["a Dict's pop"] = { mproc.Dict, function(d, v) d.a = v end, function(d) return d:pop("a") end },
  ["a List's append and item"] = { mproc.List, function(l, v) l:append(v) end, function(l) return l[#l] end },
  ["a List's extend and totable"] = {
    mproc.List, function(l, v) l:extend{ 0, v } end, function(l) return l:totable()[#l] end,
  },
  ["a List's shift"] = { mproc.List, function(l, v) l:append(v) end, function(l) return l:shift() end },
  ["encode and decode"] = {
    function() return {} end, function(x, v) x.bytes = mproc.encode(v) end,
    function(x)
      local v, message = mproc.decode(x.bytes, { functions = true })
      return v or error(message)
    end,
  },
}
for name, way in pairs(WAYS) do
  local new, give, take = table.unpack(way)
  local function scene(encoding, decoding, x)
    local object = class(encoding, decoding)
    return {
      call = function()
        give(x, object(5))
        local v = take(x) -- nil or 7 where use() has been there first
        return v == nil or v == 7 or v.n == 5
      end,
      use = function()
        give(x, 7)
        take(x)
      end,
      close = x.close and function() x:close() end,
      rests = function() return not (x.lock and x:lock():locked()) end,
    }
  end
  places[name .. ", the hook that encodes"] = { make = function(act) return scene(act, nil, new()) end }
  places[name .. ", the hook that decodes"] = { make = function(act) return scene(nil, act, new()) end }
end

-- --- processes ---

local function child_place(fate, call)
  return { fate = fate, child = true, make = function(act)
    local p
    return {
      call = function()
        p = call(act)
        return p:result(SECONDS) == 5
      end,
      rests = function() return not p or p:join(SECONDS) end,
    }
  end }
end
places["a target"] = child_place(nil, function(act)
  return mproc.Process(function() act() return 5 end):start()
end)
places["run of a subclass"] = child_place(nil, function(act)
  local Class = mproc.Process:extend()
  function Class.run() act() return 5 end
  return Class():start()
end)
places["__close in a target"] = child_place(nil, function(act)
  return mproc.Process(function()
    local _ <close> = setmetatable({}, { __close = function() act() end })
    return 5
  end):start()
end)
places["__gc in a target"] = child_place("told", function(act)
  return mproc.Process(function()
    setmetatable({}, { __gc = function() act() end })
    collectgarbage()
    return 5
  end):start()
end)
places["the hook that decodes an argument"] = child_place(nil, function(act)
  local here = mproc.getpid()
  local object = class(nil, function() if mproc.getpid() ~= here then act() end end)
  return mproc.Process(function(o) return o.n end, object(5)):start()
end)
places["the hook that encodes a result"] = child_place(nil, function(act)
  local here = mproc.getpid()
  local object = class(function() if mproc.getpid() ~= here then act() end end)
  return mproc.Process(function() return 5, object(6) end):start()
end)
places["at_fork, in the child"] = child_place(nil, function(act)
  local armed = true
  mproc.at_fork{ child = function() if armed then act() end end }
  local p = mproc.Process(function() return 5 end):start()
  armed = false
  return p
end)
places["at_exit in a child"] = child_place("told", function(act)
  return mproc.Process(function()
    mproc.at_exit(act)
    return 5
  end):start()
end)

-- --- managers: each call has one of its own ---

-- method(act, value) gives the value.
local function manager_place(place, make_value, method)
  place.make = function(act)
    local m, c
    local value = make_value and make_value(act)
    return {
      call = function()
        m = assert(mproc.Manager({ C = function() return { give = function(_, v) return method(act, v) end } end }))
        local _ <close> = m
        c = m:create("C")
        local v = c:give(value or 5)
        return v == 5 or v.n == 5
      end,
      rests = function() return #mproc.active_children() == 0 end,
      use = function() assert(m:create("C"):call("give", { 6 }, SECONDS)) end,
      close = function() m:close() end,
    }
  end
  return place
end

local function give(_, value) return value end

local function here(act)
  local pid = mproc.getpid()
  return function() if mproc.getpid() == pid then act() end end
end

local function there(act)
  local pid = mproc.getpid()
  return function() if mproc.getpid() ~= pid then act() end end
end

places["a manager's method"] = manager_place({ child = true }, nil, function(act, v) act() return v end)
places["__gc in a manager's method"] = manager_place({ child = true, fate = "told" }, nil, function(act, v)
  setmetatable({}, { __gc = function() act() end })
  collectgarbage()
  return v
end)
places["a manager's constructor"] = { child = true, make = function(act)
  return { call = function()
    local m <close> = assert(mproc.Manager({ C = function() act() return { give = give } end }))
    return m:create("C"):give(5) == 5
  end }
end }
places["__index of a manager's object"] = { child = true, make = function(act)
  return { call = function()
    local m <close> = assert(mproc.Manager({ C = function()
      return setmetatable({}, { __index = function() act() return give end })
    end }))
    return m:create("C"):give(5) == 5
  end }
end }
places["the hook that decodes a method's argument"] = manager_place({ child = true }, function(act)
  return class(nil, there(act))(5)
end, give)
places["the hook that encodes a method's result"] = manager_place({ child = true }, function(act)
  return class(there(act))(5)
end, give)
places["the hook that encodes a method's argument"] = manager_place({}, function(act)
  return class(here(act))(5)
end, give)
places["the hook that decodes a method's result"] = manager_place({}, function(act)
  return class(nil, here(act))(5)
end, give)

-- In the process that starts another.
local function starting(make_process)
  return { make = function(act)
    local p
    return {
      call = function()
        p = make_process(act)
        return p:start():result(SECONDS) == 5
      end,
      rests = function()
        for _, child in ipairs(mproc.active_children()) do child:join(SECONDS) end
        return #mproc.active_children() == 0
      end,
      use = function()
        local other = mproc.Process(acts.times_ten, 7):start()
        assert(other:result(SECONDS) == 70)
      end,
    }
  end }
end
places["init of a subclass"] = starting(function(act)
  local Class = mproc.Process:extend()
  function Class.init() act() end
  function Class.run() return 5 end
  return Class()
end)
places["the hook that encodes an argument"] = starting(function(act)
  return mproc.Process(function(o) return o.n end, class(act)(5))
end)
for _, when in ipairs({ "before", "parent" }) do
  places["at_fork, " .. when] = starting(function(act)
    local armed = true
    mproc.at_fork{ [when] = function()
      if armed then
        armed = false
        act()
      end
    end }
    return mproc.Process(function() return 5 end)
  end)
end

return places
