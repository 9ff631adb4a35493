"""A meeting room and a desk in one container: the role applied by the real runner, real Chromium, generated media.

The room's session is the one that LightDM begins by itself; Xvfb stands for the screen. Camera and microphone are
Chromium's own generated ones, for there is none in a container; that they are given without a question, and to whom,
is the policy's doing.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

import pytest
from one_machine import SCREEN, OneMachine, booted, ended, image_of_desks, operations

from deploy.fleet.kit import Kits
from deploy.inventory.authorities import authority_of
from deploy.inventory.certificates import anchor_of, make_authority, make_certificate
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import Site
from deploy.inventory.token_policies import chromium_policies
from deploy.journal import CheckEnded, Event
from deploy.order import Order, RoleOrder
from deploy.site import CATALOG
from roles.video_client import lobby, tasks

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
SCREENSHOTS = Path(os.environ.get("LIENXA_SCREENSHOTS", "/nonexistent"))
ROOM, DESK = "hop1", "vp01"
SERVICE, FOREIGN = "hop.gialai.gov.vn", "la.example.vn"
ADDRESSES = {SERVICE: "203.0.113.5", FOREIGN: "203.0.113.6"}
"""Of documentation (RFC 5737), on the container's loopback."""
LOBBY = "Phòng họp Xã Mẫu"
JOINED = "/noi?Đã mở máy quay và micrô"
SECONDS = 60
BACK_SECONDS = 10
"""Within which a browser that ended is there again."""
USER = "canbo"


@dataclass(kw_only=True)
class Screen(OneMachine):
    """The container, with the kit in it."""

    site: Site

    def run(self, machine: str, action: Literal["apply", "verify"] = "apply", **options: object) -> list[Event]:
        order = Order(machine=machine, site=self.site, roles=(RoleOrder(name="video_client", options=options),))
        return self.carry_out(order, action)

    def asked(self, host: str) -> list[str]:
        """What that host was asked for until now."""
        lines = [json.loads(line) for line in self.sh("cat /root/web.log").splitlines()]
        return [unquote(path) for name, path in (line for line in lines if line != "ready") if name == host]

    def forget(self) -> None:
        """Begin a new page of the servers' log."""
        self.sh(":>/root/web.log")

    def in_the_room(self, script: str) -> str:
        """By who stands before the room's screen."""
        shown = f"/proc/$(pgrep -o -u {lobby.USER} -f {lobby.PROGRAM})/environ"
        where = f"$(tr '\\0' '\\n' <{shown} | grep -E '^(DISPLAY|XAUTHORITY)=')"
        return self.sh(f"env {where} {script}", check=False)

    def titles(self) -> str:
        """Of all windows on the room's screen."""
        found = self.in_the_room("xdotool search --onlyvisible --name . 2>/dev/null").split()
        return "\n".join(self.in_the_room(f"xdotool getwindowname {window}").strip() for window in found)

    def picture(self, name: str) -> None:
        """Of the room's screen, where somebody wants it."""
        if SCREENSHOTS.is_dir():
            self.in_the_room("import -window root /root/picture.png")
            (SCREENSHOTS / f"{name}.png").write_bytes(self.read("/root/picture.png"))


