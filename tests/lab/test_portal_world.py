"""`tinh` as the province's portal and authority, in one container without a network.

The commune's side is played by curl, OpenSSL and pyHanko in it; browsers and tokens have tests of their own.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zxingcpp
from PIL import Image
from tinh_alone import site_of, tinh_alone

from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import Site
from deploy.lab.containers import runtime
from deploy.lab.keys import province_anchors
from deploy.lab.portal_world import COMMAND
from deploy.lab.province.officials import KINDS
from deploy.lab.rehearsal import tinh_address
from deploy.site import CATALOG

pytestmark = pytest.mark.lab

INVENTORIES = Path(__file__).parents[2] / "inventories"
SLUG = "xa-thu-cong"
PROVINCE = "gialai.gov.vn"
PORTAL = f"https://portal.{PROVINCE}"
LOGIN = f"{PORTAL}:8443"
OFFICIAL = "Nguyễn Văn Mẫu"
CITIZEN = "Trần Thị Nguyệt"
PROCEDURE = "Chứng thực bản sao từ bản chính"


@dataclass
class World:
    """The container, and the identities that were issued in it, by kind."""

    name: str
    site: Site
    identities: dict[str, dict[str, str]] = field(default_factory=dict)

    def run(self, script: str, given: bytes = b"", *, check: bool = True) -> bytes:
        command = ["podman", *runtime().arguments, "exec", "-i", self.name, "sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, check=False, input=given)
        assert not check or done.returncode == 0, f"{script}\n{(done.stdout + done.stderr).decode(errors='replace')}"
        return done.stdout if done.returncode == 0 else done.stdout + done.stderr

    def sh(self, script: str, given: bytes = b"", *, check: bool = True) -> str:
        return self.run(script, given, check=check).decode(errors="replace").strip()

    def ask(self, *words: str) -> Any:
        quoted = " ".join(f"'{word}'" for word in (COMMAND, *words))
        return json.loads(self.sh(quoted))

    def identity(self, kind: str = "good") -> str:
        """A folder of the container with that kind of certificate, as files; issued when first asked for."""
        folder = f"/root/{kind}"
        if kind not in self.identities:
            made = self.identities[kind] = self.ask("issue", kind, "--name", OFFICIAL)
            self.sh(f"umask 077; mkdir {folder}; cat >{folder}/identity.json", json.dumps(made).encode())
            for part in ("key", "certificate", "chain"):
                self.sh(f"cat >{folder}/{part}.pem", made[part].encode())
        return folder

    def curl(self, url: str, *options: str, kind: str = "") -> str:
        """The page, with its status in the last line."""
        own = f"--cert {self.identity(kind)}/certificate.pem --key /root/{kind}/key.pem" if kind else ""
        words = " ".join(f"'{word}'" for word in (*options, url))
        return self.sh(f"curl -sS --cacert /root/anchors.pem -w '\\n%{{http_code}}' {own} {words}", check=False)

    def signed(self, kind: str = "good", *options: str) -> bytes:
        identity = f"{self.identity(kind)}/identity.json"
        return self.run(f"{COMMAND} sign --identity {identity} {' '.join(options)}", paper())

    def hand_in(self, pdf: bytes) -> str:
        """The page that the official reads in the end."""
        self.run("cat >'/root/Đơn.pdf'", pdf)
        form = ("-F", f"nguoi-nop={CITIZEN}", "-F", f"thu-tuc={PROCEDURE}", "-F", "tep=@/root/Đơn.pdf")
        return self.curl(f"{LOGIN}/nop-ho-so", "-L", *form, kind="good")


def paper() -> bytes:
    """A PDF of one page, as a scanner's program writes it: plain, and with a table of its objects."""
    text = b"BT /F1 20 Tf 60 780 Td (Don de nghi chung thuc) Tj ET"
    objects = (
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(text), text),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    )
    body, places = b"%PDF-1.7\n", []
    for number, one in enumerate(objects, 1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size, start = len(objects) + 1, len(body)
    body += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
    return body + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, start)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    model = resolve(load(INVENTORIES, CATALOG), "xa-mau").site
    # The province's own mailboxes: this tinh is no mail server.
    site = site_of(model.model_copy(update={"mail": None}), SLUG)
    made = World(f"lxth-portal-world-{os.getpid()}", site)
    with tinh_alone(site, made.name):
        made.sh(f"ip address add {tinh_address(0)} dev lo")
        anchors = province_anchors(SLUG, PROVINCE)
        made.run("cat >/root/anchors.pem", "".join(anchors[one] for one in ("root-g1", "root-g2")).encode())
        made.run("cat >/root/ca-g2.pem", anchors["ca-g2"].encode())
        made.run("cat >/root/root-g2.pem", anchors["root-g2"].encode())
        yield made


