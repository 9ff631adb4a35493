"""The `lienxa` command: verbs that parse, call and print. What they call lives in the other packages."""

from __future__ import annotations

from deploy.cli.group import lienxa, main

__all__ = ["lienxa", "main"]
