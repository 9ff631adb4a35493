"""A meeting room that is called by SIP, in one container: the role applied by the real runner, Debian's baresip.

Kamailio stands for the province: TLS, a password for each account, calls handed on. Three more telephones stand for
its room systems; one of them does not encrypt, one has a picture. Sound goes through PipeWire with generated devices.
"""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from one_machine import SCREEN, booted, ended, image_of_desks, operations
from test_video_container import Screen, until
from tones import GENERATED_DEVICES, RATE, last_second, second_of, share_of

from deploy.fleet.kit import Kits
from deploy.inventory.authorities import authority_of
from deploy.inventory.certificates import anchor_of, make_authority, make_certificate
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import PortRange, Site, SiteSipService
from deploy.journal import CheckEnded, Event
from deploy.lab.layer import image_upon
from deploy.order import Order, RoleOrder
from deploy.site import CATALOG
from roles.video_client import SIP_PACKAGES, lobby, sip

pytestmark = pytest.mark.lab

ROOT = Path(__file__).parents[2]
PROVINCE = ("dnsmasq-base", "kamailio", "kamailio-tls-modules", "tcpdump")
"""Packages: who answers for the province's names, its registrar, and what looks at packets."""
ROOM, ACCOUNT, PASSWORD = "hop1", "phong-hop-xa-mau", "mat-khau-cua-phong-hop"
REGISTRAR, REGISTRAR_ADDRESS, HERE = "sip.gialai.gov.vn", "203.0.113.5", "203.0.113.4"
"""Of documentation (RFC 5737), on a bridge of the container's own without a port."""
OWN_TONE, PEER_TONE = 440, 1000
"""In hertz: what the room's microphone and the province's side hear all the time."""
KAMAILIO_MODULES = ("tls", "tm", "sl", "rr", "pv", "siputils", "usrloc", "registrar", "auth", "nathelper", "textops")
CONTROL = {"tinh": 14001, "khong-ma-hoa": 14002, "co-hinh": 14003}
"""Telephones of the province, by account: where each takes commands."""
SECRET = f"video_client.sip_{ACCOUNT}"
BELL = "Điện thoại phòng họp"
UDP = 17
INTERACTIVE_VIDEO = 0x88
"""The mark AF41 in an IP header's second byte."""
KAMAILIO = f"""\
log_stderror=yes
children=1
tcp_children=2
auto_aliases=no
alias="{REGISTRAR}"
enable_tls=yes
tcp_connection_lifetime=3605
listen=tls:{REGISTRAR_ADDRESS}:5061
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
{"".join(f'loadmodule "{module}.so"' + chr(10) for module in KAMAILIO_MODULES)}
modparam("tls", "config", "/root/tls.cfg")
modparam("usrloc", "db_mode", 0)
modparam("nathelper|registrar", "received_avp", "$avp(received)")
request_route {{
    force_rport();
    if (has_totag()) {{
        if (loose_route()) {{ handle_ruri_alias(); t_relay(); exit; }}
        if (is_method("ACK") && t_check_trans()) t_relay();
        exit;
    }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    $var(password) = "of-" + $fU;
    if ($fU == "{ACCOUNT}") $var(password) = "{PASSWORD}";
    if (!pv_auth_check("{REGISTRAR}", "$var(password)", "0", "0")) {{ auth_challenge("{REGISTRAR}", "0"); exit; }}
    consume_credentials();
    # As every registrar outside a commune has to: calls come by the connection that the room has opened.
    if (is_method("REGISTER")) {{ fix_nated_register(); save("location"); exit; }}
    add_contact_alias();
    record_route();
    if (!lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_relay();
}}
onreply_route {{ add_contact_alias(); }}
"""
TLS = """\
[server:default]
method = TLSv1.2+
verify_certificate = no
require_certificate = no
private_key = /root/registrar.pem
certificate = /root/registrar.pem
[client:default]
verify_certificate = no
require_certificate = no
"""
TELEPHONE = f"""\
sip_cafile /root/anchor.pem
audio_source ausine,{PEER_TONE}
ausrc_srate 48000
ausrc_channels 2
audio_player aubridge,{{account}}
audio_alert aubridge,{{account}}-rings
rtp_ports 30000-30999
module_path /usr/lib/baresip/modules
module g711.so
module ausine.so
module aubridge.so
module sndfile.so
module srtp.so
snd_path /root/{{account}}/heard
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{{port}}
"""
PICTURE = """\
module avcodec.so
module swscale.so
module fakevideo.so
video_source fakevideo
video_display fakevideo
video_size 640x480
video_fps 10
"""
ASK = """\
import json, socket, sys
port, command, *words = sys.argv[1:]
message = json.dumps({"command": command, "params": words[0]} if words else {"command": command}).encode()
with socket.create_connection(("127.0.0.1", int(port)), 10) as link:
    link.sendall(b"%d:%s," % (len(message), message))
    text = b""
    while True:
        length, colon, rest = text.partition(b":")
        if not colon or len(rest) <= int(length):
            received = link.recv(65536)
            if not received:
                sys.exit("it hung up")
            text += received
            continue
        told, text = json.loads(rest[: int(length)]), rest[int(length) + 1 :]
        if told.get("response"):
            print(told["data"])
            break
"""


