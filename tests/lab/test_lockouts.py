"""The guard against real machines: whoever locks himself out is back in, without anyone touching the machine.

Each machine is a container with systemd, networkd, nftables and sshd. The laptop is a namespace behind a router's
address, so that it needs the machine's default route; behind the machine stands one more, so that it is a gateway.
"""

from __future__ import annotations

import dataclasses
import json
import queue
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from lab_site import gateway_and_desk
from lockouts import LOCKOUTS, RULES, SSHD, SUDOERS, TUNNEL, UPLINK, ZONE, Lockout, rules, uplink

from deploy.fleet import trust
from deploy.fleet.access import Access
from deploy.fleet.conversation import ask
from deploy.fleet.kit import CONTENT, ROOT, Kits
from deploy.fleet.links import Links
from deploy.fleet.ship import Job, ship
from deploy.fleet.updates import State, Update
from deploy.inventory.site import Support
from deploy.inventory.wireguard import make_key, public_key
from deploy.journal import GuardEvent, RunEnded
from deploy.lab.containers import runtime
from deploy.lab.image import machine_image
from deploy.lab.layer import image_upon
from deploy.order import Order, Request, RoleOrder, new_run
from deploy.runner import guard

pytestmark = pytest.mark.lab

GUARD_SECONDS = 6.0
BACK_SECONDS = 25.0
"""How long after its run a machine may take until the laptop can come in again."""
LAPTOP, ENGINEERS = "10.8.0.1", "10.7.0.1"
"""Where the laptop comes from: by the line, and by the support path."""
MACHINES = ("13", "12", "13", "12")
"""Debian releases of the machines that the lock-outs share."""
PIPE = """
import os, select, socket, sys
line = socket.create_connection((sys.argv[2], int(sys.argv[3])), 5, source_address=(sys.argv[1], 0))
while True:
    for ready in select.select([0, line], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else line.recv(65536)
        if not data:
            raise SystemExit
        line.sendall(data) if ready == 0 else os.write(1, data)
"""
SITE_MODULE = """
from deploy.inventory.role import Options, Role


class CarelessOptions(Options):
    place: dict[str, str] = {}
    remove: tuple[str, ...] = ()
    run: tuple[str, ...] = ()


ROLES = {"careless": Role("careless", "does what it is told", CarelessOptions)}
"""
TASKS = """
from pyinfra.operations import server

from deploy.runner.operations import absent, place


def install(ctx): pass


def configure(ctx):
    for path, content in ctx.options.place.items():
        place(ctx, path, content=content, mode="0440" if "sudoers" in path else "0644")
    for path in ctx.options.remove:
        absent(path)


def activate(ctx):
    for command in ctx.options.run:
        server.shell(commands=[command], name=f"Run {command}")


def retire(ctx): pass
"""


@dataclasses.dataclass
class Box:
    """A machine, root inside it, and the laptop's way to it."""

    name: str
    access: Access
    kits: Kits
    laptop: str
    """The laptop's namespace."""
    image: str

    def sh(self, script: str) -> str:
        return _output("podman", "exec", self.name, "sh", "-ec", script)

    def look(self) -> dict[str, Any]:
        """As the guard sees it, by its own program in the machine."""
        source = Path(guard.__file__).read_text()
        command = ["podman", "exec", "-i", self.name, "python3", "-I", "-", "look", "hotro"]
        seen: dict[str, Any] = json.loads(
            subprocess.run(command, input=source.encode(), capture_output=True, check=True).stdout
        )
        return seen

    def apply(self, heard: Callable[[Update], None] = lambda update: None, **options: Any) -> list[Update]:
        """One run with the careless role, to the end; every update of it."""
        order = Order(machine="gw1", site=SITE, roles=(RoleOrder(name="careless", options=options),))
        run = new_run()
        request = Request(run=run, action="apply", order=order, by="an@laptop")
        updates = []
        with Links(self.access, self.folder()) as links:
            for update in ship(Job("gw1", request, guard_seconds=GUARD_SECONDS), links, self.kits):
                updates.append(update)
                heard(update)
        return updates

    def back_after(self) -> float:
        """Seconds until the laptop comes in over a new connection and is root."""
        begun = time.monotonic()
        while time.monotonic() - begun < 4 * BACK_SECONDS:
            try:
                with Links(self.access, self.folder()) as links:
                    ask(links, "gw1", {"do": "hello"}, timeout=10)
            except Exception:  # noqa: BLE001
                time.sleep(0.2)
            else:
                return time.monotonic() - begun
        raise AssertionError("locked out")

    def folder(self) -> Path:
        """Of this process's own, so that a shared connection of an earlier run is never taken for a new one."""
        folder = self.access.known_hosts.parent / f"run-{uuid.uuid4().hex[:6]}"
        folder.mkdir(mode=0o700)
        return folder


