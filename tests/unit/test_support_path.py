"""The support path: who gets the role, with which key, and what the province is told to add."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from deploy.cli import lienxa
from deploy.errors import UserError
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.role import Secret
from deploy.inventory.secrets import generate
from deploy.inventory.wireguard import make_key, public_key
from deploy.lab.keys import facts
from deploy.lab.rehearsal import rehearse
from deploy.lab.support_path_world import support_path_files
from deploy.site import CATALOG

INVENTORIES = Path(__file__).parents[2] / "inventories"
PROVINCE_KEY = public_key(base64.b64encode(bytes(range(32))).decode())


@pytest.fixture
def inventories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model commune, of a province that has a support path; its secrets made for a key of our own."""
    copy = tmp_path / "inventories"
    shutil.copytree(INVENTORIES, copy)
    province = yaml.safe_load((copy / "province.yaml").read_text())
    province["upstream"]["support_path"] = {
        "endpoint": "hotro.gialai.gov.vn:51820",
        "public_key": PROVINCE_KEY,
        "prefixes": ["10.52.252.128/25", "10.52.252.0/25"],
    }
    (copy / "province.yaml").write_text(yaml.safe_dump(province, allow_unicode=True))
    (copy / "xa-mau" / "secrets.yaml").unlink()
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    monkeypatch.setenv("LIENXA_IDENTITY", str(key))
    return copy


@pytest.fixture
def without(tmp_path: Path) -> Path:
    """The model commune, of a province that has none."""
    copy = tmp_path / "inventories"
    shutil.copytree(INVENTORIES, copy)
    province = copy / "province.yaml"
    text, count = re.subn(r"  support_path:\n(    .*\n)+", "", province.read_text())
    assert count == 1
    province.write_text(text)
    return copy


def said(*words: str) -> str:
    done = CliRunner().invoke(lienxa, words)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_gateway_has_it_and_nobody_else(inventories: Path) -> None:
    site = resolve(load(inventories, CATALOG), "xa-mau").site
    assert [machine.name for machine in site.machines if "support_path" in machine.roles] == ["gw1"]
    assert site.upstream.support_path is not None
    assert [str(network) for network in site.upstream.support_path.prefixes] == ["10.52.252.0/24"]


def test_without_it_nobody_has_it(without: Path) -> None:
    site = resolve(load(without, CATALOG), "xa-mau").site
    assert not [machine.name for machine in site.machines if "support_path" in machine.roles]


def test_the_province_is_told_the_public_half_of_the_commune_s_key(inventories: Path) -> None:
    said("secrets", "generate", "xa-mau", "--inventories", str(inventories))
    private = said("secrets", "show", "xa-mau", "support_path.key", "--inventories", str(inventories)).strip()
    printed = said("support-path", "xa-mau", "--inventories", str(inventories))
    assert f"PublicKey = {public_key(private)}\nAllowedIPs = 10.52.1.129/32\n" in printed
    assert private not in printed
    lines = said("support-path", "xa-mau", "--json", "--inventories", str(inventories)).splitlines()
    assert json.loads(lines[0])["public_key"] == public_key(private)


def test_without_it_there_is_nothing_to_tell(without: Path) -> None:
    done = CliRunner().invoke(lienxa, ["support-path", "xa-mau", "--inventories", str(without)])
    assert isinstance(done.exception, UserError)
    assert "province.yaml:23: there is no support path" in str(done.exception)


def test_every_key_is_one_of_its_own() -> None:
    keys = {make_key(), generate(Secret("key", "", form="wireguard")), generate(Secret("key", "", form="wireguard"))}
    assert len(keys) == len({public_key(key) for key in keys}) == 3
    assert {len(base64.b64decode(key)) for key in keys} == {32}


def test_in_a_lab_tinh_is_the_other_end(inventories: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    site = resolve(load(inventories, CATALOG), "xa-mau").site
    rehearsed = rehearse(site, facts(site))
    path = rehearsed.upstream.support_path
    assert path is not None
    assert path.endpoint == "100.64.0.1:51820"
    (end, _) = support_path_files(rehearsed)
    private = next(line for line in end.content.splitlines() if line.startswith("PrivateKey")).split()[-1]
    assert public_key(private) == path.public_key
    printed = said("support-path", "xa-mau", "--lab", "--inventories", str(inventories))
    assert printed.split("[Peer]")[1].strip() == end.content.split("[Peer]")[1].strip()
