"""The one-stop counter in one container: the role applied by the real runner, and real browsers under Xvfb.

The browsers run as an ordinary user and without any switch: what they do is what the role's policies say. Keys are
pressed as a person would; what came of it is seen in windows' titles and in what the web servers were asked for.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from one_machine import SCREEN, OneMachine, booted, ended, image_of_desks, operations

from deploy.fleet.kit import Kits
from deploy.inventory.certificates import anchor_of, make_authority, make_certificate
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import Site, SiteBookmark, SitePortal
from deploy.journal import CheckEnded, Event
from deploy.order import Order, RoleOrder
from deploy.runner.context import Context
from deploy.runner.render import render
from deploy.site import CATALOG, ROLES
from roles.firewall.rules import open_to_all, openings
from roles.one_stop import kiosk

pytestmark = pytest.mark.lab

INVENTORIES = Path(__file__).parents[2] / "inventories"
SCREENSHOTS = Path(os.environ.get("LIENXA_SCREENSHOTS", "/nonexistent"))
MACHINE = "mc01"
PORTAL, FOREIGN, WRONG = "portal.gialai.gov.vn", "la.example.vn", "sai.gialai.gov.vn"
ADDRESSES = {PORTAL: "203.0.113.5", FOREIGN: "203.0.113.6", WRONG: "203.0.113.7"}
"""Of documentation (RFC 5737), on the container's loopback: browsers take them for the Internet's."""
HELPER_PORT = 8987
START = "Một cửa Xã Mẫu"
CODE = "H21.31-260001-0042"
SECONDS = 40
USER = "canbo"
ENVIRONMENT = "DISPLAY=:7 LANG=C.UTF-8 LANGUAGE=vi"


@dataclass(kw_only=True)
class Counter(OneMachine):
    """The container, with the kit in it and a person before its screen."""

    site: Site

    def desk(self, script: str, *, check: bool = True) -> str:
        """As the person at the screen."""
        return self.sh(f"export HOME=/home/{USER} {ENVIRONMENT}; cd; {script}", user=USER, check=check)

    def run(self, action: Literal["apply", "verify"] = "apply", **options: object) -> list[Event]:
        order = Order(machine=MACHINE, site=self.site, roles=(RoleOrder(name="one_stop", options=options),))
        return self.carry_out(order, action)

    def titles(self) -> list[str]:
        """Of all windows."""
        found = self.desk("xdotool search --onlyvisible --name . 2>/dev/null || true").split()
        return [self.desk(f"xdotool getwindowname {window}", check=False).strip() for window in found]

    def requests(self, host: str) -> list[str]:
        """What that host was asked for until now."""
        lines = [json.loads(line) for line in self.sh("cat /root/web.log").splitlines()]
        return [path for name, path in (line for line in lines if line != "ready") if name == host]

    def go(self, address: str) -> None:
        """Put an address into the browser's address bar, whole; again where a busy machine has swallowed it."""
        before = self.titles()
        for _ in range(3):
            self.sh(f"HOME=/home/{USER} {ENVIRONMENT} xclip -selection clipboard >/dev/null 2>&1", address, user=USER)
            self.desk("xdotool key --delay 100 ctrl+l ctrl+v Return")
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                if self.titles() != before:
                    return
                time.sleep(0.3)

    def forget(self) -> None:
        """Begin a new page of the servers' log."""
        self.sh(": >/root/web.log")

    def picture(self, name: str) -> None:
        """Of the screen, where somebody wants it."""
        if SCREENSHOTS.is_dir():
            command = ["podman", "exec", "-u", USER, "-e", "DISPLAY=:7", self.name]
            taken = subprocess.run([*command, "import", "-window", "root", "png:-"], check=True, capture_output=True)
            (SCREENSHOTS / f"{name}.png").write_bytes(taken.stdout)


def until(seen: Callable[[], bool], what: str | Callable[[], object]) -> None:
    """Wait for a condition; what there was instead is said where it does not come."""
    deadline = time.monotonic() + SECONDS
    while not seen():
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.3)


