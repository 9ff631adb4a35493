"""The doctor: from what a machine sees to one cause, said in two languages; nothing on a healthy machine."""

from __future__ import annotations

import io
import string
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

import roles.base.doctor as base
import roles.mail.doctor as mail
import roles.mail_client.doctor as mail_client
import roles.network.doctor as network
import roles.one_stop.doctor as portal
import roles.signing.doctor_causes as signing_causes
import roles.video_client.doctor as meeting
from deploy.fleet.updates import State, Update
from deploy.inventory.loading import load
from deploy.inventory.mail_clients import Server, imap_of, submission_of
from deploy.inventory.resolve import resolve
from deploy.journal import Finding, RunEnded, Words, parse_event
from deploy.order import Order, Request, RoleOrder
from deploy.report.findings import print_findings
from deploy.report.picture import Picture
from deploy.report.summary import exit_code, summary
from deploy.runner.diagnosis import Cause, Found, Patient, run_diagnosis
from deploy.runner.journal_writer import Counts, JournalWriter
from deploy.runner.observe import read_json
from deploy.site import CATALOG, ROLES

SITE = resolve(load(Path(__file__).parents[2] / "inventories", CATALOG), "xa-mau").site
DOCTORS = (base, network, mail_client, mail, portal, signing_causes, meeting)
NEAR = str(SITE.zone("office").gateway)
OWN = str(SITE.machine("vp01").address)
LINES = {"wan0": True, "lan0": True}

DESK = base.Seen(
    linked=True,
    addresses=(OWN,),
    cards=("52:54:00:00:00:20",),
    resolvers=(NEAR,),
    gateway_answers=True,
    names_answered=True,
    outside_answers=True,
    clock_ahead=0.01,
    free=9000,
    full=False,
)
GATEWAY = network.Seen(linked=LINES, addressed=frozenset({"wan0"}), down=(), outside_answers=True)
MAIL_DESK = mail_client.Seen(
    servers=tuple(mail_client.Reached(server, "good") for server in (imap_of(SITE), submission_of(SITE))),
    anchor=True,
    missing=(),
)
SERVER = mail.Seen(down=(), waiting=(), free=9000, full=False)
ROOM = meeting.Seen(policy=True, service=meeting.Reached("hop.gialai.gov.vn", 443), camera=True, sound=True)
COUNTER = portal.Seen(policies={}, silent=(), hosts={}, origins=[portal.Reached("Một cửa", "motcua.vn", 443)])


def patient(machine: str, ill: Iterable[str] = ()) -> Patient[Any]:
    return Patient(SITE, SITE.machine(machine), ROLES["base"].options(), frozenset(ill))


def causes(found: Iterable[Found]) -> list[str]:
    return [one.cause.id for one in found]


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (DESK, []),
        (replace(DESK, linked=False, addresses=(), gateway_answers=False), ["network.no_link"]),
        (replace(DESK, addresses=(), gateway_answers=False, names_answered=False), ["network.no_address"]),
        (replace(DESK, addresses=("10.52.3.77",)), ["network.other_address"]),
        (replace(DESK, gateway_answers=False, names_answered=False), ["network.gateway_silent"]),
        (replace(DESK, names_answered=False, outside_answers=False), ["network.resolver_silent"]),
        (replace(DESK, resolvers=("192.0.2.53",)), ["network.other_resolver"]),
        (replace(DESK, outside_answers=False), ["network.line_down"]),
        (replace(DESK, clock_ahead=2.5), ["network.clock_wrong"]),
        (replace(DESK, clock_ahead=None), []),
        (replace(DESK, full=True, free=12), ["network.disk_full"]),
    ],
    ids=str,
)
def test_a_desk_has_the_first_cause_on_its_way_out(seen: base.Seen, expected: list[str]) -> None:
    assert causes(base.judged(patient("vp01"), seen)) == expected


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (GATEWAY, []),
        (replace(GATEWAY, linked={"wan0": False}, outside_answers=False), ["network.uplink_no_link"]),
        (replace(GATEWAY, addressed=frozenset(), outside_answers=False), ["network.uplink_no_address"]),
        (replace(GATEWAY, outside_answers=False), ["network.upstream_silent"]),
        (replace(GATEWAY, down=("unbound",), outside_answers=False), ["network.service_down"]),
        (replace(GATEWAY, silent=frozenset({"fibre"}), in_use="backup"), ["network.uplink_silent"]),
        (
            replace(GATEWAY, silent=frozenset({"fibre"}), in_use="fibre", outside_answers=False),
            ["network.upstream_silent"],
        ),
    ],
    ids=str,
)
def test_a_gateway_tells_its_own_faults_from_the_carrier_s(seen: network.Seen, expected: list[str]) -> None:
    assert causes(network.judged(patient("gw1"), seen)) == expected


