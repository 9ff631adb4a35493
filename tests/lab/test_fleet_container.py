"""The fleet against real machines in containers: real sshd, sudo, systemd; only the runner is a stand-in."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab_site import gateway_and_desk

from deploy.fleet import adopt, trust
from deploy.fleet.access import Access
from deploy.fleet.conversation import ask, status, stop
from deploy.fleet.kit import Kits
from deploy.fleet.links import LinkError, Links, Trouble
from deploy.fleet.patience import Patience
from deploy.fleet.ship import Job, ship
from deploy.fleet.updates import State, Update
from deploy.fleet.waves import run_fleet
from deploy.inventory.site import Support
from deploy.lab.image import machine_image
from deploy.order import Order, Request, RoleOrder, new_run

pytestmark = pytest.mark.lab

PIPE = """
import os, select, socket, sys
line = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
while True:
    for ready in select.select([0, line], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else line.recv(65536)
        if not data:
            raise SystemExit
        line.sendall(data) if ready == 0 else os.write(1, data)
"""

FAKE_RUNNER = """
import json, os, pathlib, signal, sys, time
run = sys.argv[1]
request = json.loads(pathlib.Path(f"/run/lienxa/{run}.json").read_bytes())
assert os.umask(0o077) == 0o077
seq = 0
signal.signal(signal.SIGTERM, lambda *_: (emit("run_ended", status="stopped", seconds=0.1), sys.exit(0)))
journal = open(f"/var/lib/lienxa/journal/{run}.jsonl", "a")
def emit(event, **fields):
    global seq
    journal.write(json.dumps({"event": event, "seq": seq, "at": "2026-01-01T00:00:00.000Z", **fields}) + "\\n")
    journal.flush()
    seq += 1
emit("run_started", run=run, machine=request["order"]["machine"], action=request["action"], by=request["by"],
     commit=None, clean=None, order="0", debian="13", python="3")
import pydantic, pytest, jinja2, testinfra  # the runtime is there
plan = request["order"]["roles"][0]["options"]
for number in range(plan["steps"]):
    while plan.get("wait_for") == number and not os.path.exists("/run/go-on"):
        time.sleep(0.05)
    emit("operation", role="base", name=f"step {number}", status="unchanged", seconds=0.0)
if plan.get("die"):
    print("out of luck", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
emit("run_ended", status=plan.get("status", "done"), operations=plan["steps"], seconds=0.1)
os.unlink(f"/run/lienxa/{run}.json")
"""


@dataclasses.dataclass(frozen=True)
class Box:
    """A container, root inside it, and how SSH gets there."""

    name: str
    pid: str
    access: Access

    def sh(self, script: str) -> str:
        command = ["podman", "exec", "-i", self.name, "sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module", params=["13", "12"])
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A machine that has been adopted and trusted."""
    folder = tmp_path_factory.mktemp(f"debian{request.param}")
    with _container(machine_image(request.param), folder) as made:
        key = _new_key(folder)
        made.sh(
            "useradd -m -s /bin/bash hotro; echo 'hotro ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/hotro;"
            "echo 'echo a greeting from .bashrc' >~hotro/.bashrc;"
            f"install -d -m 700 -o hotro ~hotro/.ssh; echo {shlex.quote(key)} >~hotro/.ssh/authorized_keys"
        )
        access = dataclasses.replace(made.access, identity=folder / "key")
        yield dataclasses.replace(made, access=_trusted(access))


@pytest.fixture
def links(box: Box) -> Iterator[Links]:
    with Links(box.access) as opened:
        yield opened


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Kits:
    root = tmp_path_factory.mktemp("content")
    (root / "deploy/runner").mkdir(parents=True)
    (root / "deploy/__init__.py").touch()
    (root / "deploy/runner/__init__.py").touch()
    (root / "deploy/runner/__main__.py").write_text(FAKE_RUNNER)
    return Kits(root=root)


def test_a_run_from_first_contact_to_its_end(box: Box, links: Links, kits: Kits) -> None:
    box.sh("rm -rf /var/lib/lienxa")
    updates = list(ship(_job(steps=5), links, kits))
    states = [update.state for update in updates]
    assert states[0] == State.CONNECTING
    assert State.SENDING in states
    assert states[-1] == State.DONE, updates[-1].message
    events = [update.event for update in updates if update.event]
    assert [event.seq for event in events] == list(range(7))
    assert box.sh("stat -c '%a %n' /var/lib/lienxa /run/lienxa").splitlines() == [
        "700 /var/lib/lienxa",
        "700 /run/lienxa",
    ]
    left = {name for name in box.sh("ls -A /run/lienxa").split() if name.endswith(".json")}
    assert left == {"latest.json"}, "the request, with its secrets, is gone"


def test_the_real_runner_applies_an_order_without_roles(links: Links) -> None:
    job = _job(roles=())
    updates = list(ship(job, links, Kits()))
    assert updates[-1].state == State.DONE, updates[-1].message
    told = status(links, "gw1")
    assert told["runs"][0]["run"] == job.request.run
    assert told["state"] is not None


def test_the_kit_is_sent_once(links: Links, kits: Kits) -> None:
    list(ship(_job(steps=0), links, kits))
    again = list(ship(_job(steps=0), links, kits))
    assert not [update for update in again if "kit" in update.message]
    assert again[-1].state == State.DONE


def test_the_request_is_for_root_alone_and_runs_with_a_private_tmp(box: Box, links: Links, kits: Kits) -> None:
    box.sh("rm -f /run/go-on")
    with _in_background(box, _job(steps=1, wait_for=0), links, kits) as seen:
        _wait(lambda: "lienxa-run" in box.sh("systemctl list-units --no-legend lienxa-run.service"))
        _wait(lambda: any(update.event for update in seen))
        assert set(box.sh("stat -c '%a %U' /run/lienxa/*.json").splitlines()) == {"600 root"}
        shown = box.sh("systemctl show -p UMask,PrivateTmp lienxa-run.service")
        assert sorted(shown.split()) == ["PrivateTmp=yes", "UMask=0077"]
        assert "hotro" not in box.sh("cat /proc/$(systemctl show -p MainPID --value lienxa-run)/cmdline")
        box.sh("touch /run/go-on")
    assert seen[-1].state == State.DONE


def test_a_cut_loses_no_event(box: Box, links: Links, kits: Kits) -> None:
    box.sh("rm -f /run/go-on")
    with _in_background(box, _job(steps=6, wait_for=3), links, kits) as seen:
        _wait(lambda: [update for update in seen if update.event and update.event.seq == 3])
        box.sh("pkill -KILL -u hotro sshd")  # in the container: the line drops
        _wait(lambda: State.LOST in [update.state for update in seen])
        box.sh("touch /run/go-on")
    assert seen[-1].state == State.DONE
    assert [update.event.seq for update in seen if update.event] == list(range(8))


def test_a_second_run_says_who_holds_the_machine(box: Box, links: Links, kits: Kits) -> None:
    box.sh("rm -f /run/go-on")
    with _in_background(box, _job(steps=1, wait_for=0), links, kits) as seen:
        _wait(lambda: any(update.event for update in seen))
        second = list(ship(_job(steps=0), links, kits))[-1]
        assert second.state == State.FAILED
        assert "another run is on" in second.message
        box.sh("touch /run/go-on")


def test_stop_ends_the_run(box: Box, links: Links, kits: Kits) -> None:
    box.sh("rm -f /run/go-on")
    with _in_background(box, _job(steps=1, wait_for=0), links, kits) as seen:
        _wait(lambda: any(update.event for update in seen))
        assert stop(links, "gw1")
    assert seen[-1].state == State.FAILED
    assert not stop(links, "gw1")


def test_a_killed_runner_is_told_from_one_that_failed(links: Links, kits: Kits) -> None:
    killed = list(ship(_job(steps=1, die=True), links, kits))[-1]
    assert killed.state == State.FAILED
    assert "killed" in killed.message
    assert "out of luck" in killed.message
    failed = list(ship(_job(steps=1, status="failed"), links, kits))[-1]
    assert failed.state == State.FAILED
    assert "killed" not in failed.message


def test_status_tells_the_last_run(links: Links, kits: Kits) -> None:
    job = _job(steps=1)
    assert list(ship(job, links, kits))[-1].state == State.DONE
    told = status(links, "gw1")
    assert told["runs"][0]["run"] == job.request.run
    assert told["runs"][0]["last"]["event"] == "run_ended"
    assert told["running"] in (None, job.request.run), "gone, or just leaving"


def test_an_upload_goes_on_where_it_was_cut(box: Box, links: Links, kits: Kits) -> None:
    box.sh("rm -rf /var/lib/lienxa/kit")
    hello = ask(links, "gw1", {"do": "hello"})
    archive = kits.runtime(hello["python"], hello["arch"])
    half = archive.path.read_bytes()[: archive.size // 2]
    part = f"/var/lib/lienxa/kit/{archive.name}.{archive.sha256[:12]}.part"
    subprocess.run(["podman", "exec", "-i", box.name, "sh", "-c", f"cat >{part}"], input=half, check=True)
    updates = list(ship(_job(steps=0), links, kits))
    first = next(update for update in updates if "runtime" in update.message)
    assert int(first.message.split()[2]) >= 50
    assert updates[-1].state == State.DONE


def test_the_laptops_package_cache_is_there_during_the_run(box: Box, links: Links, kits: Kits) -> None:
    box.sh("rm -f /run/go-on")
    with _in_background(box, _job(steps=1, wait_for=0, port=9), links, kits) as seen:
        _wait(lambda: any(update.event for update in seen))
        noted = f"127.0.0.1:{box.sh('cat /run/lienxa/package-port').strip()} "
        assert noted in box.sh("ss -ltn")
        box.sh("touch /run/go-on")
    _wait(lambda: noted not in box.sh("ss -ltn"))


def test_a_host_key_that_changed_is_refused_and_named(box: Box, tmp_path: Path, kits: Kits) -> None:
    wrong = tmp_path / "known_hosts"
    _, kind, blob = _new_key(tmp_path).split(" ")[0:1] + _new_key(tmp_path / "other").split(" ")[0:2]
    wrong.write_text(f"gw1 {kind} {blob}\n")
    with Links(dataclasses.replace(box.access, known_hosts=wrong)) as links:
        last = list(ship(_job(steps=0), links, kits))[-1]
    assert last.state == State.UNREACHABLE
    assert "lienxa trust xa-mau --replace gw1" in last.message


def test_trust_shows_what_ssh_keygen_shows(box: Box, tmp_path: Path) -> None:
    access = dataclasses.replace(box.access, known_hosts=tmp_path / "known_hosts")
    found = trust.scan(access)
    shown = box.sh("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub").split()[1]
    assert found["gw1"].new is not None
    assert found["gw1"].new.fingerprint == shown
    trust.record(access, found)
    with Links(access) as links:
        links.reach("gw1")


def test_an_unknown_host_key_is_refused(box: Box, tmp_path: Path) -> None:
    with (
        Links(dataclasses.replace(box.access, known_hosts=tmp_path / "none")) as links,
        pytest.raises(LinkError, match="lienxa trust xa-mau") as caught,
    ):
        links.reach("gw1")
    assert caught.value.trouble is Trouble.HOST_KEY_UNKNOWN


def test_a_stranger_is_not_let_in(box: Box, tmp_path: Path) -> None:
    _new_key(tmp_path)
    with (
        Links(dataclasses.replace(box.access, identity=tmp_path / "key")) as links,
        pytest.raises(LinkError, match="lienxa adopt xa-mau gw1") as caught,
    ):
        links.reach("gw1")
    assert caught.value.trouble is Trouble.DENIED


def test_sudo_that_asks_for_a_password_is_named(box: Box, kits: Kits) -> None:
    box.sh("mv /etc/sudoers.d/hotro /root/")
    try:
        with Links(box.access) as links:
            last = list(ship(_job(steps=0), links, kits))[-1]
    finally:
        box.sh("mv /root/hotro /etc/sudoers.d/")
    assert last.state == State.UNREACHABLE
    assert "lienxa adopt xa-mau gw1" in last.message


def test_a_machine_behind_the_gateway_is_reached_through_it(box: Box, kits: Kits) -> None:
    """The second machine is a second sshd in the gateway's container, seen from there at another port."""
    box.sh("systemd-run -q --unit=second /usr/sbin/sshd -D -p 2222 -o PidFile=none")
    access = dataclasses.replace(
        box.access,
        hosts={"gw1": "127.0.0.1", "vp01": "127.0.0.1"},
        ports={"vp01": 2222},
        behind=frozenset({"vp01"}),
    )
    access = _trusted(access)
    seen: list[Update] = []
    try:
        final = run_fleet([_job(steps=1), _job("vp01", steps=2)], access, seen.append, kits=kits)
        assert {name: update.state for name, update in final.items()} == {"gw1": State.DONE, "vp01": State.DONE}
        order = [update.machine for update in seen if update.event]
        assert order == sorted(order)  # gw1 was done before vp01 began
        final = run_fleet([_job(steps=1, status="failed"), _job("vp01", steps=2)], access, seen.append, kits=kits)
        assert final["vp01"].state == State.HELD_BACK
        assert "gw1" in final["vp01"].message
        box.sh("systemctl stop second")
        final = run_fleet([_job("vp01", steps=2)], access, seen.append, kits=kits, patience=Patience(first=1))
        assert final["vp01"].state == State.UNREACHABLE
    finally:
        subprocess.run(["podman", "exec", box.name, "systemctl", "stop", "second"], check=False)


def test_adopt_reaches_a_machine_behind_the_gateway(box: Box) -> None:
    """The installer's user is at the machine alone: at the gateway it is the support account that jumps."""
    box.sh("systemd-run -q --unit=third /usr/sbin/sshd -D -p 2223 -o PidFile=none -o 'AllowUsers=ngoc hotro'")
    box.sh("id ngoc 2>/dev/null || useradd -m -s /bin/bash -G sudo ngoc; echo 'ngoc:mk' | chpasswd")
    box.sh("echo 'DenyUsers ngoc' >/etc/ssh/sshd_config.d/00-test.conf; systemctl reload ssh")
    access = dataclasses.replace(
        box.access,
        hosts={"gw1": "127.0.0.1", "vp01": "127.0.0.1"},
        ports={"vp01": 2223},
        behind=frozenset({"vp01"}),
    )
    try:
        support = Support(user="hotro", keys=("ssh-ed25519 AAAA another",))
        adopt.adopt(_trusted(access), "vp01", adopt.FirstContact("ngoc", "mk"), support)
        assert len(box.sh("cat ~hotro/.ssh/authorized_keys").splitlines()) == 2
    finally:
        box.sh("systemctl stop third; rm /etc/ssh/sshd_config.d/00-test.conf; systemctl reload ssh")


@pytest.mark.parametrize("way", ["sudo", "su"])
def test_adopt_makes_a_machine_ours(tmp_path: Path, way: str) -> None:
    with _container(machine_image("13"), tmp_path) as made:
        made.sh("useradd -m -s /bin/bash ngoc; echo 'ngoc:mật khẩu' | chpasswd; echo 'root:gốc rễ' | chpasswd")
        if way == "sudo":
            made.sh("adduser ngoc sudo 2>/dev/null || usermod -aG sudo ngoc")
        made.sh("rm -f /etc/ssh/sshd_config.d/*; systemctl reload ssh")
        support = Support(user="hotro", keys=(_new_key(tmp_path),))
        access = _trusted(dataclasses.replace(made.access, identity=tmp_path / "key"))
        first = adopt.FirstContact(user="ngoc", password="mật khẩu", root_password="gốc rễ" if way == "su" else None)
        adopt.adopt(access, "gw1", first, support)
        with Links(access) as links:
            assert links.run("gw1", ["sudo", "-n", "id", "-u"]).stdout == b"0\n"
        assert "passwordauthentication no" in made.sh("sshd -T")
        adopt.adopt(access, "gw1", dataclasses.replace(first, user="hotro", password=None), support)  # harmless
        with pytest.raises(adopt.AdoptError, match="password"):
            adopt.adopt(access, "gw1", first, support)


# ---------------------------------------------------------------------------------------------------- helpers


@contextmanager
def _container(image: str, folder: Path) -> Iterator[Box]:
    name = f"lxfleet-{uuid.uuid4().hex[:8]}"
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]
    command = ["podman", "--runtime", "runc", "run", "-d", "--rm", "--systemd=always", "--privileged", *limits]
    try:
        _output(*command, "--network", "none", "--name", name, image, "/sbin/init")
        pid = _output("podman", "inspect", "--format", "{{.State.Pid}}", name)
        pipe = folder / "pipe.py"
        pipe.write_text(PIPE)
        access = Access(
            user="hotro",
            known_hosts=folder / "known_hosts",
            gateway="gw1",
            hosts={"gw1": "127.0.0.1"},
            proxy_command=f"nsenter -t {pid} -n {sys.executable} {pipe} %p",
            commune="xa-mau",
        )
        made = Box(name, pid, access)
        _wait(lambda: _state(name) in ("running", "degraded"), seconds=120)
        made.sh("ssh-keygen -A; systemctl reset-failed ssh; systemctl restart ssh; rm -f /run/nologin")
        _wait(lambda: ":22 " in made.sh("ss -ltn"))
        yield made
    finally:
        subprocess.run(["podman", "rm", "-f", "-t", "0", name], check=False, capture_output=True)


class _in_background:  # noqa: N801
    """Ships a job in a thread; leaving it waits for the end."""

    def __init__(self, box: Box, job: Job, links: Links, kits: Kits) -> None:
        self._box = box
        self._seen: list[Update] = []
        self._thread = threading.Thread(target=self._work, args=(job, links, kits), daemon=True)

    def _work(self, job: Job, links: Links, kits: Kits) -> None:
        for update in ship(job, links, kits):
            self._seen.append(update)

    def __enter__(self) -> list[Update]:
        self._thread.start()
        return self._seen

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:  # what went wrong here is not to keep the machine busy for the tests that follow
            self._box.sh("touch /run/go-on")
        self._thread.join(timeout=60)
        assert not self._thread.is_alive()


def _state(name: str) -> str:
    return subprocess.run(
        ["podman", "exec", name, "systemctl", "is-system-running"], capture_output=True, text=True, check=False
    ).stdout.strip()


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _new_key(folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    if not (folder / "key").exists():
        _output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(folder / "key"))
    return (folder / "key.pub").read_text().strip()


def _trusted(access: Access) -> Access:
    trust.record(access, trust.scan(access))
    return access


def _wait(condition: Any, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def _job(
    machine: str = "gw1", port: int | None = None, roles: tuple[RoleOrder, ...] | None = None, **plan: Any
) -> Job:
    """`plan` is for the stand-in."""
    order = Order(
        machine=machine, site=_SITE, roles=(RoleOrder(name="base", options=plan),) if roles is None else roles
    )
    run = new_run()
    return Job(machine, Request(run=run, action="apply", order=order, by="an@laptop"), package_port=port)


_SITE = gateway_and_desk()
