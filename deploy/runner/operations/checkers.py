"""Commands for `place(validate=…)` that look whether a file is whole; `{}` stands for it."""

from __future__ import annotations

CHECK_JSON = "python3 -I -m json.tool {} >/dev/null"
CHECK_PYTHON = "python3 -I -c 'import ast, sys; ast.parse(open(sys.argv[1], encoding=\"utf-8\").read())' {}"
CHECK_SHELL = "sh -n {}"
CHECK_XML = "python3 -I -c 'import sys, xml.dom.minidom as dom; dom.parse(sys.argv[1])' {}"