def commune() -> Site:
    """The model commune with a portal that has all there is."""
    site = resolve(load(INVENTORIES, CATALOG), "xa-mau").site
    portal = SitePortal(
        name="dichvucong",
        title="Cổng dịch vụ công tỉnh Gia Lai",
        url=f"https://{PORTAL}/",
        start=True,
        bookmarks=(SiteBookmark(title="Tra cứu hồ sơ", url=f"https://{PORTAL}/tra-cuu"),),
        origins=(f"https://{PORTAL}",),
        issuers=("CA Mẫu G2",),
        helper_ports=(HELPER_PORT,),
        may=("popups", "clipboard", "pdf", "local_network"),
    )
    return site.model_copy(update={"upstream": site.upstream.model_copy(update={"portals": (portal,)})})


@pytest.fixture(scope="module", params=["13", "12"], ids=["debian13", "debian12"])
def counter(request: pytest.FixtureRequest) -> Iterator[Counter]:
    with booted(image_of_desks(request.param), f"counter-{request.param}", ADDRESSES) as name:
        made = Counter(name=name, site=commune())
        made.take(Kits(), request.param)
        _firewall(made)
        yield made


@pytest.fixture(scope="module")
def applied(counter: Counter) -> Counter:
    """The role applied, and a person with a screen; web servers stand by."""
    events = counter.run()
    assert ended(events).status == "done", events[-3:]
    _web(counter)
    counter.sh(f"useradd -m -s /bin/sh {USER}")
    counter.sh("systemd-run -q --uid=canbo --unit=screen Xvfb :7 -screen 0 1280x900x24 -nolisten tcp")
    until(lambda: bool(counter.sh("test -e /tmp/.X11-unix/X7 && echo yes", check=False)), "no screen")
    return counter


@pytest.fixture
def chromium(applied: Counter) -> Iterator[Counter]:
    """Chromium as the person's menu starts it, at its start page."""
    with_ = _started(applied, "chromium")
    yield with_
    applied.sh("systemctl stop browser", check=False)


@pytest.fixture
def firefox(applied: Counter) -> Iterator[Counter]:
    yield _started(applied, "firefox-esr")
    applied.sh("systemctl stop browser", check=False)


def test_again_changes_nothing(applied: Counter) -> None:
    again = applied.run()
    assert [one.name for one in operations(again) if one.status != "unchanged"] == []
    assert (ended(again).changed, ended(again).failed) == (0, 0)


def test_its_own_checks_are_green(applied: Counter) -> None:
    checks = [event for event in applied.run("verify") if isinstance(event, CheckEnded)]
    assert {one.id: one.detail for one in checks if one.status != "passed"} == {}
    assert len([one for one in checks if ".test_" in one.id]) == 5


def test_chromium_opens_the_start_page(chromium: Counter) -> None:
    until(lambda: any(START in title for title in chromium.titles()), chromium.titles)
    chromium.picture("start-page")


def test_chromium_knows_every_policy_that_it_is_told(applied: Counter) -> None:
    told = json.loads(applied.sh("cat /etc/chromium/policies/managed/lienxa-one-stop.json"))
    assert applied.not_in("/usr/lib/chromium/chromium", told) == set()


def test_what_the_portal_may(chromium: Counter) -> None:
    chromium.forget()
    chromium.go(f"https://{PORTAL}/")
    until(lambda: len(_said(chromium, PORTAL)) >= 3, lambda: chromium.requests(PORTAL))
    assert _said(chromium, PORTAL) == {"popup=opened", "helper=reached", "clipboard=granted"}
    until(lambda: "/cua-so" in chromium.requests(PORTAL), lambda: chromium.requests(PORTAL))


def test_what_a_foreign_origin_may_not(chromium: Counter) -> None:
    chromium.forget()
    chromium.go(f"https://{FOREIGN}/")
    until(lambda: len(_said(chromium, FOREIGN)) >= 3, lambda: chromium.requests(FOREIGN))
    assert _said(chromium, FOREIGN) == {"popup=blocked", "helper=refused", "clipboard=denied"}
    assert "/cua-so" not in chromium.requests(FOREIGN)


def test_chromium_lets_nobody_past_a_wrong_certificate(chromium: Counter) -> None:
    chromium.forget()
    chromium.go(f"https://{WRONG}/")
    until(lambda: _failed(chromium), chromium.titles)
    chromium.picture("wrong-certificate")
    # The link past it is not there, and neither is the word that Chromium takes for one.
    chromium.desk("xdotool type --delay 30 thisisunsafe; xdotool key Tab Tab Tab Return")
    chromium.go(f"https://{PORTAL}/")
    until(lambda: "/" in chromium.requests(PORTAL), chromium.titles)
    assert chromium.requests(WRONG) == []


