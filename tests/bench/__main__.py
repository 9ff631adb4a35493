"""`python -m tests.bench`: measures lienxa beside what people use today, and writes docs/benchmarks.md.

Without arguments all of it, which takes hours on a slow machine; `--line`, `--tool`, `--phase` and `--repeat` make a
part of it, added to what was measured before (`--fresh` forgets that). In every round each tool has its turn, so that
whatever else the machine does hits all of them alike.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import report
from tests.bench.crowd import measure_crowd
from tests.bench.line import Proxy
from tests.bench.machines import Machines, machines
from tests.bench.measure import Measured, measure
from tests.bench.report import LINES, RESULTS, Record
from tests.bench.tools import Tool, ensure_tools, testinfra, tools, verifier

TOOLS = ("lienxa", "pyinfra", "Ansible + Mitogen", "Ansible")
PHASES = ("first", "again", "template", "verify", "crowd")
CROWDS = (10, 50, 100, 200, 500, 1000)


def main(arguments: list[str]) -> int:
    """Measure what is asked for, and write the page."""
    asked = _arguments(arguments)
    ensure_tools()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    if asked.fresh:
        RESULTS.unlink(missing_ok=True)
    if "crowd" in asked.phase:
        for number in CROWDS:
            crowd = measure_crowd(number)
            _write(Record("crowd", "lienxa", "none", crowd.seconds, memory=crowd.memory, machines=number))
    if set(asked.phase) - {"crowd"}:
        with (
            tempfile.TemporaryDirectory(prefix="lxb-") as scratch,
            machines() as made,
            Proxy(made.namespaces) as proxy,
        ):
            bench = Bench(made, proxy, Path(scratch), tuple(asked.tool))
            for _ in range(asked.repeat):
                for record in bench.round(asked.line, asked.phase):
                    _write(record)
    report.write()
    return 0


@dataclass
class Bench:
    """The machines, the line, and the tools, set up once."""

    made: Machines
    proxy: Proxy
    scratch: Path
    wanted: tuple[str, ...]

    def __post_init__(self) -> None:
        self.tools: dict[str, Tool] = tools(self.made, self.proxy.ports, self.scratch, self.wanted)
        self._ends: dict[str, str] = {}

    def round(self, lines: Sequence[str], phases: Sequence[str]) -> Iterator[Record]:
        """Each tool once in each phase on each line."""
        if "first" not in phases:  # what is measured on machines that are as wanted needs them so
            self.proxy.become(0)
            self._done(next(iter(self.tools.values())), "wanted")
        for line in lines:
            for tool in self.tools.values():
                yield from self._changes(line, tool, phases)
        if "template" in phases:
            for tool in self.tools.values():
                yield self._template(tool)
            self._done(next(iter(self.tools.values())), "wanted")
        if "verify" in phases:
            yield from self._verify()

    def _changes(self, line: str, tool: Tool, phases: Sequence[str]) -> Iterator[Record]:
        if "first" in phases:
            self.made.reset()
            yield self._measured("first", line, tool)
            if tool.name == "lienxa":
                self.made.reset(keep_kit=True)
                yield self._measured("first, kit there", line, tool)
        if "again" in phases:
            yield self._measured("again", line, tool)

    def _measured(self, phase: str, line: str, tool: Tool) -> Record:
        self._become(line)
        return self._record(phase, tool.name, line, self._done(tool, "wanted"))

    def _template(self, tool: Tool) -> Record:
        """One line more in the template of one file of twenty, on each of the machines; all else was done before."""
        self.proxy.become(0)
        self._done(tool, "wanted")
        file = tool.templates / "one.conf.j2"
        before = file.read_text()
        self._become("200 ms")
        try:
            file.write_text(f"{before}one_more = 1\n")
            measured = self._done(tool, "with another template")
        finally:
            file.write_text(before)
        return self._record("template", tool.name, "200 ms", measured)

    def _verify(self) -> Iterator[Record]:
        self._become("100 ms")
        own = self.tools["lienxa"]
        measured = measure(self.proxy, verifier(own), own.folder, own=own.own)
        yield self._record("verify", "lienxa", "100 ms", measured)
        for shared in (True, False):
            with tempfile.TemporaryDirectory(prefix="lxb-") as folder:
                command = testinfra(self.made, self.proxy.ports, Path(folder) / "t", shared=shared)
                measured = measure(self.proxy, command, Path(folder), own=Path(folder))
            name = f"testinfra, {'one connection' if shared else 'as it is'}"
            yield self._record("verify", name, "100 ms", measured)

    def _done(self, tool: Tool, end: str) -> Measured:
        """Run a tool; all that are to come to the same end must come to the very same."""
        measured = measure(self.proxy, tool.command, tool.folder, tool.environment, tool.own)
        state = self.made.state()
        if self._ends.setdefault(end, state) != state:
            raise RuntimeError(
                f"{tool.name} leaves the machines otherwise than the others: {self.made.described()[0]}"
            )
        return measured

    def _become(self, line: str) -> None:
        self.proxy.become(*LINES[line])

    def _record(self, phase: str, tool: str, line: str, measured: Measured) -> Record:
        return Record(phase, tool, line, **asdict(measured))


def _write(record: Record) -> None:
    line = json.dumps({**asdict(record), "at": time.time(), "load": os.getloadavg()[0]})
    with RESULTS.open("a") as file:
        file.write(line + "\n")
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--line", action="append", choices=list(LINES))
    parser.add_argument("--tool", action="append", choices=TOOLS)
    parser.add_argument("--phase", action="append", choices=PHASES)
    parser.add_argument("--repeat", type=int, default=1, help="rounds")
    parser.add_argument("--fresh", action="store_true", help="forget what was measured before")
    asked = parser.parse_args(given)
    # Not as defaults: argparse would append to them.
    asked.line, asked.tool, asked.phase = asked.line or list(LINES), asked.tool or TOOLS, asked.phase or PHASES
    return asked


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
