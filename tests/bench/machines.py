"""Four machines of the lab for the bench: Debian 13 with sshd and a support account, each in a network of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy import lab
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import Site
from deploy.lab import containers
from deploy.lab.boot import File, as_tar, common_files
from deploy.lab.containers import Container
from deploy.lab.image import machine_image
from deploy.lab.keys import ssh_key
from deploy.lab.laptop import run, state_dir
from deploy.lab.layer import image_upon
from deploy.lab.limits import make_room
from deploy.lab.wiring import namespace, path
from deploy.site import CATALOG
from tests.bench.wanted import DIRECTORIES, FILES, PACKAGES, SERVICES, SYSCTLS, USERS

SLUG = "bench"
MACHINES = ("vp01", "mc01", "hop1", "qt01")
REPOSITORY = Path(__file__).parents[2]

_PACKAGES = ("dbus", "python3-apt", "systemd-resolved", "systemd-timesyncd")
"""python3-apt: Ansible's apt module needs it."""

_LOCAL_REPOSITORY = """
mkdir -p /opt/repo; cd /opt/repo
for name in {packages}; do
    mkdir -p $name/DEBIAN $name/usr/share/$name; echo $name >$name/usr/share/$name/text
    printf 'Package: %s\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x.x>\\nDescription: x\\n' $name \
        >$name/DEBIAN/control
    dpkg-deb -b $name $name.deb >/dev/null
    {{ dpkg-deb -f $name.deb; echo "Filename: ./$name.deb"; echo "Size: $(stat -c %s $name.deb)"
       echo "SHA256: $(sha256sum $name.deb | cut -d' ' -f1)"; echo; }} >>Packages
done
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/opt/repo ./' >/etc/apt/sources.list
"""

_RESET = """
systemctl disable -q --now {services} 2>/dev/null || true
dpkg --purge {packages} >/dev/null 2>&1 || true
for user in {users}; do userdel -r $user 2>/dev/null || true; done
rm -rf /srv/bench /etc/bench /etc/sysctl.d/bench.conf /root/.ansible ~hotro/.ansible
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/lib/apt/periodic/* /tmp/pyinfra-*
touch -d '2 days ago' /var/lib/apt/lists  # Ansible takes their age from the folder's
echo '# lines of the bench' >/etc/bench.lines
for key in {sysctls}; do sysctl -q $key=$(case $key in *martians) echo 0;; *) echo 1;; esac); done
sync
"""

_FORGET = "rm -rf /var/lib/lienxa /run/lienxa"
_FORGET_ALL_BUT_KIT = (
    "find /var/lib/lienxa -mindepth 1 -maxdepth 1 ! -name kit -exec rm -rf {{}} +; rm -rf /run/lienxa"
)

_STATE = """
set +e
stat -c '%n %F %a %U %G' {directories} {files} 2>&1
sha256sum {files} /etc/bench.lines 2>&1
for user in {users}; do getent passwd $user || echo no $user; stat -c '%n %U' /home/$user 2>&1; done
sysctl {sysctls}; sort /etc/sysctl.d/bench.conf 2>/dev/null | tr -d ' '
for unit in {services}; do echo $unit $(systemctl is-enabled $unit) $(systemctl is-active $unit); done
dpkg-query -W -f '${{Package}} ${{Version}} ${{db:Status-Abbrev}}\\n' {packages} 2>&1
true
"""


@dataclass(frozen=True)
class Machines:
    """The machines while they are there."""

    site: Site
    namespaces: dict[str, str]
    """Paths of their networks, by name."""
    identity: Path
    known_hosts: Path

    def reset(self, *, keep_kit: bool = False) -> None:
        """As freshly installed: nothing of what any of the tools did is left, but lienxa's kit if asked for."""
        self._everywhere(_FORGET_ALL_BUT_KIT if keep_kit else _FORGET)
        self._everywhere(_RESET)

    def state(self) -> str:
        """A hash of all that the 57 tasks are about, on all machines."""
        return hashlib.sha256(json.dumps(self.described()).encode()).hexdigest()[:12]

    def described(self) -> list[str]:
        """The same in words."""
        return self._everywhere(_STATE)

    def sh(self, machine: str, script: str) -> str:
        """Run a shell script as root on a machine, beside SSH."""
        done = containers.execute(namespace(SLUG, machine), ["sh", "-ec", script])
        if done.returncode:
            raise RuntimeError(f"{machine}: {script}\n{done.stdout}{done.stderr}")
        return done.stdout

    def _everywhere(self, script: str) -> list[str]:
        words = {
            "directories": DIRECTORIES,
            "files": FILES,
            "users": USERS,
            "sysctls": SYSCTLS,
            "services": SERVICES,
            "packages": PACKAGES,
        }
        text = script.format(**{name: " ".join(items) for name, items in words.items()})
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda machine: self.sh(machine, text), self.namespaces))


@contextmanager
def machines(names: tuple[str, ...] = MACHINES, image: str | None = None) -> Iterator[Machines]:
    """Bring them up; they are gone afterwards. `image`: one that is there, instead of the bench's own."""
    lab.down(SLUG)
    make_room()
    try:
        chosen = image or image_upon(machine_image("13"), "bench-13", _PACKAGES)
        made = known_machines(names)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda name: _boot(made.site, name, chosen), names))
        for name in names:
            made.sh(name, _LOCAL_REPOSITORY.format(packages=" ".join(PACKAGES)))
        made.reset()
        yield made
    finally:
        lab.down(SLUG)


def known_machines(names: tuple[str, ...] = MACHINES) -> Machines:
    """What is known of them before they are there."""
    known = state_dir(SLUG) / "known_hosts"
    known.write_text("".join(f"{name} {_public(name)}\n" for name in names))
    return Machines(_site(), {name: path(namespace(SLUG, name)) for name in names}, ssh_key(SLUG, "support"), known)


def _site() -> Site:
    """The model commune's, under another slug: a real one, with the size of a real one."""
    site = resolve(load(REPOSITORY / "inventories", CATALOG), "xa-mau").site
    return site.model_copy(update={"commune": site.commune.model_copy(update={"slug": SLUG})})


def _boot(site: Site, name: str, image: str) -> None:
    net = namespace(SLUG, name)
    run(["ip", "netns", "add", net], root=True)
    run(["ip", "-n", net, "link", "set", "lo", "up"], root=True)
    unit = "[Service]\nExecStart=sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
    services = (File(f"/etc/systemd/system/{service}", unit) for service in SERVICES)
    wanted = Container(SLUG, name, image, as_tar((*common_files(site, name), *services)), ())
    containers.ensure(wanted, None)
    containers.wait_until_booted(net, 120)


def _public(name: str) -> str:
    kind, key = ssh_key(SLUG, f"host-{name}").with_suffix(".pub").read_text().split()[:2]
    return f"{kind} {key}"
