"""The command itself and the real runner on fresh machines: the laptop dies, machines restart, disks are full.

A story in order: each test goes on where the one before it left the machines.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from commune import Commune, assert_whole, bad_lines, laptop, run
from proxy import Proxy, Sort

from deploy.lab.containers import runtime
from deploy.lab.wiring import namespace

pytestmark = pytest.mark.lab


@pytest.fixture
def lines(commune: Commune) -> Iterator[Proxy]:
    with bad_lines(commune) as proxy:
        yield proxy


@pytest.fixture(scope="module", autouse=True)
def _fresh(commune: Commune) -> None:
    commune.forget()


def test_a_laptop_that_is_killed_attaches_again(commune: Commune, lines: Proxy) -> None:
    with laptop(commune, lines, "apply", "-m", "gw1") as first:
        first.wait_for(lambda: first.of("gw1", event="operation"), seconds=240)
        first.kill()
    other = run(commune, lines, "apply", "-m", "gw1", "-r", "base", code=1)
    assert "another run is on there" in str(other.of("gw1", state="failed"))
    again = run(commune, lines, "apply", "-m", "gw1")
    assert any("attached to it" in line.get("message", "") for line in again.of("gw1")), str(again)
    assert (again.summary["failed"], again.summary["unreachable"]) == (0, 0)
    assert_whole(commune, again, "gw1")
    told = run(commune, lines, "log", "gw1")
    assert [line["seq"] for line in told.lines] == list(range(len(told.lines)))
    assert "no run is on" in str(run(commune, lines, "attach", "-m", "gw1").lines)


def test_a_full_disk_is_named(commune: Commune, lines: Proxy) -> None:
    commune.sh("vp01", "mkdir -p /var/cache/apt/archives; mount -t tmpfs -o size=300k tmpfs /var/cache/apt/archives")
    failed = run(commune, lines, "apply", "-m", "vp01", code=1)
    commune.sh("vp01", "umount /var/cache/apt/archives")
    (operation,) = failed.of("vp01", event="operation", status="failed")
    assert "no room on the disk for the packages" in operation["error"]["message"]
    assert "df -h" in operation["error"]["next_step"]


def test_our_own_disk_full_is_named_before_anything_is_touched(commune: Commune, lines: Proxy) -> None:
    commune.sh("vp01", "mount -t tmpfs -o size=8m tmpfs /var/lib/lienxa")
    failed = run(commune, lines, "apply", "-m", "vp01", code=1)
    commune.sh("vp01", "umount /var/lib/lienxa")
    assert "its disk is full" in str(failed.of("vp01", state="failed"))
    assert not failed.of("vp01", event="operation")


def test_a_read_only_file_system_is_named(commune: Commune, lines: Proxy) -> None:
    commune.sh("vp01", "mount --bind /var/lib/lienxa /var/lib/lienxa; mount -o remount,bind,ro /var/lib/lienxa")
    failed = run(commune, lines, "apply", "-m", "vp01", code=1)
    commune.sh("vp01", "umount /var/lib/lienxa")
    assert "its file system is read-only" in str(failed.of("vp01", state="failed"))
    commune.sh("vp01", "mount --bind /var/cache/apt /var/cache/apt; mount -o remount,bind,ro /var/cache/apt")
    failed = run(commune, lines, "apply", "-m", "vp01", code=1)
    commune.sh("vp01", "umount /var/cache/apt")
    (operation,) = failed.of("vp01", event="operation", status="failed")
    assert "file system is read-only" in operation["error"]["message"]


def test_broken_package_sources_are_named(commune: Commune, lines: Proxy) -> None:
    commune.sh("vp01", "echo 'this is no source' >/etc/apt/sources.list.d/bad.list")
    failed = run(commune, lines, "apply", "-m", "vp01", code=1)
    commune.sh("vp01", "rm /etc/apt/sources.list.d/bad.list")
    (operation,) = failed.of("vp01", event="operation", status="failed")
    assert "package sources are broken" in operation["error"]["message"]
    assert "bad.list" in operation["error"]["message"]


def test_a_machine_that_restarts_in_mid_install_ends_where_it_should(commune: Commune, lines: Proxy) -> None:
    before = set(commune.journals("vp01"))
    with laptop(commune, lines, "apply", "-m", "vp01") as seen:
        installing = "pgrep -x dpkg || true"
        seen.wait_for(lambda: commune.sh("vp01", installing), seconds=240)
        subprocess.run(
            ["podman", *runtime().arguments, "restart", "--time", "0", namespace(commune.slug, "vp01")],
            check=True,
            capture_output=True,
        )
        assert seen.end() == 0, str(seen)
    assert any("it was started again" in line.get("message", "") for line in seen.of("vp01")), str(seen)
    assert (seen.summary["failed"], seen.summary["unreachable"]) == (0, 0)
    cut_off, whole = (events for run_, events in commune.journals("vp01").items() if run_ not in before)
    assert cut_off[-1]["event"] != "run_ended"
    assert whole[-1]["event"] == "run_ended"
    assert commune.sh("vp01", "dpkg --audit") == ""
    again = run(commune, lines, "apply", "-m", "vp01")
    assert (again.summary["changed"], again.summary["failed"]) == (0, 0)


def test_a_machine_that_is_switched_off_in_mid_run_goes_on_when_it_is_back(commune: Commune, lines: Proxy) -> None:
    """By its button: the operation that is on ends, and nobody is told that somebody has stopped the run."""
    name = namespace(commune.slug, "srv1")
    with laptop(commune, lines, "apply", "-m", "srv1", "-r", "base", "-r", "firewall") as seen:
        seen.wait_for(lambda: seen.of("srv1", event="operation"), seconds=240)
        commune.sh("srv1", "systemctl poweroff --no-block")
        subprocess.run(["podman", "wait", name], check=True, capture_output=True, timeout=120)
        subprocess.run(["podman", *runtime().arguments, "start", name], check=True, capture_output=True)
        assert seen.end() == 0, str(seen)
    assert any("it was started again" in line.get("message", "") for line in seen.of("srv1")), str(seen)
    assert (seen.summary["failed"], seen.summary["unreachable"]) == (0, 0)


def test_a_laptop_that_comes_late_hears_that_a_run_was_cut_off(commune: Commune, lines: Proxy) -> None:
    commune.sh("vp01", "journal=$(ls -t /var/lib/lienxa/journal/* | head -1); sed -i '$d' $journal")
    again = run(commune, lines, "apply", "-m", "vp01")
    assert any("was cut off before its end" in line.get("message", "") for line in again.of("vp01"))
    assert again.summary["failed"] == 0


def test_out_of_reach_to_the_end_is_named_and_done_later(commune: Commune, lines: Proxy) -> None:
    lines.lines["srv1"].refuse = True
    away = run(commune, lines, "apply", "--deadline", "20s", code=3)
    assert [line["machine"] for line in away.of(state="unreachable")] == ["srv1"]
    lines.lines["srv1"].refuse = False
    rest = run(commune, lines, "apply", "--failed")
    assert {line["machine"] for line in rest.of(event="run_started")} == {"srv1"}
    nothing = run(commune, lines, "apply", "--failed")
    assert nothing.summary["machines"] == 0


def test_resets_and_black_holes_in_an_apply_that_goes_through_the_gateway(commune: Commune) -> None:
    """One line for all: cut it, and every machine behind the gateway is lost at once, and found again."""
    with bad_lines(commune, "gw1") as line, laptop(commune, line, "apply") as seen:
        for machine, sort in (("srv1", Sort.RESET), ("vp01", Sort.BLACK_HOLE)):
            seen.wait_for(lambda machine=machine: seen.of(machine, event="operation"), seconds=240)
            seen.wait_for(lambda sort=sort: line.cut(sort))
        assert seen.end() == 0, str(seen)
    assert (seen.summary["changed"], seen.summary["failed"], seen.summary["unreachable"]) == (0, 0, 0)
    for machine in commune.managed:
        seqs = [each["seq"] for each in seen.of(machine) if "seq" in each]
        assert seqs == list(range(len(seqs))), machine
