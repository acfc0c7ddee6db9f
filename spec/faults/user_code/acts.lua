-- SPDX-License-Identifier: MIT
-- What a program's own function may do where mproc calls it. Used by run.lua.

local mproc = require("mproc")

local acts = {}

acts.TEXT = "the function's own error"
acts.CODE = 42
acts.STATUS = 7 -- of os.exit

function acts.times_ten(x) return x * 10 end

-- What err says, whatever it is.
function acts.show(err)
  local shown, text = pcall(tostring, err)
  return shown and text or "something without a text"
end

local function says(text)
  return function(err)
    return acts.show(err):find(text, 1, true) ~= nil
  end
end

local Mute = { __tostring = function() error("it has no text", 0) end }

-- Name -> { act(pool), is_own(err) }: whether err is what the act raised. pool: nil in a worker.
acts.raising = {
  ["raises a string"] = { function() error(acts.TEXT, 0) end, says(acts.TEXT) },
  ["raises a table"] = {
    function() error({ code = acts.CODE }) end,
    function(err) return type(err) == "table" and err.code == acts.CODE end,
  },
  ["raises nil"] = {
    function() error(nil) end,
    function(err) return says("nil")(err) or says("no error object")(err) end, -- the second is Lua 5.5's own
  },
  ["raises a file"] = { function() error(io.stdout) end, says("file") },
  ["raises an object whose text raises"] = {
    function() error(setmetatable({}, Mute)) end,
    function(err) return err ~= nil and (getmetatable(err) == Mute or says("table")(err) or says("object")(err)) end,
  },
  ["raises \"interrupted!\""] = { function() error("it was interrupted!", 0) end, says("it was interrupted!") },
  ["raises \"not enough memory\""] = {
    function() error("not enough memory", 0) end, says("not enough memory"),
  },
}

-- What a function that runs in the pool's owner may do with the pool.
acts.using = {
  ["uses the pool"] = function(pool)
    assert(pool:apply(acts.times_ten, { 7 }) == 70)
    local list = pool:map(acts.times_ten, { 1, 2 })
    assert(list[1] == 10 and list[2] == 20)
    assert(pool:submit(acts.times_ten, 3):get() == 30)
  end,
  ["steps the pool"] = function(pool)
    for _ = 1, 20 do pool:step(0.002) end
  end,
  ["takes in a new function"] = function(pool)
    local n = 5
    assert(pool:apply(function() return n end) == 5)
    assert(pool:apply(function() return n + 1 end) == 6)
  end,
  ["resizes the pool"] = function(pool)
    if #pool:workers() > 0 then pool:resize(3) end
  end,
  ["has a worker killed"] = function(pool)
    local pid = pool:workers()[1]
    if pid then require("hostile").kill(pid, 9) end
  end,
  ["closes the pool"] = function(pool) pool:close() end,
  ["joins the pool for a moment"] = function(pool) pool:join(0.01) end,
}

acts.ending = {
  ["terminates the pool"] = function(pool) pool:terminate() end,
  ["terminates the pool and raises"] = function(pool)
    pool:terminate()
    error(acts.TEXT, 0)
  end,
}

-- What ends the process in which it is called.
acts.leaving = {
  ["calls os.exit"] = function() os.exit(acts.STATUS) end,
  ["becomes another program"] = function() require("hostile").exec("true") end,
  ["kills itself"] = function() require("hostile").kill(mproc.getpid(), 9) end,
}

-- What a worker may do that is no fault.
acts.nested = {
  ["has a pool of its own"] = function()
    local pool <close> = mproc.Pool(1)
    assert(pool:apply(acts.times_ten, { 7 }) == 70)
  end,
  ["has a process of its own"] = function()
    local p <close> = mproc.Process(acts.times_ten, 7):start()
    assert(p:result() == 70)
  end,
  ["leaves a hook behind"] = function()
    debug.sethook(function() error("a hook that was left", 0) end, "", 300)
  end,
  ["waits in a coroutine"] = function()
    coroutine.wrap(function() mproc.sleep(0.001) end)()
  end,
}

-- The place yields: what the program does behind that. behind(co, pool) -> as coroutine.resume.
acts.yielding = {
  ["yields and goes on"] = { behind = function(co)
    local ok, result
    repeat ok, result = coroutine.resume(co) until coroutine.status(co) == "dead"
    return ok, result
  end },
  ["yields, while others use the pool"] = { behind = function(co, pool)
    local ok, result
    repeat
      acts.using["uses the pool"](pool)
      ok, result = coroutine.resume(co)
    until coroutine.status(co) == "dead"
    return ok, result
  end },
  ["yields and is closed"] = { behind = function(co) return coroutine.close(co), true end },
  ["yields and is dropped"] = { behind = function() return true, true end },
}

return acts
