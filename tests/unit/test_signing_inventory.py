"""What the province hands out for signing: read, compared, and refused where it is not what its entry says."""

from __future__ import annotations

import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_authorities import Authority

from deploy.cli.group import lienxa
from deploy.fleet.kit import KitError, content
from deploy.inventory.loading import BadInventory, Inventory, load
from deploy.inventory.resolve import resolve
from deploy.inventory.signing import ending
from deploy.runner import handed
from deploy.site import CATALOG

MODEL = Path(__file__).parents[2] / "inventories"
ROOT = "Gốc Ký Số Tỉnh G2"


def elf(*, bits: int = 2, kind: int = 3, machine: int = 62) -> bytes:
    """The header of a library, and a little more."""
    return b"\x7fELF" + bytes([bits, 1, 1, 0]) + bytes(8) + struct.pack("<HH", kind, machine) + bytes(100)


class Folder:
    """A province's folder with the model commune and what the test puts there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._anchors: list[str] = []
        self._modules: list[str] = []
        (path / "xa-mau").mkdir()
        text = (MODEL / "xa-mau/commune.yaml").read_text(encoding="utf-8").replace(", sip: phong-hop-xa-mau", "")
        (path / "xa-mau/commune.yaml").write_text(text, encoding="utf-8")

    def anchor(self, file: str, body: bytes, sha256: str, more: str = "") -> None:
        (self.path / file).write_bytes(body)
        self._anchors.append(f'    - {{file: {file}, sha256: "{sha256}"{more}}}')

    def module(self, name: str, body: bytes, sha256: str = "") -> None:
        (self.path / f"{name}.so").write_bytes(body)
        sha256 = sha256 or hashlib.sha256(body).hexdigest()
        self._modules.append(f'    {name}: {{file: {name}.so, sha256: "{sha256}"}}')

    def load(self) -> Inventory:
        lines = ["province: {name: Gia Lai, slug: gia-lai, code: 52, domain: gialai.gov.vn}"]
        lines += ["supernet: 10.52.0.0/14", "upstream:"]
        lines += ["  trust_anchors:", *self._anchors] if self._anchors else []
        lines += ["  modules:", *self._modules] if self._modules else []
        (self.path / "province.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return load(self.path, CATALOG)

    def refused(self) -> list[str]:
        """Lines of province.yaml, each with what is wrong there."""
        with pytest.raises(BadInventory) as caught:
            self.load()
        return str(caught.value).replace(f"{self.path}/province.yaml:", "").splitlines()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_authorities_are_read_with_dates_and_lists(folder: Folder) -> None:
    old, new = Authority("Gốc Ký Số Tỉnh G1"), Authority(ROOT, days=3650)
    issuing = new.issuing("Cấp Phát Ký Số G2", crl="http://crl.example/g2.crl")
    folder.anchor("g1.crt", old.pem, old.fingerprint)
    folder.anchor("g2.der", new.der, new.fingerprint.upper(), ", revocation: [http://crl.example/goc.crl]")
    colons = ":".join(issuing.fingerprint[n : n + 2] for n in range(0, 64, 2))
    folder.anchor("cap-phat.crt", issuing.pem, colons)
    site = resolve(folder.load(), "xa-mau").site
    assert [(one.name, one.root, one.revocation) for one in site.authorities] == [
        ("Gốc Ký Số Tỉnh G1", True, ()),
        (ROOT, True, ("http://crl.example/goc.crl",)),
        ("Cấp Phát Ký Số G2", False, ("http://crl.example/g2.crl",)),
    ]
    assert site.authorities[1].pem.encode() == new.pem
    assert site.authorities[1].ends == new.certificate.not_valid_after_utc


def test_a_wrong_certificate_is_refused(folder: Folder) -> None:
    good, other, leaf = Authority(ROOT), Authority("Khác"), Authority("Ai Đó", ca=False)
    folder.anchor("sai.crt", good.pem, other.fingerprint)
    folder.anchor("rong.crt", b"khong phai chung thu", good.fingerprint)
    folder.anchor("hai.crt", good.pem + other.pem, good.fingerprint)
    folder.anchor("la.crt", leaf.pem, leaf.fingerprint)
    folder.anchor("g2.crt", good.pem, good.fingerprint)
    folder.anchor("lai.crt", good.pem, good.fingerprint)
    assert folder.refused() == [
        (
            "5: upstream.trust_anchors[0].sha256: the certificate in sai.crt has SHA-256 "
            f"{good.fingerprint}; ask the authority which is right, by another way than the file came"
        ),
        "6: upstream.trust_anchors[1].file: rong.crt holds no certificate, neither PEM nor DER",
        ("7: upstream.trust_anchors[2].file: hai.crt holds 2 certificates; write each into a file of its own"),
        ("8: upstream.trust_anchors[3].file: la.crt is the certificate of Ai Đó, which is no authority (CA)"),
        ("10: upstream.trust_anchors[5].file: lai.crt is the certificate of upstream.trust_anchors[4] again"),
    ]


def test_a_chain_has_to_be_whole(folder: Folder) -> None:
    issuing = Authority(ROOT).issuing("Cấp Phát Ký Số G2")
    folder.anchor("cap-phat.crt", issuing.pem, issuing.fingerprint)
    assert folder.refused() == [
        (
            "5: upstream.trust_anchors[0].file: cap-phat.crt was signed by Gốc Ký Số Tỉnh G2, which is "
            "not here; put its certificate here too"
        ),
    ]


def test_another_s_signature_under_the_right_name_is_no_chain(folder: Folder) -> None:
    root, forged = Authority(ROOT), Authority(ROOT).issuing("Cấp Phát Ký Số G2")
    folder.anchor("g2.crt", root.pem, root.fingerprint)
    folder.anchor("gia.crt", forged.pem, forged.fingerprint)
    assert "gia.crt was signed by" in folder.refused()[0]


def test_a_wrong_module_is_refused(folder: Folder) -> None:
    folder.module("sai", elf(), "ab" * 32)
    folder.module("kich", b"#!/bin/sh\n" + bytes(100))
    folder.module("cu", elf(bits=1))
    folder.module("khac", elf(machine=8))
    folder.module("chay", elf(kind=2))
    found = hashlib.sha256(elf()).hexdigest()
    assert folder.refused() == [
        (
            f"5: upstream.modules.sai.sha256: sai.so has SHA-256 {found}; get the file and its SHA-256 "
            "from the vendor anew, each its own way"
        ),
        (
            "6: upstream.modules.kich.file: kich.so is no shared library for Linux; ask the vendor for the "
            "PKCS#11 module (.so)"
        ),
        "7: upstream.modules.cu.file: cu.so is for 32-bit Linux; ask the vendor for the 64-bit module",
        ("8: upstream.modules.khac.file: khac.so is for another kind of processor; there are x86_64, aarch64"),
        ("9: upstream.modules.chay.file: chay.so is no shared library; ask the vendor for the PKCS#11 module (.so)"),
    ]


def test_check_shows_the_dates_and_warns_before_an_end(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.cli.inventory._refuse_bad_secrets", lambda resolved, folder: None)
    old = Authority("Gốc Ký Số Tỉnh G1", days=20)
    folder.anchor("g1.crt", old.pem, old.fingerprint)
    folder.load()
    said = CliRunner().invoke(lienxa, ["check", "xa-mau", "--inventories", str(folder.path)]).output
    begins, ends = old.certificate.not_valid_before_utc, old.certificate.not_valid_after_utc
    assert f"authority Gốc Ký Số Tỉnh G1: in force from {begins:%Y-%m-%d} until {ends:%Y-%m-%d}\n" in said
    assert f"xa-mau: note: the authority Gốc Ký Số Tỉnh G1 ends on {ends:%Y-%m-%d}, in 19 days; put its next" in said
    plain = CliRunner().invoke(lienxa, ["check", "xa-mau", "--json", "--inventories", str(folder.path)]).output
    lines = [json.loads(line) for line in plain.splitlines() if line.startswith("{")]
    assert [line["sha256"] for line in lines if line["event"] == "authority"] == [old.fingerprint]


def test_what_has_ended_or_not_begun_is_said_and_what_is_in_force_is_not(folder: Folder) -> None:
    one = Authority(ROOT, days=200)
    folder.anchor("g2.crt", one.pem, one.fingerprint)
    authorities = folder.load().handed.authorities
    now = datetime.now(UTC)
    assert list(ending(authorities, now)) == []
    assert "has ended on" in next(ending(authorities, now + timedelta(days=201)))
    assert "is in force from" in next(ending(authorities, now - timedelta(days=2)))
    # The order must not change from one day to the next by itself.
    assert not any("authority" in note for note in resolve(folder.load(), "xa-mau").site.notes)


def test_modules_travel_in_the_kit_under_their_hash(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.module("bit4id", elf())
    inventory = folder.load()
    (module,) = resolve(inventory, "xa-mau").site.modules
    assert (module.name, module.architecture) == ("bit4id", "x86_64")
    files = inventory.handed.files
    cache = tmp_path / "cache"
    assert content(MODEL, cache, files).name != content(MODEL, cache).name
    monkeypatch.setattr(handed, "FOLDER", tmp_path)
    (tmp_path / module.sha256).write_bytes(elf())
    assert handed.handed(module.sha256, module.file) == elf()
    (tmp_path / module.sha256).write_bytes(elf() + b"x")
    with pytest.raises(handed.NotHandedError, match=r"bit4id\.so is not the one of the inventory"):
        handed.handed(module.sha256, module.file)
    files[module.sha256].write_bytes(elf() + b"x")
    with pytest.raises(KitError, match="has changed since it was checked"):
        content(MODEL, cache, files)
