-- SPDX-License-Identifier: MIT
-- mproc map, filter and reduce: what they print is what a plain loop prints, whatever the file and wherever it is cut.

local cli = require("spec.support.cli")
local leaks = require("spec.support.leaks")

-- What a serial loop gives.
local function serial(path, f)
  local out = {}
  for line in io.lines(path) do
    local value = f(line)
    if value ~= nil then
      out[#out + 1] = tostring(value) .. "\n"
    end
  end
  return table.concat(out)
end

local TEXTS = {
  ["without a last newline"] = "one\ntwo\nthree",
  ["empty"] = "",
  ["of empty lines"] = "\n\n\n",
  ["with carriage returns"] = "a\r\nb\r\n",
  ["with NULs"] = "a\0b\nc\0\n",
  ["of one line"] = ("x"):rep(100),
  ["of short and long lines"] = "a\n" .. ("b"):rep(40) .. "\n\nc\n" .. ("d"):rep(7) .. "\ne",
}

describe("mproc map", function()
  leaks.watch()

  for name, text in pairs(TEXTS) do
    it("gives for a file " .. name .. " what a plain loop gives, wherever it is cut", function()
      local path = cli.write(cli.folder(finally) .. "/file", text)
      local expected = serial(path, function(line) return #line .. line:reverse() end)
      for _, block in ipairs({ 1, 2, 3, 5, 7, 11, 41, 42, 1000 }) do
        local result = cli.run("map", "-j2", "--block", block, "#line .. line:reverse()", path)
        assert.equal("", result.err)
        assert.equal(expected, result.out, "block " .. block)
        assert.equal(0, result.code)
      end
    end)

    it("gives for standard input " .. name .. " what a plain loop gives", function()
      local folder = cli.folder(finally)
      local path = cli.write(folder .. "/file", text)
      for _, block in ipairs({ 1, 3, 1000 }) do
        local result = cli.shell(("cat '%s' | mproc map --block %d 'line:upper()'"):format(path, block))
        assert.equal(serial(path, string.upper), result.out)
      end
    end)
  end

  it("reads a line of 100 MB whole, across blocks", function()
    local folder = cli.folder(finally)
    cli.write(folder .. "/make.lua",
      "io.write('a\\n') for _ = 1, 100 do io.write(('x'):rep(1e6)) end io.write('\\nb\\n')")
    local result = cli.shell(("cd '%s' && lua5.4 make.lua >big && mproc map '#line' big"):format(folder))
    assert.equal("1\n100000000\n1\n", result.out)
  end)

  it("prints several values with tabs between, and nothing for nil", function()
    local path = cli.write(cli.folder(finally) .. "/file", "a b\nc\n")
    assert.equal("b\ta\nnil\tc\n", cli.run("map", "f[2], f[1]", path).out)
    assert.equal("c\n", cli.run("map", "#line == 1 and line or nil", path).out)
  end)

  it("splits fields at a plain text, and lines at NULs", function()
    local folder = cli.folder(finally)
    assert.equal("2\n", cli.run("map", "-F", ".", "f[2]", cli.write(folder .. "/a", "1.2.3\n")).out)
    assert.equal("A\n1\0B\0", cli.run("map", "-z", "line:upper()", cli.write(folder .. "/b", "a\n1\0b")).out)
  end)

  it("gives -B whole blocks, ends included", function()
    local path = cli.write(cli.folder(finally) .. "/file", "a\nbb\nccc")
    assert.equal("A\nBB\nCCC", cli.run("map", "-B", "--block", "2", "text:upper()", path).out)
  end)

  it("names the file, keeps the order of files, and runs --begin and modules in each worker", function()
    local folder = cli.folder(finally)
    cli.write(folder .. "/a", "1\n")
    cli.write(folder .. "/b", "2\n")
    cli.write(folder .. "/tool.lua", "return { twice = function(x) return 2 * x end }")
    local result = cli.shell(("cd '%s' && LUA_PATH=\"./?.lua;$LUA_PATH\" mproc map -l tool --begin 'plus = 1' "
      .. "'file, tool.twice(line) + plus' a b"):format(folder))
    assert.equal("a\t3\nb\t5\n", result.out)
  end)

  it("takes the function of -f", function()
    local folder = cli.folder(finally)
    cli.write(folder .. "/f.lua", "return function(line) return line .. '!' end")
    local path = cli.write(folder .. "/file", "a\n")
    assert.equal("a!\n", cli.run("map", "-f", folder .. "/f.lua", path).out)
  end)

  it("names file and byte of the line whose expression fails, and ends with 1", function()
    local path = cli.write(cli.folder(finally) .. "/file", "aa\nbb\ncc\n")
    local result = cli.run("map", "--block", "4", "line == 'bb' and error('no') or line", path)
    assert.equal(1, result.code)
    assert.truthy(result.err:find(path .. ", the line at byte 3: expression:1: no", 1, true), result.err)
    result = cli.run("map", "--keep-going", "line == 'bb' and error('no') or line", path)
    assert.equal(1, result.code)
    assert.equal("aa\ncc\n", result.out)
    assert.matches("1 lines failed", result.err)
  end)

  it("tells of a worker that died, and ends", function()
    local path = cli.write(cli.folder(finally) .. "/file", "aa\n")
    local result = cli.run("map", "os.exit(3)", path)
    assert.equal(1, result.code)
    assert.matches("PoolWorker", result.err)
  end)
end)

describe("mproc filter", function()
  leaks.watch()

  it("prints, counts and inverts, with grep's exit status", function()
    local path = cli.write(cli.folder(finally) .. "/file", "one\ntwo\nthree\n")
    local result = cli.run("filter", "line:find('t')", path)
    assert.equal("two\nthree\n", result.out)
    assert.equal(0, result.code)
    assert.equal("2\n", cli.run("filter", "-c", "line:find('t')", path).out)
    assert.equal("one\n", cli.run("filter", "-v", "line:find('t')", path).out)
    assert.equal("1\n", cli.run("filter", "-cv", "line:find('t')", path).out)
    assert.equal(1, cli.run("filter", "false", path).code)
  end)
end)

describe("mproc reduce", function()
  leaks.watch()

  it("combines all lines to one value, in order", function()
    local path = cli.write(cli.folder(finally) .. "/file", "3\n1\n2\n")
    for _, block in ipairs({ "1", "2", "100" }) do
      assert.equal("6\n", cli.run("reduce", "--block", block, "math.tointeger(line)", path).out)
      assert.equal("3\n", cli.run("reduce", "--block", block, "tonumber(line)", "--with", "math.max(a, b)", path).out)
      assert.equal("x312\n", cli.run("reduce", "--block", block, "line", "--with", "a .. b", "--init", "'x'", path).out)
    end
    assert.equal("0\n", cli.run("reduce", "1", "/dev/null").out)
  end)
end)
