-- SPDX-License-Identifier: MIT
std = "lua54"
max_line_length = 120
exclude_files = { "build/" }
files["examples/globals.lua"] = { globals = { "counter" } }
files["library/"] = { unused = false, redefined = false } -- declarations, which have no bodies
files["spec/"] = { std = "+busted" }
files["redis/spec/"] = { std = "+busted" }
files["*.rockspec"] = { std = "+rockspec" }