def test_it_boots_whole(world: World) -> None:
    assert world.sh("systemctl list-units --failed --plain --no-legend") == ""
    assert world.sh("systemctl is-active nginx lienxa-province knot unbound").split() == ["active"] * 4


def test_the_services_have_names(world: World) -> None:
    for host, address in (("portal", 2), ("ca", 3), ("ocsp", 4), ("tsa", 5), ("hop", 7), ("untrusted", 2)):
        said = world.sh(f"dig @127.0.0.1 +dnssec A {host}.{PROVINCE}")
        assert "flags: qr rd ra ad;" in said, said
        assert f"198.51.100.{address}" in said


def test_the_internet_still_says_where_a_request_came_from(world: World) -> None:
    said = world.sh("curl -sS --interface 100.64.0.1 http://www.example.vn/debian/dists/x/InRelease")
    assert said == "100.64.0.1"
    assert world.sh("curl -sS http://127.0.0.1/") == "127.0.0.1", "under any name"


# --- log-in


def test_everybody_reads_the_start_page(world: World) -> None:
    page = world.curl(f"{PORTAL}/")
    assert page.endswith("\n200"), page
    assert "Chào mừng đến với Cổng dịch vụ công" in page
    assert f'href="{LOGIN}/dang-nhap"' in page
    assert world.sh(f"curl -sSI http://portal.{PROVINCE}/ | grep -i ^location:").split()[1] == f"{PORTAL}/"


def test_the_certificate_s_owner_is_greeted(world: World) -> None:
    page = world.curl(f"{LOGIN}/dang-nhap", kind="good")
    assert page.endswith("\n200"), page
    assert f'<span id="chu-the">{OFFICIAL}</span>' in page
    assert '<span id="noi-cap">Lienxa Lab CA G2</span>' in page


def test_without_a_certificate_nobody_gets_in(world: World) -> None:
    for path in ("dang-nhap", "nop-ho-so", "bien-nhan/x"):
        page = world.curl(f"{LOGIN}/{path}")
        assert page.endswith("\n403"), page
        assert "Trình duyệt không gửi chứng thư số." in page
        assert "Xin chào" not in page


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("expired", "Chứng thư số của bạn đã hết hạn."),
        ("future", "Chứng thư số của bạn chưa có hiệu lực."),
        ("revoked", "Chứng thư số của bạn đã bị thu hồi."),
        ("usage", "Chứng thư số của bạn không được dùng để đăng nhập."),
        ("old", "Chứng thư số của bạn không do tổ chức được tin cậy cấp."),
        ("stranger", "Chứng thư số của bạn không do tổ chức được tin cậy cấp."),
        ("unlisted", "Chứng thư số của bạn không do tổ chức được tin cậy cấp."),
    ],
    ids=lambda value: value if value.isascii() else "",
)
def test_a_wrong_certificate_is_refused_in_vietnamese(world: World, kind: str, why: str) -> None:
    page = world.curl(f"{LOGIN}/dang-nhap", kind=kind)
    assert page.endswith("\n403"), page
    assert why in page


def test_a_header_does_not_make_an_official(world: World) -> None:
    page = world.curl(f"{PORTAL}/../login/dang-nhap", "--path-as-is", "-H", "X-Client-Verify: SUCCESS")
    assert "Xin chào" not in page
    assert not page.endswith("\n200"), page


# --- dossiers


def test_a_signed_dossier_is_taken_and_the_receipt_s_qr_code_is_its_link(world: World) -> None:
    page = world.hand_in(world.signed())
    assert page.endswith("\n200"), page
    assert "Giấy tiếp nhận hồ sơ và hẹn trả kết quả" in page
    assert all(text in page for text in (CITIZEN, PROCEDURE, "Đơn.pdf", OFFICIAL))
    taken = world.ask("dossiers", "--official", OFFICIAL, "--count", "1")[-1]
    assert (taken["citizen"], taken["signer"], taken["reason"]) == (CITIZEN, OFFICIAL, "")
    assert taken["code"] in page
    picture = base64.b64decode(
        world.sh(
            f"curl -sS --cacert /root/anchors.pem --cert /root/good/certificate.pem --key /root/good/key.pem "
            f"{LOGIN}/bien-nhan/{taken['code']}.png | base64 -w0"
        )
    )
    (read,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))
    assert read.text == taken["link"] == f"{PORTAL}/ho-so/{taken['code']}"
    state = world.curl(read.text)
    assert state.endswith("\n200"), state
    assert "Đã tiếp nhận" in state
    assert CITIZEN not in state, "the link is for everybody"


