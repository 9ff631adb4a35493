"""The runner on real Debian machines in containers, as the transient unit that the fleet starts."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.fleet.kit import Archive, Kits
from deploy.journal import Event, OperationEnded, RunEnded, parse_event
from deploy.lab.image import machine_image
from deploy.order import Order, Request, RoleOrder
from deploy.runner.receiver import UNIT, unit_command
from deploy.runner.state import State
from tests.unit.sample_site import sample_site

pytestmark = pytest.mark.lab

SECRET = "mat-khau-cua-may-chu"
SITE = """
from deploy.inventory.role import Options, Role, Secret, Unit


class DemoOptions(Options):
    text: str = "một"
    check: str = "true"
    package: str | None = None


def asks(options, site):
    return (Secret("password", "p"),)


ROLES = {
    "demo": Role("demo", "a service", DemoOptions, units=(Unit("demo.service", "the service"),), secrets=asks),
    "extra": Role("extra", "a timer", DemoOptions, units=(Unit("extra.timer", "the timer"),)),
}
"""
DEMO = """
from deploy.runner.operations import packages, place, retire_units, units


def install(ctx):
    if ctx.options.package:
        packages(ctx, ctx.options.package)


def configure(ctx):
    global placed, unit_file
    unit_file = place(ctx, "/etc/systemd/system/demo.service", content=(
        "[Service]\\nExecStart=/bin/sh -c '. /etc/demo/demo.conf; exec sleep $SECONDS_'\\n"
        "[Install]\\nWantedBy=multi-user.target\\n"
    ), validate="systemd-analyze verify {}")
    placed = place(ctx, "/etc/demo/demo.conf", content=f"# {ctx.options.text}\\nSECONDS_=infinity\\n",
                   validate=f"{ctx.options.check} {{}}")
    place(ctx, "/etc/demo/password", content=ctx.secrets.get("password", ""), secret=True)


def activate(ctx):
    units(ctx, files=["/etc/demo/demo.conf"], changed=[placed, unit_file])


def retire(ctx):
    retire_units(ctx)
"""
EXTRA = """
from deploy.runner.operations import place, retire_units, units


def install(ctx): pass


def configure(ctx):
    place(ctx, "/etc/systemd/system/extra.service", content="[Service]\\nType=oneshot\\nExecStart=true\\n")
    place(ctx, "/etc/systemd/system/extra.timer", content=(
        "[Timer]\\nOnCalendar=yearly\\n[Install]\\nWantedBy=timers.target\\n"))


def activate(ctx):
    units(ctx)


def retire(ctx):
    retire_units(ctx)
"""


@dataclass
class Box:
    """A machine in a container, with our kit and the test's own roles."""

    name: str
    content: Path
    runtime: Path
    count: int = 0

    def sh(self, script: str, given: str | None = None, *, check: bool = True) -> str:
        command = ["podman", "exec", "-i", self.name, "sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False, input=given)
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, action: str = "apply", roles: tuple[str, ...] = ("demo",), **options: str) -> str:
        self.count += 1
        order = Order(
            machine="gw1",
            site=sample_site(),
            roles=tuple(RoleOrder(name=name, options=options) for name in roles),
            secrets={"demo.password": SECRET},
        )
        request = Request(run=f"run-{self.count:03}", action=action, order=order, by="an@may")  # type: ignore[arg-type]
        path = f"/run/lienxa/{request.run}.json"
        self.sh(f"umask 077; mkdir -p /run/lienxa /var/lib/lienxa; cat >{path}", request.to_bytes().decode())
        self.sh(_quoted(unit_command(request.run, self.content, self.runtime)))
        return request.run

    def run(self, action: str = "apply", roles: tuple[str, ...] = ("demo",), **options: str) -> list[Event]:
        return self.events(self.start(action, roles, **options))

    def events(self, run: str) -> list[Event]:
        """Of a run, once its unit has ended."""
        self.sh(f"while systemctl is-active -q {UNIT}; do sleep 0.1; done; test ! -e /run/lienxa/{run}.json")
        log = self.sh(f"journalctl -u {UNIT} -n 30 -o cat")
        written = self.sh(f"cat /var/lib/lienxa/journal/{run}.jsonl", check=False)
        assert written, log
        return [parse_event(line) for line in written.splitlines()]


@pytest.fixture(scope="module", params=["13", "12"])
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    kits = Kits()
    name = f"lx-runner-{request.param}-{os.getpid()}"
    python = {"13": "3.13", "12": "3.11"}[request.param]
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", "--network", "none")
    command = ["podman", "--runtime", "runc", "run", "-d", "--rm", "--systemd=always", "--privileged", *limits]
    subprocess.run(
        [*command, "--name", name, machine_image(request.param), "/sbin/init"], check=True, capture_output=True
    )
    try:
        made = Box(name, Path("/opt/kit/content"), Path("/opt/kit/runtime"))
        made.sh("until systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do sleep 0.1; done")
        _unpack(name, kits.content(), made.content)
        _unpack(name, kits.runtime(python, "x86_64"), made.runtime)
        made.sh(f"cat >{made.content}/deploy/site.py", SITE)
        for role, tasks in {"demo": DEMO, "extra": EXTRA}.items():
            folder = made.content / "roles" / role
            made.sh(f"mkdir -p {folder}; touch {folder}/__init__.py; cat >{folder}/tasks.py", tasks)
        yield made
    finally:
        subprocess.run(["podman", "rm", "-f", "-t", "0", name], check=False, capture_output=True)


