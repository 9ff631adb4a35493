"""Writes docs/benchmarks.md from what was measured."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.tools import CACHE, versions

RESULTS = CACHE / "results.jsonl"
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"

LINES: dict[str, tuple[float, float | None]] = {
    "0 ms": (0.0, None),
    "100 ms": (0.1, None),
    "200 ms": (0.2, None),
    "400 ms": (0.4, None),
    "1 Mbit/s": (0.1, 1e6),
}
"""Round trip in seconds and rate in bit/s, by name."""

_TOOLS = ("lienxa", "pyinfra", "Ansible + Mitogen", "Ansible")


@dataclass(frozen=True)
class Record:
    """One measurement."""

    phase: str
    tool: str
    line: str
    seconds: float
    up: int = 0
    down: int = 0
    memory: int = 0
    machines: int = 4
    load: float = 0.0
    """What the machine had to do besides, as its load average at the end."""
    at: float = 0.0


def write() -> None:
    """The page, from all that is recorded."""
    names = {field.name for field in fields(Record)}
    entries = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    records = [Record(**{key: value for key, value in entry.items() if key in names}) for entry in entries]
    PAGE.write_text(page(records))


def page(records: Sequence[Record]) -> str:
    """The page as Markdown."""
    parts = [
        _HEAD.format(**_circumstances(records)),
        "## A run that changes nothing\n\nSeconds, median (number of runs), and how many times as long as lienxa.\n",
        _times(records, "again"),
        _bars(records),
        _PROFILE,
        "## The first run\n\nFrom a fresh machine; lienxa sends its kit in it, once for each machine.\n",
        _times(records, "first", also=("first, kit there",)),
        "## Bytes on the line\n\nFor all four machines together, SSH included.\n",
        _bytes(records),
        _VERIFY_WORDS,
        _verify(records),
        "## Memory\n\nThe most that a tool's processes on the laptop had together (proportional set size).\n",
        _memory(records),
        _CROWD_HEAD,
        _crowd(records),
        _CROWD_WORDS,
    ]
    return "\n".join(part for part in parts if part)


_HEAD = """\
# Benchmarks

Written by `python -m tests.bench` (`make bench`: all of it, three rounds) on {date};
{cpus} × {cpu}, {memory} GiB, {system}.
{versions}.
The laptop's side and all four machines share these processors. The load average at the end of each run was {load}
(median); up to 4 is the tools' own doing, where it is more (`load` below) others were at work there, and seconds are
longer. The tools took turns within each round, so that what hits one hits all.

Every tool does the same 57 tasks (2 packages, 5 users, 10 directories, 20 files from templates, 10 lines, 5 sysctls,
5 services) on the same four machines of the lab (Debian 13, systemd, sshd), as account `hotro` with sudo, and starts
from cold: no connection of an earlier run is left. After every run a hash of all that the tasks are about is compared
on all machines: they end the same, whichever tool did it. The line is a TCP proxy of ours (`tests/bench/line.py`)
that adds the round trip, one more for connecting, and at 1 Mbit/s (with 100 ms) shares the rate among the machines.
Loss and TCP's slow start are not modelled, which favours whoever sends much at once: in a first run that is lienxa.

- lienxa: `deploy.cli`'s own modules and waves, the role `tests/bench/role/`.
- pyinfra: `pyinfra -y`, `tests/bench/pyinfra/bench.py`.
- Ansible: `tests/bench/ansible/playbook.yml` with loops, without gathering facts; pipelining, ControlPersist, 20
  forks.
- Ansible + Mitogen: the same playbook with `mitogen_linear`.

A part of it: `python -m tests.bench --phase again --line "200 ms" --repeat 3`; see `--help`.
"""

_PROFILE = """\
Where lienxa's time goes (processor seconds by getrusage, cProfile and `-X importtime`, November 2026, on a machine as
above): OpenSSH takes nine round trips to log in (TCP, banner, keys, NEWKEYS with the service, `none`, the key asked
for, the key signed, channel, command), lienxa one more for everything: kit looked at, run started, journal followed.
Of processor time, the laptop takes 0.3 s to load itself and 0.15 s to pack the content, while SSH logs in; each
machine 0.05 s for the receiver and about 0.5 s for the run, three fifths of it imports. Taken out was: type hints
are cached; gevent, typeguard and zope.interface stay at home (stand-ins), so that a third less is loaded; garbage is
not looked for while modules come; files, accounts and kernel settings are asked for without a process (it was some 60
small shells), packages once in a run; users and sysctls are operations of our own.
What is left beside the round trips is computing, four machines' and the laptop's on the same two processors: that the
load stretches, while the other tools' waiting it does not. Where a bar is missed above, this is why.
"""

_VERIFY_WORDS = """\
## Verify

100 checks: the same 25 on each of four machines, 100 ms of round trip. testinfra over its ssh backend as it is, and
with an ssh_config that lets its commands share one connection a machine.
"""

_CROWD_HEAD = """\
## Many machines

