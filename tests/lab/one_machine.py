"""One machine in a container, with our kit in it: what a role does is seen there without a lab around it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploy.fleet.kit import Archive, Kits
from deploy.journal import Event, OperationEnded, RunEnded, parse_event
from deploy.lab.containers import runtime
from deploy.lab.image import desk_image
from deploy.lab.layer import image_upon
from deploy.order import Order, Request
from deploy.runner.receiver import UNIT, unit_command
from deploy.site import packages_of_desks
from roles.desktop.forms import OF_RELEASE, SUITE, SUITE_FULL

PYTHON = {"12": "3.11", "13": "3.13"}
"""Of each Debian release."""
_TOOLS = (
    "curl",
    "imagemagick",
    "locales",
    "nftables",
    "poppler-utils",
    "python3-uno",
    "softhsm2",
    "xauth",
    "xclip",
    "xdotool",
    "xvfb",
)
SCREEN = r"""
cat >/usr/local/bin/screen <<'END'
#!/bin/sh
display=$1
while [ $# -gt 0 ]; do [ "$1" = -auth ] && auth=$2; shift; done
exec Xvfb "$display" -screen 0 1280x800x24 -nolisten tcp -auth "$auth"
END
chmod 755 /usr/local/bin/screen
mkdir -p /etc/lightdm/lightdm.conf.d
printf '[LightDM]\nlogind-check-graphical=false\n[Seat:*]\nxserver-command=/usr/local/bin/screen\n' \
    >/etc/lightdm/lightdm.conf.d/99-test.conf
# A container has no virtual terminals for logind.
printf 'XDG_VTNR DEFAULT= OVERRIDE=\n' >/etc/security/no-vt.conf
for file in /etc/pam.d/lightdm /etc/pam.d/lightdm-autologin; do
    grep -q no-vt $file ||
        sed -i '0,/^session/s||session required pam_env.so conffile=/etc/security/no-vt.conf\n&|' $file
done
# Without a screen it may have died again and again until now (Debian 12): that does not count.
systemctl stop lightdm
systemctl reset-failed lightdm 2>/dev/null || :
systemctl start lightdm
"""
"""Xvfb stands for the graphics card; the greeter and all behind it are the machine's own."""
_UNTAR = "import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|xz').extractall(sys.argv[1])"
_LIMITS = ("--shm-size", "512m", "--network", "none")


@dataclass(kw_only=True)
class OneMachine:
    """A container that is booted; `take` gives it the kit."""

    name: str
    count: int = 0
    content: Path = Path("/opt/kit/content")
    runtime: Path = Path("/opt/kit/runtime")

    def sh(self, script: str, given: str | bytes = "", *, user: str = "root", check: bool = True) -> str:
        """What a shell script prints, run by that user."""
        body = given.encode() if isinstance(given, str) else given
        command = [*_podman("exec", "-i", "-u", user), self.name, "sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, check=False, input=body, timeout=900)
        assert not check or done.returncode == 0, f"{script}\n{done.stdout.decode()}{done.stderr.decode()}"
        return done.stdout.decode()

    def read(self, path: str) -> bytes:
        """A file of the machine's."""
        return subprocess.run([*_podman("exec"), self.name, "cat", path], check=True, capture_output=True).stdout

    def not_in(self, program: str, names: Iterable[str]) -> set[str]:
        """Those of the names that stand nowhere in a program's file."""
        wanted = set(names)
        found = self.sh(f"LC_ALL=C grep -a -o -w -F -f - {program} | sort -u", "\n".join(wanted))
        return wanted - set(found.split())

    def take(self, kits: Kits, release: str) -> None:
        """Both parts of the kit."""
        self.unpack(kits.content(), self.content)
        self.unpack(kits.runtime(PYTHON[release], "x86_64"), self.runtime)

    def unpack(self, archive: Archive, folder: Path) -> None:
        """A part of the kit, in place of the one before."""
        self.sh(f"rm -rf {folder}")
        with archive.path.open("rb") as file:
            subprocess.run(
                [*_podman("exec", "-i"), self.name, "python3", "-c", _UNTAR, str(folder)], stdin=file, check=True
            )

    def carry_out(
        self, order: Order, action: Literal["apply", "plan", "verify"] = "apply", *, only: tuple[str, ...] = ()
    ) -> list[Event]:
        """What a run of the real runner tells, as the unit that the fleet starts."""
        self.count += 1
        run = f"run-{self.count:03}"
        request = Request(run=run, action=action, order=order, by="an@may", only_roles=only)
        path = f"/run/lienxa/{run}.json"
        self.sh(f"umask 077; mkdir -p /run/lienxa /var/lib/lienxa; cat >{path}", request.to_bytes())
        self.sh(" ".join(f"'{word}'" for word in unit_command(run, self.content, self.runtime)))
        self.sh(f"while systemctl is-active -q {UNIT}; do sleep 0.2; done")
        written = self.sh(f"cat /var/lib/lienxa/journal/{run}.jsonl", check=False)
        assert written, self.sh(f"journalctl -u {UNIT} -n 40 -o cat")
        return [parse_event(line) for line in written.splitlines()]


@contextmanager
def booted(image: str, kind: str, hosts: Mapping[str, str] | None = None) -> Iterator[str]:
    """Name of a container of this image, up, without a network; gone afterwards. `hosts`: addresses by name."""
    name = f"lx-{kind}-{os.getpid()}"
    names = [word for host, address in (hosts or {}).items() for word in ("--add-host", f"{host}:{address}")]
    how = ("--rm", "--systemd=always", "--privileged", *runtime().create, *_LIMITS, *names, "--name", name)
    start = _podman("run", "-d", *how)
    subprocess.run([*start, image, "/sbin/init"], check=True, capture_output=True)
    try:
        up = "until systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do sleep 0.1; done"
        OneMachine(name=name).sh(up)
        yield name
    finally:
        subprocess.run([*_podman("rm", "-f", "-t", "0"), name], check=False, capture_output=True)


def image_of_desks(release: str) -> str:
    """One image for all that is tried on a single desk: the lab's desk with its whole suite, and what looks at it."""
    desktop = (*SUITE, *SUITE_FULL, *OF_RELEASE[release])
    return image_upon(desk_image(release, packages_of_desks()), f"one-desk-{release}", (*desktop, *_TOOLS))


def operations(events: Sequence[Event]) -> list[OperationEnded]:
    """Those of a run."""
    return [event for event in events if isinstance(event, OperationEnded)]


def ended(events: Sequence[Event]) -> RunEnded:
    """The end of a run."""
    last = events[-1]
    assert isinstance(last, RunEnded), last
    return last


def _podman(verb: str, *options: str) -> list[str]:
    return ["podman", *runtime().arguments, verb, *options]
