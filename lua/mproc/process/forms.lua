-- SPDX-License-Identifier: MIT
-- What classes of processes and contexts are in messages: registered when mproc is required, for whoever gets one; what
-- they become again is compiled at its first use. Used by class.lua, travel.lua and context.lua.

local core = require("mproc.core")
local lazy = require("mproc.lazy")

local forms = {}

local state = core.state

-- A registered metatable outlives this module when it is loaded anew.
state.ClassForm, state.Context = state.ClassForm or {}, state.Context or {}
forms.Class, forms.Context = state.ClassForm, state.Context
forms.Class.__name, forms.Context.__name = "mproc.ClassForm", "mproc.Context"

core.register("mproc.ClassForm", forms.Class, { decode = lazy.call("mproc.process.travel", "class_of") })
core.register("mproc.Context", forms.Context, { decode = lazy.call("mproc.context", "get_context") })

-- Of a class.
forms.of_class = lazy.call("mproc.process.travel", "form_of")

return forms
