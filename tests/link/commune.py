"""A commune in the lab behind bad lines, and the laptop in front of them: what it said, what the machines know."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from proxy import Line, Plan, Proxy

from deploy import lab
from deploy.fleet.links import Links
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import Site
from deploy.lab.keys import facts
from deploy.lab.lab import access as lab_access
from deploy.lab.lab import run_in
from deploy.lab.rehearsal import rehearse
from deploy.site import CATALOG, packages_of_desks

INVENTORIES = Path(__file__).parents[2] / "inventories"
_LAPTOP = str(Path(__file__).with_name("laptop.py"))

Event = dict[str, Any]


@dataclass(frozen=True)
class Commune:
    """A commune of a folder of its own, as its lab has it."""

    inventories: Path
    slug: str
    site: Site

    @property
    def managed(self) -> list[str]:
        return [machine.name for machine in self.site.machines if machine.managed]

    def sh(self, machine: str, script: str) -> str:
        """Root's shell on a machine, beside SSH."""
        done = run_in(self.slug, machine, ["sh", "-ec", script], timeout=120)
        assert done.returncode == 0, f"{machine}: {script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def journals(self, machine: str) -> dict[str, list[Event]]:
        """Every run's events as the machine has them, oldest first."""
        names = self.sh(machine, "ls /var/lib/lienxa/journal 2>/dev/null || true").split()
        return {
            name.removesuffix(".jsonl"): [
                json.loads(line) for line in self.sh(machine, f"cat /var/lib/lienxa/journal/{name}").splitlines()
            ]
            for name in sorted(names)
        }

    def forget(self) -> None:
        """Machines without kits and journals, as if we had never been there; what is installed stays."""
        for machine in self.managed:
            self.sh(machine, "systemctl stop lienxa-run 2>/dev/null || true; rm -rf /var/lib/lienxa /run/lienxa")


@contextmanager
def in_lab(
    folder: Path,
    slug: str,
    *,
    of: str = "xa-mau",
    inventories: Path = INVENTORIES,
    keep: frozenset[str] = frozenset(),
) -> Iterator[Commune]:
    """The commune `of` under another slug (so that its own lab is left alone), in a fresh lab of its own.

    keep: only these machines; empty: all.
    """
    copy = folder / "inventories"
    shutil.copytree(inventories, copy)
    (copy / of).rename(copy / slug)
    for other in [path for path in copy.iterdir() if (path / "commune.yaml").exists() and path.name != slug]:
        shutil.rmtree(other)
    file = copy / slug / "commune.yaml"
    content = yaml.safe_load(file.read_text())
    content["commune"]["slug"] = slug
    if keep:
        content["machines"] = {name: machine for name, machine in content["machines"].items() if name in keep}
        # Servers behind the gateway: there must be packages to install, and not a desk's two gigabytes.
        for name, machine in content["machines"].items():
            if name != "gw1":
                machine |= {"kind": "server", "zone": "server"}
        for person in content["people"]:
            person["machines"] = []
        (copy / slug / "addresses.yaml").unlink(missing_ok=True)
    file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    site = resolve(load(copy, CATALOG), slug).site
    lab.down(slug)
    try:
        lab.up(site, at_desks=() if keep else packages_of_desks())
        yield Commune(copy, slug, rehearse(site, facts(site)))
    finally:
        lab.down(slug)


@contextmanager
def bad_lines(commune: Commune, *machines: str, plan: Plan | None = None) -> Iterator[Proxy]:
    """A line of its own to each of these machines (all without names); the others go through the gateway's."""
    plain = lab_access(commune.site)
    with Links(plain) as links:
        lines = []
        for machine in machines or commune.managed:
            if machine == plain.gateway:
                assert plain.proxy_command
                way = plain.proxy_command.replace("%h", plain.hosts[machine]).replace("%p", "22").split()
            else:
                way = ["ssh", "-F", str(links.config), "-W", f"{plain.hosts[machine]}:22", plain.gateway]
            lines.append(Line(machine, way))
        with Proxy(lines, plan) as proxy:
            yield proxy


@dataclass
class Laptop:
    """The command at work behind bad lines."""

    process: subprocess.Popen[str]
    lines: list[Event] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    """When each line came; time.monotonic()."""
    errors: list[str] = field(default_factory=list)

    def of(self, machine: str | None = None, **wanted: object) -> list[Event]:
        """The lines with these values."""
        return [
            line
            for line in list(self.lines)
            if (machine is None or line.get("machine") == machine)
            and all(line.get(key) == value for key, value in wanted.items())
        ]

    def wait_for(self, condition: Callable[[], object], seconds: float = 120) -> None:
        """Until it holds; fails with all that was said when the command has ended before, or time is up."""
        end = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None or condition(), f"it ended before\n{self}"
            assert time.monotonic() < end, f"waited in vain\n{self}"
            time.sleep(0.05)

    def end(self, seconds: float = 900) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(seconds)
        for thread in self._threads:
            thread.join(10)
        return code

    @property
    def summary(self) -> Event:
        return self.lines[-1]

    def kill(self) -> None:
        """As a battery that is empty."""
        self.process.kill()
        self.process.wait()

    def listen(self) -> Laptop:
        self._threads = [
            threading.Thread(target=self._take, daemon=True),
            threading.Thread(target=lambda: self.errors.extend(self.process.stderr or ()), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def _take(self) -> None:
        for line in self.process.stdout or ():
            self.times.append(time.monotonic())
            self.lines.append(json.loads(line))

    def __str__(self) -> str:
        final = [line for line in self.lines if line.get("state") in ("failed", "unreachable", "held_back")]
        return "\n".join([*(str(line)[:600] for line in [*final, *self.lines[-10:]]), *self.errors[-10:]])


@contextmanager
def laptop(commune: Commune, proxy: Proxy, verb: str, *words: str, seed: int = 1) -> Iterator[Laptop]:
    """`lienxa VERB COMMUNE --lab --json …` behind these lines; killed at the end if it is still there."""
    environment = os.environ | {
        "LIENXA_INVENTORIES": str(commune.inventories),
        "LIENXA_LINES": json.dumps({line.name: line.port for line in proxy.lines.values()}),
        "LIENXA_SEED": str(seed),
    }
    process = subprocess.Popen(
        [sys.executable, _LAPTOP, verb, commune.slug, *words, "--lab", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    made = Laptop(process).listen()
    try:
        yield made
    finally:
        if process.poll() is None:
            made.kill()


def run(commune: Commune, proxy: Proxy, verb: str, *words: str, code: int = 0) -> Laptop:
    """The same to its end."""
    with laptop(commune, proxy, verb, *words) as at_work:
        assert at_work.end() == code, str(at_work)
        return at_work


def assert_whole(commune: Commune, at_work: Laptop, machine: str, runs: int = 1) -> None:
    """Each event of the machine's journal came exactly once and in order, of as many runs as were to be made."""
    journals = commune.journals(machine)
    assert len(journals) == runs, f"{machine}: {list(journals)}"
    seen = [(line["event"], line["seq"]) for line in at_work.of(machine) if "seq" in line]
    written = [(event["event"], event["seq"]) for events in journals.values() for event in events]
    assert seen == written[-len(seen) :], f"{machine}: {len(seen)} seen, {len(written)} written"
    for events in journals.values():
        assert [event["seq"] for event in events] == list(range(len(events)))
        assert sum(event["event"] == "run_started" for event in events) == 1
