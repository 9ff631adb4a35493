"""A desk as an official meets it: greeter, session, typing, fonts, documents, printing, in one container.

The role is applied by the real runner, on both Debian releases. Machines in a lab have no screen: here Xvfb stands
for the graphics card, the greeter and everything behind it are the machine's own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
from one_machine import SCREEN, OneMachine, booted, ended, image_of_desks, operations

from deploy.fleet.kit import Kits
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.secrets import generate
from deploy.inventory.site import Site, SitePerson
from deploy.journal import CheckEnded, Event
from deploy.order import Order, RoleOrder
from deploy.site import CATALOG
from roles.desktop import ROLE
from roles.desktop.tasks import PEOPLE

pytestmark = pytest.mark.lab

INVENTORIES = Path(__file__).parents[2] / "inventories"
SCREENSHOT = Path(os.environ.get("LIENXA_SCREENSHOTS", "/nonexistent"))
"""A folder for pictures of the desktop, where somebody wants them."""
MACHINE = "mc01"
HERE = SitePerson(name="Trần Thị Ví Dụ", login="vidu.tt", machines=(MACHINE,))
ALSO_HERE = SitePerson(name="Nguyễn Văn Mẫu", login="mau.nv", machines=(MACHINE, "vp01"))
ELSEWHERE = SitePerson(name="Lê Văn Khác", login="khac.lv", machines=("vp01",))
TYPED = "tieengs Vieetj, cuwr nguwowif oowr xax"
READ = "tiếng Việt, cử người ở xã"


@dataclass(kw_only=True)
class Desk(OneMachine):
    """The container, with the kit in it."""

    site: Site
    secrets: dict[str, str]
    options: dict[str, object] = field(default_factory=dict)

    def run(self, action: Literal["apply", "verify"] = "apply", *, retired: bool = False) -> list[Event]:
        order = Order(
            machine=MACHINE,
            site=self.site,
            roles=() if retired else (RoleOrder(name=ROLE.name, options=self.options),),
            secrets={} if retired else self.secrets,
        )
        return self.carry_out(order, action)

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
    with booted(image_of_desks(request.param), f"desk-{request.param}") as name:
        made = Desk(name=name, site=site, secrets=dict(secrets))
        made.take(Kits(), request.param)
        # What the role base does before this one.
        made.sh("echo 'vi_VN.UTF-8 UTF-8' >/etc/locale.gen; locale-gen >/dev/null; update-locale LANG=vi_VN.UTF-8")
        yield made


def test_apply_then_again(desk: Desk) -> None:
    events = desk.run()
    assert ended(events).status == "done", [one for one in operations(events) if one.error] or events[-3:]
    again = desk.run()
    assert [one.name for one in operations(again) if one.status != "unchanged"] == []
    assert (ended(again).changed, ended(again).failed) == (0, 0)


def test_its_own_checks_are_green(desk: Desk) -> None:
    events = desk.run("verify")
    checks = [event for event in events if isinstance(event, CheckEnded)]
    assert len([one for one in checks if ".test_" in one.id]) >= 10
    assert {one.id: one.detail for one in checks if one.status != "passed"} == {}


@pytest.fixture(scope="module")
def session(desk: Desk) -> Iterator[str]:
    """Nguyễn Văn Mẫu has typed the password into the greeter: what a command of the session begins with."""
    desk.sh(SCREEN)
    greeter = "DISPLAY=:0 XAUTHORITY=/var/run/lightdm/root/:0"
    _wait(desk, f"{greeter} xdotool search --onlyvisible --class lightdm-gtk-greeter")
    _picture(desk, greeter, "greeter")
    # Only what is typed into the field counts: the greeter takes its time to draw it.
    desk.sh(f"sleep 1; {greeter} xdotool type --delay 40 --file -", desk.password(ALSO_HERE))
    desk.sh(f"{greeter} xdotool key Return")
    _wait(desk, f"pgrep -u {ALSO_HERE.login} -x xfce4-session")
    desk.sh("cat >/usr/local/bin/in-session; chmod 755 /usr/local/bin/in-session", _IN_SESSION % ALSO_HERE.login)
    _wait(desk, "in-session xdotool search --onlyvisible --class xfce4-panel")
    _wait(desk, f"pgrep -u {ALSO_HERE.login} -x fcitx5; in-session xscreensaver-command -time")
    yield "in-session"
    desk.sh("rm -f /etc/lightdm/lightdm.conf.d/99-test.conf; systemctl restart lightdm")


def test_an_official_signs_in_and_finds_vietnamese(desk: Desk, session: str) -> None:
    assert desk.sh(f"{session} sh -c 'echo $LANG $XDG_CURRENT_DESKTOP $(id -un)'").split() == [
        "vi_VN.UTF-8",
        "XFCE",
        ALSO_HERE.login,
    ]


def test_telex_is_typed_into_a_text_field(desk: Desk, session: str) -> None:
    desk.sh(_TYPE.format(session=session, typed=TYPED))
    _wait(desk, "grep -q . /tmp/ghi.txt")
    assert desk.sh("cat /tmp/ghi.txt").strip() == READ
    _picture(desk, session, "desktop")


def test_the_screen_locks_itself(desk: Desk, session: str) -> None:
    assert "0:15:00" in desk.sh(f"{session} xrdb -query | grep xscreensaver.timeout")
    assert "screen non-blanked" in desk.sh(f"{session} xscreensaver-command -time")
    desk.sh(f"{session} xscreensaver-command -lock")
    _wait(desk, f"{session} xscreensaver-command -time | grep 'screen locked'")


def test_a_new_document_has_the_page_of_decree_30(desk: Desk) -> None:
    page = json.loads(desk.sh(f"runuser -u {HERE.login} -- sh -c 'cd; exec python3 -'", _NEW_DOCUMENT))
    assert (page["width"], page["height"]) == pytest.approx((21000, 29700), abs=2)
    assert 2000 <= page["top"] <= 2500
    assert 2000 <= page["bottom"] <= 2500
    assert 3000 <= page["left"] <= 3500
    assert 1500 <= page["right"] <= 2000
    assert (page["font"], page["size"]) == ("Times New Roman", 14.0)
    assert page["language"] == "vi"


def test_a_document_is_drawn_whole_in_the_metric_font(desk: Desk) -> None:
    desk.sh(f"runuser -u {HERE.login} -- sh -c 'cat >/tmp/van-ban.fodt'", _DOCUMENT % READ)
    command = f"cd /tmp; soffice --headless --convert-to pdf --outdir /home/{HERE.login} van-ban.fodt"
    desk.sh(f"runuser -u {HERE.login} -- sh -c '{command}'")
    fonts = desk.sh(f"pdffonts /home/{HERE.login}/van-ban.pdf").splitlines()[2:]
    assert [line.split()[0].partition("+")[2] for line in fonts] == ["LiberationSerif"]
    assert desk.sh(f"pdftotext /home/{HERE.login}/van-ban.pdf -").strip() == READ


def test_who_has_left_is_locked_out_and_keeps_the_home(desk: Desk) -> None:
    desk.sh(f"echo quan trọng >/home/{HERE.login}/viec.txt")
    before = desk.site
    desk.site = before.model_copy(update={"people": (ALSO_HERE, ELSEWHERE)})
    try:
        assert ended(desk.run()).changed == 1
        assert "expired" in desk.sh(f"su -s /bin/sh {HERE.login} -c true 2>&1 || :").lower() + desk.sh(
            f"LC_ALL=C chage -l {HERE.login} | grep -i 'account expires' | sed s/Jan.*/expired/"
        )
        assert desk.sh(f"cat /home/{HERE.login}/viec.txt").strip() == "quan trọng"
    finally:
        desk.site = before
    assert ended(desk.run()).changed == 2
    assert desk.sh(f"getent shadow {HERE.login} | cut -d: -f8").strip() == ""


def test_nobody_keeps_admin_rights(desk: Desk) -> None:
    desk.sh(f"usermod --append --groups sudo,lpadmin {HERE.login}")
    assert ended(desk.run()).changed == 1
    assert desk.sh(f"id -nG {HERE.login}").split() == [HERE.login, PEOPLE]


def test_usb_storage_is_refused_where_the_inventory_says_so(desk: Desk) -> None:
    desk.options = {"usb_storage": "deny"}
    try:
        assert ended(desk.run()).changed == 1
        found = {
            one.id: one.status
            for one in desk.run("verify")
            if isinstance(one, CheckEnded) and "usb_storage" in one.id
        }
        assert found == {f"desktop.test_usb_storage_is_refused[{one.login}]": "passed" for one in (HERE, ALSO_HERE)}
        desk.sh("mv /etc/polkit-1/rules.d/40-lienxa-usb-storage.rules /root; systemctl restart polkit")
        again = [one for one in desk.run("verify") if isinstance(one, CheckEnded) and "usb_storage" in one.id]
        assert {one.status for one in again} == {"failed"}
    finally:
        desk.options = {}
    desk.run()


def test_a_desk_that_is_retired_lets_nobody_in_and_keeps_what_people_have(desk: Desk) -> None:
    desk.sh(f"echo quan trọng >/home/{ALSO_HERE.login}/viec.txt")
    assert ended(desk.run(retired=True)).status == "done"
    assert desk.sh("systemctl is-active lightdm cups avahi-daemon || :").split() == ["inactive"] * 3
    for person in (HERE, ALSO_HERE):
        assert desk.sh(f"getent shadow {person.login} | cut -d: -f8").strip() == "1"
    assert desk.sh(f"cat /home/{ALSO_HERE.login}/viec.txt").strip() == "quan trọng"


_IN_SESSION = """#!/bin/sh
user=%s
cd /tmp
exec runuser -u "$user" -- env $(tr '\\0' '\\n' <"/proc/$(pgrep -u "$user" -x xfce4-session)/environ" |
    grep -E '^(DISPLAY|XAUTHORITY|LANG|GTK_IM_MODULE|XMODIFIERS|DBUS_[A-Z_]*|HOME|XDG_[A-Z_]*)=') "$@"