def test_a_plan_on_a_fresh_machine_touches_nothing(box: Box) -> None:
    before = box.sh("find /etc /usr -newer /run/lienxa -type f 2>/dev/null | sort; ls /etc | sort; ls -A /tmp")
    events = box.run("plan")
    assert _ended(events).status == "done", events[-1]
    assert [operation.status for operation in _operations(events)] == ["would_change"] * 4
    assert box.sh("ls /etc | sort; ls -A /tmp") in before
    box.sh("test ! -e /etc/demo; ! systemctl cat demo.service")


def test_apply_then_again(box: Box) -> None:
    events = box.run()
    assert _ended(events).status == "done", events[-2:]
    assert _ended(events).changed == 4
    assert box.sh("systemctl is-active demo.service; systemctl is-enabled demo.service") == "active\nenabled\n"
    again = box.run()
    assert [operation.name for operation in _operations(again) if operation.status != "unchanged"] == []
    assert (_ended(again).changed, _ended(again).failed) == (0, 0)
    state = State.model_validate_json(box.sh("cat /var/lib/lienxa/state.json"))
    assert state.roles == {"demo": 1}


def test_a_changed_file_restarts_the_unit_also_after_a_cut(box: Box) -> None:
    box.run()
    pid = _pid(box)
    assert _changed(box.run(text="hai")) == ["Place /etc/demo/demo.conf", "Unit demo.service"]
    assert _pid(box) != pid
    # As a run leaves it that is cut after the file and before the unit.
    pid = _pid(box)
    box.sh("sed -i s/hai/ba/ /etc/demo/demo.conf")
    assert _changed(box.run(text="ba")) == ["Unit demo.service"]
    assert _pid(box) != pid
    assert _changed(box.run(text="ba")) == []
    # A file from the future is no reason to restart for ever.
    box.sh("touch -d '+1 day' /etc/demo/demo.conf")
    assert _changed(box.run(text="ba")) == []
    box.run()


def test_drift_is_set_right(box: Box) -> None:
    box.run()
    box.sh("systemctl disable --now demo.service")
    assert _changed(box.run()) == ["Unit demo.service"]
    box.sh("systemctl kill -s KILL demo.service; until systemctl is-failed -q demo.service; do sleep 0.05; done")
    assert _changed(box.run()) == ["Unit demo.service"]
    assert box.sh("systemctl is-active demo.service; systemctl is-enabled demo.service") == "active\nenabled\n"


def test_a_refused_file_leaves_the_old_one_and_the_service_running(box: Box) -> None:
    box.run()
    pid = _pid(box)
    events = box.run(text="hỏng", check="! grep -q hỏng")
    assert _ended(events).status == "failed"
    assert "hỏng" not in box.sh("cat /etc/demo/demo.conf")
    assert _pid(box) == pid
    error = _operations(events)[-1].error
    assert error is not None
    assert "refused by its own checker" in error.message


def test_a_unit_that_does_not_start_is_said_with_its_last_lines(box: Box) -> None:
    events = box.run(text="x\nexit 7")
    error = _operations(events)[-1].error
    assert _ended(events).status == "failed"
    assert error is not None
    assert "demo.service does not run" in error.message
    assert "status=7" in error.output
    assert _ended(box.run()).status == "done"


def test_no_secret_is_written_anywhere_but_where_it_belongs(box: Box) -> None:
    box.run(text="x")
    box.run()
    found = box.sh(
        f"grep -rlsF {SECRET} /etc /var /run /tmp /root /opt; journalctl | grep -cF {SECRET}",
        check=False,
    )
    assert found.split() == ["/etc/demo/password", "0"]
    assert box.sh("stat -c '%a %U' /etc/demo/password") == "600 root\n"
    assert box.sh("stat -c %a /var/lib/lienxa/journal /var/lib/lienxa/journal/*").split().count("600") == box.count


def test_one_run_at_a_time(box: Box) -> None:
    holder = json.dumps({"who": "binh@may2", "since": "2026-11-24T22:00:00.000Z", "run": "run-x"})
    box.sh(
        "systemd-run -q --unit=other flock /var/lib/lienxa/lock sleep infinity;"
        "until ! flock -n /var/lib/lienxa/lock true; do sleep 0.05; done;"
        f"echo '{holder}' >/var/lib/lienxa/lock"
    )
    try:
        error = _ended(box.run()).error
    finally:
        box.sh("systemctl stop other")
    assert error is not None
    assert "binh@may2 since 2026-11-24T22:00:00.000Z" in error.message


