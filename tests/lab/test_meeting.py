"""A meeting by video, told in order: a room calls itself, sees a desk, goes round a wall, and bears a full line.

A small commune: the gateway, one room, and one desk in another zone. tinh is the province's service (Janus, coturn);
between them is the carrier's box, which holds a second of packets. All figures are those of `lienxa call-test`: the
room's own Chromium under the role's policies, through the gateway's NAT and firewall.
"""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import yaml
from province import Province, Said, province_of
from tones import GENERATED_DEVICES, RATE, last_second, second_of, share_of

from deploy import lab
from deploy.lab.sip_world import ECHO
from roles.video_client.lobby import USER

pytestmark = pytest.mark.lab

SLUG, NAME = "xa-goi", "Xã Gọi"
DEBIAN = os.environ.get("LIENXA_TEST_DEBIAN", "13")
ROOM, DESK, GATEWAY, TINH = "hop1", "vp01", "gw1", "tinh"
LINE = {"down": "8mbit", "up": "4mbit"}
"""Slow enough that two processors fill it and make a call at once."""
BEGIN_SECONDS = 5.0
MOST_LOST = 1.0
"""Percent."""
REGISTRAR = "sip.gialai.gov.vn"
TONE = 440
"""In hertz."""
PATIENCE = 60.0
"""Seconds."""
MOST_LATER = 150.0
"""ms by which a call's round trip may grow on a full line."""
QUIET, FULL, LONG = "0.2", "0.3", "0.6"
"""Minutes."""
MOST_STILL = 10.0
"""Seconds without a new picture where the line dies: the gateway's failover and what the page needs."""
FEWEST_FRAMES = 10.0
"""A second, over the whole of such a call, of the 20 that are sent."""
RETURN_SECONDS = 5


@dataclass(frozen=True)
class Meeting:
    """The commune, and the calls that are made there."""

    province: Province

    def said(self, *words: str, code: int | None = None) -> Said:
        """What call-test answered; whether each limit was met is not the matter here, unless `code` says so."""
        return self.province.say("call-test", SLUG, "--lab", "--json", *words, code=code)

    def calls(self, *machines: str, words: tuple[str, ...] = (), minutes: str = QUIET) -> list[dict[str, Any]]:
        """The figures of each machine's call."""
        named = [word for machine in machines for word in ("--machine", machine)]
        said = self.said(*named, "--minutes", minutes, *words)
        calls = said.of("call")
        assert sorted(call["machine"] for call in calls) == sorted(machines), said.of("check", status="failed")
        return calls

    def call(self, *words: str, minutes: str = QUIET) -> dict[str, Any]:
        """The room's."""
        (call,) = self.calls(ROOM, words=words, minutes=minutes)
        return call

    def packets(self, machine: str, table: str, comment: str) -> int:
        """How many a rule has counted."""
        shown = json.loads(self.province.on(machine, "nft", "-j", "list", "table", "inet", table))
        rules = (one["rule"] for one in shown["nftables"] if "rule" in one)
        (rule,) = (rule for rule in rules if rule.get("comment") == comment)
        return sum(part["counter"]["packets"] for part in rule["expr"] if "counter" in part)


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Meeting]:
    province = province_of(tmp_path_factory.mktemp("province") / "inventories", SLUG, NAME)
    _small(province)
    lab.down(SLUG)
    try:
        province.say("lab", "up", SLUG, "--debian", DEBIAN, "--prepared")
        province.lienxa("apply")
        yield Meeting(province)
    finally:
        lab.down(SLUG)


@dataclass(frozen=True)
class Marked:
    """A call on a quiet line, and the packets counted meanwhile."""

    call: dict[str, Any]
    by_machine: int
    """Those that came to the gateway with their mark."""
    arrived: int
    """Those that came to tinh with it."""
    arrived_without: int


@pytest.fixture(scope="module")
def quiet(meeting: Meeting) -> Marked:
    marked = "marked by its machine"
    counted = "iifname up0 ip protocol udp udp dport { 3478, 10000-20000 } ip dscp"
    meeting.province.on(TINH, "nft", f"""
        table inet test_marks {{ chain arriving {{ type filter hook prerouting priority 0;
            {counted} af41 counter comment "with"
            {counted} != af41 counter comment "without"
            {counted.replace("up0", "up1")} af41 counter comment "by the other line"
        }}; }}""")  # fmt: skip
    before = meeting.packets(GATEWAY, "lienxa", marked)
    call = meeting.call()
    with_, without = (meeting.packets(TINH, "test_marks", comment) for comment in ("with", "without"))
    return Marked(call, meeting.packets(GATEWAY, "lienxa", marked) - before, with_, without)


def test_media_flows_both_ways_at_once(quiet: Marked) -> None:
    call = quiet.call
    assert call["begun_seconds"] <= BEGIN_SECONDS, call
    for way in ("up", "down"):
        assert call[way]["packets"] > 100, call
        assert call[way]["frames_per_second"] > 0, call
        assert call[way]["lost_percent"] < MOST_LOST, call
    assert (call["path"]["protocol"], call["generated"], call["loaded"]) == ("udp", True, False)


