-- SPDX-License-Identifier: MIT
-- The reference says what there is: `make check-reference` fails on a page that differs from library/, on an exported
-- name without documentation and on a documented name that does not exist; and the manual page is well-formed.

local leaks = require("spec.support.leaks")
local lfs = require("lfs")
local program = require("spec.support.program")

local SECONDS = 60

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
end

describe("the check of the reference", function()
  local tree

  before_each(function()
    tree = os.tmpname()
    os.remove(tree)
    assert(lfs.mkdir(tree))
    local copied = program.shell("cp -r docs library lua scripts src " .. program.quote(tree), SECONDS)
    assert.equal(0, copied.code, copied.err)
  end)

  after_each(function()
    os.execute("rm -rf " .. program.quote(tree))
  end)

  -- Runs a verb of scripts/reference.lua in the copy, with the module that was built here.
  local function run(verb)
    local build = os.getenv("BUILD") or "build"
    local modules = build:find("^/") and build or lfs.currentdir() .. "/" .. build
    local environment = ("LUA_PATH='lua/?.lua;lua/?/init.lua;./?.lua' LUA_CPATH='%s/?.so'"):format(modules)
    return program.shell(("cd %s && %s %s scripts/reference.lua %s"):format(tree, environment, program.lua, verb),
      SECONDS)
  end

  -- Changes a file of the copy: the first `old` becomes `new`.
  local function change(path, old, new)
    local text = read(tree .. "/" .. path)
    local from, to = text:find(old, 1, true)
    assert.truthy(from, path .. " does not contain: " .. old)
    write(tree .. "/" .. path, text:sub(1, from - 1) .. new .. text:sub(to + 1))
  end

  local function assert_passes()
    local result = run("check")
    assert.equal("", result.err)
    assert.equal(0, result.code)
  end

  -- It fails, and says each of the words in one line.
  local function assert_fails(...)
    local result = run("check")
    assert.equal(1, result.code, result.err)
    for line in result.err:gmatch("[^\n]+") do
      local all = true
      for _, word in ipairs({ ... }) do
        all = all and line:find(word, 1, true)
      end
      if all then
        return
      end
    end
    error(("no line with '%s' in:\n%s"):format(table.concat({ ... }, "', '"), result.err))
  end

  it("passes for the tree as it is", function()
    assert_passes()
  end)

  describe("of a page that differs", function()
    it("fails for a change by hand, until it is written anew", function()
      for _, path in ipairs({ "docs/reference.md", "docs/mproc.3" }) do
        local before = read(path)
        write(tree .. "/" .. path, before .. "more\n")
        assert_fails(path, "differs")
        assert.equal(0, run("write").code)
        assert.equal(before, read(tree .. "/" .. path))
      end
      assert_passes()
    end)

    it("fails for a text that has changed in library/", function()
      change("library/queue.lua", "Makes a queue.", "Makes a fine queue.")
      assert_fails("docs/reference.md")
      assert_fails("docs/mproc.3")
    end)

    it("fails when the page is not there", function()
      os.remove(tree .. "/docs/mproc.3")
      assert_fails("docs/mproc.3")
    end)
  end)

  describe("of a name without documentation", function()
    it("fails for one of the module", function()
      change("lua/mproc/init.lua", "  Lock = sync.Lock,", "  Lock = sync.Lock, Padlock = sync.Lock,")
      assert_fails("mproc has 'Padlock'")
    end)

    it("fails for a method", function()
      change("lua/mproc/sync.lua", "function condition_class.__index.wait_for",
        "function condition_class.__index.wait_long() end\n\nfunction condition_class.__index.wait_for")
      assert_fails("mproc.Condition has 'wait_long'")
    end)

    it("fails for a property of processes", function()
      change("lua/mproc/process/init.lua", "function properties.name",
        "function properties.age() end\n\nfunction properties.name")
      assert_fails("mproc.Process has 'age'")
    end)

    it("fails for an option", function()
      change("lua/mproc/pool/options.lua", "CHECKS.finalizer(", "CHECKS.terminator(")
      assert_fails("mproc.PoolOptions has 'terminator'")
      assert_fails("mproc.PoolOptions has no 'finalizer'")
    end)

    it("fails for a kind of object", function()
      change("lua/mproc/process/peer.lua", '__name = "mproc.Peer"', '__name = "mproc.Fellow"')
      assert_fails("mproc.Fellow")
    end)

    it("fails for a variable of the environment", function()
      change("src/shm/arena/arena.c", 'getenv("MPROC_ARENA")', 'getenv("MPROC_HEAP")')
      assert_fails("MPROC_HEAP")
      assert_fails("MPROC_ARENA")
    end)
  end)

  describe("of a documented name that does not exist", function()
    local function assert_fails_below(path, old, more, ...)
      change(path, old, more .. old)
      assert.equal(0, run("write").code)
      assert_fails(...)
    end

    it("fails for one of the module", function()
      assert_fails_below("library/system.lua", "--- This process's pid.",
        "--- What is not there.\nfunction mproc.nothing() end\n\n", "mproc has no 'nothing'")
    end)

    it("fails for a method, where only a subclass has it, too", function()
      assert_fails_below("library/queue.lua", "--- `put` without waiting.",
        "--- What is not there.\nfunction q:task_done() end\n\n", "mproc.Queue has no 'task_done'")
    end)

    it("fails for a field and an option", function()
      assert_fails_below("library/pool.lua", "---@field done integer",
        "---@field lost integer what is not there\n", "mproc.PoolStats has no 'lost'")
      assert_fails_below("library/queue.lua", "---@field maxsize? integer",
        "---@field minsize? integer default nil\n", "mproc.QueueOptions has no 'minsize'")
    end)

    it("fails for a class", function()
      assert_fails_below("library/queue.lua", "--- What all queues have.",
        "--- What is not there.\n---@class mproc.Deque\n\n", "mproc.Deque")
    end)
  end)

  describe("of a text that leaves something out", function()
    it("fails without a unit, a default, a text, a parameter, a type", function()
      local path = "library/wait.lua"
      local good = read(path)
      for old, new in pairs({
        ["number seconds; default nil: for ever"] = "number default nil: for ever",
        ["number seconds; default nil"] = "number seconds; or",
        ["any[] queues, connections, processes, events, futures and descriptors; its `n` is honoured"] = "any[]",
        ["---@param timeout? number"] = "---@param patience? number seconds, default nil",
        ["---@return any[]?"] = "---@return mproc.Ready?",
      }) do
        write(tree .. "/" .. path, good)
        change(path, old, new)
        assert.equal(0, run("write").code)
        assert_fails(path .. ":")
      end
    end)

    it("fails for a tag and for code that would be lost", function()
      change("library/wait.lua", "---@param list", "---@see list\n---@param list")
      assert_fails("library/wait.lua", "@see")
      write(tree .. "/library/wait.lua", read("library/wait.lua") .. "\nfunction mproc.bare() end\n")
      assert_fails("library/wait.lua", "no text above it")
    end)

    it("fails for what is documented twice", function()
      change("library/system.lua", "--- This process's pid.", [[
--- This process's pid.
---@return integer pid as the system knows it
function mproc.getpid() end

--- This process's pid.]])
      assert_fails("library/system.lua", "mproc: getpid", "already")
      change("library/pool.lua", "---@field done integer", "---@field done integer twice\n---@field done integer")
      assert_fails("library/pool.lua", "mproc.PoolStats: done", "already")
    end)

    it("fails for a file that no page would show", function()
      write(tree .. "/library/extra.lua", "---@meta _\n\n--- # Extra\n--- More.\n")
      assert_fails("library/extra.lua")
    end)
  end)
end)

describe("the annotations", function()
  setup(function() require("spec.support.store").warm() end)
  leaks.watch()

  local AREAS = {}
  for name in lfs.dir("library") do
    if name:find("%.lua$") then
      AREAS[#AREAS + 1] = require("scripts.reference.parse").file("library/" .. name)
    end
  end

  it("stand for a name each: none can be taken away unnoticed", function()
    local compare = require("scripts.reference.compare")
    local exports = require("scripts.reference.exports")
    local names, kinds = exports.read()
    local variables = exports.variables()
    local known = { read = function() return names, kinds end, variables = function() return variables end }
    local function complaints()
      local lines = {}
      compare.check(AREAS, known, function(_, line) lines[#lines + 1] = line end)
      return table.concat(lines, "\n")
    end
    assert.equal("", complaints())
    local count = 0
    local function assert_missed(list, i, name)
      local it = table.remove(list, i)
      assert.truthy(complaints():find("'" .. name .. "'", 1, true), it.where)
      table.insert(list, i, it)
      count = count + 1
    end
    for _, area in ipairs(AREAS) do
      for i, item in ipairs(area.items) do
        if item.owner then
          assert_missed(area.items, i, item.member)
        end
        for k, field in ipairs(item.fields or {}) do
          if field.name:find("^%w") then
            assert_missed(item.fields, k, field.name)
          end
        end
      end
    end
    assert.truthy(count > 200, count)
  end)

  it("name the types of numbers that there are", function()
    local mproc = require("mproc")
    local documented, accepted = {}, {}
    for _, area in ipairs(AREAS) do
      for _, item in ipairs(area.items) do
        if item.name == "mproc.NumberType" then
          for _, it in ipairs(item.values) do
            documented[it.value:match('^"(.*)"$')] = true
          end
        end
      end
    end
    local _, message = pcall(mproc.Value, "no such type")
    for name in message:match("(.*), got"):gmatch('"([^"]+)"') do
      accepted[name] = true
    end
    assert.same(accepted, documented)
    for name in pairs(documented) do
      assert.truthy(mproc.Value(name))
    end
  end)
end)

describe("the manual page", function()
  it("renders without a warning", function()
    local result = program.shell("env -u LD_PRELOAD groff -man -Tutf8 -ww docs/mproc.3", SECONDS)
    assert.equal(0, result.code, result.err)
    assert.equal("", result.err)
    assert.truthy(result.out:find("mproc", 1, true))
  end)

  it("has every heading of the reference", function()
    local shown = program.shell("env -u LD_PRELOAD groff -man -Tascii -P-cbou -rLL=200n docs/mproc.3", SECONDS).out
    for call in read("docs/reference.md"):gmatch("\n### `([^`]+)`") do
      assert.truthy(shown:find(call, 1, true), call)
    end
  end)
end)
