-- SPDX-License-Identifier: MIT
-- A class of processes: `init` keeps what it is given, `run` is what the child executes.

local mproc = require("mproc")

local Greeter = mproc.Process:extend()

function Greeter:init(name, greeting)
  self.name = name
  self.greeting = greeting
end

function Greeter:run()
  mproc.print(("%s says %s"):format(self.name, self.greeting))
end

local greeters = { Greeter("Ada", "hello"), Greeter("Alan", "good morning"), Greeter("Grace", "ahoy") }
for _, greeter in ipairs(greeters) do
  greeter:start()
end
for _, greeter in ipairs(greeters) do
  greeter:join()
  mproc.print(("%s ended with exit code %d"):format(greeter.name, greeter.exitcode))
end
