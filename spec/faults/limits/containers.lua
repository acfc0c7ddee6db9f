-- SPDX-License-Identifier: MIT
-- Every parameter of a container, and of a pool's time limits, that is a number. Used by run.lua as calls.lua is.

local mproc = require("mproc")
local part_of = require("spec.faults.limits.part")

local calls = {}

local function dict_with(name)
  return { words = { name }, call = function(v)
    local d, message, code = mproc.Dict(nil, { [name] = v })
    if not d then return d, message, code end
    local ok, err = pcall(function() d.a = 1 end)
    if not ok then return err:find("max_bytes", 1, true) and v < 4096 end -- too small for one
    return d.a == 1
  end }
end
for _, name in ipairs({ "max_entries", "max_bytes", "ttl" }) do calls["Dict, " .. name] = dict_with(name) end
calls["Dict, ttl"].skip = function(v) return v > 0 and v < 1 end
calls["Dict:set, ttl"] = {
  words = { "ttl" }, skip = function(v) return v > 0 and v < 1 end, call = function(v)
    local d = mproc.Dict()
    d:set("a", 1, v)
    return d.a == 1
  end,
}
calls["Dict, a key"] = { words = { "key" }, call = function(v)
  local d = mproc.Dict()
  d[v] = 5
  return d[v] == 5 and #d == 1 and d:keys()[1] == v
end }
calls["Dict:add"] = { words = { "n ", "integer" }, call = function(v)
  local d = mproc.Dict{ a = 1 }
  local sum = d:add("a", v)
  local exact = math.type(v) == "integer" and 1 + v or 1.0 + v
  return sum == exact or sum ~= sum
end }

local function listed(f)
  return { words = { "index" }, call = function(v)
    local l = mproc.List{ 1, 2, 3 }
    f(l, v)
    return v >= 1 and v <= 4
  end }
end
calls["List, an index written"] = listed(function(l, v) l[v] = 5 end)
calls["List:insert"] = listed(function(l, v) l:insert(v, 5) end)
calls["List:remove"] = listed(function(l, v) l:remove(v) end)
calls["List:add, an index"] = listed(function(l, v) l:add(v, 1) end)
calls["List:update, an index"] = listed(function(l, v) l:update(v, function() return 1 end) end)
calls["List, an index read"] = { words = { "index" }, call = function(v)
  return mproc.List{ 1, 2, 3 }[v] == ({ 1, 2, 3 })[v]
end }
calls["List:sub"] = { words = { "i ", "j " }, call = function(v)
  local l = mproc.List{ 1, 2, 3 }
  return #l:sub(v) == #part_of("abc", v) and #l:sub(1, v) == #part_of("abc", 1, v)
end }
for _, kind in ipairs({ "List", "Set" }) do
  calls[kind .. ", n of the list"] = { words = { "list", "key" }, call = function(v)
    local x, message, code = mproc[kind]({ 1, 2, n = v })
    if not x then return x, message, code end
    return #x == v and v <= 2
  end }
end
calls["frozen, an index"] = { words = { "index" }, call = function(v)
  local f = mproc.freeze{ 1, { 2, 3 }, 3, [v] = v == v and "own" or nil }
  return (f[v] == "own" or v == 1 or v == 2 or v == 3) and f(2, v) == ({ 2, 3 })[v]
end }
calls["frozen, an index"].skip = function(v) return v ~= v end

-- --- a pool's ---

local pool
local function with_pool(words, f)
  return { words = words, skip = function(v) return v > 0 and v < 1 end, call = function(v)
    pool = pool or mproc.Pool(1)
    return f(pool, v)
  end }
end
calls["Pool:apply_async, timeout"] = with_pool({ "timeout" }, function(p, v)
  return p:apply_async(math.abs, { -3 }, nil, { timeout = v }):get(20) == 3
end)
calls["Pool:map, timeout"] = with_pool({ "timeout" }, function(p, v)
  return p:map(math.abs, { -3 }, { timeout = v })[1] == 3
end)
calls["imap, its next"] = with_pool({ "timeout" }, function(p, v)
  local stream = p:imap(math.abs, { -3 })
  local i, x = stream:next(v)
  while i == nil and x == "timeout" and v < 1 do i, x = stream:next(20) end
  return i == 1 and x == 3
end)
calls["Pool:terminate, grace"] = { words = { "grace" }, call = function(v)
  local p = mproc.Pool(1)
  p:terminate{ grace = v }
  return true
end }
calls["Pool, maxmemoryperchild"] = { words = { "maxmemoryperchild" }, call = function(v)
  local p <close> = mproc.Pool{ processes = 1, maxmemoryperchild = v }
  return p:apply(math.abs, { -3 }) == 3 and p:apply(math.abs, { -4 }) == 4
end }

return calls