def until(seen: Callable[[], bool], what: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for a condition; what there was instead is said where it does not come."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, what()
        time.sleep(0.3)


@pytest.fixture(scope="module", params=["13", "12"], ids=["debian13", "debian12"])
def screen(request: pytest.FixtureRequest) -> Iterator[Screen]:
    province = make_authority(("gialai.gov.vn", "example.vn"))
    model = resolve(load(ROOT / "inventories", CATALOG), "xa-mau").site
    # Of rooms that are called by SIP test_sip_container tells.
    upstream = model.upstream.model_copy(update={"sip": None})
    site = model.model_copy(update={"authorities": (authority_of(anchor_of(province)),), "upstream": upstream})
    with booted(image_of_desks(request.param), f"video-{request.param}", ADDRESSES) as name:
        made = Screen(name=name, site=site)
        made.take(Kits(), request.param)
        made.sh(f"useradd -m -s /bin/sh {USER}")
        flags = 'export CHROMIUM_FLAGS="$CHROMIUM_FLAGS --use-fake-device-for-media-stream"'
        made.sh("cat >/etc/chromium.d/zz-generated-media", f"{flags}\n")
        made.sh(SCREEN)
        _web(made, province)
        yield made


@pytest.fixture(scope="module")
def room(screen: Screen) -> Screen:
    """The role applied as a room's: from here on nobody touches anything."""
    events = screen.run(ROOM)
    assert ended(events).status == "done", events[-3:]
    return screen


@pytest.fixture(scope="module")
def desk(room: Screen) -> Screen:
    """The same machine as a desk, after all that is asked of the room."""
    events = room.run(DESK)
    assert ended(events).status == "done", events[-3:]
    # What the role signing does at a desk.
    trust = json.dumps(chromium_policies(room.site))
    room.sh("cat >/etc/chromium/policies/managed/authority.json", trust)
    room.sh("systemd-run -q --uid=canbo --unit=screen Xvfb :7 -screen 0 1280x900x24 -nolisten tcp")
    until(lambda: bool(room.sh("test -e /tmp/.X11-unix/X7 && echo yes", check=False)), lambda: "no screen")
    return room


def test_again_changes_nothing(room: Screen) -> None:
    again = room.run(ROOM)
    assert [one.name for one in operations(again) if one.status != "unchanged"] == []
    assert (ended(again).changed, ended(again).failed) == (0, 0)


def test_its_own_checks_are_green(room: Screen) -> None:
    checks = [event for event in room.run(ROOM, "verify") if isinstance(event, CheckEnded)]
    assert {one.id: one.detail for one in checks if one.status != "passed"} == {}
    assert len([one for one in checks if ".test_" in one.id]) == 5


def test_chromium_knows_every_policy_that_it_is_told(room: Screen) -> None:
    told = [name for file in (tasks.POLICY, lobby.POLICY) for name in json.loads(room.sh(f"cat {file}"))]
    assert room.not_in("/usr/lib/chromium/chromium", told) == set()


def test_the_room_starts_into_its_lobby(room: Screen) -> None:
    until(lambda: LOBBY in room.titles(), lambda: (room.titles(), room.sh("journalctl -n 40")))
    # The lobby itself asks the service how far away it is.
    until(lambda: "/" in room.asked(SERVICE), lambda: room.asked(SERVICE))
    room.picture("lobby")


def test_one_button_leads_into_the_meeting(room: Screen) -> None:
    until(lambda: LOBBY in room.titles(), room.titles)
    room.forget()
    until(lambda: _joined(room), lambda: (room.asked(SERVICE), room.titles()))
    room.picture("meeting")


def test_a_browser_that_is_killed_is_back(room: Screen) -> None:
    room.forget()
    room.sh(f"pkill -o -u {lobby.USER} -x chromium")
    until(lambda: "/" in room.asked(SERVICE), room.titles, BACK_SECONDS)


def test_the_lobby_needs_no_line(room: Screen) -> None:
    room.sh("systemctl stop web")
    try:
        before = _first_browser(room)
        room.sh(f"kill {before}")
        # It may be back before anybody sees that it was gone.
        until(lambda: _first_browser(room) not in {"", before}, room.titles)
        until(lambda: LOBBY in room.titles(), room.titles)
        room.picture("lobby-without-line")
    finally:
        _serve(room)


def test_sound_is_as_the_inventory_has_it(room: Screen) -> None:
    """In the room's own session: programs take the devices without echo, at the levels asked for."""
    pactl = f"runuser -u {lobby.USER} -- env XDG_RUNTIME_DIR=/run/user/$(id -u {lobby.USER}) pactl"

    def said(words: str) -> str:
        return room.sh(f"{pactl} {words}", check=False)

    devices = ["lienxa.loudspeaker", "lienxa.microphone"]
    until(
        lambda: [said("get-default-sink").strip(), said("get-default-source").strip()] == devices,
        lambda: (said("info"), said("list short sinks"), said("list short sources")),
    )
    until(lambda: " 70% " in said("get-sink-volume @DEFAULT_SINK@"), lambda: said("list sinks"))
    until(lambda: " 80% " in said("get-source-volume @DEFAULT_SOURCE@"), lambda: said("list sources"))


def test_a_desk_has_no_lobby_any_more(desk: Screen) -> None:
    assert desk.sh(f"ls {' '.join(lobby.PLACED)} 2>/dev/null || true") == ""
    again = desk.run(DESK)
    assert [one.name for one in operations(again) if one.status != "unchanged"] == []


def test_the_program_of_the_menu_joins_without_a_question(desk: Screen) -> None:
    desk.forget()
    _browser(desk, "lienxa-meeting")
    until(lambda: JOINED in desk.asked(SERVICE), lambda: desk.asked(SERVICE))


def test_another_origin_gets_nothing(desk: Screen) -> None:
    desk.forget()
    _browser(desk, f"chromium https://{FOREIGN}/")
    until(lambda: any(one.startswith("/noi?") for one in desk.asked(FOREIGN)), lambda: desk.asked(FOREIGN))
    said = [one for one in desk.asked(FOREIGN) if one.startswith("/noi?")]
    assert said == ["/noi?Không mở được: NotAllowedError"]


def _first_browser(screen: Screen) -> str:
    """The process of the room's browser that all others come from; empty where there is none."""
    return screen.sh(f"pgrep -o -u {lobby.USER} -x chromium", check=False).strip()


def _joined(screen: Screen) -> bool:
    """Press the button that has the focus, and see whether it led into the meeting; a busy machine swallows keys."""
    if JOINED not in screen.asked(SERVICE):
        screen.in_the_room("xdotool key --delay 100 Return")
    deadline = time.monotonic() + 5
    while JOINED not in screen.asked(SERVICE) and time.monotonic() < deadline:
        time.sleep(0.3)
    return JOINED in screen.asked(SERVICE)


def _browser(screen: Screen, command: str) -> None:
    """Without a profile of before, at the desk of a person."""
    screen.sh(f"systemctl stop browser 2>/dev/null; rm -rf /home/{USER}/.config /home/{USER}/.cache", check=False)
    screen.sh("systemctl reset-failed browser 2>/dev/null || :")
    environment = f"--setenv=DISPLAY=:7 --setenv=LANGUAGE=vi --setenv=HOME=/home/{USER}"
    screen.sh(f"systemd-run -q --uid={USER} --unit=browser {environment} {command}")


def _web(screen: Screen, province: str) -> None:
    screen.sh("cat >/root/web.py", (Path(__file__).parent / "one_stop_web.py").read_text())
    screen.sh("cat >/root/page.html", (ROOT / "deploy/lab/files/meeting/index.html").read_text())
    for host, address in ADDRESSES.items():
        certificate = make_certificate((host,), province)
        screen.sh(f"umask 077; cat >/root/{host}.pem; ip addr add {address}/32 dev lo", certificate)
    _serve(screen)


def _serve(screen: Screen) -> None:
    served = " ".join(f"{address}=/root/{host}.pem" for host, address in ADDRESSES.items())
    screen.sh(
        "systemctl reset-failed web 2>/dev/null || :; :>/root/web.log; systemd-run -q --unit=web "
        f"--setenv=START_PAGE=/root/page.html python3 /root/web.py /root/web.log {served}"
    )
    until(lambda: "ready" in screen.sh("cat /root/web.log"), lambda: screen.sh("journalctl -u web"))