@pytest.mark.parametrize(
    ("seen", "ill", "expected"),
    [
        (MAIL_DESK, (), []),
        (replace(MAIL_DESK, anchor=False), (), ["mail.no_anchor"]),
        (replace(MAIL_DESK, missing=("/etc/x",)), (), ["mail.not_set_up"]),
        ("no name", (), ["mail.no_name"]),
        ("closed", (), ["mail.closed"]),
        ("not believed", (), ["mail.certificate"]),
        ("closed", ("network.line_down",), []),
    ],
    ids=str,
)
def test_mail_at_a_desk(seen: Any, ill: tuple[str, ...], expected: list[str]) -> None:
    if isinstance(seen, str):
        reached = tuple(mail_client.Reached(one.server, seen, "expired") for one in MAIL_DESK.servers)  # type: ignore[arg-type]
        seen = replace(MAIL_DESK, servers=reached)
    assert causes(mail_client.judged(patient("vp01", ill), seen)) == expected


@pytest.mark.parametrize(
    ("seen", "ill", "expected"),
    [
        (COUNTER, (), []),
        (replace(COUNTER, policies={"Firefox": "/etc/x"}), (), ["portal.policy_missing"]),
        (replace(COUNTER, hosts={"motcua.vn": "192.0.2.1", "mayin": "10.0.0.9"}), (), ["portal.hosts_file"]),
        (replace(COUNTER, silent=(("Một cửa", 8987),)), (), []),
        ("no name", (), ["portal.no_name"]),
        ("blocked", (), ["portal.blocked"]),
        ("closed", (), ["portal.closed"]),
        ("not believed", (), ["portal.certificate"]),
        ("closed", ("network.line_down",), []),
    ],
    ids=str,
)
def test_the_portals_at_a_desk(seen: Any, ill: tuple[str, ...], expected: list[str]) -> None:
    if isinstance(seen, str):
        seen = replace(COUNTER, origins=[replace(COUNTER.origins[0], outcome=seen, reason="expired")])  # type: ignore[arg-type]
    assert causes(portal.judged(patient("mc01", ill), seen)) == expected


@pytest.mark.parametrize(
    ("seen", "ill", "expected"),
    [
        (ROOM, (), []),
        (replace(ROOM, policy=False), (), ["meeting.policy_missing"]),
        (replace(ROOM, camera=False, sound=False), (), []),
        (replace(ROOM, telephone="does not run"), (), ["meeting.sip_down"]),
        (replace(ROOM, telephone="refused"), (), ["meeting.sip_refused"]),
        (replace(ROOM, telephone="no answer"), (), ["meeting.sip_silent"]),
        (replace(ROOM, telephone="no answer"), ("network.line_down",), []),
        ("no name", (), ["meeting.no_name"]),
        ("blocked", (), ["meeting.blocked"]),
        ("closed", (), ["meeting.closed"]),
        ("not believed", (), ["meeting.certificate"]),
        ("closed", ("network.line_down",), []),
        ("closed", ("portal.closed",), []),
        ("blocked", ("portal.closed",), ["meeting.blocked"]),
        ("blocked", ("portal.blocked",), []),
    ],
    ids=str,
)
def test_meetings_in_a_room(seen: Any, ill: tuple[str, ...], expected: list[str]) -> None:
    if isinstance(seen, str):
        seen = replace(ROOM, service=meeting.Reached("hop.gialai.gov.vn", 443, seen, "expired"))  # type: ignore[arg-type]
    assert causes(meeting.judged(patient("hop1", ill), seen)) == expected


def test_a_machine_without_devices_is_told_to_who_asks_about_meetings() -> None:
    asking = replace(patient("vp01"), asked=frozenset({"meeting"}))
    seen = replace(ROOM, camera=False, sound=False)
    assert causes(meeting.judged(asking, seen)) == ["meeting.no_camera", "meeting.no_sound"]


