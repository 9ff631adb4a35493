"""The desktop from the inventory to the machine: whose password, who may sign in, what an old machine gets."""

from __future__ import annotations

import gettext
import io
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from deploy.fleet.updates import State, Update
from deploy.inventory.loading import load
from deploy.inventory.resolve import Resolved, resolve
from deploy.inventory.role import Secret
from deploy.inventory.secrets import wanted_secrets
from deploy.inventory.site import Site
from deploy.journal import RoleStarted
from deploy.order import make_orders
from deploy.report.outcome import print_outcome
from deploy.report.picture import Picture
from deploy.report.summary import summary
from deploy.runner.context import Context
from deploy.runner.hardware import Hardware, this_machine
from deploy.runner.operations import people as people_operations
from deploy.runner.operations import printing
from deploy.runner.operations.people import PeopleFact, PeopleState, Person
from deploy.runner.operations.printing import DRIVERLESS, Queue, Queues, QueuesFact
from deploy.site import CATALOG, ROLES
from roles.desktop import greeter, office
from roles.desktop.forms import SUITE, SUITE_FULL, extra_packages, form
from roles.desktop.options import Options
from roles.desktop.tasks import queues

INVENTORIES = Path(__file__).parents[2] / "inventories"
OLD = Hardware(memory=1_000_000_000, disk=60_000_000_000)
NEW = Hardware(memory=8_000_000_000, disk=240_000_000_000)
FO = "{urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0}"


@pytest.fixture(scope="module")
def resolved() -> Resolved:
    return resolve(load(INVENTORIES, CATALOG), "xa-mau")


@pytest.fixture(scope="module")
def site(resolved: Resolved) -> Site:
    return resolved.site


def context(site: Site, machine: str = "mc01", hardware: Hardware = NEW, **options: object) -> Context[Options]:
    return Context(
        site=site,
        machine=site.machine(machine),
        options=Options.model_validate(options),
        role=ROLES["desktop"],
        hardware=hardware,
    )


def test_a_password_is_in_the_orders_of_the_person_s_machines_alone(resolved: Resolved) -> None:
    def value(machine: str, role: str, secret: Secret) -> str:
        return f"value of {role}.{secret.name}"

    orders = make_orders(resolved.site, resolved.options, value, CATALOG)
    found = {
        name: {key for key in order.secrets if key.startswith("desktop.password_")} for name, order in orders.items()
    }
    assert found == {
        "gw1": set(),
        "srv1": set(),
        "qt01": set(),
        "vp01": {"desktop.password_mau.nv"},
        "hop1": {"desktop.password_mau.nv"},
        "mc01": {"desktop.password_vidu.tt"},
    }


def test_check_and_generate_ask_for_the_passwords_too(resolved: Resolved) -> None:
    wanted = wanted_secrets(resolved.site, resolved.options, CATALOG)
    assert {key for key in wanted if key.startswith("desktop.")} == {
        "desktop.password_mau.nv",
        "desktop.password_vidu.tt",
    }
    assert wanted["desktop.password_mau.nv"].description == "Password of Nguyễn Văn Mẫu at vp01, hop1"


@pytest.mark.parametrize(
    ("options", "hardware", "expected"),
    [
        ({}, NEW, "full"),
        ({}, OLD, "light"),
        ({}, Hardware(memory=8_000_000_000, disk=8_000_000_000), "light"),
        ({}, Hardware(), "full"),
        ({"form": "full"}, OLD, "full"),
        ({"form": "light"}, NEW, "light"),
    ],
)
def test_form(options: dict[str, object], hardware: Hardware, expected: str) -> None:
    assert form(Options.model_validate(options), hardware) == expected


def test_the_light_form_has_no_impress_and_without_suite_there_is_no_office() -> None:
    assert set(extra_packages(Options(), OLD, "13")) == set(SUITE)
    assert set(extra_packages(Options(), NEW, "13")) == {*SUITE, *SUITE_FULL}
    assert extra_packages(Options(suite=False), NEW, "12") == ("fonts-liberation2",)


