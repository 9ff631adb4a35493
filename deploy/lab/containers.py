"""Lab machines as podman containers with a real systemd, which cannot change the laptop.

Rights are given by name. Left out on purpose: CAP_SYS_TIME (the laptop's clock), CAP_SYS_MODULE, CAP_SYS_RAWIO,
CAP_SYS_BOOT and CAP_SYSLOG. /sys is read-only, and of /proc/sys only net.* (the machine's own) is writable. This
keeps well-meant software from the laptop's kernel; it is no wall against a program that sets out to break it.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from deploy.errors import LabError
from deploy.lab.laptop import LABEL, as_root, run
from deploy.lab.wiring import namespace, path

CAPABILITIES = (
    "AUDIT_WRITE",
    "BPF",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_ADMIN",
    "SYS_CHROOT",
    "SYS_NICE",
    "SYS_PTRACE",
    "SYS_RESOURCE",
)
_DEVICES = ("/dev/net/tun", "/dev/ppp")
_OPEN_FILES = 65536


@dataclass(frozen=True)
class Container:
    """A container as it is meant to be."""

    slug: str
    machine: str
    image: str
    boot: bytes
    """Archive of the files it is given before its first boot."""
    cables: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name for podman, the same as of its network namespace."""
        return namespace(self.slug, self.machine)

    @property
    def recipe(self) -> str:
        """Hash of all that decides what it is; a newer image of the same kind is no reason to make it anew."""
        kind = self.image.rpartition(":")[0]
        parts = (kind.encode(), self.boot, *(cable.encode() for cable in self.cables))
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


@dataclass(frozen=True)
class Found:
    """A container as podman has it."""

    machine: str
    state: str
    recipe: str
    image: str
    pid: int


@dataclass(frozen=True)
class Runtime:
    """How containers are run on this laptop, and why."""

    arguments: tuple[str, ...]
    create: tuple[str, ...]
    why: str


@cache
def runtime() -> Runtime:
    """Chosen by looking at the laptop: its cgroups, its limits, AppArmor."""
    apparmor = Path("/sys/module/apparmor/parameters/enabled")
    confined = apparmor.exists() and apparmor.read_text().strip() == "Y"
    create = ("--security-opt", "apparmor=unconfined") if confined else ()
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return Runtime((), create, "podman's own runtime (cgroups v2)")
    files = _within(resource.RLIMIT_NOFILE, _OPEN_FILES)
    processes = _within(resource.RLIMIT_NPROC, 4096)
    limits = ("--ulimit", f"nofile={min(files, 1024)}:{files}", "--ulimit", f"nproc={processes}:{processes}")
    return Runtime(("--runtime", "runc"), (*create, *limits), "runc with our own limits (no pure cgroups v2 here)")


def found(slug: str) -> dict[str, Found]:
    """The commune's containers that are there, running or not, by machine."""
    listed = run(["podman", "ps", "-a", "--filter", f"label={LABEL}.commune={slug}", "--format", "json"], root=True)
    there = {}
    for entry in json.loads(listed.stdout or b"[]"):
        labels = entry["Labels"]
        machine = labels[f"{LABEL}.machine"]
        there[machine] = Found(machine, entry["State"], labels[f"{LABEL}.recipe"], entry["Image"], entry["Pid"])
    return there


def ensure(wanted: Container, there: Found | None, keep: tuple[int, ...] = ()) -> bool:
    """Make and start the container, or repair it; True if anything had to be done.

    `keep`: file descriptors that the making program holds open, so that our lock outlives us until it is done.
    """
    if there is not None and there.recipe == wanted.recipe and there.state in ("running", "exited", "stopped"):
        if there.state == "running" and _plugged(wanted, there):
            return False
        run(["podman", *runtime().arguments, "restart", "--time", "5", wanted.name], root=True, timeout=120)
        return True
    if there is not None:
        remove(wanted.name)
    run(_create(wanted), root=True, keep=keep, timeout=120)
    run(["podman", "cp", "-", f"{wanted.name}:/"], root=True, stdin=wanted.boot, keep=keep, timeout=120)
    run(["podman", *runtime().arguments, "start", wanted.name], root=True, timeout=120)
    return True


def remove(name: str) -> None:
    """Stop the container at once and remove it, whatever state it is in."""
    run(["podman", "rm", "--force", "--time", "0", "--volumes", name], root=True, timeout=120)


def wait_until_booted(name: str, timeout: float) -> str:
    """Wait for systemd to finish its boot; `running`, or `degraded` with the units that failed."""
    deadline = time.monotonic() + timeout
    state = ""
    while time.monotonic() < deadline:
        state = execute(name, ["systemctl", "is-system-running", "--wait"], timeout=timeout).stdout.strip()
        if state == "running":
            return state
        if state == "degraded":
            failed = execute(name, ["systemctl", "list-units", "--failed", "--plain", "--no-legend"]).stdout
            return f"degraded: {', '.join(line.split()[0] for line in failed.splitlines())}"
        if not _runs(name):
            break
        time.sleep(0.2)
    said = run(["podman", "logs", "--tail", "5", name], root=True, check=False)
    words = (said.stdout + said.stderr).decode(errors="replace")[-500:].strip()
    raise LabError(
        f"{name} did not boot (systemd says {state or 'nothing'}; the last of its log: {words or 'empty'})"
    )


def execute(name: str, argv: Sequence[str], *, timeout: float | None = 60) -> subprocess.CompletedProcess[str]:
    """Run a program in the container, as root."""
    done = run(["podman", *runtime().arguments, "exec", name, *argv], root=True, check=False, timeout=timeout)
    return subprocess.CompletedProcess(
        argv, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    )


def interactive(name: str, argv: Sequence[str]) -> None:
    """Become a program in the container, with this terminal. Does not return."""
    command = as_root(["podman", *runtime().arguments, "exec", "-it", name, *argv])
    os.execvp(command[0], command)  # noqa: S606  no shell is wanted


def _runs(name: str) -> bool:
    asked = run(["podman", "inspect", "--format", "{{.State.Running}}", name], root=True, check=False)
    return asked.stdout.strip() == b"true"


def _create(wanted: Container) -> list[str]:
    labels = {"": "machine", ".commune": wanted.slug, ".machine": wanted.machine, ".recipe": wanted.recipe}
    command = ["podman", *runtime().arguments, "create", "--name", wanted.name]
    for key, value in labels.items():
        command += ["--label", f"{LABEL}{key}={value}"]
    command += ["--network", f"ns:{path(wanted.name)}", "--systemd", "always", "--shm-size", "256m"]
    command += ["--cap-drop", "all", *(word for name in CAPABILITIES for word in ("--cap-add", name))]
    command += [word for device in _DEVICES if Path(device).exists() for word in ("--device", device)]
    return [*command, *runtime().create, wanted.image, "/usr/lib/lienxa-lab/start"]


def _plugged(wanted: Container, there: Found) -> bool:
    """Whether it runs in the namespace of its name, not in one that was deleted under it."""
    named = run(["ip", "netns", "identify", str(there.pid)], root=True, check=False).stdout.decode().split()
    return wanted.name in named


def _within(limit: int, wanted: int) -> int:
    hard = resource.getrlimit(limit)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