@dataclasses.dataclass(frozen=True)
class Seen:
    """What came of a lock-out."""

    updates: list[Update]
    left: list[str]
    """In what the machine is not as before."""
    back_after: float
    seconds: float

    @property
    def guards(self) -> list[GuardEvent]:
        return _guards(self.updates)


# ---------------------------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize("lockout", LOCKOUTS, ids=lambda lockout: lockout.name.replace(" ", "_"))
def test_whoever_locks_himself_out_is_back(seen: Callable[[Lockout], Seen], lockout: Lockout) -> None:
    told = seen(lockout)
    statuses = [event.status for event in told.guards]
    assert statuses[0] == "armed"
    assert statuses[-1] == "rolled_back", statuses
    rolled_back = told.guards[-1]
    assert rolled_back.reason
    assert rolled_back.verified, rolled_back.left
    assert told.left == []
    last = told.updates[-1]
    assert last.state is State.FAILED
    assert isinstance(last.event, RunEnded)
    assert last.event.error is not None
    assert "rolled back, verified" in last.event.error.message
    assert lockout.tells in last.event.error.output
    assert "lienxa plan" in last.event.error.next_step
    print(f"back {told.back_after:.1f} s after a run of {told.seconds:.1f} s")  # noqa: T201 (seen with -rP)
    assert told.back_after < BACK_SECONDS


def test_a_harmless_change_is_confirmed_and_the_same_again_arms_nothing(box: Box) -> None:
    change = {"place": {SSHD: "X11Forwarding no\nMaxAuthTries 4\n"}, "run": []}
    first = _guards(box.apply(**change))
    assert [event.status for event in first] == ["armed", "waiting", "confirmed"]
    assert first[1].what == (SSHD,)
    assert first[1].witness == "vp01"
    again = box.apply(**change)
    assert again[-1].state is State.DONE
    assert _guards(again) == []
    box.sh('test -z "$(ls -d /var/lib/lienxa/guard/*/ 2>/dev/null)"')


def test_a_change_that_cuts_nobody_off_costs_no_connection(box: Box) -> None:
    updates = box.apply(place={f"/etc/motd.d/{uuid.uuid4().hex}": "chào\n"})
    assert [event.status for event in _guards(updates)] == ["armed", "released"]
    assert updates[-1].state is State.DONE


def test_what_is_kept_is_for_root_alone(box: Box) -> None:
    modes: list[str] = []

    def heard(update: Update) -> None:
        if isinstance(update.event, GuardEvent) and update.event.status == "waiting":
            modes.append(box.sh("cd /var/lib/lienxa; stat -c '%a %U' guard guard/*/ guard/*/*"))

    box.apply(heard, place={SSHD: f"# {uuid.uuid4()}\n"})
    assert set(modes[0].splitlines()) == {"700 root", "600 root"}


def test_an_old_connection_confirms_nothing(box: Box) -> None:
    """A shared connection from before the change still works when sshd lets no new one in."""
    answers: list[dict[str, Any]] = []
    with Links(box.access, box.folder()) as old:
        old.reach("gw1")  # opens the shared connection

        def heard(update: Update) -> None:
            if isinstance(update.event, GuardEvent) and update.event.status == "waiting":
                done = old.run(
                    "gw1", ["sudo", "-n", "python3", "/var/lib/lienxa/guard/guard.py", "confirm", update.event.guard]
                )
                answers.append(json.loads(done.stdout))

        updates = box.apply(heard, place={SSHD: "AllowUsers nobody\n"}, run=["systemctl reload ssh"])
    assert answers[0]["confirmed"] is False
    assert "no new connection" in answers[0]["why"]
    assert _guards(updates)[-1].status == "rolled_back"


