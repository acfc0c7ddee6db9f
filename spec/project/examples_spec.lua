-- SPDX-License-Identifier: MIT
-- Each program of examples/ runs as a user would run it, and its output means what it should.

local lfs = require("lfs")
local items = require("spec.support.items")
local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

local tested = {}

local function output(name, arguments)
  tested[name] = true
  local result = program.file("examples/" .. name, arguments, { seconds = 100 })
  assert.equal("", result.err)
  assert.equal(0, result.code)
  return result.out
end

local lines_of = items.lines

describe("the example", function()
  leaks.watch()

  it("four_tasks lets the parent speak first and last, and each task once", function()
    local lines = lines_of(output("four_tasks.lua"))
    assert.equal(6, #lines)
    assert.equal("the parent started four tasks", lines[1])
    assert.equal("all four have ended", lines[6])
    local tasks = table.move(lines, 2, 5, 1, {})
    table.sort(tasks)
    for n, line in ipairs(tasks) do
      assert.equal(("task %d runs in worker-%d"):format(n, n), line)
    end
  end)

  it("bank_manager loses no money, and tells a robbery", function()
    assert.same({ "together\t200", "a stranger's account\t15\tfalse\tno money\t40", "afterwards\tfalse\tmanager_died" },
      lines_of(output("bank_manager.lua")))
  end)

  it("subclass runs each object's run", function()
    local lines = lines_of(output("subclass.lua"))
    table.sort(lines)
    assert.same({
      "Ada ended with exit code 0", "Ada says hello",
      "Alan ended with exit code 0", "Alan says good morning",
      "Grace ended with exit code 0", "Grace says ahoy",
    }, lines)
  end)

  it("sum_powers joins first and has both results", function()
    local out = output("sum_powers.lua")
    local sum = 0
    for i = 0, 49999 do
      sum = sum + i + i * i + i * i * i
    end
    assert.equal(sum, math.tointeger(out:match("first result%s+(%d+)")))
    assert.equal(sum, math.tointeger(out:match("second result%s+(%d+)")))
    assert.equal(2 * sum, math.tointeger(out:match("together%s+(%d+)")))
  end)

  it("compare gets the same total three ways", function()
    local out = output("compare.lua", { 1 })
    local sum = 0
    for i = 1, 2000000 do
      sum = sum + (i + i * i + i * i * i) % 1000003
    end
    local rows = 0
    for total, seconds, speedup in out:gmatch("%S[^\n]-%s+(%d+)%s+([%d.]+)%s+([%d.]+)x\n") do
      rows = rows + 1
      assert.equal(sum, math.tointeger(total))
      assert.truthy(tonumber(seconds) and tonumber(speedup) > 0)
    end
    assert.equal(3, rows)
    assert.truthy(out:find("the totals are equal", 1, true))
  end)

  it("globals leaves the parent's counter alone", function()
    local out = output("globals.lua")
    for n = 1, 3 do
      assert.truthy(out:find(("child %d counted to 1000\n"):format(n), 1, true))
    end
    assert.truthy(out:find("the parent's counter is\t0\n", 1, true))
    assert.truthy(out:find("adds up to\t3000\n", 1, true))
  end)

  it("arguments arrive as they were given", function()
    assert.same({
      "positional and named:\tfirst=1 second=nil third=three unit=km",
      "positional:\tfirst=a second=b third=c unit=nil",
      "a single value:\tfirst=only second=nil third=nil unit=nil",
    }, lines_of(output("arguments.lua")))
  end)

  it("pids shows one parent and two others", function()
    local out = output("pids.lua")
    local parent = out:match("^parent: pid (%d+), name %S+\n")
    local first, first_parent = out:match("child%-1: pid (%d+), parent (%d+)\n")
    local second, second_parent = out:match("child%-2: pid (%d+), parent (%d+)\n")
    assert.truthy(parent and first and second)
    assert.same({ parent, parent }, { first_parent, second_parent })
    assert.is_true(first ~= parent and second ~= parent)
  end)

  describe("wordcount", function()
    local tree

    before_each(function()
      tree = os.tmpname()
      os.remove(tree)
      assert(lfs.mkdir(tree))
      assert(lfs.mkdir(tree .. "/it's a dir"))
      for i = 1, 50 do
        local file <close> = assert(io.open(("%s/it's a dir/f %d.c"):format(tree, i), "w"))
        file:write(("int main_%d(void) { return Foo + foo_bar; }\n"):format(i):rep(i))
      end
    end)

    after_each(function()
      os.execute("rm -rf " .. program.quote(tree))
    end)

    it("counts serially and in processes alike", function()
      local out = output("wordcount.lua", { tree })
      assert.truthy(out:find("both runs agree", 1, true))
      assert.truthy(out:find("\nserial +[%d.]+ +50 +[%d.]+ +1.00x\n"), out)
      assert.truthy(out:find("\n%d+ processes +[%d.]+ +50 +[%d.]+ +[%d.]+x\n"), out)
      -- 1275 lines with six identifiers: int main_N void return Foo foo_bar
      assert.truthy(out:find(("%d identifiers, 55 different"):format(1275 * 6), 1, true), out)
      -- and seven words: int main void return foo foo bar
      assert.truthy(out:find(("%d words, 6 different"):format(1275 * 7), 1, true), out)
      assert.truthy(out:find("foo 2550", 1, true), out)
    end)

    it("says so when there is nothing to count", function()
      os.execute("rm -rf " .. program.quote(tree .. "/it's a dir"))
      local result = program.file("examples/wordcount.lua", { tree })
      assert.equal(1, result.code)
      assert.truthy(result.err:find("no files in " .. tree, 1, true))
    end)
  end)

  for _, name in ipairs({ "pool_wordcount", "shared_wordcount" }) do
    it(name .. " adds up what processes count", function()
      local tree = os.tmpname()
      os.remove(tree)
      assert(lfs.mkdir(tree))
      for i = 1, 30 do
        local file <close> = assert(io.open(("%s/f%d"):format(tree, i), "w"))
        file:write(("Foo bar foo\n"):rep(i))
      end
      local out = output(name .. ".lua", { tree })
      os.execute("rm -rf " .. program.quote(tree))
      assert.same({ "30 files, 1395 words, 2 different", "foo          930", "bar          465" }, lines_of(out))
    end)
  end

  it("hot_config replaces what is read, and nobody sees a mixture", function()
    assert.equal("all requests saw one version each, the last one 100\n", output("hot_config.lua"))
  end)

  it("shared_cache makes what is hot hardly more than once", function()
    local out = output("shared_cache.lua", { 2000 })
    local pattern = "^2000 requests; (%d+) times .- (%d+) times .- has (%d+) entries; (%d+) went\n$"
    local hot, cold, kept, went = out:match(pattern)
    assert.truthy(went, out)
    assert.is_true(tonumber(hot) >= 50 and tonumber(hot) < 500, out)
    assert.is_true(tonumber(cold) > 100, out)
    assert.is_true(tonumber(kept) <= 200, out)
  end)

  it("pool_primes finds the first one, and the first twins", function()
    assert.same({
      "the first prime above 1000000000000 is 1000000000039, candidate number 20",
      "the first twins are 1000000000061 and 1000000000063",
    }, lines_of(output("pool_primes.lua", { 10 ^ 12 // 1 | 0 })))
  end)

  it("pool_pi throws other points in each worker", function()
    local out = output("pool_pi.lua", { 400000 })
    local sum = 0
    for n in out:gmatch("worker %d threw (%d+) points") do
      sum = sum + math.tointeger(n)
    end
    assert.equal(400000, sum)
    local pi = out:match("400000 points, 0 draws alike, pi is about ([%d.]+)")
    assert.is_true(math.abs(tonumber(pi) - math.pi) < 0.05)
  end)

  it("pool_mandelbrot draws its rows in order", function()
    local lines = lines_of(output("pool_mandelbrot.lua", { 72 }))
    assert.equal(24, #lines)
    for i = 1, 12 do -- the set is symmetrical
      assert.equal(lines[i], lines[25 - i])
      assert.equal(72, #lines[i])
    end
    assert.matches("####", lines[12])
    local name = os.tmpname()
    assert.equal("", output("pool_mandelbrot.lua", { 90, name }))
    local file <close> = assert(io.open(name, "rb"))
    assert.equal(#"P5 90 60 255\n" + 90 * 60, #file:read("a"))
    os.remove(name)
  end)

  it("pool_weblog sums up a log, and names the line that is none", function()
    assert.same({
      "100001 lines, 249950000 bytes sent",
      "status: 200 97706, 404 2000, 500 294",
      "paths:  /api/items 16667, /api/items/7 16667, /index.html 16667",
      "1 bad lines\tline 100001: not a log line: this is no line of a log",
    }, lines_of(output("pool_weblog.lua")))
  end)

  it("leased_jobs does every job though workers die", function()
    local out = output("leased_jobs.lua")
    local jobs, deaths, sum = out:match("^(%d+) jobs done, (%d+) workers died on the way, .- (%d+)\n$")
    assert.same({ "12", "650" }, { jobs, sum })
    assert.is_true(tonumber(deaths) >= 4, deaths)
  end)

  it("life moves its glider by one cell in four generations", function()
    local function cells(generations)
      local found = {}
      for row, line in ipairs(lines_of(output("life.lua", { generations }))) do
        for column in line:gmatch("()#") do
          found[#found + 1] = ("%d,%d"):format(row, column)
        end
      end
      return found
    end
    assert.same({ "2,3", "3,4", "4,2", "4,3", "4,4" }, cells(0))
    assert.same({ "3,4", "4,5", "5,3", "5,4", "5,5" }, cells(4))
  end)

  it("bank sets its books right after a death", function()
    assert.same({
      "exit code 9, together 1700",
      "the last owner died within a transfer of 300",
      "accounts 1050 and 950, together 2000",
    }, lines_of(output("bank.lua")))
  end)

  it("dialog finds the number", function()
    assert.same({ "guesser found 421 with 6 guesses" }, lines_of(output("dialog.lua")))
  end)

  it("luv_loop hears of all results and goes on ticking", function()
    if not package.searchpath("luv", package.cpath) then -- which opens files as it is loaded
      tested["luv_loop.lua"] = true
      pending("needs lua-luv")
      return
    end
    assert.same({ "20 results, their sum is 2870", "the loop went on ticking: true" }, lines_of(output("luv_loop.lua")))
  end)

  it("tcp_server answers all of its clients", function()
    if not pcall(require, "socket") then
      tested["tcp_server.lua"] = true
      pending("needs lua-socket")
      return
    end
    assert.same({ "1\tCLIENT 1", "2\tCLIENT 2", "3\tCLIENT 3" }, lines_of(output("tcp_server.lua")))
  end)

  it("shared_log has each line whole", function()
    assert.same({ "400 whole lines by 4 processes" }, lines_of(output("shared_log.lua")))
  end)

  it("programs are all tested here", function()
    for name in lfs.dir("examples") do
      if name:find("%.lua$") then
        assert.is_true(tested[name], name .. " has no test")
      end
    end
  end)
end)
