"""Signing, as the doctor sees it: each cause alone, from made-up sights; certificates read by the real openssl."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import Site, SiteAuthority, SiteModule
from deploy.runner.diagnosis import Patient
from deploy.site import CATALOG
from roles.signing.doctor import judged
from roles.signing.doctor_looks import (
    DESCRIBED,
    Certificate,
    Module,
    Seen,
    Service,
    Token,
    read_certificate,
    tokens_of,
)
from roles.signing.options import Options

NOW = datetime(2026, 11, 27, tzinfo=UTC)
YEAR = timedelta(days=365)
OWNER, ISSUER, ROOT = "Nguyễn Văn Mẫu", "Cấp Phát Ký Số G2", "Gốc Ký Số G2"
ORDINARY = resolve(load(Path(__file__).parents[2] / "inventories", CATALOG), "xa-mau").site


def authority(name: str, *, root: bool, ends: datetime = NOW + YEAR) -> SiteAuthority:
    return SiteAuthority(name=name, sha256="0" * 64, pem="", begins=NOW - YEAR, ends=ends, root=root)


AUTHORITIES = (authority(ROOT, root=True), authority(ISSUER, root=False))
VENDOR = SiteModule(name="vendor", file="v.so", sha256="1" * 64, architecture="x86_64", usb=("096e:0807",))


def site(authorities: tuple[SiteAuthority, ...] = AUTHORITIES, user: str = OWNER) -> Site:
    people = tuple(
        person.model_copy(update={"name": user, "machines": ("mc01",)}) if number == 0 else person
        for number, person in enumerate(ORDINARY.people)
    )
    return ORDINARY.model_copy(update={"authorities": authorities, "modules": (VENDOR,), "people": people})


GOOD = Certificate(
    owner=OWNER,
    issuer=ISSUER,
    begins=NOW - YEAR,
    ends=NOW + YEAR,
    authority=False,
    usage=frozenset({"Digital Signature"}),
    trusted=True,
    above=(ROOT,),
)
TOKEN = Token("VNPT", "good", (GOOD,))
MODULE = Module("vendor", "/usr/local/lib/lienxa/pkcs11/vendor.so", "x86_64", "good")
LIST = "http://crl.example.vn/g2.crl"
SEEN = Seen(
    now=NOW,
    processor="x86_64",
    service=True,
    readers=("Feitian ePass2003 00 00",),
    usb=("1d6b:0002", "096e:0807"),
    modules=(MODULE,),
    tokens=(TOKEN,),
    anchors_missing=(),
    services=(Service("revocation", LIST, 0.2),),
)


def causes(
    seen: Seen,
    of: Site | None = None,
    ill: frozenset[str] = frozenset(),
    asked: frozenset[str] = frozenset({"signing"}),
) -> list[str]:
    there = of or site()
    patient: Patient[Any] = Patient(there, there.machine("mc01"), Options(), ill, asked)
    return [found.cause.id for found in judged(patient, seen)]


def with_certificate(**fields: Any) -> Seen:
    return replace(SEEN, tokens=(replace(TOKEN, certificates=(replace(GOOD, **fields),)),))


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        pytest.param(SEEN, [], id="healthy"),
        pytest.param(replace(SEEN, service=False, tokens=()), ["signing.service_down"], id="service"),
        pytest.param(replace(SEEN, tokens=(), readers=(), usb=()), ["signing.no_reader"], id="no reader"),
        pytest.param(replace(SEEN, tokens=()), ["signing.no_token"], id="no token"),
        pytest.param(
            replace(SEEN, tokens=(), readers=(), usb=("25dd:3111",)), ["signing.module_missing"], id="other vendor"
        ),
        *(
            pytest.param(replace(SEEN, tokens=(), modules=(replace(MODULE, state=state),)), [cause], id=cause)
            for state, cause in (
                ("gone", "signing.module_gone"),
                ("foreign", "signing.module_architecture"),
                ("unregistered", "signing.module_unregistered"),
            )
        ),
        pytest.param(replace(SEEN, tokens=(replace(TOKEN, pin="locked"),)), ["signing.pin_locked"], id="locked"),
        pytest.param(replace(SEEN, tokens=(replace(TOKEN, pin="last try"),)), ["signing.pin_last_try"], id="last"),
        pytest.param(
            replace(SEEN, tokens=(replace(TOKEN, certificates=()),)), ["signing.no_certificate"], id="empty"
        ),
        pytest.param(with_certificate(ends=NOW - YEAR / 2), ["signing.certificate_expired"], id="expired"),
        pytest.param(with_certificate(ends=NOW + timedelta(days=9)), ["signing.certificate_ends"], id="ends soon"),
        pytest.param(with_certificate(begins=NOW + YEAR / 2), ["signing.certificate_not_yet"], id="not yet"),
        pytest.param(with_certificate(revoked=True), ["signing.certificate_revoked"], id="revoked"),
        pytest.param(with_certificate(owner="Lê Thị Khác"), ["signing.other_person"], id="other person"),
        pytest.param(with_certificate(usage=frozenset({"Key Agreement"})), ["signing.wrong_usage"], id="usage"),
        pytest.param(with_certificate(usage=frozenset()), [], id="usage not said"),
        pytest.param(
            with_certificate(issuer="Cấp Phát Lạ", trusted=False, above=()), ["signing.chain_incomplete"], id="chain"
        ),
        pytest.param(replace(SEEN, anchors_missing=(ROOT,)), ["signing.anchor_not_here"], id="not installed"),
        pytest.param(
            replace(SEEN, services=(Service("revocation", LIST, None),)), ["signing.revocation_unreachable"], id="crl"
        ),
        pytest.param(
            replace(SEEN, services=(Service("time stamps", LIST, None),)),
            ["signing.time_stamps_unreachable"],
            id="time stamps",
        ),
        pytest.param(replace(SEEN, services=(Service("revocation", LIST, 9.0),)), ["signing.slow"], id="slow"),
    ],
)
def test_exactly_the_cause(seen: Seen, expected: list[str]) -> None:
    assert causes(seen) == expected


def test_that_nothing_is_plugged_in_is_a_fault_to_who_asks_alone() -> None:
    assert causes(replace(SEEN, tokens=(), readers=(), usb=()), asked=frozenset()) == []


def test_a_root_that_is_not_believed_in_is_named() -> None:
    seen = with_certificate(trusted=False, above=("Gốc Ký Số G3",))
    there = site((authority(ISSUER, root=False),))
    patient: Patient[Any] = Patient(there, there.machine("mc01"), Options())
    (found,) = judged(patient, seen)
    assert (found.cause.id, found.values["root"]) == ("signing.anchor_missing", "Gốc Ký Số G3")


def test_an_authority_of_an_old_generation_that_has_ended() -> None:
    old = (authority(ROOT, root=True, ends=NOW - timedelta(days=3)), AUTHORITIES[1])
    assert causes(SEEN, site(old)) == ["signing.anchor_ended"]


def test_an_old_certificate_beside_its_renewal_is_no_fault() -> None:
    both = replace(TOKEN, certificates=(replace(GOOD, ends=NOW - YEAR / 2), GOOD))
    assert causes(replace(SEEN, tokens=(both,))) == []


def test_names_are_the_same_however_they_are_written() -> None:
    assert causes(with_certificate(owner="NGUYỄN VĂN MẪU")) == []
    nobody = site().model_copy(update={"people": ()})
    assert causes(with_certificate(owner="Ai Đó"), nobody) == [], "nobody in particular is expected there"


def test_what_follows_from_the_network_is_not_said() -> None:
    away = replace(SEEN, services=(Service("revocation", LIST, None),))
    assert causes(away, ill=frozenset({"network.line_down"})) == []
    late = with_certificate(ends=NOW - YEAR / 2)
    assert causes(late, ill=frozenset({"network.clock_wrong"})) == []


LISTED = """\
Available slots:
Slot 0 (0x11): Feitian ePass2003 00 00
  token label        : VNPT Ký số
  token manufacturer : EnterSafe
  token model        : PKCS#15
  token flags        : login required, rng, token initialized, PIN initialized, {flags}
  serial num         : 6c7856d17d9c7fb7
