-- SPDX-License-Identifier: MIT
-- What sockets need of the system and do not get (ctest/modules/outage.c): an answer from a server of names, a place in
-- a set of descriptors. Time-outs and Ctrl-C hold, and the error has its name.

local BUILD = os.getenv("BUILD") or "build"
local LIBRARY = BUILD:sub(1, 1) == "/" and BUILD .. "/outage.so" or "$PWD/" .. BUILD .. "/outage.so"
local ENV = "LD_PRELOAD=" .. LIBRARY

local program = require("spec.support.program")

local function run(source, more)
  local r = program.text(source, { seconds = 40, env = ENV .. " " .. (more or "") })
  assert.equal("", r.err) -- nothing is started, which would load the library too, and may be of another C library
  return r.out
end

describe("a server of names that is silent", function()
  it("is waited for as long as the time-out says", function()
    assert.equal("nil\tETIMEDOUT\ttrue\n", run([[
      local mproc = require("mproc")
      local began = mproc.time()
      local c, _, name = mproc.Client({ address = "slow.test:80", timeout = 0.3, authkey = false })
      print(c, name, mproc.time() - began >= 0.3 and mproc.time() - began < 5)
    ]]))
  end)

  for what, call in pairs({
    Client = [[mproc.Client, { address = "slow.test:80" }]],
    Listener = [[mproc.Listener, { address = "slow.test:80" }]],
    connect = [[mproc.connect, "slow.test:80"]],
  }) do
    it("does not hold up Ctrl-C: " .. what, function()
      assert.equal("false\ttrue\ttrue\n", run(([[
        local mproc = require("mproc")
        local parent = mproc.getpid()
        local p = mproc.Process(function()
          mproc.sleep(0.3)
          require("hostile").kill(parent, 2)
        end):start()
        local began = mproc.time()
        local ok, err = pcall(%s)
        print(ok, tostring(err):find("interrupted!", 1, true) ~= nil, mproc.time() - began < 5)
        p:join()
      ]]):format(call)))
    end)
  end

  it("is no matter to numbers and to localhost, and others answer", function()
    assert.equal("true\ttrue\ttrue\ttrue\tEADDRNOTAVAIL\n", run([[
      local mproc = require("mproc")
      local function try(host)
        local l <close> = assert(mproc.Listener({ address = host .. ":0", authkey = false }))
        local c = assert(mproc.Client({ address = host .. l.address:match(":%d+$"), authkey = false }))
        c:close()
        return l.address:find("^127%.0%.0%.1:") ~= nil
      end
      print(try("127.0.0.1"), try("localhost"), try("quick.test"), try("quick.test"),
        (select(3, mproc.Client("none.test:80"))))
    ]]))
  end)

  it("leaves no process and no descriptor behind", function()
    assert.equal("0\t1\t0\n", run([[
      local mproc = require("mproc")
      local function files()
        local n = 0
        for _ in require("lfs").dir("/proc/self/fd") do n = n + 1 end
        return n
      end
      mproc.Client({ address = "quick.test:1", authkey = false })
      local before = files()
      for _ = 1, 3 do
        mproc.Client({ address = "slow.test:80", timeout = 0, authkey = false })
        mproc.Client({ address = "quick.test:1", authkey = false })
      end
      local after = files()
      local asking
      for _ = 1, 100 do -- who asks for a name ends with who waits for it
        asking = 0
        for pid in require("lfs").dir("/proc") do
          local file <close> = tonumber(pid) and io.open("/proc/" .. pid .. "/cmdline")
          local program, script = (file and file:read("a") or ""):match("^(%Z+)%z(%Z+)")
          asking = asking + (program and program:find("lua", 1, true) and script == arg[0] and 1 or 0)
        end
        if asking == 1 then break end
        mproc.sleep(0.02)
      end
      print(after - before, asking, #io.open("/proc/self/task/" .. mproc.getpid() .. "/children"):read("a"))
    ]]))
  end)
end)

describe("a full set of descriptors", function()
  it("is an error of accept, and the listener goes on", function()
    assert.equal("nil\tENOSPC\nnil\ttimeout\n", run([[
      local mproc = require("mproc")
      local l = assert(mproc.Listener({ address = "@mproc-outage" }))
      local p = mproc.Process(function() mproc.Client({ address = "@mproc-outage" }) end):start()
      local c, _, name = l:accept(10)
      print(c, name)
      print(l:accept(0))
      p:join()
    ]], "MPROC_OUTAGE=epoll"))
  end)
end)
