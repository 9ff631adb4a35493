"""`make soak SEED=…`: one apply of a whole commune in its lab while its lines are cut 100 times, both sorts.

Prints the cuts made, the machines that converged and the operations that were run twice; exit code 0 if all is well.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from commune import INVENTORIES, Commune, Laptop, bad_lines, in_lab, laptop, run
from proxy import SeededCuts

RATE = 500_000.0
"""Bytes a second of each line: 4 Mbit/s, so that packages take a while and are cut off too."""
DELAY = 0.03


@dataclass(frozen=True)
class Outcome:
    """What a soak came to."""

    seed: int
    cuts: Counter[str]
    wanted: int
    machines: int
    converged: int
    twice: int
    seconds: float
    problems: tuple[str, ...]

    def __str__(self) -> str:
        cuts = ", ".join(f"{number} {sort}" for sort, number in sorted(self.cuts.items()))
        return (
            f"seed {self.seed}: cuts made {self.cuts.total()} of {self.wanted} ({cuts}), "
            f"machines converged {self.converged} of {self.machines}, operations run twice = {self.twice}, "
            f"in {self.seconds:.0f} s" + "".join(f"\n  {problem}" for problem in self.problems)
        )

    @property
    def good(self) -> bool:
        """Whether nothing was lost, doubled or left undone."""
        whole = self.cuts.total() == self.wanted and self.converged == self.machines
        return whole and not self.twice and not self.problems


def soak(commune: Commune, seed: int, cuts: int, mean: float, rate: float = RATE) -> Outcome:
    """Apply while the lines are cut, then once more over good ones: nothing may be left to change."""
    begun = time.monotonic()
    with bad_lines(commune, plan=SeededCuts(seed, cuts, mean)) as lines:
        for line in lines.lines.values():
            line.delay, line.rate = DELAY, rate
        with laptop(commune, lines, "apply", seed=seed) as seen:
            code = seen.end(3600)
        made = Counter(each.sort.value for each in lines.made)
        seconds = time.monotonic() - begun
        problems = [] if code == 0 else [f"exit code {code}:\n{seen}"]
        twice = 0
        for machine in commune.managed:
            again, wrong = _compare(commune, seen, machine)
            twice += again
            problems += wrong
        lines.plan = None
        for line in lines.lines.values():
            line.delay, line.rate = 0, None
        converged = _converged(commune, lines) if code == 0 else 0
    return Outcome(seed, made, cuts, len(commune.managed), converged, twice, seconds, tuple(problems))


def _compare(commune: Commune, seen: Laptop, machine: str) -> tuple[int, list[str]]:
    """Operations that were run more than once on this machine, and where the laptop's picture is another."""
    problems = []
    written = [event for events in commune.journals(machine).values() for event in events]
    heard = [(line["event"], line["seq"], line["at"]) for line in seen.of(machine) if "seq" in line]
    if heard != [(event["event"], event["seq"], event["at"]) for event in written]:
        problems.append(f"{machine}: {len(heard)} events heard, {len(written)} written")
    total = next((event["total"] for event in written if event["event"] == "run_started"), 0)
    operations = sum(event["event"] == "operation" for event in written)
    if operations < total:
        problems.append(f"{machine}: {operations} of {total} operations")
    return max(0, operations - total), problems


def _converged(commune: Commune, lines: object) -> int:
    again = run(commune, lines, "apply")  # type: ignore[arg-type]
    changed = {line["machine"] for line in again.of(event="operation") if line["status"] != "unchanged"}
    done = {line["machine"] for line in again.of(state="done")}
    return len(done - changed)


def main() -> int:
    """As a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--mean", type=float, default=5.0, help="seconds that a connection lasts, on average")
    parser.add_argument("--commune", default="xa-mau")
    parser.add_argument("--inventories", type=Path, default=INVENTORIES)
    parser.add_argument("--slug", default="xa-bao", help="of the copy that is rehearsed")
    parser.add_argument("--machines", nargs="*", default=[], help="only these of the commune")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the lab is taken down then, too
    good = True
    for seed in asked.seed:
        keep = frozenset(asked.machines)
        with (
            tempfile.TemporaryDirectory(prefix="lienxa-soak-") as folder,
            contextlib.ExitStack() as stack,
        ):
            fresh = in_lab(Path(folder), asked.slug, of=asked.commune, inventories=asked.inventories, keep=keep)
            outcome = soak(stack.enter_context(fresh), seed, asked.cuts, asked.mean)
        sys.stdout.write(f"{outcome}\n")
        sys.stdout.flush()
        good = good and outcome.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