Slot 1 (0x12): System Trust
  token label        : System Trust
  token model        : p11-kit-trust
  token flags        : token initialized
Slot 2 (0x13): empty
  (empty)
"""


@pytest.mark.parametrize(
    ("flags", "pin"),
    [
        ("user PIN count low", "good"),
        ("user PIN count low, final user PIN try", "last try"),
        ("final user PIN try, user PIN locked", "locked"),
    ],
)
def test_what_pkcs11_tool_lists(flags: str, pin: str) -> None:
    assert list(tokens_of(LISTED.format(flags=flags))) == [("0x11", "VNPT Ký số", pin)]


def test_certificates_are_read_by_openssl(tmp_path: Path) -> None:
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-utf8", "-keyout", "key.pem"]
    made += ["-subj", f"/C=VN/O=UBND xã Mẫu/CN={OWNER}", "-addext", "keyUsage=digitalSignature,nonRepudiation"]
    made += ["-addext", "basicConstraints=CA:FALSE", "-out", "own.pem"]
    subprocess.run(made, check=True, capture_output=True, cwd=tmp_path)
    asked = ["openssl", "x509", "-in", "own.pem", *DESCRIBED]
    said = subprocess.run(asked, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    owner, issuer, begins, ends, is_authority, usage = read_certificate(said)
    assert (owner, issuer, is_authority) == (OWNER, OWNER, False)
    assert begins <= datetime.now(UTC) < ends
    assert usage == {"Digital Signature", "Non Repudiation"}