@dataclass(frozen=True)
class Packet:
    """Of sound, as somebody on the way sees it."""

    mark: int
    law: int
    payload: bytes


@dataclass(kw_only=True)
class Room(Screen):
    """The container, with the kit in it."""

    release: str
    province: str
    """Key and certificate of the province's authority."""

    def apply(
        self, *, password: str = PASSWORD, site: Site | None = None, answer: Literal["ask", "auto"] = "ask"
    ) -> list[Event]:
        """The role with this password; it has to succeed."""
        events = self.carry_out(self.order(site or self.site, password, answer))
        assert ended(events).status == "done", events[-3:]
        return events

    def checks(self) -> dict[str, CheckEnded]:
        """What the role says of itself, by the name of the check."""
        events = self.carry_out(self.order(self.site, PASSWORD, "ask"), "verify")
        checks = [event for event in events if isinstance(event, CheckEnded)]
        return {re.sub(r".*\.(test_\w+).*", r"\1", check.id): check for check in checks}

    def order(self, site: Site, password: str, answer: str) -> Order:
        # Echo cancellation would take a steady tone for noise.
        devices = {"echo_cancellation": False, "microphone": "test.microphone", "loudspeaker": "test.speaker"}
        options = {**devices, "sip_answer": answer}
        role = RoleOrder(name="video_client", options=options)
        return Order(machine=ROOM, site=site, roles=(role,), secrets={SECRET: password})

    def phone(self, words: str) -> str:
        """What the room's telephone says to who asks it."""
        return self.sh(f"lienxa-sip {words} 2>&1", check=False)

    def peer(self, account: str, command: str, words: str = "") -> str:
        """The same of one of the province's."""
        return self.sh(f"python3 /root/ask.py {CONTROL[account]} {command} {words}", check=False)

    def registered(self) -> bool:
        return self.phone("status").startswith("registered")

    def wait_until_registered(self) -> None:
        until(self.registered, lambda: (self.phone("status"), self.sh("journalctl -u lienxa-sip -n 30 -o cat")))

    def as_room(self, command: str) -> str:
        """In the room's own session."""
        user = f"runuser -u {lobby.USER} -- env XDG_RUNTIME_DIR=/run/user/$(id -u {lobby.USER})"
        return self.sh(f"{user} {command}", check=False)


@pytest.fixture(scope="module", params=["13", "12"], ids=["debian13", "debian12"])
def made(request: pytest.FixtureRequest) -> Iterator[Room]:
    province = make_authority(("gialai.gov.vn",))
    service = SiteSipService(
        title="Hội nghị truyền hình tỉnh Gia Lai",
        registrar=REGISTRAR,
        transport="tls",
        media=(PortRange(first=30000, last=30999),),
        srtp="mandatory",
    )
    model = resolve(load(ROOT / "inventories", CATALOG), "xa-mau").site
    machines = (one.model_copy(update={"sip": ACCOUNT if one.name == ROOM else None}) for one in model.machines)
    site = model.model_copy(
        update={
            "authorities": (authority_of(anchor_of(province)),),
            "machines": tuple(machines),
            "upstream": model.upstream.model_copy(update={"sip": service}),
        }
    )
    image = image_upon(image_of_desks(request.param), f"sip-{request.param}", (*SIP_PACKAGES, *PROVINCE))
    with booted(image, f"sip-{request.param}") as name:
        room = Room(name=name, site=site, release=request.param, province=province)
        room.take(Kits(), request.param)
        room.sh(SCREEN)
        generate_devices(room)
        begin_province(room, province)
        yield room