def test_what_is_no_signed_pdf_is_refused(world: World) -> None:
    for pdf, reason, why in (
        (paper(), "unsigned", "Tệp PDF chưa được ký số."),
        (b"khong phai PDF", "not-pdf", "Tệp không phải là PDF hoặc đã hỏng."),
        (world.signed("good", "--no-stamp"), "no-timestamp", "Chữ ký số không có dấu thời gian."),
    ):
        refused(world, pdf, reason, why)


def test_an_altered_pdf_is_refused(world: World) -> None:
    signed = world.signed()
    assert signed.count(b"chung thuc") == 1
    refused(world, signed.replace(b"chung thuc", b"chung thuq"), "altered", "Nội dung tệp đã bị thay đổi")
    refused(world, signed + b"% more\n", "altered", "Nội dung tệp đã bị thay đổi")
    refused(world, overwritten(signed), "altered", "Nội dung tệp đã bị thay đổi")


def overwritten(pdf: bytes) -> bytes:
    """The same with an update that puts another text on the page, as any editor of PDFs writes it."""
    text = b"BT /F1 20 Tf 60 780 Td (Mot noi dung khac) Tj ET"
    last = pdf.rindex(b"startxref")
    previous = int(pdf[last:].split()[1])
    size = int(pdf[pdf.rindex(b"/Size", 0, last) :].split()[1])
    place = len(pdf) + 1
    new = b"\n4 0 obj\n<</Length %d>>stream\n%s\nendstream\nendobj\n" % (len(text), text)
    table = b"xref\n4 1\n%010d 00000 n \ntrailer<</Size %d/Root 1 0 R/Prev %d>>\n" % (place, size, previous)
    return pdf + new + table + b"startxref\n%d\n%%%%EOF\n" % (len(pdf) + len(new))


@pytest.mark.parametrize(
    ("kind", "reason", "why"),
    [
        ("revoked", "revoked", "Chứng thư số của người ký đã bị thu hồi."),
        ("expired", "out-of-dates", "đã hết hạn hoặc chưa có hiệu lực"),
        ("usage", "usage", "Chứng thư số của người ký không được dùng để ký số."),
        ("stranger", "untrusted", "không do tổ chức được tin cậy cấp"),
        ("old", "untrusted", "không do tổ chức được tin cậy cấp"),
    ],
    ids=lambda value: value if value.isascii() else "",
)
def test_a_signer_who_may_not_is_refused(world: World, kind: str, reason: str, why: str) -> None:
    refused(world, world.signed(kind), reason, why)


def refused(world: World, pdf: bytes, reason: str, why: str) -> None:
    before = len(world.ask("dossiers"))
    page = world.hand_in(pdf)
    assert page.endswith("\n422"), page
    assert "Hồ sơ không được tiếp nhận" in page
    assert why in page
    *_, last = world.ask("dossiers", "--count", str(before + 1))
    assert (last["reason"], last["code"]) == (reason, "")


# --- the authority


def ocsp(world: World, certificate: str) -> str:
    return world.sh(
        f"openssl ocsp -issuer /root/ca-g2.pem -cert {certificate} -url http://ocsp.{PROVINCE}/ "
        "-CAfile /root/anchors.pem -verify_other /root/ca-g2.pem 2>&1"
    )


def test_ocsp_knows_good_revoked_and_unknown(world: World) -> None:
    for kind, state in (("good", "good"), ("revoked", "revoked"), ("stranger", "unknown")):
        said = ocsp(world, f"{world.identity(kind)}/certificate.pem")
        assert "Response verify OK" in said, said
        assert f"certificate.pem: {state}" in said
        assert "WARNING" not in said, "the nonce comes back"