def test_a_laptop_that_is_away_finds_it_rolled_back_and_is_told(box: Box) -> None:
    before = box.look()
    with pytest.raises(_AwayError):
        box.apply(_goes_away, place={SSHD: f"# {uuid.uuid4()}\n"}, run=["sleep 1"])
    _wait(lambda: "run_ended" in box.sh("tail -n1 $(ls /var/lib/lienxa/journal/*.jsonl | tail -n1)"))
    assert guard.differences(before, box.look()) == []
    last = json.loads(box.sh("tail -n1 $(ls /var/lib/lienxa/journal/*.jsonl | tail -n1)"))
    assert "nobody got in over a new connection within 6 s; rolled back, verified" in last["error"]["message"]


def test_a_run_that_is_killed_in_the_middle_is_rolled_back_and_the_next_one_says_so(box: Box) -> None:
    before = box.look()
    killed = box.apply(place={SSHD: f"# {uuid.uuid4()}\n"}, run=["systemctl kill -s KILL --kill-whom=all lienxa-run"])
    assert killed[-1].state is State.FAILED
    _wait(lambda: "rolled_back" in box.sh("cat /var/lib/lienxa/guard/*/status.json"))
    assert guard.differences(before, box.look()) == []
    told = _guards(box.apply())
    assert [(event.status, event.verified) for event in told] == [("rolled_back", True)]
    assert "cut off in the middle" in told[0].reason
    assert _guards(box.apply()) == []


def test_a_reboot_while_it_waits_is_rolled_back(box: Box) -> None:
    before = box.look()
    with pytest.raises(_AwayError):
        box.apply(
            _goes_away,
            place={UPLINK: uplink("10.9.7.2/24", "10.9.7.1")},
            run=["sleep 1", "systemctl restart systemd-networkd"],
        )
    _wait(lambda: "waiting" in box.sh("cat /var/lib/lienxa/guard/*/status.json"), seconds=GUARD_SECONDS)
    _output("podman", "kill", "--signal", "KILL", box.name)
    inside = ["nsenter", f"--net=/run/netns/{box.name}"]
    _output(*inside, "sh", "-c", "ip address flush dev wan0; ip address flush dev lan0; nft flush ruleset")
    _output("podman", *runtime().arguments, "start", box.name)
    assert box.back_after() < 2 * BACK_SECONDS
    _wait(lambda: "rolled_back" in box.sh("cat /var/lib/lienxa/guard/*/status.json"))
    assert guard.differences(before, box.look()) == []
    told = _guards(box.apply())
    assert "started again" in told[0].reason
    assert told[0].verified


# ---------------------------------------------------------------------------------------------------- the machines


@pytest.fixture(scope="module")
def kits(tmp_path_factory: pytest.TempPathFactory) -> Kits:
    root = tmp_path_factory.mktemp("content")
    for part in CONTENT:
        source, target = ROOT / part, root / part
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    (root / "deploy/site.py").write_text(SITE_MODULE)
    (root / "roles/careless").mkdir()
    (root / "roles/careless/__init__.py").touch()
    (root / "roles/careless/tasks.py").write_text(TASKS)
    return Kits(root=root)


@pytest.fixture(scope="module")
def boxes(kits: Kits, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[Box]]:
    folders = [tmp_path_factory.mktemp("box") for _ in MACHINES]
    made: list[Box] = []
    with ExitStack() as stack, ThreadPoolExecutor(len(MACHINES)) as pool:
        starting = [pool.submit(_start, *each, kits, stack) for each in zip(MACHINES, folders, strict=True)]
        made += [future.result() for future in starting]
        yield made


@pytest.fixture(scope="module")
def futures(request: pytest.FixtureRequest, boxes: Sequence[Box]) -> Iterator[dict[str, Future[Seen]]]:
    """All lock-outs that were asked for, side by side: one at a time on each machine."""
    wanted = [item.callspec.params["lockout"] for item in request.session.items if "lockout" in _parameters(item)]
    free: queue.SimpleQueue[Box] = queue.SimpleQueue()
    for each in boxes:
        free.put(each)
    with ThreadPoolExecutor(len(boxes)) as pool:
        yield {lockout.name: pool.submit(_lock_out, lockout, free) for lockout in wanted}


