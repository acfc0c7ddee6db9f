-- SPDX-License-Identifier: MIT
-- program_docs.lua write|check: the manual page of the program mproc and its completions for bash and zsh, made from
-- the verbs' own tables of options. Used by `make reference` and `make check-reference`.

local cli = require("mproc.cli")
local usage = require("mproc.cli.usage")

local verbs = {}
for i, name in ipairs(cli.VERBS) do
  verbs[i] = require("mproc.cli." .. name)
end

local function roff(text)
  return (text:gsub("\\", "\\e"):gsub("%-", "\\-"):gsub("\n([.'])", "\n\\&%1"):gsub("^([.'])", "\\&%1"))
end

local function page_of_verb(verb, out)
  out[#out + 1] = (".SS mproc %s\n%s"):format(roff(verb.synopsis), roff(verb.summary))
  for _, option in ipairs(verb.options) do
    out[#out + 1] = (".TP\n.B %s\n%s"):format(roff(usage.name_of(option)), roff(option.text))
  end
  out[#out + 1] = ".PP\n.nf\n" .. roff(verb.notes) .. "\n.fi"
end

local function man_page()
  local out = { '.\\" Made from the tables of options in lua/mproc/cli.', '.TH MPROC 1 "" "mproc" "User Commands"',
    ".SH NAME\nmproc \\- work on lines and commands by several processes", ".SH SYNOPSIS" }
  for i, verb in ipairs(verbs) do
    out[#out + 1] = (i > 1 and ".br\n" or "") .. ".B mproc\n" .. roff(verb.synopsis)
  end
  out[#out + 1] = ".SH VERBS"
  for _, verb in ipairs(verbs) do
    page_of_verb(verb, out)
  end
  out[#out + 1] = ".SH EXIT STATUS\n.TP\n0\nAll went well.\n.TP\n1\nA line or a job failed; filter found no line."
    .. "\n.TP\n2\nWrong usage, an expression that does not compile, a file that cannot be read.\n.TP\n130\nCtrl\\-C."
  out[#out + 1] = ".SH SEE ALSO\n.BR mproc (3)\n"
  return table.concat(out, "\n")
end

local function words_of(verb)
  local words = {}
  for _, option in ipairs(verb.options) do
    words[#words + 1] = "--" .. option.long
    words[#words + 1] = option.short and "-" .. option.short
  end
  return table.concat(words, " ")
end

local function bash()
  local out = { "# Completion of mproc for bash: made from the tables of options in lua/mproc/cli.", "_mproc() {",
    "  local word=${COMP_WORDS[COMP_CWORD]} words", "  COMPREPLY=()", "  if [ \"$COMP_CWORD\" -eq 1 ]; then",
    ("    words='%s --help --version'"):format(table.concat(cli.VERBS, " ")), "  else", "    case ${COMP_WORDS[1]} in" }
  for _, verb in ipairs(verbs) do
    out[#out + 1] = ("      %s) words='%s' ;;"):format(verb.name, words_of(verb))
  end
  out[#out + 1] = "    esac\n    [[ $word == -* ]] || return 0\n  fi"
  out[#out + 1] = "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\ncomplete -o default -F _mproc mproc\n"
  return table.concat(out, "\n")
end

local function zsh_option(option)
  local text = option.text:gsub("[%[%]:']", { ["["] = "(", ["]"] = ")", [":"] = ";", ["'"] = "" })
  local argument = option.value and ":" .. option.value .. ":_files" or ""
  local lines = { ("'--%s[%s]%s'"):format(option.long, text, argument) }
  if option.short then
    lines[2] = ("'-%s[%s]%s'"):format(option.short, text, argument)
  end
  return table.concat(lines, " ")
end

local function zsh()
  local out = { "#compdef mproc", "# Made from the tables of options in lua/mproc/cli.", "if (( CURRENT == 2 )); then",
    ("  _values verb %s"):format(table.concat(cli.VERBS, " ")), "  return", "fi", "case $words[2] in" }
  for _, verb in ipairs(verbs) do
    local lines = {}
    for _, option in ipairs(verb.options) do
      lines[#lines + 1] = "    " .. zsh_option(option)
    end
    lines[#lines + 1] = "    '*:file:_files' ;;"
    out[#out + 1] = ("  %s) _arguments \\\n"):format(verb.name) .. table.concat(lines, " \\\n")
  end
  out[#out + 1] = "esac\n"
  return table.concat(out, "\n")
end

local FILES = { ["docs/mproc.1"] = man_page, ["completions/mproc.bash"] = bash, ["completions/_mproc"] = zsh }

local function read(path)
  local file = io.open(path, "rb")
  local text = file and file:read("a")
  if file then
    file:close()
  end
  return text
end

local stale = false
for path, make in pairs(FILES) do
  local text = make()
  if arg[1] == "write" then
    local file = assert(io.open(path, "wb"))
    file:write(text)
    file:close()
  elseif read(path) ~= text then
    io.stderr:write(path, " is not what the program's options say; run make reference\n")
    stale = true
  end
end
os.exit(not stale)