"""
_TYPE = """
touch /tmp/ghi.txt; chmod 666 /tmp/ghi.txt
{session} mousepad /tmp/ghi.txt >/dev/null 2>&1 &
tries=0
until window=$({session} xdotool search --onlyvisible --class mousepad | tail -1) && [ -n "$window" ]; do
    tries=$((tries + 1)); [ $tries -lt 150 ]; sleep 0.2
done
{session} xdotool windowactivate --sync "$window"
sleep 2
{session} xdotool type --delay 120 '{typed} '
{session} xdotool key ctrl+s
"""
_NEW_DOCUMENT = """
import json, subprocess, time, uno
office = subprocess.Popen(["soffice", "--headless", "--norestore", "--accept=pipe,name=lienxa;urp"])
try:
    local = uno.getComponentContext()
    resolver = local.ServiceManager.createInstanceWithContext("com.sun.star.bridge.UnoUrlResolver", local)
    for turn in range(200):
        try:
            context = resolver.resolve("uno:pipe,name=lienxa;urp;StarOffice.ComponentContext")
            break
        except Exception:
            time.sleep(0.3)
    desktop = context.ServiceManager.createInstanceWithContext("com.sun.star.frame.Desktop", context)
    document = desktop.loadComponentFromURL("private:factory/swriter", "_blank", 0, ())
    page = document.StyleFamilies.getByName("PageStyles").getByName("Standard")
    text = document.Text.createTextCursor()
    header = page.HeaderHeight if page.HeaderIsOn else 0
    print(json.dumps({
        "width": page.Width, "height": page.Height, "top": page.TopMargin + header, "bottom": page.BottomMargin,
        "left": page.LeftMargin, "right": page.RightMargin,
        "font": text.CharFontName, "size": text.CharHeight, "language": text.CharLocale.Language,
    }))
    document.close(True)
    desktop.terminate()
finally:
    office.wait(60)
"""
_DOCUMENT = """<?xml version="1.0" encoding="UTF-8"?>
<office:document xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
  xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0"
  xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"
  xmlns:fo="urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0"
  office:version="1.3" office:mimetype="application/vnd.oasis.opendocument.text">
<office:automatic-styles><style:style style:name="P1" style:family="paragraph"><style:text-properties
fo:font-family="'Times New Roman'" fo:font-size="14pt"/></style:style></office:automatic-styles>
<office:body><office:text><text:p text:style-name="P1">%s</text:p></office:text></office:body></office:document>
"""


def _wait(desk: Desk, script: str, seconds: int = 60) -> None:
    """Until the script succeeds; under load a session takes its time."""
    turns = f"for turn in $(seq {seconds * 5}); do"
    desk.sh(f"{turns} if ({script}) >/dev/null 2>&1; then exit 0; fi; sleep 0.2; done; exit 1")


def _picture(desk: Desk, within: str, name: str) -> None:
    if SCREENSHOT.is_dir():
        desk.sh(f"{within} import -window root /tmp/{name}.png")
        (SCREENSHOT / f"{name}.png").write_bytes(desk.read(f"/tmp/{name}.png"))