def test_ocsp_answers_what_browsers_put_in_the_address(world: World) -> None:
    world.identity("revoked")
    said = world.sh(f"""
cd /root
about="-issuer ca-g2.pem -cert revoked/certificate.pem -no_nonce"
openssl ocsp $about -reqout asked.der >/dev/null
curl -sS "http://ocsp.{PROVINCE}/$(base64 -w0 asked.der | sed 's/+/%2B/g; s/=/%3D/g')" -o said.der
openssl ocsp $about -respin said.der -CAfile anchors.pem -verify_other ca-g2.pem 2>&1
""")
    assert "Response verify OK" in said, said
    assert "certificate.pem: revoked" in said


def test_a_certificate_that_is_taken_back_is_revoked_from_then_on(world: World) -> None:
    made = world.ask("issue", "good", "--name", "Lê Thị Thu Hồi")
    world.run("cat >/root/taken-back.pem", made["certificate"].encode())
    assert "taken-back.pem: good" in ocsp(world, "/root/taken-back.pem")
    world.ask("revoke", made["serial"])
    assert "taken-back.pem: revoked" in ocsp(world, "/root/taken-back.pem")
    assert made["serial"] in revocation_list(world, "ca-g2")


def test_the_revocation_lists_are_fresh_and_signed(world: World) -> None:
    revoked = json.loads(world.sh(f"cat {world.identity('revoked')}/identity.json"))["serial"]
    assert revoked in revocation_list(world, "ca-g2")
    assert "No Revoked Certificates" in revocation_list(world, "root-g2")
    # Both hours that it tells of, in seconds.
    fetched = f"curl -sS http://ca.{PROVINCE}/ca-g2.crl | openssl crl -inform DER -noout"
    for option, earliest, latest in (("-lastupdate", -300, 5), ("-nextupdate", 3600, 90000)):
        at = world.sh(f'expr $(date -d "$({fetched} {option} | cut -d= -f2)" +%s) - $(date +%s)')
        assert earliest <= int(at) <= latest, (option, at)


def revocation_list(world: World, issuer: str) -> str:
    return world.sh(
        f"curl -sS http://ca.{PROVINCE}/{issuer}.crl | "
        f"openssl crl -inform DER -noout -text -verify -CAfile /root/{issuer}.pem 2>&1 | tee /root/crl.txt; "
        "grep -q 'verify OK' /root/crl.txt"
    )


def test_a_certificate_says_where_its_issuer_is_found(world: World) -> None:
    text = world.sh(f"openssl x509 -in {world.identity()}/certificate.pem -noout -text -nameopt utf8")
    for part in (
        f"http://ca.{PROVINCE}/ca-g2.crl",
        f"http://ca.{PROVINCE}/ca-g2.crt",
        f"http://ocsp.{PROVINCE}/",
        "Digital Signature, Non Repudiation",
        "TLS Web Client Authentication, E-mail Protection",
        OFFICIAL,
    ):
        assert part in text, text
    world.sh(f"curl -sS http://ca.{PROVINCE}/ca-g2.crt | openssl x509 -inform DER | cmp - /root/ca-g2.pem")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_certificate_is_wrong_in_its_one_way(world: World, kind: str) -> None:
    folder = world.identity(kind)
    said = world.sh(
        f"openssl verify -CAfile /root/anchors.pem -untrusted {folder}/chain.pem -purpose sslclient "
        f"{folder}/certificate.pem 2>&1",
        check=False,
    )
    wrong = {
        "expired": "certificate has expired",
        "future": "certificate is not yet valid",
        "usage": "unsuitable certificate purpose",
        "stranger": "error",
        "unlisted": "error",
    }
    assert wrong.get(kind, "certificate.pem: OK") in said, said


def test_the_old_root_ends_soon_and_the_new_one_does_not(world: World) -> None:
    for name, soon in (("root-g1", True), ("root-g2", False)):
        world.run("cat >/root/one.pem", province_anchors(SLUG, PROVINCE)[name].encode())
        said = world.sh("openssl x509 -in /root/one.pem -noout -checkend 2592000", check=False)
        assert ("will not expire" not in said) == soon, said


