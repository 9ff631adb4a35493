"""What mail programs are told: servers, signatures, the address book; and what is made of it for each of them."""

from __future__ import annotations

import io
import json
import unicodedata
import zipfile

from deploy.inventory.mail_clients import (
    Contact,
    Server,
    book_name,
    contacts,
    imap_of,
    organ,
    signature,
    signature_html,
    submission_of,
)
from deploy.inventory.role import TRUST_ANCHOR, Kind
from deploy.inventory.site import (
    MAIL_IMAP,
    MAIL_SUBMISSION,
    Site,
    SiteMachine,
    SiteMail,
    SiteMailbox,
    SiteMailList,
    SitePerson,
    SitePort,
)
from deploy.runner.context import Context
from deploy.site import ROLES
from roles.mail import web
from roles.mail_client import tasks
from roles.mail_client.options import Options
from tests.unit.sample_site import sample_site

DOMAIN = "xa-mau.gialai.gov.vn"
CHAIR = SitePerson(name="Nguyễn Văn Mẫu", login="mau.nv", mailbox=True, title="Chủ tịch", phone="0269 3 000 001")
CLERK = SitePerson(
    name="Trần Thị Ví Dụ", login="vidu.tt", mailbox=True, title="Công chức", department="Văn phòng HĐND và UBND"
)
GUARD = SitePerson(name="Lê Văn Không", login="khong.lv")


def _site(mail: SiteMail | None) -> Site:
    base = sample_site()
    server = base.machines[0].model_copy(
        update={
            "name": "srv1",
            "kind": Kind.SERVER,
            "ports": tuple(
                SitePort(
                    role="mail",
                    number=number,
                    protocol="tcp",
                    zones=(base.zones[0].name,),
                    purpose=purpose,
                    probe="connect",
                    from_support=False,
                )
                for number, purpose in ((1993, MAIL_IMAP), (1465, MAIL_SUBMISSION))
            ),
        }
    )
    machines: tuple[SiteMachine, ...] = (*(one for one in base.machines if one.name != server.name), server)
    return base.model_copy(update={"machines": machines, "people": (CHAIR, CLERK, GUARD), "mail": mail})


def local() -> Site:
    return _site(
        SiteMail(
            mode="local",
            domain=DOMAIN,
            imap=f"mail.{DOMAIN}",
            submission=f"mail.{DOMAIN}",
            server="srv1",
            mailboxes=(
                SiteMailbox(login="mau.nv", name=CHAIR.name, quota=100),
                SiteMailbox(login="vidu.tt", name=CLERK.name, quota=100),
                SiteMailbox(login="vanthu", name="Văn thư", quota=100, members=("vidu.tt",)),
            ),
            lists=(SiteMailList(name="canbo", title="Cán bộ", members=("mau.nv", "vidu.tt"), senders="commune"),),
        )
    )


def province() -> Site:
    return _site(
        SiteMail(mode="province", domain="gialai.gov.vn", imap="imap.example.vn", submission="smtp.example.vn")
    )


def test_signature_has_the_decree_s_order() -> None:
    assert signature(local(), CHAIR) == (
        "CHỦ TỊCH",
        "Nguyễn Văn Mẫu",
        "ỦY BAN NHÂN DÂN XÃ MẪU",
        "Điện thoại: 0269 3 000 001",
        f"Thư điện tử: mau.nv@{DOMAIN}",
    )


def test_who_works_in_a_department_has_the_authority_above_it() -> None:
    html = signature_html(local(), CLERK)
    assert html.index("ỦY BAN NHÂN DÂN XÃ MẪU") < html.index("<b>VĂN PHÒNG HĐND VÀ UBND</b>")
    assert "<b>ỦY BAN" not in html
    assert "<b>Trần Thị Ví Dụ</b>" in html


def test_signature_is_composed_and_harmless() -> None:
    written = SitePerson(name=unicodedata.normalize("NFD", "Nguyễn <b>Ẩn</b>"), login="an.n", title="Phó & phòng")
    html = signature_html(local(), written)
    assert unicodedata.is_normalized("NFC", html)
    assert "Nguyễn &lt;b&gt;Ẩn&lt;/b&gt;" in html
    assert "PHÓ &amp; PHÒNG" in html


def test_address_book_has_people_offices_and_lists() -> None:
    assert contacts(local()) == (
        Contact("Nguyễn Văn Mẫu", f"mau.nv@{DOMAIN}", "Chủ tịch", None, "0269 3 000 001"),
        Contact("Trần Thị Ví Dụ", f"vidu.tt@{DOMAIN}", "Công chức", "Văn phòng HĐND và UBND"),
        Contact("Văn thư", f"vanthu@{DOMAIN}"),
        Contact("Cán bộ", f"canbo@{DOMAIN}"),
    )
    assert (organ(local()), book_name(local())) == ("Ủy ban nhân dân xã Mẫu", "Danh bạ xã Mẫu")


def test_ports_are_those_of_the_card_or_the_province_s() -> None:
    assert imap_of(local()) == Server(f"mail.{DOMAIN}", 1993)
    assert submission_of(local()) == Server(f"mail.{DOMAIN}", 1465)
    assert (imap_of(province()), submission_of(province())) == (
        Server("imap.example.vn", 993),
        Server("smtp.example.vn", 465),
    )


def test_policies_trust_our_authority_only_where_it_signs() -> None:
    told = tasks.policies(local(), local().machines[0], Options())["policies"]
    assert isinstance(told, dict)
    assert told["Certificates"] == {"Install": [TRUST_ANCHOR]}
    for site in (province(), _site(None)):
        told = tasks.policies(site, site.machines[0], Options())["policies"]
        assert isinstance(told, dict)
        assert "Certificates" not in told
        assert told["DisableTelemetry"] is True


def test_policies_have_a_signature_for_everybody_with_a_mailbox() -> None:
    for site, domain in ((local(), DOMAIN), (province(), "gialai.gov.vn")):
        people = tasks._people(site, site.mail or SiteMail(mode="local", domain="", imap="", submission=""))
        assert set(people["people"]) == {f"mau.nv@{domain}", f"vidu.tt@{domain}"}  # type: ignore[call-overload]


def test_the_extension_is_the_same_bytes_each_time() -> None:
    site = local()
    role = ROLES["mail_client"]
    ctx = Context(site=site, machine=site.machines[0], options=Options(), role=role)
    packed = tasks.extension(ctx)
    assert packed == tasks.extension(ctx)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert json.loads(archive.read("manifest.json"))["browser_specific_settings"]["gecko"]["id"] == (
            tasks.EXTENSION_ID
        )
        assert archive.namelist() == list(tasks.EXTENSION_FILES)


def test_webmail_is_told_which_offices_a_person_works_in() -> None:
    site = local()
    ctx = Context(site=site, machine=site.machines[-1], options=ROLES["mail"].options(), role=ROLES["mail"])
    people = json.loads(web.people(ctx))["people"]
    assert people[f"vidu.tt@{DOMAIN}"]["shared"] == {f"vanthu@{DOMAIN}": "Văn thư"}
    assert people[f"mau.nv@{DOMAIN}"]["shared"] == {}


def test_the_authority_is_the_last_certificate() -> None:
    begin = "-----BEGIN CERTIFICATE-----\n"
    assert web.anchor(f"KEY\n{begin}server\n{begin}authority\n") == f"{begin}authority\n"