@pytest.mark.parametrize(
    ("registrar", "reason"),
    [
        (None, "it does not say why"),
        (meeting.Reached("sip.gialai.gov.vn", 5061), "it does not say why"),
        (meeting.Reached("sip.gialai.gov.vn", 5061, "closed"), "closed"),
        (meeting.Reached("sip.gialai.gov.vn", 5061, "not believed", "expired"), "expired"),
    ],
)
def test_why_a_registrar_is_silent_is_told_as_far_as_it_is_seen(
    registrar: meeting.Reached | None, reason: str
) -> None:
    seen = replace(ROOM, telephone="no answer", registrar=registrar)
    (found,) = meeting.judged(patient("hop1"), seen)
    assert found.values == {"registrar": "sip.gialai.gov.vn", "reason": reason}


def test_a_signing_program_that_rests_is_told_to_who_asks_about_the_portal() -> None:
    seen = replace(COUNTER, silent=(("Một cửa", 8987),))
    asking = replace(patient("mc01"), asked=frozenset({"portal"}))
    assert causes(portal.judged(asking, seen)) == ["portal.helper_silent"]


def test_a_file_of_hosts_is_read_as_the_system_reads_it() -> None:
    written = "127.0.0.1 localhost\n# 192.0.2.1 cu.vn\n\n192.0.2.2\tmotcua.vn motcua # của tỉnh\n"
    assert portal.written_down(written) == {
        "localhost": "127.0.0.1",
        "motcua.vn": "192.0.2.2",
        "motcua": "192.0.2.2",
    }


def test_without_the_authority_a_server_that_is_not_believed_is_no_second_cause() -> None:
    reached = tuple(mail_client.Reached(one.server, "not believed", "self-signed") for one in MAIL_DESK.servers)
    seen = replace(MAIL_DESK, servers=reached, anchor=False)
    assert causes(mail_client.judged(patient("vp01"), seen)) == ["mail.no_anchor"]


@pytest.mark.parametrize(
    ("seen", "ill", "expected"),
    [
        (SERVER, (), []),
        (replace(SERVER, down=("dovecot",), waiting=("lmtp: no",)), (), ["mail.service_down"]),
        (replace(SERVER, full=True, free=3), (), ["mail.disk_full"]),
        (replace(SERVER, waiting=("connection timed out",) * 3), (), ["mail.waits"]),
        (replace(SERVER, waiting=("connection timed out",)), ("network.line_down",), []),
    ],
    ids=str,
)
def test_the_mail_server(seen: mail.Seen, ill: tuple[str, ...], expected: list[str]) -> None:
    assert causes(mail.judged(patient("srv1", ill), seen)) == expected


def test_a_server_is_told_of_once_though_it_has_two_ports() -> None:
    server = Server("mail.example.vn", 993)
    other = Server("mail.example.vn", 465)
    seen = replace(MAIL_DESK, servers=tuple(mail_client.Reached(one, "closed") for one in (server, other)))
    (found,) = mail_client.judged(patient("vp01"), seen)
    assert found.values == {"host": "mail.example.vn", "port": "993"}


def _all_causes() -> Iterator[tuple[ModuleType, Cause]]:
    for doctor in DOCTORS:
        for value in vars(doctor).values():
            if isinstance(value, Cause):
                yield doctor, value


@pytest.mark.parametrize(("doctor", "cause"), list(_all_causes()), ids=lambda value: getattr(value, "id", "in"))
def test_a_cause_is_said_in_both_languages(doctor: ModuleType, cause: Cause) -> None:
    assert cause.id.startswith(f"{getattr(doctor, 'TOPIC', 'signing')}.")
    for words in (cause.english, cause.vietnamese):
        assert all(text.strip() and text[0] != " " for text in words.model_dump().values())
    assert any(ord(letter) > 0x1E9F for letter in cause.vietnamese.what + cause.vietnamese.why), "no Vietnamese"
    assert _places(cause.vietnamese) <= _places(cause.english) | {"machine", "commune"}


def _places(words: Words) -> set[str]:
    text = " ".join(words.model_dump().values())
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


BROKEN = Cause(
    "network.broken",
    english=Words(what="{machine} lost {thing}.", why="It is needed.", do="Find it."),
    vietnamese=Words(what="Máy {machine} mất {thing}.", why="Cần có.", do="Tìm lại."),
    command="lienxa apply {commune} --machine {machine}",
)
LATER = Cause("mail.later", BROKEN.english, BROKEN.vietnamese, warning=True)