The laptop's side alone: real waves, conversations, journals, picture and HTML page; SSH and machines are stand-ins in
the same process, and each journal is a first apply's, with 57 diffs. All machines are of one commune.
"""

_CROWD_WORDS = """
Memory grows in a line with the machines: about 0.15 MB each, which is their journals. Time bends where the commune
does: an order carries the whole site, so both the orders' bytes and the time to make them grow with the square of the
number of machines *in one commune*; with 1000 that is most of the time. At most 16 machines are worked with at a
time: on a real line a crowd takes its number divided by 16 times one machine's time.
"""


def _circumstances(records: Sequence[Record]) -> dict[str, str]:
    found = versions()
    words = ", ".join(f"{name} {version}" for name, version in found.items())
    model = next((line for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ": unknown processor")
    memory = int(next(line for line in _lines("/proc/meminfo") if line.startswith("MemTotal")).split()[1])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}, commit {commit.stdout.strip()}",
        "cpus": str(os.cpu_count()),
        "cpu": model.partition(": ")[2],
        "memory": f"{memory / 1024 / 1024:.0f}",
        "system": f"Linux {platform.release()}, Python {platform.python_version()}",
        "load": f"{_median(record.load for record in records):.0f}",
        "versions": words,
    }


def _times(records: Sequence[Record], phase: str, also: tuple[str, ...] = ()) -> str:
    rows = []
    for line in LINES:
        own = _of(records, phase, "lienxa", line)
        extra = [_cell(_of(records, other, "lienxa", line)) for other in also]
        cells = [_cell(_of(records, phase, tool, line), own) for tool in _TOOLS]
        loads = [record.load for record in records if record.phase in (phase, *also) and record.line == line]
        if any(cell != "—" for cell in cells):
            rows.append([line, cells[0], *extra, *cells[1:], f"{_median(loads):.0f}"])
    others = (f"lienxa, {other.partition(', ')[2]}" for other in also)
    return _table(["line", "lienxa", *others, *_TOOLS[1:], "load"], rows)


def _bars(records: Sequence[Record]) -> str:
    """What issue 3 asks for, and what came of it."""
    lines = []
    own = _seconds(_of(records, "again", "lienxa", "200 ms"))
    for tool, wanted in (("Ansible + Mitogen", 8), ("Ansible", 25)):
        other = _seconds(_of(records, "again", tool, "200 ms"))
        if own and other:
            lines.append(f"- At 200 ms {other / own:.1f} times faster than {tool} (wanted: {wanted}).")
    near, far = (_seconds(_of(records, "again", "lienxa", line)) for line in ("0 ms", "400 ms"))
    if near and far:
        lines.append(f"- From 0 to 400 ms lienxa's time grows by {far - near:.1f} s (wanted: less than 6).")
    return "\n".join(lines) + "\n" if lines else ""


def _bytes(records: Sequence[Record]) -> str:
    rows = []
    names = {
        "first": "first run",
        "first, kit there": "first run, kit there",
        "again": "a run that changes nothing",
        "template": "one template changed",
    }
    for phase, words in names.items():
        for tool in _TOOLS:
            found = [record for record in records if (record.phase, record.tool) == (phase, tool) and record.up]
            if found:
                up, down = _median(r.up for r in found), _median(r.down for r in found)
                rows.append([words, tool, _kilo(up), _kilo(down), _kilo((up + down) / 4)])
    return _table(["run", "tool", "up, kB", "down, kB", "a machine, kB"], rows)


def _verify(records: Sequence[Record]) -> str:
    tools = dict.fromkeys(record.tool for record in records if record.phase == "verify")
    rows = []
    for tool in tools:
        found = _of(records, "verify", tool, "100 ms")
        traffic = _kilo(_median(r.up + r.down for r in found))
        rows.append([tool, _cell(found, _of(records, "verify", "lienxa", "100 ms")), traffic])
    return _table(["by", "seconds", "kB"], rows)


def _memory(records: Sequence[Record]) -> str:
    phases = ("first", "again", "first, kit there")
    rows = []
    for tool in _TOOLS:
        found = [record.memory for record in records if record.tool == tool and record.phase in phases]
        if found:
            rows.append([tool, f"{max(found) / 1e6:.0f}"])
    return _table(["tool", "MB"], rows)


def _crowd(records: Sequence[Record]) -> str:
    found = {record.machines: record for record in records if record.phase == "crowd"}
    rows = [[str(n), f"{found[n].seconds:.1f}", f"{found[n].memory / 1e6:.0f}"] for n in sorted(found)]
    return _table(["machines", "seconds", "MB"], rows)


def _of(records: Iterable[Record], phase: str, tool: str, line: str) -> list[Record]:
    return [record for record in records if (record.phase, record.tool, record.line) == (phase, tool, line)]


def _cell(found: Sequence[Record], own: Sequence[Record] = ()) -> str:
    seconds = _seconds(found)
    if not seconds:
        return "—"
    ours = _seconds(own)
    ratio = f", {seconds / ours:.1f} ×" if ours and found != own else ""
    return f"{seconds:.1f} ({len(found)}){ratio}"


def _seconds(found: Sequence[Record]) -> float:
    return _median(record.seconds for record in found)


def _median(values: Iterable[float]) -> float:
    found = list(values)
    return statistics.median(found) if found else 0.0


def _kilo(number: float) -> str:
    return f"{number / 1000:.0f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    line: Callable[[Sequence[str]], str] = lambda cells: f"| {' | '.join(cells)} |"  # noqa: E731
    return "\n".join([line(head), line(["---"] * len(head)), *map(line, rows)]) + "\n" if rows else "Not measured.\n"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