def test_a_stop_waits_for_the_operation_that_is_on(box: Box) -> None:
    box.sh("rm -f /run/go-on; mkfifo /run/go-on")
    run = box.start(text="chờ", check="touch /run/waiting; read line </run/go-on;:")
    box.sh(f"until test -e /run/waiting; do sleep 0.05; done; systemctl stop --no-block {UNIT}; echo >/run/go-on")
    events = box.events(run)
    assert _ended(events).status == "stopped"
    assert _operations(events)[-1].name == "Place /etc/demo/demo.conf"
    assert "chờ" in box.sh("cat /etc/demo/demo.conf")
    box.run()


def test_a_role_that_left_is_retired(box: Box) -> None:
    box.run(roles=("demo", "extra"))
    assert box.sh("systemctl is-active extra.timer; systemctl is-enabled extra.timer") == "active\nenabled\n"
    plan = box.run("plan")
    first = _operations(plan)[0]
    assert (first.role, first.name, first.status) == ("extra", "Retire unit extra.timer", "would_change")
    assert _changed(box.run()) == ["Retire unit extra.timer"]
    assert box.sh("systemctl is-active extra.timer", check=False) == "inactive\n"
    box.sh("test -e /etc/systemd/system/extra.timer")
    assert _changed(box.run()) == []


def test_packages_come_without_starting_their_service_and_leave_no_guard(box: Box, tmp_path: Path) -> None:
    box.sh(_LOCAL_REPOSITORY)
    plan = box.run("plan", package="lienxa-thu")
    assert _operations(plan)[0].status == "would_change"
    events = box.run(package="lienxa-thu")
    assert _ended(events).status == "done", _operations(events)[-1]
    assert _operations(events)[0].commands == ("apt-get update; apt-get install lienxa-thu",)
    assert box.sh("systemctl is-active lienxa-thu.service", check=False) == "inactive\n"
    box.sh("test ! -e /usr/sbin/policy-rc.d")
    assert _changed(box.run(package="lienxa-thu")) == []
    error = _operations(box.run(package="khong-co"))[-1].error
    assert error is not None
    assert "a package is not in the machine's sources: Unable to locate package khong-co" in error.message
    box.sh("test ! -e /usr/sbin/policy-rc.d")


def test_a_guard_that_a_cut_run_left_goes_away(box: Box) -> None:
    box.sh(_LOCAL_REPOSITORY)
    box.run(package="lienxa-thu")
    box.sh(
        "printf '#!/bin/sh\\n# lienxa: services start when their configuration is in place\\nexit 101\\n'"
        " >/usr/sbin/policy-rc.d"
    )
    assert _changed(box.run(package="lienxa-thu")) == ["Packages of demo"]
    box.sh("test ! -e /usr/sbin/policy-rc.d")


_LOCAL_REPOSITORY = textwrap.dedent(
    """
    test ! -e /opt/repo/Packages || exit 0
    mkdir -p /opt/repo/p/DEBIAN /opt/repo/p/lib/systemd/system; cd /opt/repo
    printf 'Package: lienxa-thu\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x.x>\\nDescription: x\\n' \
        >p/DEBIAN/control
    printf '[Service]\\nExecStart=sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' \
        >p/lib/systemd/system/lienxa-thu.service
    printf '#!/bin/sh\\nset -e\\ndeb-systemd-helper enable lienxa-thu.service\\n%s\\n' \
        'deb-systemd-invoke start lienxa-thu.service' >p/DEBIAN/postinst
    chmod 0755 p/DEBIAN/postinst
    dpkg-deb -b p lienxa-thu.deb >/dev/null
    { dpkg-deb -f lienxa-thu.deb; echo "Filename: ./lienxa-thu.deb"; echo "Size: $(stat -c %s lienxa-thu.deb)";
      echo "SHA256: $(sha256sum lienxa-thu.deb | cut -d' ' -f1)"; } >Packages
    rm -f /etc/apt/sources.list; rm -f /etc/apt/sources.list.d/*
    echo 'deb [trusted=yes] file:/opt/repo ./' >/etc/apt/sources.list
    rm -f /var/lib/lienxa/apt-updated
    """
)


def _unpack(name: str, archive: Archive, folder: Path) -> None:
    with archive.path.open("rb") as file:
        subprocess.run(["podman", "exec", "-i", name, "python3", "-c", _UNTAR, str(folder)], stdin=file, check=True)


_UNTAR = "import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|xz').extractall(sys.argv[1])"


def _quoted(command: list[str]) -> str:
    return " ".join(f"'{word}'" for word in command)


def _pid(box: Box) -> str:
    return box.sh("systemctl show -P MainPID demo.service")


def _operations(events: list[Event]) -> list[OperationEnded]:
    return [event for event in events if isinstance(event, OperationEnded)]


def _changed(events: list[Event]) -> list[str]:
    assert _ended(events).status == "done", events[-2:]
    return [operation.name for operation in _operations(events) if operation.status == "changed"]


def _ended(events: list[Event]) -> RunEnded:
    last = events[-1]
    assert isinstance(last, RunEnded)
    return last