@pytest.fixture(scope="module")
def room(made: Room) -> Room:
    """The role applied: from here on nobody touches anything."""
    made.apply()
    until(lambda: "lienxa-sip bell" in made.sh("ps -eo args"), lambda: made.sh("journalctl -n 40"))
    made.wait_until_registered()
    play_in_the_hall(made)
    return made


def generate_devices(room: Room) -> None:
    """A microphone in a hall, and a loudspeaker that nobody hears."""
    folder = "/etc/pipewire/pipewire.conf.d"
    room.sh(f"mkdir -p {folder}; cat >{folder}/zz-generated-media.conf", GENERATED_DEVICES)


def play_in_the_hall(room: Room) -> None:
    """A tone, for as long as the test takes."""
    room.sh("cat >/var/tmp/tone.raw", second_of(OWN_TONE))
    play = f"pacat --playback --device=test.hall --rate={RATE} --channels=1 --format=s16le"
    runtime = f"XDG_RUNTIME_DIR=/run/user/$(id -u {lobby.USER})"
    room.sh(
        f"systemd-run -q --unit=tone --uid={lobby.USER} -p Restart=always -p RestartSec=1 -p StartLimitIntervalSec=0 "
        f"--setenv={runtime} sh -c 'while cat /var/tmp/tone.raw; do :; done | {play}'"
    )


def begin_province(room: Room, authority: str) -> None:
    """Addresses, names, the registrar and the two telephones behind it."""
    room.sh(f"ip link add province type bridge; ip address add {HERE}/24 dev province; ip link set province up")
    room.sh(f"ip address add {REGISTRAR_ADDRESS}/24 dev province")
    room.sh(
        f"systemd-run -q --unit=names dnsmasq --keep-in-foreground --no-resolv --no-hosts --bind-interfaces "
        f"--listen-address=127.0.0.1 --address=/{REGISTRAR}/{REGISTRAR_ADDRESS}; "
        "rm -f /etc/resolv.conf; echo nameserver 127.0.0.1 >/etc/resolv.conf"
    )
    # The one that its package starts has another configuration.
    room.sh("systemctl disable -q --now kamailio")
    believe(room, make_certificate((REGISTRAR,), authority))
    room.sh("cat >/root/kamailio.cfg", KAMAILIO)
    room.sh("cat >/root/tls.cfg", TLS)
    begin_registrar(room)
    room.sh("cat >/root/ask.py", ASK)
    room.sh("cat >/root/anchor.pem", anchor_of(authority))
    begin_telephone(room, "tinh")
    begin_telephone(room, "khong-ma-hoa", encrypts=False)
    begin_telephone(room, "co-hinh", also=PICTURE)


def believe(room: Room, certificate: str) -> None:
    """What the registrar shows to who comes."""
    room.sh("umask 077; cat >/root/registrar.pem; chown kamailio /root/registrar.pem; chmod 711 /root", certificate)


def begin_registrar(room: Room) -> None:
    room.sh(
        "systemctl reset-failed registrar 2>/dev/null || :; "
        "systemd-run -q --unit=registrar kamailio -f /root/kamailio.cfg -DD -E -m 32 -M 4"
    )
    until(lambda: "5061" in room.sh("ss -Hltn"), lambda: room.sh("journalctl -u registrar -n 40 -o cat"))


def begin_telephone(room: Room, account: str, *, encrypts: bool = True, also: str = "") -> None:
    """One that answers by itself and plays a tone; what it hears is written down."""
    folder = f"/root/{account}"
    told = TELEPHONE.format(account=account, port=CONTROL[account]) + also
    room.sh(f"mkdir -p {folder}/heard; cat >{folder}/config", told)
    security = ";mediaenc=srtp-mand" if encrypts else ""
    line = f"<sip:{account}@{REGISTRAR};transport=tls>;auth_pass=of-{account};regint=60;answermode=auto{security}\n"
    room.sh(f"cat >{folder}/accounts", line)
    room.sh(f"systemd-run -q --unit=phone-{account} --setenv=OPENSSL_CONF=/dev/null baresip -f {folder}")
    wait_until_registered(room, account)