def test_an_old_machine_s_shortcomings_in_words() -> None:
    assert Hardware(memory=1_020_000_000, disk=7_500_000_000).shortcomings == (
        "1.0 GB of memory, less than 2 GB",
        "7.5 GB of disk, less than 16 GB",
    )
    assert NEW.shortcomings == ()


def test_an_old_machine_is_spoken_of_and_a_new_one_is_not(site: Site) -> None:
    warnings = ROLES["desktop"].warnings
    assert warnings(Options(), OLD, site) == (
        "an old machine (1.0 GB of memory, less than 2 GB): it gets the light form",
    )
    assert warnings(Options(form="full"), OLD, site)[0].endswith("it gets the full form all the same")
    assert warnings(Options(), NEW, site) == ()


def test_what_is_said_of_an_old_machine_reaches_people() -> None:
    picture = Picture(["mc01"])
    warning = "an old machine: it gets the light form"
    started = RoleStarted(seq=0, at="2026-11-27T00:00:00Z", role="desktop", stage="apply", warnings=(warning,))
    picture(Update("mc01", State.RUNNING, event=started))
    console = Console(file=io.StringIO(), width=120)
    print_outcome(console, picture, summary("plan", "xa-mau", picture, 1))
    assert f"! mc01: desktop: {warning}" in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_machine_sold_with_two_gigabytes_is_not_old(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:        1948432 kB\nMemFree: 1 kB\n")
    found = this_machine(tmp_path / "meminfo", tmp_path)
    assert found.memory == 1948432 * 1024
    assert not Hardware(memory=found.memory).is_old


def people(said: dict[type, Any], now: PeopleState, **wanted: str) -> list[str]:
    said[PeopleFact] = now
    return [str(one) for one in people_operations._people._inner(group="canbo", wanted=wanted)]


def test_a_new_person_gets_an_account(said: dict[type, Any]) -> None:
    assert people(said, PeopleState(), an="Lê Thị: Ẩn,") == [
        "groupadd --system -- canbo",
        "useradd --create-home --key HOME_MODE=0700 --shell /bin/bash --comment 'Lê Thị Ẩn' --groups canbo -- an",
    ]


def test_nothing_is_done_for_who_is_as_wanted(said: dict[type, Any]) -> None:
    here = Person(1001, "Lê Thị Ẩn", expired=False, groups=frozenset({"an", "canbo", "cdrom"}))
    gone = Person(1002, "Đã Nghỉ", expired=True, groups=frozenset({"nghi", "canbo"}))
    now = PeopleState(True, frozenset({"an", "nghi"}), (("an", here), ("nghi", gone)))
    assert people(said, now, an="Lê Thị Ẩn") == []


def test_who_has_left_is_locked_out_and_who_is_back_is_let_in(said: dict[type, Any]) -> None:
    left = Person(1001, "Lê Thị Ẩn", expired=False, groups=frozenset({"canbo"}))
    back = Person(1002, "Đã Về", expired=True, groups=frozenset({"canbo"}))
    now = PeopleState(True, frozenset({"an", "ve"}), (("an", left), ("ve", back)))
    assert people(said, now, ve="Đã Về") == [
        "usermod --expiredate '' -- ve",
        "usermod --lock --expiredate 1 -- an",
    ]


def test_admin_rights_are_taken_away(said: dict[type, Any]) -> None:
    now = PeopleState(True, frozenset(), (("an", Person(1000, "An", False, frozenset({"an", "sudo", "lpadmin"}))),))
    assert people(said, now, an="An") == [
        "usermod --append --groups canbo -- an",
        "gpasswd --delete an lpadmin",
        "gpasswd --delete an sudo",
    ]


def test_an_account_of_the_machine_s_own_is_refused(said: dict[type, Any]) -> None:
    now = PeopleState(True, frozenset(), (("games", Person(5, "games", False, frozenset({"games"}))),))
    assert people(said, now, games="Trò Chơi") == ["exit 1"]


def test_what_the_machine_says_of_people() -> None:
    lines = ["group an,nghi", "an:1001::an canbo:Lê Thị Ẩn", "nghi:1002:1:nghi canbo:Đã Nghỉ"]
    found = PeopleFact().process(lines)
    assert found.members == {"an", "nghi"}
    assert dict(found.accounts)["nghi"] == Person(1002, "Đã Nghỉ", True, frozenset({"nghi", "canbo"}))
    assert not dict(found.accounts)["an"].expired


def test_printers_of_the_own_zone_come_first(site: Site) -> None:
    assert queues(site, site.machine("mc01")) == (
        Queue("in01", "ipp://in01.xa-mau.gialai.gov.vn/ipp/print", "office"),
    )
    other = site.machine("in01").model_copy(update={"name": "in02", "zone": "counter", "fqdn": "in02.xa"})
    more = site.model_copy(update={"machines": (*site.machines, other)})
    assert [queue.name for queue in queues(more, more.machine("mc01"))] == ["in02", "in01"]
    assert [queue.name for queue in queues(more, more.machine("vp01"))] == ["in01", "in02"]


def printers(said: dict[type, Any], now: Queues, *wanted: Queue) -> list[str]:
    said[QueuesFact] = now
    return [str(one) for one in printing._printers._inner(queues=wanted, domain="xa.vn")]


def test_a_printer_is_made_and_is_the_default(said: dict[type, Any]) -> None:
    made = printers(said, Queues(), Queue("in01", "ipp://in01.xa.vn/ipp/print", "office"))
    assert f"-p in01 -E -v ipp://in01.xa.vn/ipp/print -m {DRIVERLESS}" in made[0]
    assert made[1:] == ["lpadmin -d in01"]


def test_a_printer_that_left_goes_and_one_made_by_hand_stays(said: dict[type, Any]) -> None:
    now = QueuesFact().process(
        [
            "device for in09: ipp://in09.xa.vn/ipp/print",
            "device for tay: usb://HP/LaserJet",
            "system default destination: tay",
        ]
    )
    assert printers(said, now) == ["lpadmin -x in09"]


def test_the_template_is_the_same_each_time_and_a_whole_opendocument(site: Site) -> None:
    first = office.template(context(site))
    assert first == office.template(context(site))
    with zipfile.ZipFile(io.BytesIO(first)) as archive:
        assert archive.infolist()[0].filename == "mimetype"
        assert archive.read("mimetype").decode() == office.MIMETYPE
        parts = {name: ElementTree.fromstring(archive.read(name)) for name in office.PARTS}
    page = next(one.attrib for one in parts["styles.xml"].iter() if one.tag.endswith("page-layout-properties"))
    assert (page[f"{FO}page-width"], page[f"{FO}page-height"]) == ("210mm", "297mm")
    assert (page[f"{FO}margin-left"], page[f"{FO}margin-right"], page[f"{FO}margin-bottom"]) == (
        "30mm",
        "20mm",
        "20mm",
    )


@pytest.mark.parametrize("size", [13, 14])
def test_the_template_has_the_size_of_the_options(site: Site, size: int) -> None:
    with zipfile.ZipFile(io.BytesIO(office.template(context(site, font_size=size)))) as archive:
        assert f'fo:font-size="{size}pt"' in archive.read("styles.xml").decode()


def test_the_greeter_s_words_are_read_by_gettext() -> None:
    found = gettext.GNUTranslations(io.BytesIO(greeter.catalogue()))
    assert found.gettext("Log In") == "Đăng nhập"
    assert {word: found.gettext(word) for word in greeter.WORDS} == greeter.WORDS
    assert greeter.catalogue() == greeter.catalogue()
