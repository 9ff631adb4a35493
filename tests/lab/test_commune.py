"""A commune's life, told in order with the command itself: rehearsed, applied, proved, broken, healed, grown.

The commune is the model commune under another name, so that a demo which is up is left alone.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from province import MODEL, Province, Said, province_of

from deploy import lab
from deploy.inventory.role import TRUST_ANCHOR
from roles.mail_client.tasks import POLICIES
from roles.one_stop.doctor import HOSTS
from roles.one_stop.tasks import CHROMIUM
from roles.video_client.sip import ACCOUNTS
from roles.video_client.tasks import POLICY as MEETING_POLICY

pytestmark = pytest.mark.lab

SLUG = "xa-thu"
NAME = "Xã Thử"
KEPT = "/root/kept"
ZONE = "/etc/unbound/unbound.conf.d/zz-test.conf"
PORTAL = "portal.gialai.gov.vn"
PROVINCE = "/usr/lib/lienxa-lab/province"
ILLS = [
    pytest.param(
        "gw1",
        "systemctl stop unbound",
        "systemctl start unbound",
        {"gw1": "network.service_down", "vp01": "network.resolver_silent"},
        id="no names",
    ),
    pytest.param(
        "tinh",
        "ip link set up0 down",
        "ip link set up0 up",
        {"gw1": "network.upstream_silent", "mc01": "network.line_down"},
        id="line down",
    ),
    pytest.param(
        "vp01",
        f"cp -P /etc/resolv.conf {KEPT}; rm /etc/resolv.conf; echo nameserver 192.0.2.53 >/etc/resolv.conf",
        f"rm /etc/resolv.conf; mv {KEPT} /etc/resolv.conf",
        {"vp01": "network.other_resolver"},
        id="a resolver of somebody else",
    ),
    pytest.param(
        "srv1",
        "systemctl stop dovecot",
        "systemctl start dovecot",
        {"srv1": "mail.service_down", "vp01": "mail.closed"},
        id="mail server stopped",
    ),
    pytest.param(
        "mc01",
        f"mv {TRUST_ANCHOR} {KEPT}",
        f"mv {KEPT} {TRUST_ANCHOR}",
        {"mc01": "mail.no_anchor"},
        id="no authority",
    ),
    pytest.param(
        "mc01", f"mv {POLICIES} {KEPT}", f"mv {KEPT} {POLICIES}", {"mc01": "mail.not_set_up"}, id="not set up"
    ),
    pytest.param(
        "hop1",
        f"mv {MEETING_POLICY} {KEPT}",
        f"mv {KEPT} {MEETING_POLICY}",
        {"hop1": "meeting.policy_missing"},
        id="nobody may see and hear",
    ),
    pytest.param(
        "hop1",
        "systemctl stop lienxa-sip",
        "systemctl start lienxa-sip",
        {"hop1": "meeting.sip_down"},
        id="a telephone that does not run",
    ),
    pytest.param(
        "hop1",
        f"cp -p {ACCOUNTS} {KEPT}; sed -i 's/auth_pass=/&khac/' {ACCOUNTS}; systemctl restart lienxa-sip",
        f"mv {KEPT} {ACCOUNTS}; systemctl restart lienxa-sip",
        {"hop1": "meeting.sip_refused"},
        id="another password of the room",
    ),
    pytest.param(
        "mc01",
        f"cp {CHROMIUM} {KEPT}; echo '{{}}' >{CHROMIUM}",
        f"cp {KEPT} {CHROMIUM}",
        {"mc01": "portal.policy_missing"},
        id="browser policy of somebody else",
    ),
    pytest.param(
        "vp01",
        f"cp {HOSTS} {KEPT}; echo 192.0.2.80 {PORTAL} >>{HOSTS}",
        f"cp {KEPT} {HOSTS}",
        {"vp01": "portal.hosts_file"},
        id="an address that somebody wrote down",
    ),
    pytest.param(
        "gw1",
        f"echo 'server: local-zone: {PORTAL} always_nxdomain' >{ZONE}; systemctl restart unbound",
        f"rm {ZONE}; systemctl restart unbound",
        {"mc01": "portal.no_name"},
        id="no name of the portal",
    ),
    pytest.param(
        "gw1",
        "nft 'add table ip ill { chain way { type filter hook forward priority -10; tcp dport 443 reject with icmp "
        "type admin-prohibited; }; }'",
        "nft delete table ip ill",
        {"mc01": "portal.blocked", "hop1": "meeting.blocked"},
        id="a firewall",
    ),
    pytest.param(
        "gw1",
        "nft 'add table ip ill { chain way { type filter hook forward priority -10; tcp dport 443 drop; }; }'",
        "nft delete table ip ill",
        {"mc01": "portal.closed", "hop1": "meeting.closed"},
        id="nobody answers",
    ),
    pytest.param(
        "tinh",
        f"{PROVINCE} fault portal expired",
        f"{PROVINCE} fault portal none",
        {"mc01": "portal.certificate"},
        id="the portal's certificate has expired",
    ),
]
"""Where, what is broken, how it is mended, and the one cause that each machine is told of."""
PYINFRA = str(Path(sys.executable).with_name("pyinfra"))


@pytest.fixture(scope="module")
def province(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Province]:
    """The model commune renamed, in a git repository of its own; its lab up, nothing applied yet."""
    province = province_of(tmp_path_factory.mktemp("province") / "inventories", SLUG, NAME)
    lab.down(SLUG)
    try:
        province.say("lab", "up", SLUG, "--prepared")
        yield province
    finally:
        lab.down(SLUG)


@pytest.fixture(scope="module")
def applied(province: Province) -> Said:
    """What the first apply said."""
    return province.lienxa("apply")


def test_plan_shows_what_would_come_and_touches_nothing(province: Province) -> None:
    said = province.lienxa("plan", "--machine", "gw1")
    placed = said.of("operation", machine="gw1", status="would_change")
    assert any("local-zone" in line["diff"] for line in placed)
    assert said.summary["changed"] > 20
    assert "kea" not in province.on("gw1", "ls", "/etc")


def test_first_apply_brings_every_machine_to_its_end(applied: Said) -> None:
    assert applied.summary | {"failed": 0, "unreachable": 0, "held_back": 0, "machines": 6} == applied.summary
    ended = [line["machine"] for line in applied.of("run_ended")]
    assert ended[0] == "gw1"
    assert ended[1] == "srv1"
    guards = [
        (line["machine"], line["status"])
        for line in applied.of("guard")
        if line["status"] not in ("armed", "waiting")
    ]
    assert {status for _, status in guards} <= {"confirmed", "released"}
    assert {machine for machine, status in guards if status == "confirmed"} == set(ended)


def test_second_apply_changes_nothing(province: Province) -> None:
    said = province.lienxa("apply")
    again = [(line["machine"], line["name"]) for line in said.of("operation", status="changed")]
    assert again == []
    assert said.of("guard") == []
    assert (said.summary["changed"], said.summary["failed"]) == (0, 0)


def test_verify_proves_it_with_real_packets(province: Province, tmp_path: Path) -> None:
    junit, html = tmp_path / "verify.xml", tmp_path / "verify.html"
    said = province.lienxa("verify", "--junit", str(junit), "--html", str(html))
    red = [
        (line["machine"], line["sentence"], line["detail"]) for line in said.of("check") if line["status"] != "passed"
    ]
    assert red == []
    assert said.summary["checks"] >= 100
    assert (said.summary["failed"], said.summary["skipped"]) == (0, 0)
    sentences = {line["sentence"] for line in said.of("check")}
    assert any(sentence.startswith("kh01 is refused") for sentence in sentences), "no guest tried to get in"
    assert any(sentence.startswith("tinh is refused") for sentence in sentences), "nobody tried from outside"
    assert len(list(ElementTree.parse(junit).getroot().iter("testcase"))) == said.summary["checks"]
    assert NAME in html.read_text()


def test_status_says_who_applied_what(province: Province) -> None:
    said = province.lienxa("status")
    rows = {line["machine"]: line for line in said.lines if "machine" in line}
    assert set(rows) == {"gw1", "srv1", "vp01", "mc01", "hop1", "qt01"}
    assert {row["drift"] for row in rows.values()} == {False}
    head = subprocess.run(
        ["git", "-C", province.folder, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    assert {row["commit"] for row in rows.values()} == {head.stdout.strip()}


def test_a_stopped_unbound_is_named_with_the_next_step(province: Province) -> None:
    province.on("gw1", "systemctl", "stop", "unbound.service")
    said = province.lienxa("verify", code=1)
    failed = [line for line in said.of("check") if line["status"] == "failed"]
    of_gateway = [line for line in failed if line["machine"] == "gw1"]
    assert [line for line in of_gateway if "unbound" in line["sentence"] and "unbound" in line["next_step"]]
    from_desks = [line for line in failed if line["machine"] == "vp01" and "gw1" in line["sentence"]]
    assert from_desks
    assert all(line["next_step"] for line in failed)
    skipped = [line for line in said.of("check") if line["status"] == "skipped"]
    assert all("unbound" in line["detail"] for line in skipped)


def test_apply_heals_what_was_stopped(province: Province) -> None:
    said = province.lienxa("apply")
    assert said.changed == {"gw1": 1, "srv1": 0, "vp01": 0, "mc01": 0, "hop1": 0, "qt01": 0}
    assert province.lienxa("verify").summary["failed"] == 0


@pytest.mark.usefixtures("applied")
def test_doctor_finds_nothing_wrong_with_what_is_healthy(province: Province) -> None:
    said = province.lienxa("doctor")
    assert [(line["machine"], line["cause"]) for line in said.of("finding")] == []
    assert (said.summary["findings"], said.summary["failed"], said.summary["machines"]) == (0, 0, 6)
    spoken = province.say("doctor", SLUG, "--lab", "--machine", "vp01", "--language", "vi").out
    assert "vp01: không thấy gì sai (mạng, cổng một cửa, chữ ký số, họp trực tuyến, thư điện tử)." in spoken
    asked = province.lienxa("doctor", "--machine", "mc01", "--topic", "signing", code=1)
    assert [line["cause"] for line in asked.of("finding")] == ["signing.no_reader"]
    asked = province.lienxa("doctor", "--machine", "hop1", "--topic", "meeting", code=1)
    assert [line["cause"] for line in asked.of("finding")] == ["meeting.no_camera", "meeting.no_sound"]


@pytest.mark.usefixtures("applied")
@pytest.mark.parametrize(("where", "how", "mended", "expected"), ILLS)
def test_doctor_names_exactly_what_was_broken(
    province: Province, where: str, how: str, mended: str, expected: dict[str, str]
) -> None:
    province.on(where, "sh", "-ec", how)
    try:
        asked = [word for machine in expected for word in ("--machine", machine)]
        for machine in expected:
            # What a desk remembers of a name is as good as before for a while.
            province.on(machine, "sh", "-c", "resolvectl flush-caches 2>/dev/null || true")
        said = province.lienxa("doctor", *asked, code=1)
    finally:
        province.on(where, "sh", "-ec", mended)
    assert {line["machine"]: line["cause"] for line in said.of("finding")} == expected
    assert len(said.of("finding")) == len(expected)


def test_a_new_machine_changes_itself_and_the_gateway_alone(province: Province) -> None:
    recorded = (province.folder / SLUG / "addresses.yaml").read_text()
    province.edit("  mc01:", '  vp02: {kind: office, zone: office, mac: "02:00:00:00:99:02"}\n  mc01:')
    province.say("check", "--write")
    now = (province.folder / SLUG / "addresses.yaml").read_text()
    assert set(recorded.splitlines()) < set(now.splitlines()), "an address that was given has moved"
    province.say("lab", "up", SLUG, "--prepared")
    said = province.lienxa("apply")
    counts = said.changed
    assert {name for name, count in counts.items() if count} == {"gw1", "vp02"}
    address = province.on("vp02", "hostname", "-I").split()[0]
    assert address in province.on("gw1", "cat", "/etc/kea/kea-dhcp4.conf")
    said = province.lienxa("verify", "--machine", "vp02", "--machine", "gw1")
    assert (said.summary["failed"], said.summary["skipped"]) == (0, 0)


def test_a_bad_inventory_is_refused_before_anything_is_touched(province: Province) -> None:
    text = province.file.read_text()
    province.edit('kind: office, zone: office, mac: "02:00:00:00:99:02"', "kind: ofice, zone: office")
    try:
        said = province.say("apply", SLUG, "--lab", code=2)
    finally:
        province.file.write_text(text)
    assert f"{SLUG}/commune.yaml:" in said.err
    assert "did you mean office" in said.err.replace("'", "")
    assert "Traceback" not in said.err + said.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("fact", "server.Os"), "Linux"),
        (("exec", "--", "hostname", "-f"), f"vp01.{SLUG}.gialai.gov.vn"),
        (("/deploy/site.py",), "No changes"),
    ],
    ids=["fact", "exec", "deploy"],
)
def test_stock_pyinfra_knows_the_commune(province: Province, words: Sequence[str], expected: str) -> None:
    words = [str(MODEL.parent) + word if word.startswith("/") else word for word in words]
    said = province.say(f"@lienxa/{SLUG}:lab", "-y", *words, program=PYINFRA)
    assert expected in said.out + said.err


def test_the_lab_goes_without_a_trace(province: Province) -> None:
    province.say("lab", "down", SLUG)
    assert lab.status(SLUG) == {} or not lab.status(SLUG)
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    spaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert not re.search(rf"{SLUG}(?![a-z0-9])", links + spaces), "another lab's slug may begin with ours"