def wait_until_registered(room: Room, account: str) -> None:
    until(
        lambda: "OK" in room.peer(account, "reginfo"),
        lambda: room.sh(f"journalctl -u phone-{account} -n 40 -o cat"),
    )


def hang_up(room: Room) -> None:
    """Every call of before."""
    room.phone("hang-up")
    for account in CONTROL:
        room.peer(account, "hangup")
    until(lambda: not speaks(room), lambda: room.phone("status"))


def speaks(room: Room) -> str:
    """With whom the room speaks, `ESTABLISHED tinh@…`; empty where it does not."""
    return "\n".join(room.phone("status").splitlines()[1:])


def heard_by_peer(room: Room, account: str) -> float:
    """How much of the last second is the room's tone."""
    dumps = room.sh(f"ls -t /root/{account}/heard/*-dec.wav 2>/dev/null || true").split()
    if not dumps:
        return 0.0
    raw = room.read(dumps[0])
    channels, rate = struct.unpack_from("<HI", raw, 22)
    return share_of(OWN_TONE, last_second(raw[44:], rate, channels), rate)


def heard_in_room(room: Room) -> float:
    """The same of the province's, at the room's loudspeaker."""
    record = f"parec --latency-msec=50 --device=test.speaker.monitor --rate={RATE} --channels=1 --format=s16le"
    room.as_room(f"sh -c 'timeout 3 {record} >/tmp/heard.raw'")
    return share_of(PEER_TONE, last_second(room.read("/tmp/heard.raw"), RATE), RATE)


@contextmanager
def watched(room: Room) -> Iterator[list[Packet]]:
    """What the room sends to the province's ports for sound meanwhile; filled in at the end."""
    packets: list[Packet] = []
    room.sh("rm -f /root/call.pcap; systemd-run -q --unit=watch tcpdump -Z root -U -ni lo -w /root/call.pcap udp")
    until(lambda: bool(room.sh("ls /root/call.pcap 2>/dev/null || true")), lambda: room.sh("journalctl -u watch"))
    try:
        yield packets
    finally:
        room.sh("systemctl stop watch")
    packets += sound_of(room.read("/root/call.pcap"))


def sound_of(capture: bytes) -> Iterator[Packet]:
    """G.711 in RTP (RFC 3551: payload types 0 and 8) to the province's ports, from frames that tcpdump wrote."""
    at = 24
    while at + 16 <= len(capture):
        (length,) = struct.unpack_from("<I", capture, at + 8)
        frame, at = capture[at + 16 : at + 16 + length], at + 16 + length
        if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != UDP:
            continue
        (port,) = struct.unpack_from("!H", frame, 36)
        rtp = frame[42:]
        if port in range(30000, 31000) and rtp[0] >> 6 == 2 and rtp[1] & 0x7F in {0, 8}:
            yield Packet(mark=frame[15], law=rtp[1] & 0x7F, payload=rtp[12:172])


def tone_on_the_wire(packets: Sequence[Packet]) -> float:
    """What somebody on the way makes of it who takes it for clear sound."""
    samples = tuple(clear(packet.law, byte) for packet in packets for byte in packet.payload)
    return share_of(OWN_TONE, samples[-8000:], 8000)


def clear(law: int, byte: int) -> int:
    """A sample of G.711: payload type 0 is µ-law, 8 A-law."""
    value = byte ^ (0xFF if law == 0 else 0x55)
    exponent, mantissa = value >> 4 & 7, value & 15
    if law == 0:
        size = ((mantissa << 3) + 132 << exponent) - 132
        return -size if value & 0x80 else size
    size = (mantissa << 4) + 8 if exponent == 0 else (mantissa << 4) + 264 << exponent - 1
    return size if value & 0x80 else -size


def test_again_changes_nothing(room: Room) -> None:
    again = room.apply()
    assert [one.name for one in operations(again) if one.status != "unchanged"] == []


def test_its_own_checks_are_green(room: Room) -> None:
    # Nobody answers for the service of meetings here, and there is no echo cancellation.
    elsewhere = ("test_service_answers", "test_echo_room_answers")
    checks = {name: check for name, check in room.checks().items() if name not in elsewhere}
    assert "test_room_is_registered" in checks
    assert {name: check.detail for name, check in checks.items() if check.status != "passed"} == {}


