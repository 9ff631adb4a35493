"""Waves: who waits for whom, and who is held back by whose failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from deploy.fleet import waves as module
from deploy.fleet.access import Access
from deploy.fleet.links import LinkError, Links, Trouble
from deploy.fleet.patience import Patience
from deploy.fleet.ship import Job
from deploy.fleet.updates import State, Update
from deploy.fleet.waves import run_fleet, waves
from deploy.inventory.role import Kind
from deploy.inventory.site import CommuneId, Site, SiteMachine
from deploy.order import Order, Request

KINDS = {"gw1": Kind.GATEWAY, "srv1": Kind.SERVER, "vp01": Kind.OFFICE, "mc01": Kind.COUNTER}
ACCESS = Access(
    user="hotro",
    known_hosts=Path("/none"),
    gateway="gw1",
    hosts=dict.fromkeys(KINDS, "192.0.2.1"),
    behind=frozenset(KINDS) - {"gw1"},
)


class Stage:
    """Stands in for the machines: what each comes to, and in which order they were worked with."""

    def __init__(self, **ends: State) -> None:
        self.ends = ends
        self.begun: list[str] = []
        self.together = threading.Barrier(1)
        self.gateway_lets_through = True

    def ship(self, job: Job, *_: Any) -> Iterator[Update]:
        self.begun.append(job.machine)
        if job.machine not in ("gw1", "srv1") or job.request.action != "apply":
            self.together.wait(timeout=5)
        yield Update(job.machine, self.ends.get(job.machine, State.DONE), message="it broke")

    def reach(self, machine: str) -> None:
        if not self.gateway_lets_through:
            raise LinkError(machine, Trouble.UNREACHABLE, f"{machine}: no answer")


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    made = Stage()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr(module, "ship", made.ship)
    monkeypatch.setattr(Links, "reach", made.reach)
    return made


def test_apply_goes_gateway_servers_rest() -> None:
    names = [[job.machine for job in wave] for wave in waves(_jobs("apply"))]
    assert names == [["gw1"], ["srv1"], ["vp01", "mc01"]]


@pytest.mark.parametrize("action", ["plan", "verify"])
def test_what_changes_nothing_goes_all_at_once(action: Literal["plan", "verify"]) -> None:
    assert [len(wave) for wave in waves(_jobs(action))] == [4]


def test_the_rest_are_worked_with_side_by_side(stage: Stage) -> None:
    stage.together = threading.Barrier(2)  # each waits for the other
    final = run_fleet(_jobs("apply"), ACCESS, lambda update: None)
    assert stage.begun[:2] == ["gw1", "srv1"]
    assert {update.state for update in final.values()} == {State.DONE}


@pytest.mark.parametrize("end", [State.FAILED, State.UNREACHABLE])
def test_a_gateway_that_fails_holds_back_all_behind_it(stage: Stage, end: State) -> None:
    stage.ends = {"gw1": end}
    final = run_fleet(_jobs("apply"), ACCESS, lambda update: None)
    assert stage.begun == ["gw1"]
    assert {name: update.state for name, update in final.items() if name != "gw1"} == dict.fromkeys(
        ("srv1", "vp01", "mc01"), State.HELD_BACK
    )
    assert "gw1" in final["vp01"].message
    assert "it broke" in final["vp01"].message


def test_a_failing_machine_does_not_stop_its_siblings(stage: Stage) -> None:
    stage.ends = {"srv1": State.FAILED, "vp01": State.UNREACHABLE}
    final = run_fleet(_jobs("apply"), ACCESS, lambda update: None)
    assert final["mc01"].state is State.DONE
    assert final["srv1"].state is State.FAILED


def test_a_gateway_that_does_not_let_through_is_said_once_per_machine(stage: Stage) -> None:
    stage.gateway_lets_through = False
    jobs = [job for job in _jobs("verify") if job.machine != "gw1"]
    final = run_fleet(jobs, ACCESS, lambda update: None, patience=Patience(first=0))
    assert {update.state for update in final.values()} == {State.UNREACHABLE}
    assert final["vp01"].message == "vp01 is reached through gw1: no answer"
    assert stage.begun == []


def test_every_machine_ends_with_one_final_update(stage: Stage) -> None:
    heard: list[Update] = []
    run_fleet(_jobs("apply"), ACCESS, heard.append)
    finals = [update.machine for update in heard if update.state.final]
    assert sorted(finals) == sorted(KINDS)
    assert [update.state for update in heard[:4]] == [State.WAITING] * 4


def test_ctrl_c_gets_through(stage: Stage) -> None:
    def press(update: Update) -> None:
        if update.state is State.DONE:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fleet(_jobs("apply"), ACCESS, press)
    assert stage.begun == ["gw1"]


def _jobs(action: Literal["apply", "plan", "verify"]) -> list[Job]:
    return [
        Job(name, Request(run="r1", action=action, order=_order(name), by="an@laptop")) for name in reversed_kinds()
    ]


def reversed_kinds() -> list[str]:
    """In an order in which nobody should work."""
    return ["vp01", "srv1", "mc01", "gw1"]


def _order(machine: str) -> Order:
    site = Site(
        commune=CommuneId(name="Xã Mẫu", slug="xa-mau", code="00000", province="Gia Lai", province_slug="gia-lai"),
        domain="xa-mau.gialai.gov.vn",
        prefix="10.52.0.0/22",  # type: ignore[arg-type]
        zones=(),
        uplinks=(),
        machines=tuple(
            SiteMachine(name=name, kind=kind, zone="office", address="10.52.0.2", mac=None, fqdn=name)  # type: ignore[arg-type]
            for name, kind in KINDS.items()
        ),
    )
    return Order(machine=machine, site=site, roles=())