def test_its_packets_carry_the_mark(quiet: Marked) -> None:
    sent = quiet.call["up"]["packets"]
    assert quiet.by_machine > sent
    assert quiet.arrived > sent
    assert quiet.arrived_without == 0


def test_a_room_and_a_desk_see_each_other(meeting: Meeting) -> None:
    """The same test sent into the meeting itself: who is there sees the others, and never themselves."""
    with _edited(meeting, "echo: https://hop.gialai.gov.vn/thu", "echo: https://hop.gialai.gov.vn/"):
        calls = meeting.calls(ROOM, DESK)
    for call in calls:
        assert call["down"]["frames_per_second"] > 0, calls
        assert call["up"]["frames_per_second"] > 0, calls


def test_where_udp_is_blocked_it_goes_by_turn_over_tls(meeting: Meeting) -> None:
    block = "table inet test_block { chain way { type filter hook prerouting priority -300; iifname up0 udp dport "
    meeting.province.on(TINH, "nft", block + "{ 3478, 10000-20000 } drop; }; }")
    try:
        call = meeting.call()
    finally:
        meeting.province.on(TINH, "nft", "delete", "table", "inet", "test_block")
    assert (call["path"]["local"], call["path"]["protocol"]) == ("relay", "tls"), call
    assert call["up"]["frames_per_second"] > 0, call
    assert call["down"]["frames_per_second"] > 0, call
    assert call["verdict"] != "good"


def test_a_call_holds_on_a_full_line_and_without_us_it_does_not(meeting: Meeting, quiet: Marked) -> None:
    ours = meeting.call("--load", minutes=FULL)
    meeting.province.on(GATEWAY, "systemctl", "stop", "lienxa-shaping")
    try:
        without = meeting.call("--load", minutes=FULL)
    finally:
        meeting.province.on(GATEWAY, "systemctl", "start", "lienxa-shaping")
    assert (ours["loaded"], without["loaded"]) == (True, True)
    before = quiet.call["round_trip_ms"]
    assert _lost(ours) < MOST_LOST, (quiet, ours)
    assert ours["round_trip_ms"] - before < MOST_LATER, (quiet, ours)
    later = without["round_trip_ms"] - before
    assert later > MOST_LATER or _lost(without) > MOST_LOST, (quiet, without)


def test_a_call_goes_on_by_the_other_line(meeting: Meeting, quiet: Marked) -> None:
    """The first goes dumb in the middle of it, for good.

    The gateway moves what the room says, marked as before; the service's page finds its way by ICE restart.
    """
    first, second = (meeting.packets(TINH, "test_marks", line) for line in ("with", "by the other line"))
    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(meeting.call, minutes=LONG)
        until(lambda: meeting.packets(TINH, "test_marks", "with") > first + 200, lambda: "no media flows")
        with _dumb(meeting, "up0"):
            until(
                lambda: meeting.packets(TINH, "test_marks", "by the other line") > second + 100,
                lambda: (_in_use(meeting), meeting.province.on(GATEWAY, "conntrack", "-L", "-p", "udp")),
            )
            assert _in_use(meeting) == "backup"
            call = calling.result()
    for way in ("up", "down"):
        assert call[way]["frozen_seconds"] < MOST_STILL, call
        assert call[way]["frames_per_second"] > FEWEST_FRAMES, call
    until(lambda: _in_use(meeting) == "fibre", lambda: _in_use(meeting))


def _in_use(meeting: Meeting) -> str:
    found = json.loads(meeting.province.on(GATEWAY, "cat", "/run/lienxa/lines.json"))["in_use"]
    assert isinstance(found, str)
    return found


@contextmanager
def _dumb(meeting: Meeting, line: str) -> Iterator[None]:
    """Beyond the carrier nobody answers on this line, and nothing comes by it."""
    chains = [
        f"chain {hook} {{ type filter hook {hook} priority -300; {way} {line} drop; }};"
        for hook, way in (("prerouting", "iifname"), ("output", "oifname"), ("forward", "oifname"))
    ]
    meeting.province.on(TINH, "nft", f"table inet test_dumb {{ {' '.join(chains)} }}")
    try:
        yield
    finally:
        meeting.province.on(TINH, "nft", "delete", "table", "inet", "test_dumb")


def test_a_line_without_a_way_of_its_own_is_named(meeting: Meeting) -> None:
    """As where the carrier gives no address: what the other line needs stands nowhere until it is wanted."""
    assert meeting.province.lienxa("verify", "--role", "network").summary["failed"] == 0
    meeting.province.on(GATEWAY, "ip", "route", "flush", "table", "1001")
    try:
        said = meeting.province.lienxa("verify", "--machine", GATEWAY, "--role", "network", code=1)
    finally:
        meeting.province.on(GATEWAY, "networkctl", "reconfigure", "wan1")
    assert [line["sentence"] for line in said.of("check", status="failed")] == [
        "gw1 knows where the line backup leads to, also while another one is used."
    ]