def test_it_answers_everybody_who_asks_at_the_same_time(room: Room) -> None:
    """The bell, a check, an engineer."""
    asking = "for turn in 1 2 3 4 5; do lienxa-sip status 2>&1; done"
    said = room.sh(f"for one in 1 2 3 4; do ({asking}) & done; wait").splitlines()
    assert said == [f"registered at {REGISTRAR}"] * 20


def test_nobody_but_the_room_reads_the_password(room: Room) -> None:
    assert room.sh(f"stat -c '%U %a' {sip.ACCOUNTS}").split() == [lobby.USER, "600"]
    places = "/etc /usr/local /var/log /var/lib/lienxa /tmp"
    found = room.sh(f"grep -rlF {PASSWORD} {places} || true; grep -lF {PASSWORD} /proc/[0-9]*/cmdline || true")
    assert [path for path in found.split() if not path.startswith("/proc")] == [sip.ACCOUNTS]


def test_the_room_calls_and_both_hear_each_other_and_nobody_else(room: Room) -> None:
    with watched(room) as packets:
        call_and_listen(room, "tinh")
    assert len(packets) > 100
    assert {packet.mark for packet in packets} == {INTERACTIVE_VIDEO}
    assert tone_on_the_wire(packets) < 0.1


def call_and_listen(room: Room, account: str) -> None:
    """Until both have heard the other's tone."""
    room.sh(f"rm -f /root/{account}/heard/*")
    room.phone(f"call sip:{account}@{REGISTRAR}")
    try:
        until(
            lambda: speaks(room).startswith(f"ESTABLISHED {account}@"),
            lambda: room.sh("journalctl -u lienxa-sip -n 60 -o cat"),
        )
        until(lambda: heard_in_room(room) > 0.8, lambda: (heard_in_room(room), room.as_room("wpctl status")))
        until(lambda: heard_by_peer(room, account) > 0.8, lambda: (heard_by_peer(room, account),))
    finally:
        hang_up(room)


def test_the_room_sees_a_picture_on_its_screen(room: Room) -> None:
    def frames() -> int:
        shown = room.sh(f"python3 /root/ask.py {sip.CONTROL_PORT} video_debug", check=False)
        found = re.search(r"vidisp: x11 .*frames=(\d+)", shown)
        return int(found[1]) if found else 0

    room.phone(f"call sip:co-hinh@{REGISTRAR}")
    try:
        until(lambda: frames() > 20, lambda: room.sh("journalctl -u lienxa-sip -n 60 -o cat"))
        room.picture("sip-picture")
    finally:
        hang_up(room)


def test_who_does_not_encrypt_is_refused_whoever_calls(room: Room) -> None:
    room.peer("khong-ma-hoa", "dial", f"sip:{ACCOUNT}@{REGISTRAR}")
    refused = "session closed: 488"
    until(lambda: refused in room.sh("journalctl -u phone-khong-ma-hoa -o cat"), lambda: room.phone("status"))
    room.phone(f"call sip:khong-ma-hoa@{REGISTRAR}")
    until(lambda: refused in room.sh("journalctl -u lienxa-sip -o cat"), lambda: room.phone("status"))
    assert speaks(room) == ""


def test_it_rings_on_the_screen_and_nobody_hears_the_room_before_it_is_answered(room: Room) -> None:
    room.peer("tinh", "dial", f"sip:{ACCOUNT}@{REGISTRAR}")
    try:
        until(lambda: BELL in room.titles(), lambda: (room.titles(), room.phone("status")))
        room.picture("sip-call")
        assert speaks(room).startswith("INCOMING tinh@")
        until(lambda: pressed(room, "Return").startswith("ESTABLISHED tinh@"), lambda: room.phone("status"))
        until(lambda: pressed(room, "Escape") == "", lambda: room.phone("status"))
        until(lambda: BELL not in room.titles(), room.titles)
    finally:
        hang_up(room)


def pressed(room: Room, key: str) -> str:
    """What comes of that key, a while later; a busy machine swallows keys."""
    room.in_the_room(f"xdotool key --delay 100 {key}")
    before = speaks(room)
    deadline = time.monotonic() + 5
    while speaks(room) == before and time.monotonic() < deadline:
        time.sleep(0.3)
    return speaks(room)


