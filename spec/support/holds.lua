-- SPDX-License-Identifier: MIT
-- Everything of mproc that a process can hold: for specs of what becomes of it when the process is stopped, forks, runs
-- another program. Name -> make. make() returns a table:
--   hold()         takes it, in whatever process
--   try(timeout)   tries to take what that excludes: true (and "abandoned"), or false, "timeout"
--   undo()         gives back what try has taken
--   let_go()       by the holder
--   owner()        the holder's pid, where the object tells that
--   abandons       whether the next one is told when the holder has died

local mproc = require("mproc")

local holds = {}

local function lock(make, abandons)
  return function()
    local l = make()
    return {
      hold = function() assert(l:acquire()) end,
      try = function(timeout) return l:acquire(timeout) end,
      undo = function() l:release() end,
      let_go = function() l:release() end,
      owner = l.owner and function() return l:owner() end,
      abandons = abandons,
    }
  end
end

local function rwlock(held_how, tried_how, abandons)
  return function()
    local l = mproc.RWLock()
    return {
      hold = function() assert(l[held_how .. "_acquire"](l)) end,
      try = function(timeout) return l[tried_how .. "_acquire"](l, timeout) end,
      undo = function() l[tried_how .. "_release"](l) end,
      let_go = function() l[held_how .. "_release"](l) end,
      abandons = abandons,
    }
  end
end

holds.all = {
  ["a Lock"] = lock(mproc.Lock, true),
  ["an RLock"] = lock(mproc.RLock, true),
  ["a Condition's lock"] = lock(mproc.Condition, true),
  ["a Value's lock"] = lock(function() return mproc.Value("integer"):lock() end, true),
  ["an Array's lock"] = lock(function() return mproc.Array("integer", 3):lock() end, true),
  ["a permit of a BoundedSemaphore"] = lock(mproc.BoundedSemaphore, false),
  ["an RWLock to write, wanted for reading"] = rwlock("write", "read", true),
  ["an RWLock to write, wanted for writing"] = rwlock("write", "write", true),
  ["an RWLock to read"] = rwlock("read", "write", false),
  ["a lease"] = function()
    local q = mproc.Queue()
    q:put("message")
    local mine, theirs
    return {
      hold = function() mine = assert(select(2, q:lease())) end,
      try = function(timeout)
        local value, lease = q:lease(timeout)
        if value then
          theirs = lease
          return true
        end
        return false, "timeout"
      end,
      undo = function()
        theirs:done()
        q:put("message")
      end,
      let_go = function()
        mine:done()
        q:put("message")
      end,
      abandons = false,
    }
  end,
}

return holds