@pytest.fixture
def seen(futures: dict[str, Future[Seen]]) -> Callable[[Lockout], Seen]:
    return lambda lockout: futures[lockout.name].result(timeout=240)


@pytest.fixture
def box(boxes: Sequence[Box], futures: dict[str, Future[Seen]]) -> Box:
    wait(futures.values())
    return boxes[0]


def _lock_out(lockout: Lockout, free: queue.SimpleQueue[Box]) -> Seen:
    free_box = free.get()
    try:
        with _by_tunnel(free_box) if lockout.by_tunnel else nullcontext(free_box) as box:
            return _lock_out_of(box, lockout)
    finally:
        free.put(free_box)


def _lock_out_of(box: Box, lockout: Lockout) -> Seen:
    before = box.look()
    begun = time.monotonic()
    updates = box.apply(place=lockout.place, remove=lockout.remove, run=lockout.run)
    seconds = time.monotonic() - begun
    return Seen(updates, guard.differences(before, box.look()), box.back_after(), seconds)


@contextmanager
def _by_tunnel(box: Box) -> Iterator[Box]:
    """The same machine as the province's engineers meet it: by WireGuard, at its own address, and by no other way."""
    own, laptops = make_key(), make_key()
    here = f"[Interface]\nPrivateKey = {laptops}\nListenPort = 51820\nAddress = {ENGINEERS}/32\n"
    here += f"[Peer]\nPublicKey = {public_key(own)}\nAllowedIPs = 10.52.0.1/32\n"
    there = f"[Interface]\nPrivateKey = {own}\n[Peer]\nPublicKey = {public_key(laptops)}\n"
    there += f"Endpoint = 10.9.0.1:51820\nAllowedIPs = {ENGINEERS}/32\nPersistentKeepalive = 10\n"
    end = f"{box.name}-w"
    command = ["podman", *runtime().arguments, "run", "-d", "--privileged", "--dns", "none", *runtime().create]
    command += ["--network", f"ns:/run/netns/{box.laptop}", "--name", end, box.image, "/bin/sleep", "infinity"]
    _output(*command)
    try:
        _write(end, "/etc/wireguard/laptop0.conf", here)
        _output("podman", "exec", end, "wg-quick", "up", "laptop0")
        _write(box.name, TUNNEL, there)
        box.sh("systemctl enable --now wg-quick@support0 2>/dev/null")
        _wait(lambda: int(box.sh("wg show support0 latest-handshakes").split()[1]) > 0)
        assert box.access.proxy_command
        hosts = {**box.access.hosts, "gw1": "10.52.0.1"}
        command_through = box.access.proxy_command.replace(f" {LAPTOP} ", f" {ENGINEERS} ")
        access = dataclasses.replace(box.access, hosts=hosts, proxy_command=command_through)
        yield dataclasses.replace(box, access=access)
    finally:
        box.sh(f"systemctl disable --now wg-quick@support0 2>/dev/null; rm -f {TUNNEL}")
        _output("podman", "rm", "-f", "-t", "0", end)