def test_a_pdf_of_the_portal_is_saved(chromium: Counter) -> None:
    chromium.go(f"https://{PORTAL}/bien-nhan.pdf")
    until(lambda: "bien-nhan.pdf" in chromium.desk("find . -name 'bien-nhan*.pdf'"), chromium.titles)


def test_scan_is_a_colour_pdf_where_the_browser_is(chromium: Counter) -> None:
    chromium.sh("echo test >/etc/sane.d/dll.conf")
    file = chromium.desk(f"/usr/local/bin/lienxa-scan {CODE}").strip()
    assert file == f"/home/{USER}/Hồ sơ quét/{CODE}.pdf"
    assert chromium.desk(f"/usr/local/bin/lienxa-scan --pages 2 {CODE}").strip().endswith(f"/{CODE}-2.pdf")
    pictures = [line.split() for line in chromium.desk(f"pdfimages -list '{file}'").splitlines()[2:]]
    assert [(one[5], int(one[12]) >= 200, int(one[13]) >= 200) for one in pictures] == [("rgb", True, True)]
    about = chromium.desk(f"pdfinfo '{file}'")
    assert re.search(r"PDF version: +1\.4", about)
    assert len(chromium.desk(f"pdfimages -list '{file[:-4]}-2.pdf'").splitlines()) == 4
    # GTK's dialog for files has the folder that the program works in in its side bar.
    assert chromium.desk("readlink /proc/$(pgrep -o -u canbo -x chromium)/cwd").strip() == str(Path(file).parent)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ("'hồ sơ số 1'", 2, "không hợp lệ"),
        ("../../etc/passwd", 2, "không hợp lệ"),
        ("--device test:9 H1-1", 1, "Máy quét"),
    ],
)
def test_scan_says_what_is_wrong(applied: Counter, asked: str, code: int, words: str) -> None:
    said = applied.desk(f"/usr/local/bin/lienxa-scan {asked} 2>&1 || echo $?")
    assert words in said
    assert said.strip().endswith(str(code))


def test_helpers_are_this_machine_s_alone(applied: Counter) -> None:
    applied.sh(
        "ip netns add lxpt-la; ip link add v0 type veth peer name v1 netns lxpt-la; ip addr add 192.0.2.1/24 dev v0; "
        "ip link set v0 up; ip -n lxpt-la addr add 192.0.2.2/24 dev v1; ip -n lxpt-la link set v1 up"
    )
    ask = f"curl -s -o /dev/null -w '%{{http_code}}' --max-time 5 http://192.0.2.1:{HELPER_PORT}/"
    assert applied.sh(ask) == "200"
    assert applied.sh(f"ip netns exec lxpt-la {ask}", check=False) == "000"


def test_firefox_opens_the_start_page(firefox: Counter) -> None:
    until(lambda: any(START in title for title in firefox.titles()), firefox.titles)
    firefox.picture("start-page-firefox")


def test_firefox_refuses_a_wrong_certificate(firefox: Counter) -> None:
    until(lambda: any(START in title for title in firefox.titles()), firefox.titles)
    firefox.forget()
    until(lambda: _went(firefox, f"https://{WRONG}/"), firefox.titles)
    firefox.picture("wrong-certificate-firefox")
    assert firefox.requests(WRONG) == []


def test_firefox_reads_no_other_file(applied: Counter) -> None:
    """The other way round: without our file the start page is not ours."""
    applied.sh("mv /etc/firefox/policies/policies.json /root/")
    try:
        without = _started(applied, "firefox-esr")
        until(lambda: any("Firefox" in title for title in without.titles()), without.titles)
        assert not any(START in title for title in without.titles())
    finally:
        applied.sh("systemctl stop browser; mv /root/policies.json /etc/firefox/policies/")