def test_no_media_at_all_is_said(meeting: Meeting) -> None:
    meeting.province.on(TINH, "systemctl", "stop", "lienxa-janus")
    try:
        said = meeting.said("--machine", ROOM, "--minutes", QUIET, code=1)
    finally:
        meeting.province.on(TINH, "systemctl", "start", "lienxa-janus")
    (check,) = said.of("check")
    assert (check["id"], check["status"]) == ("call.media", "failed")
    assert "https://hop.gialai.gov.vn/thu" in check["next_step"]


@pytest.fixture
def hall(meeting: Meeting) -> Iterator[Callable[[str], str]]:
    """A tone in the room, through devices that PipeWire makes up. Gives the shell of the room's own account."""
    on = meeting.province.on
    user = on(ROOM, "id", "-u", USER).strip()
    devices, tone = "/etc/pipewire/pipewire.conf.d/zz-generated-media.conf", "/var/tmp/tone.raw"

    def as_room(script: str) -> str:
        environment = ("env", f"XDG_RUNTIME_DIR=/run/user/{user}")
        return on(ROOM, "runuser", "-u", USER, "--", *environment, "sh", "-c", script)

    on(ROOM, "sh", "-ec", f"mkdir -p $(dirname {devices}); cat >{devices}", given=GENERATED_DEVICES)
    on(ROOM, "sh", "-ec", f"base64 -d >{tone}", given=base64.b64encode(second_of(TONE)).decode())
    on(ROOM, "loginctl", "enable-linger", USER)
    try:
        until(
            lambda: "test.microphone" in as_room("pactl list short sources 2>&1 || :"),
            lambda: as_room("wpctl status"),
        )
        as_room("pactl set-default-source test.microphone; pactl set-default-sink test.speaker")
        play = f"pacat --playback --device=test.hall --rate={RATE} --channels=1 --format=s16le"
        unit = ("systemd-run", "-q", "--unit=tone", f"--uid={USER}", f"--setenv=XDG_RUNTIME_DIR=/run/user/{user}")
        on(ROOM, *unit, "sh", "-c", f"while cat {tone}; do :; done | {play}")
        on(ROOM, "systemctl", "restart", "lienxa-sip")
        yield as_room
    finally:
        on(ROOM, "sh", "-c", f"systemctl stop tone; loginctl disable-linger {USER}; rm -f {devices} {tone}")


def test_a_room_hears_itself_by_sip(meeting: Meeting, hall: Callable[[str], str]) -> None:
    """Registered over TLS; sound by SRTP through the gateway's NAT and firewall, to the province and back."""

    def phone(words: str) -> str:
        return hall(f"lienxa-sip {words} 2>&1 || :")

    def heard() -> float:
        record = f"timeout 3 parec --device=test.speaker.monitor --rate={RATE} --channels=1 --format=s16le"
        return share_of(TONE, last_second(base64.b64decode(hall(f"{record} | base64 -w0")), RATE), RATE)

    def log() -> str:
        return meeting.province.on(ROOM, "journalctl", "-u", "lienxa-sip", "-n", "60", "-o", "cat")

    until(lambda: phone("status").startswith("registered"), log)
    assert heard() < 0.1
    phone(f"call sip:{ECHO}@{REGISTRAR}")
    try:
        until(lambda: f"ESTABLISHED {ECHO}@" in phone("status"), log)
        until(lambda: heard() > 0.8, lambda: (heard(), log()))
    finally:
        phone("hang-up")


def until(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    """Wait for it, and fail with what there is instead."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.5)


def test_nothing_is_left_of_a_browser(meeting: Meeting) -> None:
    for machine in (ROOM, DESK):
        left = meeting.province.on(machine, "sh", "-c", "ls -d /run/lienxa-call /run/lienxa/*.d 2>/dev/null || :")
        assert left == ""
        units = meeting.province.on(
            machine, "systemctl", "list-units", "--all", "--plain", "--no-legend", "lienxa-call*"
        )
        assert units == ""


def _lost(call: dict[str, Any]) -> float:
    return max(call["up"]["lost_percent"], call["down"]["lost_percent"])


@contextmanager
def _edited(meeting: Meeting, old: str, new: str) -> Iterator[None]:
    file = meeting.province.folder / "province.yaml"
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))
    try:
        yield
    finally:
        file.write_text(text)


def _small(province: Province) -> None:
    """The model commune with nothing but a gateway, a room and a desk, and a second line."""
    content = yaml.safe_load(province.file.read_text())
    content["machines"] = {name: content["machines"][name] for name in (GATEWAY, DESK, ROOM)}
    content["people"] = []
    content["options"] = {"network": {"line_return_seconds": RETURN_SECONDS}}
    content["uplinks"][0] |= LINE
    content["uplinks"].append({"name": "backup", "interface": "wan1", "address": "dhcp", **LINE})
    content["machines"][GATEWAY]["ports"]["wan1"] = "uplink"
    del content["services"]
    province.file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    (province.folder / SLUG / "addresses.yaml").unlink(missing_ok=True)