def test_a_registrar_that_nobody_vouches_for_gets_no_password(room: Room) -> None:
    shown(room, make_certificate((REGISTRAR,), make_authority(("example.vn",))))
    until(lambda: "no answer" in room.phone("status"), lambda: room.phone("status"))
    assert "Protocol error" in room.sh("journalctl -u lienxa-sip -n 20 -o cat")


def test_nor_one_with_another_s_certificate(room: Room) -> None:
    """The baresip of Debian 12 does not look at the name: docs/meetings.md says so."""
    shown(room, make_certificate(("khac.gialai.gov.vn",), room.province))
    wanted = "registered" if room.release == "12" else "no answer"
    until(lambda: room.phone("status").startswith(wanted), lambda: room.phone("status"))


def test_a_telephone_that_nobody_answers_begins_anew(room: Room) -> None:
    shown(room, make_certificate((REGISTRAR,), room.province))
    room.wait_until_registered()
    room.sh("systemctl stop registrar; systemctl restart lienxa-sip")
    try:
        began = room.sh("systemctl show -P MainPID lienxa-sip")
        until(lambda: room.sh("systemctl show -P MainPID lienxa-sip") != began, lambda: room.phone("status"), 150)
    finally:
        begin_registrar(room)
        register_again(room)
    room.wait_until_registered()


def register_again(room: Room) -> None:
    """The province's telephones, at a registrar that began anew and knows nobody."""
    for account in CONTROL:
        room.sh(f"systemctl restart phone-{account}")
        wait_until_registered(room, account)


def shown(room: Room, certificate: str) -> None:
    """The registrar begins anew with this certificate, and the telephone looks at it."""
    believe(room, certificate)
    room.sh("systemctl stop registrar")
    begin_registrar(room)
    room.sh("systemctl restart lienxa-sip")


def test_a_wrong_password_is_said(room: Room) -> None:
    room.apply(password="sai")
    check = room.checks()["test_room_is_registered"]
    assert check.status == "failed"
    assert "refused to register" in check.detail
    assert "401" in check.detail
    assert f"lienxa secrets set xa-mau {SECRET}" in check.next_step


def test_a_password_that_baresip_cannot_have_is_refused(room: Room) -> None:
    events = room.carry_out(room.order(room.site, "mat khau;regint=0", "ask"))
    assert ended(events).status == "failed"
    (wrong,) = (one for one in operations(events) if one.status == "failed")
    assert wrong.name == f"Place {sip.ACCOUNTS}"
    assert wrong.error is not None
    assert "refused by its own checker" in wrong.error.message
    assert "mat khau" not in wrong.model_dump_json()


def test_told_so_it_takes_every_call_at_once(room: Room) -> None:
    room.apply(answer="auto")
    room.wait_until_registered()
    room.peer("tinh", "dial", f"sip:{ACCOUNT}@{REGISTRAR}")
    try:
        until(lambda: speaks(room).startswith("ESTABLISHED tinh@"), lambda: room.phone("status"))
    finally:
        hang_up(room)


def test_without_srtp_what_is_said_is_heard_on_the_way(room: Room) -> None:
    """That the province wants it so; and that we would have heard it above."""
    service = room.site.upstream.sip
    assert service is not None
    in_clear = room.site.upstream.model_copy(update={"sip": service.model_copy(update={"srtp": "off"})})
    room.apply(site=room.site.model_copy(update={"upstream": in_clear}))
    room.wait_until_registered()
    with watched(room) as packets:
        call_and_listen(room, "khong-ma-hoa")
    assert tone_on_the_wire(packets) > 0.8


def test_without_an_account_the_telephone_is_gone_and_the_lobby_stays(room: Room) -> None:
    without = (one.model_copy(update={"sip": None}) for one in room.site.machines)
    site = room.site.model_copy(update={"machines": tuple(without)})
    room.apply(site=site)
    assert room.sh(f"ls -d {' '.join(sip.PLACED)} {sip.FOLDER} 2>/dev/null || true") == ""
    assert room.sh(f"pgrep -u {lobby.USER} baresip || true") == ""
    until(lambda: "lienxa-sip" not in room.sh("ps -eo args"), lambda: room.sh("ps -eo args"))
    assert room.sh(f"ls {lobby.PAGE}").strip() == lobby.PAGE
    assert [one.name for one in operations(room.apply(site=site)) if one.status != "unchanged"] == []
