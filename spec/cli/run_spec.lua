-- SPDX-License-Identifier: MIT
-- mproc run: a command for each argument.

local cli = require("spec.support.cli")
local leaks = require("spec.support.leaks")
local program = require("spec.support.program")

local function sorted(text)
  local lines = {}
  for line in text:gmatch("[^\n]+") do
    lines[#lines + 1] = line
  end
  table.sort(lines)
  return table.concat(lines, " ")
end

local function log_lines(path)
  local lines = {}
  for line in io.lines(path) do
    lines[#lines + 1] = line
  end
  return lines
end

describe("mproc run", function()
  leaks.watch()

  it("runs the command for each argument and each line of standard input", function()
    assert.equal("n 1 n 2 n 3", sorted(cli.run("run", "echo", "n", ":::", 1, 2, 3).out))
    assert.equal("a b c", sorted(cli.shell("printf 'a\\nb\\nc' | mproc run echo").out))
    assert.equal("a\nb c\n", cli.shell("printf 'a\\0b c\\0' | mproc run -zk echo").out)
    assert.equal("", cli.shell("mproc run echo </dev/null").out)
  end)

  it("fills in the parts of an argument, quoted for the shell", function()
    local function of(text, ...)
      return cli.run("run", "-k", text, ":::", ...).out
    end
    assert.equal("d/a.b.c d/a.b a.b.c d a.b 1\n", of("echo {} {.} {/} {//} {/.} {#}", "d/a.b.c"))
    assert.equal("it's; $HOME\n", of("echo {} | cat", "it's; $HOME"))
    assert.equal("it's; $HOME\n", of("echo {}", "it's; $HOME"))
    assert.equal("a1\na2\nb1\nb2\n", of("echo {1}{2}", "a", "b", ":::", 1, 2))
    assert.equal("x-y\n", cli.shell("printf 'y\\tx\\n' | mproc run 'echo {2}-{1}'").out)
    assert.equal("2\n", cli.run("run", "--raw", "echo $(({}))", ":::", "1+1").out)
    assert.equal("{a}\n", of("echo {a} {} | cut -c1-3", "x"))
  end)

  it("prints nothing but the commands for --dry-run", function()
    assert.equal("echo 'a b'\n", cli.run("run", "--dry-run", "echo", ":::", "a b").out)
  end)

  it("keeps what jobs print together, in the order of their arguments with -k", function()
    local result = cli.run("run", "-j4", "-k", "sleep 0.{}; echo {}a; sleep 0.{}; echo {}b", ":::", 3, 2, 1)
    assert.equal("3a\n3b\n2a\n2b\n1a\n1b\n", result.out)
    result = cli.run("run", "-j4", "sleep 0.{}; echo {}a; sleep 0.{}; echo {}b", ":::", 5, 3, 1)
    assert.equal("1a\n1b\n3a\n3b\n5a\n5b\n", result.out)
  end)

  it("tags lines, on both outputs", function()
    local result = cli.run("run", "--tag", "printf 'a\\nb'; echo c >&2 #", ":::", "x")
    assert.equal("x\ta\nx\tb", result.out)
    assert.equal("x\tc\n", result.err)
  end)

  it("gives jobs an empty standard input", function()
    assert.equal("", cli.shell("printf 'a\\nb\\n' | mproc run 'cat #'").out)
  end)

  it("ends with 1 when a job failed, could not be started or was killed", function()
    assert.equal(0, cli.run("run", "exit {};", ":::", 0).code)
    assert.equal(1, cli.run("run", "exit {};", ":::", 0, 7, 0).code)
    assert.equal(1, cli.run("run", "kill -9 $$ #", ":::", 0).code)
    local result = cli.run("run", "no-such-command", ":::", 0)
    assert.equal(1, result.code)
    assert.matches("cannot run no%-such%-command", result.err)
  end)

  it("ends a job that takes longer than --timeout, with what it started", function()
    local result = cli.shell("mproc run --timeout 0.3 'sleep 50 & echo $! >&2; wait #' ::: 1")
    assert.equal(1, result.code)
    local pid = result.err:match("%d+")
    local state = program.shell("cat /proc/" .. pid .. "/stat 2>/dev/null | cut -d' ' -f3").out
    assert.truthy(state == "" or state == "Z\n", state)
  end)

  it("starts no more after a failure with --fail-fast, and ends the others", function()
    local began = os.time()
    local result = cli.run("run", "-j2", "--fail-fast", "test {} = 1 && exit 1; sleep 30; echo {}", ":::", 1, 2, 3, 4)
    assert.equal(1, result.code)
    assert.equal("", result.out)
    assert.truthy(os.time() - began < 15)
  end)

  it("tries failed jobs again", function()
    local folder = cli.folder(finally)
    local result = cli.run("run", "--retries", 2, "echo x >>" .. folder .. "/{}; test $(wc -l <" .. folder
      .. "/{}) = 3", ":::", "a")
    assert.equal(0, result.code)
    assert.equal(1, cli.run("run", "--retries", 1, "exit 1 #", ":::", "a").code)
  end)

  it("logs in GNU parallel's columns, and leaves out what has ended with 0 with --resume", function()
    local folder = cli.folder(finally)
    local log, ran = folder .. "/log", folder .. "/ran"
    local command = ("echo {} >>%s; test {} != b || test -e %s/now"):format(ran, folder)
    assert.equal(1, cli.run("run", "-j1", "--joblog", log, command, ":::", "a", "b", "c").code)
    local lines = log_lines(log)
    assert.equal("Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand", lines[1])
    assert.equal(4, #lines)
    assert.matches("^2\t:\t[%d.]+\t *[%d.]+\t0\t0\t1\t0\techo b", lines[3])
    cli.write(folder .. "/now", "")
    assert.equal(0, cli.run("run", "-j1", "--resume", "--joblog", log, command, ":::", "a", "b", "c", "d").code)
    assert.equal("a\nb\nc\nb\nd\n", cli.read(ran))
    assert.equal(0, cli.run("run", "-j1", "--resume", "--joblog", log, command, ":::", "a", "b", "c", "d").code)
    assert.equal("a\nb\nc\nb\nd\n", cli.read(ran))
  end)

  it("runs each job that had not ended after it was killed, and no other", function()
    local folder = cli.folder(finally)
    local log, ran = folder .. "/log", folder .. "/ran"
    local command = ("sleep 0.0{}; echo {} >>%s"):format(ran)
    cli.shell(("%s run -j2 --joblog %s '%s' ::: $(seq 10 40) & sleep 0.4; kill -9 $!; wait"):format(cli.program, log,
      command))
    local before = #log_lines(log)
    assert.equal(0, cli.shell(("mproc run -j2 --resume --joblog %s '%s' ::: $(seq 10 40)"):format(log, command)).code)
    local counted = {}
    for _, line in ipairs(log_lines(log)) do
      local number = line:match("^(%d+)\t")
      if number then
        assert.is_nil(counted[number], "job " .. number .. " ran again though it had ended")
        counted[number] = true
      end
    end
    for number = 1, 31 do
      assert.is_true(counted[tostring(number)])
    end
    assert.truthy(before > 1 and before < 32, "it was killed in the middle")
  end)

  it("reports a full disk", function()
    local result = cli.shell("mproc run echo ::: a >/dev/full")
    assert.equal(1, result.code)
    assert.matches("No space left", result.err)
  end)

  it("leaves no process and no file after Ctrl-C", function()
    local folder = cli.folder(finally)
    local result = cli.shell(("set -m; TMPDIR=%s; export TMPDIR; %s run -j2 'echo $$ >>%s/pids; sleep 50 #' ::: 1 2 3"
      .. " & sleep 1; kill -INT $!; wait $!; echo $?"):format(folder, cli.program, folder))
    assert.equal("130\n", result.out)
    for pid in cli.read(folder .. "/pids"):gmatch("%d+") do
      local state = program.shell("cat /proc/" .. pid .. "/stat 2>/dev/null | cut -d' ' -f3").out
      assert.truthy(state == "" or state == "Z\n", state)
    end
    os.remove(folder .. "/pids")
    assert.equal("", program.shell("ls " .. folder).out)
  end)
end)

describe("mproc", function()
  it("tells mistakes before anything starts, with exit status 2", function()
    local function mistake(pattern, ...)
      local result = cli.run(...)
      assert.equal(2, result.code)
      assert.matches(pattern, result.err)
      assert.equal("", result.out)
    end
    mistake("there is no mpa; did you mean map", "mpa")
    mistake("there is no option %-%-job; did you mean %-%-jobs", "run", "--job", "2", "echo")
    mistake("%-j must be .*got '0'", "run", "-j", "0", "echo")
    mistake("%-%-jobs must be", "map", "--jobs=x", "line")
    mistake("%-j must be .*got '%-2'", "run", "-j", "-2", "echo", ":::", "started")
    mistake("%-%-block needs a value", "map", "--block")
    mistake("%-%-keep%-going takes no value", "map", "--keep-going=1", "line")
    mistake("column 9: .*\n  line %+  %+1\n          %^", "map", "line +  +1")
    mistake("EXPR is missing", "map")
    mistake("CMD is missing", "run")
    mistake("cannot read .*nowhere", "map", "line", "/nowhere")
    mistake("is a folder", "map", "line", "/tmp")
    mistake("resume needs", "run", "--resume", "echo")
    mistake("%-%-with does not compile", "reduce", "line", "--with", "a +")
  end)

  it("has help for each verb, and its version", function()
    assert.matches("map EXPR", cli.run("--help").out)
    for _, verb in ipairs({ "map", "filter", "reduce", "run", "top", "trace", "report" }) do
      local result = cli.run(verb, "--help")
      assert.equal(0, result.code)
      assert.matches("^Usage: mproc " .. verb, result.out)
    end
    assert.matches("^mproc %d", cli.run("--version").out)
    assert.equal(2, cli.run().code)
  end)

  it("ends silently and at once when its reader goes", function()
    local result = cli.shell("(seq 1 3000000; sleep 20) | mproc map line | head -n 1", 15)
    assert.equal("1\n", result.out)
    assert.equal("", result.err)
    result = cli.shell("seq 1 100000 | mproc run -j2 echo | head -n 1 | wc -l", 15)
    assert.equal("1\n", result.out)
    assert.equal("", result.err)
  end)
end)