def _start(release: str, folder: Path, kits: Kits, stack: ExitStack) -> Box:
    packages = ["nftables", "iproute2", "procps", "wireguard-go", "wireguard-tools"]
    image = image_upon(machine_image(release), f"guarded-{release}", packages)
    name = f"lxguard-{uuid.uuid4().hex[:6]}"
    machine, laptop, zone = name, f"{name}-l", f"{name}-z"
    for space in (machine, laptop, zone):
        _output("ip", "netns", "add", space)
        stack.callback(_output, "ip", "netns", "delete", space)
    for there, interface, address in ((laptop, "wan0", "10.9.0.1/24"), (zone, "lan0", "10.52.0.2/25")):
        _output("ip", "-n", machine, "link", "add", interface, "type", "veth", "peer", "eth0", "netns", there)
        _output("ip", "-n", there, "address", "add", address, "dev", "eth0")
        _output("ip", "-n", there, "link", "set", "eth0", "up")
    _output("ip", "-n", laptop, "link", "set", "lo", "up")
    _output("ip", "-n", laptop, "address", "add", f"{LAPTOP}/32", "dev", "lo")
    # The laptop's resolver is nobody whom these networks lead to: sudo would wait for it.
    command = ["podman", *runtime().arguments, "run", "-d", "--systemd=always", "--privileged", "--dns", "none"]
    command += runtime().create
    _output(*command, "--network", f"ns:/run/netns/{machine}", "--name", name, image, "/sbin/init")
    stack.callback(_output, "podman", "rm", "-f", "-t", "0", name)
    (folder / "pipe.py").write_text(PIPE)
    _output("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(folder / "key"))
    access = Access(
        user="hotro",
        known_hosts=folder / "known_hosts",
        gateway="gw1",
        hosts={"gw1": "10.9.0.2", "vp01": "10.52.0.2"},
        behind=frozenset({"vp01"}),
        identity=folder / "key",
        proxy_command=f"nsenter --net=/run/netns/{laptop} {sys.executable} {folder / 'pipe.py'} {LAPTOP} %h %p",
        commune="xa-mau",
    )
    box = Box(name, access, kits, laptop, image)
    _set_up(box, (folder / "key.pub").read_text())
    _sshd_in_zone(box, zone, stack)
    trust.record(access, trust.scan(access))
    return box


def _set_up(box: Box, key: str) -> None:
    """As an adopted machine: everything that can be broken is there."""
    _wait(lambda: _is_up(box.name), seconds=120)
    files = {
        UPLINK: uplink(),
        ZONE: "[Match]\nName=lan0\n[Network]\nAddress=10.52.0.1/25\n",
        RULES: rules(),
        SSHD: "X11Forwarding no\n",
        SUDOERS: "hotro ALL=(ALL) NOPASSWD: ALL\n",
        "/root/key": key,
    }
    for path, text in files.items():
        _write(box.name, path, text)
    box.sh(
        # No resolver: sudo asks for the machine's own name, and would wait for one that is not there.
        ': >/etc/resolv.conf; echo "127.0.1.1 $(hostname)" >>/etc/hosts;'
        "useradd -m -s /bin/bash -G sudo hotro; install -d -m 700 -o hotro -g hotro ~hotro/.ssh;"
        "install -m 600 -o hotro -g hotro /root/key ~hotro/.ssh/authorized_keys; rm -f /run/nologin;"
        "ssh-keygen -A; systemctl reset-failed; systemctl restart ssh systemd-networkd;"
        "systemctl enable --now nftables 2>/dev/null"
    )
    _wait(lambda: "default via 10.9.0.1" in box.sh("ip route") and ":22 " in box.sh("ss -ltn"))


def _sshd_in_zone(box: Box, zone: str, stack: ExitStack) -> None:
    """The machine behind: a second sshd of the same container, standing in the zone's namespace."""
    pid = _output("podman", "inspect", "--format", "{{.State.Pid}}", box.name)
    inside = ["nsenter", "--target", pid, "--mount", f"--net=/run/netns/{zone}"]
    # With a configuration of its own: what a lock-out does to the gateway's does nothing to it.
    command = [*inside, "/usr/sbin/sshd", "-D", "-f", "/dev/null", "-o", "PidFile=none", "-o", "UsePAM=no"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.terminate)


# ---------------------------------------------------------------------------------------------------- helpers


class _AwayError(Exception):
    """The laptop is shut in the middle of a run."""


def _goes_away(update: Update) -> None:
    if isinstance(update.event, GuardEvent) and update.event.status == "armed":
        raise _AwayError


def _guards(updates: Sequence[Update]) -> list[GuardEvent]:
    return [update.event for update in updates if isinstance(update.event, GuardEvent)]


def _parameters(item: Any) -> Any:
    return item.callspec.params if hasattr(item, "callspec") else {}


def _is_up(name: str) -> bool:
    command = ["podman", "exec", name, "systemctl", "is-system-running"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() in ("running", "degraded")


def _output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def _write(container: str, path: str, text: str) -> None:
    command = ["podman", "exec", "-i", container, "sh", "-c", f"cat >{path}"]
    subprocess.run(command, input=text.encode(), check=True)


def _wait(condition: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


SITE = gateway_and_desk(interface="lan0").model_copy(update={"support": Support(user="hotro")})
