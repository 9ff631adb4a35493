"""nftables: the table in the kernel is the one in the file."""

from __future__ import annotations

import shlex
from collections.abc import Generator
from typing import Unpack

from deploy.runner.operations.script import Arguments, Reason, Script
from deploy.runner.pyinfra_api import FactBase, OperationMeta, StringCommand, host, operation

SAME = "same"
DIFFERENCE = """\
loaded=$(nft -s list table {table} 2>/dev/null)
wanted=$(unshare --net sh -c {load}) || {{ echo 'the file cannot be loaded'; exit 0; }}
[ "$loaded" = "$wanted" ] && echo same || echo 'the loaded table is not the one in the file'
"""
"""Shell script that says in what way a loaded table is not that of its file, or `same`: the file is
loaded in an empty network namespace, and both are printed by nft itself, without counters."""


def ruleset(path: str, table: str, **arguments: Unpack[Arguments]) -> OperationMeta:
    """Make the kernel have this table (`inet lienxa`) as it stands in the file, which replaces only that table.

    The file is loaded as one transaction: there is no moment without rules, and connections stay.
    """
    arguments.setdefault("name", f"Load {path}")
    return _ruleset(path=path, table=table, **arguments)


def difference_script(path: str, table: str) -> str:
    """The script above for one file and table."""
    load = f"nft -f {shlex.quote(path)} && nft -s list table {table}"
    return DIFFERENCE.format(table=table, load=shlex.quote(load))


class RulesetDifferenceFact(FactBase[str]):
    """In what way the loaded table is not that of the file; empty where it is."""

    def command(self, path: str, table: str) -> str:
        """One shell command."""
        return difference_script(path, table)

    @staticmethod
    def default() -> str:
        """Where nothing is known, it is loaded."""
        return "unknown"

    def process(self, output: list[str]) -> str:
        """Parse it."""
        said = "\n".join(output).strip()
        return "" if said == SAME else said


@operation()
def _ruleset(path: str, table: str) -> Generator[StringCommand, None, None]:
    if host.get_fact(RulesetDifferenceFact, path=path, table=table):
        yield Script(
            f"nft -f {shlex.quote(path)}",
            summary=f"load {path}",
            explain=lambda output: Reason(
                f"the kernel did not take {path}; the rules before it still stand",
                f"Read nft's words below; on the machine: `nft -c -f {path}`.",
            ),
        )
