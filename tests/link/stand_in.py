"""A stand-in for the runner, whose steps the test lets go on: the line is bad at a moment of our choice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from commune import Commune
from proxy import Proxy

from deploy.fleet.access import Access
from deploy.fleet.kit import Kits
from deploy.fleet.links import Links
from deploy.fleet.patience import Patience
from deploy.fleet.ship import Job, ship
from deploy.fleet.updates import State, Update
from deploy.lab.lab import access as lab_access
from deploy.order import Order, Request, RoleOrder, new_run

GO_ON = "/run/go-on"
_RUNNER = """
import json, os, pathlib, signal, sys, time
run = sys.argv[1]
request = json.loads(pathlib.Path(f"/run/lienxa/{run}.json").read_bytes())
journal = open(f"/var/lib/lienxa/journal/{run}.jsonl", "x")
os.unlink(f"/run/lienxa/{run}.json")
seq = 0
def emit(event, **fields):
    global seq
    journal.write(json.dumps({"event": event, "seq": seq, "at": "2026-01-01T00:00:00.000Z", **fields}) + "\\n")
    journal.flush()
    seq += 1
signal.signal(signal.SIGTERM, lambda *_: (emit("run_ended", status="stopped", seconds=0.1), sys.exit(0)))
emit("run_started", run=run, machine=request["order"]["machine"], action=request["action"], by=request["by"],
     commit=None, clean=None, order="0", debian="13", python="3")
plan = request["order"]["roles"][0]["options"]
for number in range(plan["steps"]):
    while plan.get("wait_for") == number and not os.path.exists("/run/go-on"):
        time.sleep(0.05)
    time.sleep(plan.get("pause", 0))
    emit("operation", role="base", name=f"step {number}", status="unchanged", seconds=0.0)
emit("run_ended", status="done", operations=plan["steps"], seconds=0.1)
"""


def stand_in_kits(folder: Path) -> Kits:
    """A kit whose runner is the stand-in; the runtime is the real one."""
    (folder / "deploy/runner").mkdir(parents=True)
    (folder / "deploy/__init__.py").touch()
    (folder / "deploy/runner/__init__.py").touch()
    (folder / "deploy/runner/__main__.py").write_text(_RUNNER)
    return Kits(root=folder)


def bad_access(commune: Commune, proxy: Proxy) -> Access:
    """The lab's access with the bad lines in it."""
    ports = {line.name: line.port for line in proxy.lines.values()}
    plain = lab_access(commune.site)
    return replace(
        plain,
        hosts=plain.hosts | dict.fromkeys(ports, "127.0.0.1"),
        ports=ports,
        behind=plain.behind - ports.keys(),
        proxy_command=None,
    )


def job(commune: Commune, machine: str, port: int | None = None, **plan: Any) -> Job:
    """An order for the stand-in: `steps`, `wait_for` (until GO_ON is there), `pause` (seconds a step)."""
    order = Order(machine=machine, site=commune.site, roles=(RoleOrder(name="base", options=plan),))
    run = new_run()
    return Job(machine, Request(run=run, action="apply", order=order, by="an@laptop"), package_port=port)


@dataclass
class Shipping:
    """A job that is being shipped."""

    updates: list[Update] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    cancel: threading.Event = field(default_factory=threading.Event)

    @property
    def states(self) -> list[State]:
        return [update.state for update in self.updates]

    @property
    def seqs(self) -> list[int]:
        return [update.event.seq for update in self.updates if update.event]

    def after(self, moment: float, state: State) -> float:
        """Seconds from that moment until the first update of this state."""
        found = [
            at for at, update in zip(self.times, self.updates, strict=False) if at > moment and update.state is state
        ]
        return found[0] - moment if found else float("inf")


@contextmanager
def shipped(asked: Job, access: Access, kits: Kits, patience: Patience | None = None) -> Iterator[Shipping]:
    """Ship a job in a thread; leaving waits for its end."""
    made = Shipping()

    def work() -> None:
        with Links(access) as links:
            for update in ship(asked, links, kits, patience or Patience(seed=1), made.cancel):
                made.times.append(time.monotonic())
                made.updates.append(update)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield made
        thread.join(120)
        assert not thread.is_alive(), made.updates[-5:]
    finally:
        made.cancel.set()


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    """Until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
