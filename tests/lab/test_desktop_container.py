"""A desk as an official meets it: greeter, session, typing, fonts, documents, printing, in one container each release.

The role is applied by the real runner. Machines in a lab have no screen: here Xvfb stands for the graphics card, the
greeter and everything behind it are the machine's own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from deploy.fleet.kit import Archive, Kits
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.secrets import generate
from deploy.inventory.site import Site, SitePerson
from deploy.journal import CheckEnded, Event, OperationEnded, RunEnded, parse_event
from deploy.lab.image import image_with
from deploy.order import Order, Request, RoleOrder
from deploy.runner.receiver import UNIT, unit_command
from deploy.site import CATALOG
from roles.desktop import ROLE
from roles.desktop.forms import SUITE, SUITE_FULL
from roles.desktop.tasks import PEOPLE

pytestmark = pytest.mark.lab

INVENTORIES = Path(__file__).parents[2] / "inventories"
SCREENSHOT = Path(os.environ.get("LIENXA_SCREENSHOTS", "/nonexistent"))
"""A folder for pictures of the desktop, where somebody wants them."""
MACHINE = "mc01"
TOOLS = ("imagemagick", "locales", "poppler-utils", "python3-uno", "xauth", "xdotool", "xvfb")
HERE = SitePerson(name="Trần Thị Ví Dụ", login="vidu.tt", machines=(MACHINE,))
ALSO_HERE = SitePerson(name="Nguyễn Văn Mẫu", login="mau.nv", machines=(MACHINE, "vp01"))
ELSEWHERE = SitePerson(name="Lê Văn Khác", login="khac.lv", machines=("vp01",))
TYPED = "tieengs Vieetj, cuwr nguwowif oowr xax"
READ = "tiếng Việt, cử người ở xã"


@dataclass
class Desk:
    """The container, with the kit in it."""

    name: str
    site: Site
    secrets: dict[str, str]
    options: dict[str, object] = field(default_factory=dict)
    count: int = 0
    content: Path = Path("/opt/kit/content")
    runtime: Path = Path("/opt/kit/runtime")

    def sh(self, script: str, given: str = "", *, check: bool = True) -> str:
        command = ["podman", "exec", "-i", self.name, "sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False, input=given)
        assert not check or done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def run(self, action: str = "apply") -> list[Event]:
        self.count += 1
        order = Order(
            machine=MACHINE,
            site=self.site,
            roles=(RoleOrder(name=ROLE.name, options=self.options),),
            secrets=self.secrets,
        )
        run = f"run-{self.count:03}"
        request = Request(run=run, action=action, order=order, by="an@may")  # type: ignore[arg-type]
        path = f"/run/lienxa/{run}.json"
        self.sh(f"umask 077; mkdir -p /run/lienxa /var/lib/lienxa; cat >{path}", request.to_bytes().decode())
        self.sh(" ".join(f"'{word}'" for word in unit_command(run, self.content, self.runtime)))
        self.sh(f"while systemctl is-active -q {UNIT}; do sleep 0.2; done")
        log = self.sh(f"journalctl -u {UNIT} -n 40 -o cat")
        written = self.sh(f"cat /var/lib/lienxa/journal/{run}.jsonl", check=False)
        assert written, log
        return [parse_event(line) for line in written.splitlines()]

    def password(self, person: SitePerson) -> str:
        return self.secrets[f"desktop.password_{person.login}"]


@cache
def commune() -> tuple[Site, dict[str, str]]:
    """The model commune with three people, and what mc01's order holds of their passwords."""
    written = resolve(load(INVENTORIES, CATALOG), "xa-mau").site
    site = written.model_copy(update={"people": (HERE, ALSO_HERE, ELSEWHERE)})
    asked = ROLE.secrets_on(MACHINE, ROLE.options(), site)
    return site, {f"{ROLE.name}.{secret.name}": generate(secret) for secret in asked}


@pytest.fixture(scope="module", params=["13", "12"], ids=["debian13", "debian12"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    site, secrets = commune()
    image = image_with("desktop", request.param, (*ROLE.packages, *SUITE, *SUITE_FULL, *TOOLS))
    kits, name = Kits(), f"lxdk-desk-{request.param}-{os.getpid()}"
    limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096", "--shm-size", "512m")
    command = ["podman", "--runtime", "runc", "run", "-d", "--rm", "--systemd=always", "--privileged", *limits]
    subprocess.run([*command, "--network", "none", "--name", name, image, "/sbin/init"], check=True, capture_output=True)
    try:
        made = Desk(name, site, dict(secrets))
        made.sh("until systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do sleep 0.1; done")
        _unpack(name, kits.content(), made.content)
        _unpack(name, kits.runtime({"13": "3.13", "12": "3.11"}[request.param], "x86_64"), made.runtime)
        # What the role base does before this one.
        made.sh("echo 'vi_VN.UTF-8 UTF-8' >/etc/locale.gen; locale-gen >/dev/null; update-locale LANG=vi_VN.UTF-8")
        yield made
    finally:
        subprocess.run(["podman", "rm", "-f", "-t", "0", name], check=False, capture_output=True)


def test_apply_then_again(desk: Desk) -> None:
    events = desk.run()
    assert _ended(events).status == "done", [one for one in _operations(events) if one.error] or events[-3:]
    again = desk.run()
    assert [one.name for one in _operations(again) if one.status != "unchanged"] == []
    assert (_ended(again).changed, _ended(again).failed) == (0, 0)


def test_its_own_checks_are_green(desk: Desk) -> None:
    events = desk.run("verify")
    checks = [event for event in events if isinstance(event, CheckEnded)]
    assert len([one for one in checks if ".test_" in one.id]) >= 10
    assert {one.id: one.detail for one in checks if one.status != "passed"} == {}


def _unpack(name: str, archive: Archive, folder: Path) -> None:
    with archive.path.open("rb") as file:
        subprocess.run(["podman", "exec", "-i", name, "python3", "-c", _UNTAR, str(folder)], stdin=file, check=True)


_UNTAR = "import sys, tarfile; tarfile.open(fileobj=sys.stdin.buffer, mode='r|xz').extractall(sys.argv[1])"


def _operations(events: list[Event]) -> list[OperationEnded]:
    return [event for event in events if isinstance(event, OperationEnded)]


def _ended(events: list[Event]) -> RunEnded:
    last = events[-1]
    assert isinstance(last, RunEnded)
    return last