def _diagnosed(tmp_path: Path, topics: tuple[str, ...] = (), *, lab: bool = False) -> tuple[Counts, list[Finding]]:
    asked: list[frozenset[str]] = []

    def broken(patient: Patient[Any]) -> Iterator[Found]:
        yield BROKEN.found(thing="a cable")

    def later(patient: Patient[Any]) -> Iterator[Found]:
        asked.append(patient.ill)
        yield LATER.found(thing="a letter")

    found = {"base": ("network", broken), "mail_client": ("mail", later)}
    doctors: Any = {role: SimpleNamespace(TOPIC=topic, diagnose=look) for role, (topic, look) in found.items()}
    order = Order(
        machine="vp01", site=SITE, roles=tuple(RoleOrder(name=name, options={}) for name in (*doctors, "firewall"))
    )
    request = Request(run="r", action="doctor", order=order, by="an@may", topics=topics, lab=lab)
    journal = JournalWriter(tmp_path / "run.jsonl")
    counts = run_diagnosis(request, journal, ROLES, doctors.get)
    journal.close()
    events = [parse_event(line) for line in journal.path.read_bytes().splitlines()]
    assert asked in ([], [frozenset({"network.broken"})]), "who comes later knows what was found"
    return counts, [event for event in events if isinstance(event, Finding)]


def test_findings_are_sentences_in_the_journal(tmp_path: Path) -> None:
    counts, (first, second) = _diagnosed(tmp_path, lab=True)
    assert (first.topic, first.cause, first.severity) == ("network", "network.broken", "problem")
    assert (first.english.what, first.vietnamese.what) == ("vp01 lost a cable.", "Máy vp01 mất a cable.")
    assert first.command == "lienxa apply xa-mau --machine vp01 --lab"
    assert (second.severity, second.command) == ("warning", "")
    assert counts == Counts(failed=1, findings=2, topics=("network", "mail"))


def test_the_network_is_looked_at_whatever_is_asked_for(tmp_path: Path) -> None:
    counts, found = _diagnosed(tmp_path, ("signing",))
    assert [one.cause for one in found] == ["network.broken"]
    assert counts.topics == ("network",)


def _picture(tmp_path: Path) -> Picture:
    counts, found = _diagnosed(tmp_path)
    picture = Picture(("vp01", "mc01", "hop1"))
    stamp = {"seq": 9, "at": "2026-11-27T00:00:00.000Z", "seconds": 0.1}
    for finding in found:
        picture(Update("vp01", State.RUNNING, finding))
    ended = RunEnded(**stamp, status="failed", topics=counts.topics, findings=2, failed=1)  # type: ignore[arg-type]
    picture(Update("vp01", State.FAILED, ended))
    good = RunEnded(**stamp, status="done", topics=("network", "mail"))  # type: ignore[arg-type]
    picture(Update("mc01", State.DONE, good))
    picture(Update("hop1", State.UNREACHABLE, None, "no route to host"))
    return picture


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ("✗ vp01: vp01 lost a cable.", "    What to do: Find it.", "mc01: nothing is wrong (network, mail).")),
        (
            "vi",
            (
                "✗ vp01: Máy vp01 mất a cable.",
                "    Cần làm: Tìm lại.",
                "mc01: không thấy gì sai (mạng, thư điện tử).",
            ),
        ),
    ],
)
def test_what_people_read(tmp_path: Path, language: Any, expected: tuple[str, ...]) -> None:
    written = io.StringIO()
    print_findings(Console(file=written, width=200), _picture(tmp_path), language)
    lines = written.getvalue().splitlines()
    assert list(dict.fromkeys(line for line in lines if line in expected)) == list(expected)
    assert "no route to host" in lines[-1]


def test_the_summary_counts_findings_and_problems(tmp_path: Path) -> None:
    picture = _picture(tmp_path)
    line = summary("doctor", "xa-mau", picture, 1.0)
    assert (line["findings"], line["failed"], line["unreachable"]) == (2, 1, 1)
    assert exit_code(picture) == 1


@pytest.mark.parametrize(
    ("written", "read"), [('{"a": 1}', {"a": 1}), ("{", None), (None, None)], ids=["whole", "broken", "missing"]
)
def test_a_policy_is_read_or_none(tmp_path: Path, written: str | None, read: object) -> None:
    file = tmp_path / "policy.json"
    if written is not None:
        file.write_text(written, encoding="utf-8")
    assert read_json(str(file)) == read