def test_a_look_up_screen_has_one_site_and_forgets_who_was_there(applied: Counter) -> None:
    options = {"kiosk": f"https://{PORTAL}/tra-cuu", "kiosk_clear_seconds": 10}
    applied.sh(SCREEN)
    applied.forget()
    try:
        assert ended(applied.run(**options)).status == "done"
        assert [one.name for one in operations(applied.run(**options)) if one.status != "unchanged"] == []
        _is_for(applied, "nobody")
        _press(applied, "xdotool key F5")
        _is_for(applied, "known")
        # Whatever is pressed, nothing but the portal is asked for anything.
        for keys in ("ctrl+l", "ctrl+t", "ctrl+n", "ctrl+shift+n", "ctrl+o", "F1", "F6"):
            _press(applied, f"xdotool key {keys}; xdotool type --delay 15 https://{FOREIGN}/; xdotool key Return")
        _press(applied, "xdotool key ctrl+shift+i ctrl+u ctrl+p ctrl+s Escape")
        applied.forget()
        _is_for(applied, "nobody")
        assert applied.requests(FOREIGN) == []
        applied.forget()
        applied.sh(f"pkill -o -u {kiosk.USER} -x chromium")
        _is_for(applied, "nobody")
        checks = [event for event in applied.run("verify", **options) if isinstance(event, CheckEnded)]
        assert {one.id: one.detail for one in checks if one.status != "passed"} == {}
    finally:
        applied.run()
    assert applied.sh(f"ls {' '.join(kiosk.PLACED)} 2>/dev/null || true") == ""


def _is_for(counter: Counter, citizen: str) -> None:
    """Wait until the page was shown to a citizen whom it knows, or does not."""
    until(lambda: f"citizen={citizen}" in _said(counter, PORTAL), lambda: counter.requests(PORTAL))


def _press(counter: Counter, script: str) -> None:
    """By who stands before the look-up screen: keys go where its session's own go."""
    shown = f"/proc/$(pgrep -o -u {kiosk.USER} -f {kiosk.PROGRAM})/environ"
    where = f"$(tr '\\0' '\\n' <{shown} | grep -E '^(DISPLAY|XAUTHORITY)=')"
    counter.sh(f"env {where} sh -c {shlex.quote(script)}")


def _started(counter: Counter, browser: str) -> Counter:
    """Without a profile of before, by the command that stands in the menu."""
    counter.sh(f"rm -rf /home/{USER}/.config /home/{USER}/.mozilla /home/{USER}/.cache")
    environment = " ".join(f"--setenv={one}" for one in (*ENVIRONMENT.split(), f"HOME=/home/{USER}"))
    counter.sh("systemctl reset-failed browser 2>/dev/null || :")
    counter.sh(f"systemd-run -q --uid={USER} --unit=browser {environment} {browser}")
    until(lambda: any(counter.titles()), lambda: counter.sh("journalctl -u browser -n 30"))
    return counter


def _went(counter: Counter, address: str) -> bool:
    """Whether the browser left its start page; Firefox shows itself before it takes keys, so they are tried again."""
    if not any(START in title for title in counter.titles()):
        return True
    counter.go(address)
    return False


def _said(counter: Counter, host: str) -> set[str]:
    return {path.partition("?")[2] for path in counter.requests(host) if path.startswith("/noi?")}


def _failed(counter: Counter) -> bool:
    return any("Lỗi bảo mật" in title for title in counter.titles())


def _web(counter: Counter) -> None:
    known, unknown = (make_authority(("gialai.gov.vn", "example.vn")) for _ in range(2))
    counter.sh("cat >/root/web.py", (Path(__file__).parent / "one_stop_web.py").read_text())
    served = []
    for host, address in ADDRESSES.items():
        certificate = make_certificate((host,), unknown if host == WRONG else known)
        counter.sh(f"umask 077; cat >/root/{host}.pem; ip addr add {address}/32 dev lo", certificate)
        served.append(f"{address}=/root/{host}.pem")
    # What the role signing does for the province's authorities.
    trust = json.dumps({"CACertificates": ["".join(anchor_of(known).split("\n")[1:-2])]})
    counter.sh("cat >/etc/chromium/policies/managed/authority.json", trust)
    counter.sh(
        f"touch /root/web.log; systemd-run -q --unit=web python3 /root/web.py /root/web.log {' '.join(served)}"
    )
    until(lambda: "ready" in counter.sh("cat /root/web.log"), lambda: counter.sh("journalctl -u web"))


def _firewall(counter: Counter) -> None:
    """As the role firewall has it on this machine."""
    machine = counter.site.machine(MACHINE)
    role = ROLES["firewall"]
    context = Context(site=counter.site, machine=machine, options=role.options(), role=role)
    values = {"openings": openings(counter.site, machine), "open_to_all": open_to_all(machine)}
    text = render(context, "firewall/etc/nftables.conf.j2", values)
    counter.sh("mkdir -p /etc/nftables.d; cat >/etc/nftables.conf; nft -f /etc/nftables.conf", text)