def test_a_time_stamp_verifies_against_the_authority(world: World) -> None:
    said = world.sh(f"""
cd /root
echo 'Đơn đề nghị' >data
openssl ts -query -data data -sha256 -cert -out query.tsq 2>/dev/null
curl -sS -H 'Content-Type: application/timestamp-query' --data-binary @query.tsq http://tsa.{PROVINCE}/ -o reply.tsr
openssl ts -verify -in reply.tsr -queryfile query.tsq -CAfile anchors.pem -untrusted ca-g2.pem 2>&1
openssl ts -reply -in reply.tsr -text 2>/dev/null
""")
    assert "Verification: OK" in said, said
    assert "Policy OID: 2.999.1" in said
    world.sh("echo 'Đã sửa' >/root/data")
    other = world.sh(
        "cd /root; openssl ts -verify -in reply.tsr -data data -CAfile anchors.pem -untrusted ca-g2.pem 2>&1",
        check=False,
    )
    assert "Verification: FAILED" in other, other


# --- what goes wrong


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("expired", "certificate has expired"),
        ("wrong-name", "no alternative certificate subject name matches"),
        ("untrusted", "self-signed certificate"),
    ],
)
def test_a_host_with_a_bad_certificate_is_not_believed(world: World, host: str, why: str) -> None:
    said = world.curl(f"https://{host}.{PROVINCE}/")
    assert why in said, said
    assert "Chào mừng" in world.sh(f"curl -sSk https://{host}.{PROVINCE}/"), (
        "it is there, only its certificate is bad"
    )


@pytest.mark.parametrize("mode", ["expired", "wrong-name", "untrusted"])
def test_the_portal_s_own_certificate_goes_wrong_and_right_again(world: World, mode: str) -> None:
    world.ask("fault", "portal", mode)
    world.sh(f"until ! curl -sS -o /dev/null --cacert /root/anchors.pem {PORTAL}/; do sleep 0.1; done 2>&1")
    world.ask("fault", "portal", "none")
    world.sh(f"until curl -sS -o /dev/null --cacert /root/anchors.pem {PORTAL}/; do sleep 0.1; done 2>&1")


def test_services_fall_away_one_at_a_time(world: World) -> None:
    urls = {
        "portal": f"{PORTAL}/",
        "crl": f"http://ca.{PROVINCE}/ca-g2.crl",
        "ocsp": f"http://ocsp.{PROVINCE}/",
        "tsa": f"http://tsa.{PROVINCE}/",
    }

    def reached(url: str) -> bool:
        asked = f"curl -sS --max-time 5 -o /dev/null --cacert /root/anchors.pem {url} && echo there"
        return world.sh(asked, check=False).endswith("there")

    for service in urls:
        world.ask("fault", service, "away")
        assert {name: reached(url) for name, url in urls.items()} == {name: name != service for name in urls}
        world.ask("fault", service, "none")
    assert all(map(reached, urls.values()))


def test_a_slow_service_is_slow(world: World) -> None:
    world.ask("fault", "tsa", "slow")
    said = world.sh(f"curl -sS --max-time 3 http://tsa.{PROVINCE}/", check=False)
    assert "timed out" in said, said
    world.ask("fault", "tsa", "none")
    assert "timed out" not in world.sh(f"curl -sS --max-time 3 http://tsa.{PROVINCE}/", check=False)


def test_an_unknown_fault_is_refused_with_what_there_is(world: World) -> None:
    said = world.sh(f"{COMMAND} fault dns away", check=False)
    assert said.startswith("dns away is unknown; there are portal, crl, ocsp, tsa"), said


def test_when_revocation_cannot_be_looked_up_the_portal_says_so(world: World) -> None:
    signed = world.signed()
    for service in ("ocsp", "crl"):
        world.ask("fault", service, "away")
    try:
        refused(world, signed, "unchecked", "Không kiểm tra được tình trạng thu hồi")
    finally:
        for service in ("ocsp", "crl"):
            world.ask("fault", service, "none")


def test_a_foreign_site_asks_and_what_it_got_is_known(world: World) -> None:
    for url in ("https://foreign.example.vn/", "https://foreign.example.vn:8443/"):
        page = world.curl(url)
        assert page.endswith("\n200"), page
        assert '<p id="certificate">none</p>' in page
        assert "window.open" in page
    shown = world.curl("https://foreign.example.vn:8443/", kind="good")
    assert f'<p id="certificate">{world.identities["good"]["serial"]}</p>' in shown
    without, shown_once = world.ask("visits", "--host", "foreign.example.vn")[-2:]
    assert (without["verified"], shown_once["verified"]) == ("NONE", "SUCCESS")
    assert shown_once["serial"] == world.identities["good"]["serial"]
