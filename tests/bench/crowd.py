"""The laptop's side with a crowd of machines: real waves, conversations, journals, picture; SSH alone is a stand-in.

`python -m tests.bench.crowd NUMBER` works with so many simulated machines in a process of its own and prints one JSON
object: seconds, and peak memory in bytes. Each stand-in answers as the receiver does, with a journal of 57 changed
operations with diffs, as after a first apply.
"""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from deploy.fleet import waves
from deploy.fleet.access import Access
from deploy.fleet.kit import Kits
from deploy.fleet.links import Connection, Links
from deploy.fleet.ship import Job
from deploy.fleet.updates import State
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.order import Order, Request, RoleOrder, new_run
from deploy.report.html import html_page
from deploy.report.picture import Picture
from deploy.site import CATALOG

REPOSITORY = Path(__file__).parents[2]
OPERATIONS = 57
_DIFF = "".join(f"+setting_{number} = value of setting {number}\n" for number in range(20))


@dataclass(frozen=True)
class Crowd:
    """What so many machines cost the laptop."""

    machines: int
    seconds: float
    memory: int
    """Bytes, the most at any time."""


def measure_crowd(machines: int) -> Crowd:
    """Work with so many simulated machines, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.crowd", str(machines)]
    told = json.loads(subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True).stdout)
    return Crowd(machines, told["seconds"], told["memory"])


class _Machine:
    """Answers on two pipes as a machine's receiver does."""

    def __init__(self, program: int) -> None:
        self._program = program
        from_laptop, self.to_machine = os.pipe()
        self.to_laptop, answers = os.pipe()
        self._source, self._sink = os.fdopen(from_laptop, "rb"), os.fdopen(answers, "wb")
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with self._source, self._sink:
            self._source.read(8 + self._program)
            while line := self._source.readline():
                message = json.loads(line)
                self._source.read(message.get("size", 0))
                if message["do"] == "begin":
                    kits = [*message["runtimes"].values(), message["content"]]
                    self._say({"hello": 1, "time": time.time(), "kits": kits, "at_work": None, "started": True})
                if message["do"] == "follow":
                    for event in _journal(message["run"]):
                        self._say({"event": json.dumps(event)})
                    return

    def _say(self, message: dict[str, Any]) -> None:
        self._sink.write(json.dumps(message).encode() + b"\n")
        self._sink.flush()


class _Pipes:
    """What a Connection is to the conversation."""

    def __init__(self, machine: _Machine) -> None:
        self.stdout = io.BufferedReader(cast("io.RawIOBase", os.fdopen(machine.to_laptop, "rb", buffering=0)))
        self.stdin: IO[bytes] = os.fdopen(machine.to_machine, "wb", buffering=0)

    def end(self, *, at_once: bool = False) -> tuple[int, str]:
        self.stdin.close()
        self.stdout.close()
        return 0, ""


def _journal(run: str) -> list[dict[str, Any]]:
    at = "2026-01-01T00:00:00.000Z"
    started = {
        "run": run,
        "machine": "m",
        "action": "apply",
        "by": "a@b",
        "commit": None,
        "clean": None,
        "order": "0",
    }
    events: list[dict[str, Any]] = [
        {"event": "run_started", **started, "debian": "13", "python": "3.13", "total": 57}
    ]
    events += (
        {
            "event": "operation",
            "role": "bench",
            "name": f"Place /etc/bench/f{number}.conf",
            "status": "changed",
            "commands": [f"write /etc/bench/f{number}.conf (0644 root:root, 700 bytes)"],
            "diff": _DIFF,
            "seconds": 0.01,
        }
        for number in range(OPERATIONS)
    )
    events.append({"event": "run_ended", "status": "done", "operations": OPERATIONS, "changed": 57, "seconds": 1.0})
    return [{"seq": seq, "at": at, **event} for seq, event in enumerate(events)]


def _work(number: int, folder: Path) -> dict[str, Any]:
    site = resolve(load(REPOSITORY / "inventories", CATALOG), "xa-mau").site
    model = site.machine("vp01")
    names = [f"m{index:03}" for index in range(number)]
    machines = tuple(model.model_copy(update={"name": name}) for name in names)
    site = site.model_copy(update={"machines": (site.gateway, *machines)})
    order = RoleOrder(name="base", options={})
    sent = {
        name: Request(run=new_run(), action="apply", order=Order(machine=name, site=site, roles=(order,)), by="a@b")
        for name in names
    }
    program = len((REPOSITORY / "deploy/runner/receiver.py").read_bytes())
    open_: Callable[..., Connection] = lambda *_: cast("Connection", _Pipes(_Machine(program)))  # noqa: E731
    access = Access("hotro", folder / "none", site.gateway.name, dict.fromkeys(names, "192.0.2.1"))
    picture = Picture(sent)
    begun = time.monotonic()
    Links.open = open_  # type: ignore[method-assign]
    final = waves.run_fleet([Job(name, request) for name, request in sent.items()], access, picture, kits=Kits())
    html_page(site, picture)
    assert {update.state for update in final.values()} == {State.DONE}
    assert all(machine.steps == OPERATIONS for machine in picture.machines.values())
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": time.monotonic() - begun, "memory": memory}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_RUNTIME_DIR"] = scratch
        sys.stdout.write(json.dumps(_work(int(sys.argv[1]), Path(scratch))) + "\n")
