"""The lab's province as it is made on the laptop: its authorities, what of them tinh is given, its names."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from sample_site import sample_site

from deploy.inventory.site import Site
from deploy.lab.keys import province_anchors, province_authorities
from deploy.lab.portal_world import portal_addresses, portal_files, portal_records, settings
from deploy.lab.province.issuing import load
from deploy.lab.province.register import Entry, Register, serial_text
from deploy.lab.province.turn import ice_servers

DOMAIN = "gialai.gov.vn"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A commune whose lab's keys are in a folder of the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield sample_site()


def test_both_generations_stand_side_by_side_and_the_old_one_ends_soon(site: Site) -> None:
    made = province_authorities(site.commune.slug, DOMAIN)
    soon = datetime.now(UTC) + timedelta(days=30)
    for generation, ends_soon in (("g1", True), ("g2", False)):
        root, issuer = load(made[f"root-{generation}"]), load(made[f"ca-{generation}"])
        issuer.certificate.verify_directly_issued_by(root.certificate)
        assert (root.certificate.not_valid_after_utc < soon) == ends_soon
        assert issuer.certificate.not_valid_after_utc <= root.certificate.not_valid_after_utc
        listed = x509.load_pem_x509_crl(made[f"root-{generation}.crl"].encode())
        assert listed.is_signature_valid(root.key.public_key())


def test_anchors_are_certificates_and_no_keys(site: Site) -> None:
    anchors = province_anchors(site.commune.slug, DOMAIN)
    assert list(anchors) == ["root-g1", "ca-g1", "root-g2", "ca-g2"]
    for text in anchors.values():
        assert "PRIVATE" not in text
        assert len(x509.load_pem_x509_certificates(text.encode())) == 1


def test_the_roots_keys_stay_on_the_laptop(site: Site) -> None:
    with_keys = {file.path for file in portal_files(site) if "PRIVATE KEY" in file.content}
    assert with_keys == {"/etc/lienxa-province/ca-g1.pem", "/etc/lienxa-province/ca-g2.pem"}
    assert all(file.mode == 0o600 for file in portal_files(site) if file.path in with_keys)


def test_what_tinh_is_given_is_the_same_each_time(site: Site) -> None:
    assert portal_files(site) == portal_files(site)


def test_nothing_is_left_to_fill_in(site: Site) -> None:
    (nginx,) = (file.content for file in portal_files(site) if file.path.endswith("province.conf"))
    assert "@" not in nginx.replace("@DOMAIN@ and the addresses are filled in", "")
    assert "server_name portal.gialai.gov.vn;" in nginx


def test_janus_takes_the_ports_that_the_gateways_know(site: Site) -> None:
    files = {file.path: file.content for file in portal_files(site)}
    assert 'rtp_port_range = "10000-20000"' in files["/etc/lienxa-janus/janus.jcfg"]
    assert "allowed-peer-ip=198.51.100.14\n" in files["/etc/turnserver.conf"]
    assert not [path for path in files if "janus" in path and "@" in files[path]]


def test_a_password_for_turn_ends(site: Site) -> None:
    (server,) = ice_servers(settings(site), "secret", 1000.5)["iceServers"]
    # From the draft's own formula: base64(HMAC-SHA1(secret, user)).
    digest = hmac.new(b"secret", b"4600:hop", "sha1").digest()
    assert (server["username"], base64.b64decode(server["credential"])) == ("4600:hop", digest)
    assert "turns:turn.gialai.gov.vn:443?transport=tcp" in server["urls"]


def test_every_name_leads_to_an_address_of_tinh(site: Site) -> None:
    assert {record.data for record in portal_records(site)} == {str(address) for address in portal_addresses()}
    names = {record.name for record in portal_records(site)}
    assert {f"{host}.{DOMAIN}" for host in ("portal", "ca", "ocsp", "tsa", "hop", "turn")} < names


def test_what_is_revoked_stays_so_from_the_first_time_on(tmp_path: Path) -> None:
    register = Register(tmp_path)
    assert register.find(0x0ABC) is None
    register.add(Entry(serial_text(0x0ABC), "ca-g2", "Nguyễn Văn Mẫu", "good", "2029-01-01T00:00:00+00:00"))
    first = register.revoke("0abc")
    assert register.revoke("0ABC") == first
    assert register.revoked("ca-g2") == {0x0ABC: datetime.fromisoformat(first.revoked)}
    assert register.revoked("ca-g1") == {}
    with pytest.raises(KeyError):
        register.revoke("FF")
