"""The names of the commune's mail: what is answered inside, and what the province is told to publish."""

from __future__ import annotations

import json
import shutil
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.cli import lienxa
from deploy.cli.dns import zone_snippet
from deploy.errors import UserError
from deploy.inventory.dkim import dkim_keys
from deploy.inventory.loading import load
from deploy.inventory.mail_dns import Record, inside_records, outside_records, sts_policy
from deploy.inventory.resolve import resolve
from deploy.inventory.secrets import stand_in_secrets
from deploy.inventory.site import MAIL_IMAP, WEBMAIL, Site, SiteUplink, Smarthost
from deploy.site import CATALOG
from deploy.target import Target

MODEL = Path(__file__).parents[2] / "inventories"
DOMAIN = "xa-mau.gialai.gov.vn"
KEYS = {"lx1": "MIIB" + "A" * 388, "lx2": "MIIB" + "B" * 388}


@pytest.fixture(scope="module")
def site() -> Site:
    return resolve(load(MODEL, CATALOG), "xa-mau").site


def values(records: tuple[Record, ...], kind: str, name: str) -> list[str]:
    return [one.value for one in records if (one.type, one.name) == (kind, f"{name}{DOMAIN}")]


def published(site: Site) -> tuple[Record, ...]:
    """What the province publishes, without comments and without what is the provider's."""
    sections = outside_records(site, KEYS)
    return tuple(one for each in sections if each.reachable and each.by == "province" for one in each.records)


def opened(site: Site, *purposes: str) -> Site:
    """The same commune with these ports open from outside."""
    machines = tuple(
        machine.model_copy(
            update={
                "ports": tuple(
                    port.model_copy(update={"from_outside": port.from_outside or port.purpose in purposes})
                    for port in machine.ports
                )
            }
        )
        for machine in site.machines
    )
    return site.model_copy(update={"machines": machines})


def with_mail(site: Site, **changes: object) -> Site:
    assert site.mail is not None
    return site.model_copy(update={"mail": site.mail.model_copy(update=changes)})


def test_inside_every_name_of_the_mail_machine_is_its_own_address(site: Site) -> None:
    records = inside_records(site)
    server = str(site.machine("srv1").address)
    for label in ("mail", "autoconfig", "autodiscover", "mta-sts"):
        assert values(records, "A", f"{label}.") == [server]
    assert values(records, "MX", "") == [f"10 mail.{DOMAIN}."]


def test_inside_programs_find_the_ports_of_the_card(site: Site) -> None:
    records = inside_records(site)
    for service, port in (("imaps", 993), ("submissions", 465), ("submission", 587), ("sieve", 4190)):
        assert values(records, "SRV", f"_{service}._tcp.") == [f"0 1 {port} mail.{DOMAIN}."]
    assert values(records, "SRV", "_autodiscover._tcp.") == [f"0 1 443 mail.{DOMAIN}."]
    for service in ("imap", "pop3", "pop3s"):
        assert values(records, "SRV", f"_{service}._tcp.") == ["0 0 0 ."]


def test_inside_forgeries_are_known_without_the_line(site: Site) -> None:
    records = inside_records(site)
    assert values(records, "TXT", "") == ["v=spf1 ip4:203.0.113.10 -all"]
    assert "p=reject" in values(records, "TXT", "_dmarc.")[0]


def test_outside_names_what_can_be_reached_and_no_more(site: Site) -> None:
    records = published(site)
    assert values(records, "A", "mail.") == ["203.0.113.10"]
    assert values(records, "MX", "") == [f"10 mail.{DOMAIN}."]
    assert {one.type for one in records} == {"A", "MX", "TXT"}
    assert not values(records, "A", "mta-sts.")
    assert not any("10.52." in one.value for one in records)


def test_outside_ports_that_are_opened_are_published(site: Site) -> None:
    records = published(opened(site, WEBMAIL, MAIL_IMAP))
    assert values(records, "A", "mta-sts.") == ["203.0.113.10"]
    assert values(records, "A", "autoconfig.") == ["203.0.113.10"]
    assert values(records, "SRV", "_imaps._tcp.") == [f"0 1 993 mail.{DOMAIN}."]
    assert not values(records, "SRV", "_submissions._tcp.")


def test_every_selector_is_published(site: Site) -> None:
    records = published(site)
    for selector, key in KEYS.items():
        assert values(records, "TXT", f"{selector}._domainkey.") == [f"v=DKIM1; k=rsa; s=email; p={key}"]


def test_text_is_cut_into_strings_that_fit() -> None:
    data = Record("x", "TXT", "a" * 600).data
    parts = data.split(" ")
    assert [len(part) - 2 for part in parts] == [255, 255, 90]
    assert all(part.startswith('"') and part.endswith('"') for part in parts)


def test_every_line_may_send_and_so_may_the_relay(site: Site) -> None:
    lines = (
        SiteUplink(name="a", interface="wan0", method="static", address="198.51.100.7/29"),
        SiteUplink(name="b", interface="wan1", method="pppoe", public=IPv4Address("203.0.113.9")),
        SiteUplink(name="c", interface="wan2", method="dhcp"),
    )
    wider = with_mail(site.model_copy(update={"uplinks": lines}), smarthost=Smarthost(host="smtp.vn", port=587))
    assert values(published(wider), "TXT", "") == ["v=spf1 ip4:198.51.100.7 ip4:203.0.113.9 a:smtp.vn -all"]
    assert values(published(wider), "A", "mail.") == ["198.51.100.7", "203.0.113.9"]


def test_a_translated_line_is_known_by_its_outer_address(site: Site) -> None:
    line = SiteUplink(
        name="tslcd", interface="wan0", method="static", address="10.9.9.2/30", public=IPv4Address("203.0.113.9")
    )
    assert values(published(site.model_copy(update={"uplinks": (line,)})), "A", "mail.") == ["203.0.113.9"]


def test_without_a_known_address_it_says_what_to_ask_whom(site: Site) -> None:
    unknown = site.model_copy(update={"uplinks": (SiteUplink(name="fibre", interface="wan0", method="dhcp"),)})
    with pytest.raises(UserError, match=r"provider of fibre .*`public`"):
        outside_records(unknown, KEYS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The model's inventories without `public`."""
    copy = tmp_path / "inventories"
    shutil.copytree(MODEL, copy)
    file = copy / "xa-mau" / "commune.yaml"
    file.write_text(file.read_text().replace("public: 203.0.113.10, ", ""))
    return copy


def test_check_says_that_no_mail_comes(folder: Path) -> None:
    notes = resolve(load(folder, CATALOG), "xa-mau").site.notes
    assert "no uplink says by which address the world reaches it (public): no mail comes from outside" in notes


def test_the_verb_says_where_it_is_to_be_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Target, "secrets", lambda target: stand_in_secrets(folder / "secrets.json"))
    done = CliRunner().invoke(lienxa, ["dns", "xa-mau", "--inventories", str(folder)])
    line = (folder / "xa-mau" / "commune.yaml").read_text().splitlines().index("uplinks:") + 1
    assert isinstance(done.exception, UserError)
    assert str(done.exception).startswith(f"{folder}/xa-mau/commune.yaml:{line}: none of the uplinks says")


def test_the_verb_prints_zone_and_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Target, "secrets", lambda target: stand_in_secrets(tmp_path / "secrets.json"))
    words = ["dns", "xa-mau", "--inventories", str(MODEL)]
    zone = CliRunner().invoke(lienxa, words, catch_exceptions=False).stdout
    lines = [json.loads(line) for line in CliRunner().invoke(lienxa, [*words, "--json"]).stdout.splitlines()]
    records = {f"{one['name']}. {one['ttl']} IN {one['type']} {one['data']}": one for one in lines[:-1]}
    shown = [line for line in zone.splitlines() if line and not line.startswith(";")]
    assert shown == [text for text, one in records.items() if one["publish"] and one["by"] == "province"]
    assert lines[-1]["publish"] == len(shown)
    assert "PRIVATE" not in zone


def test_dmarc_as_the_inventory_says(site: Site) -> None:
    assert "p=none;" in values(published(with_mail(site, dmarc="none")), "TXT", "_dmarc.")[0]


@pytest.mark.parametrize("mode", ["province", "nothing"])
def test_mail_that_is_not_the_commune_s_needs_no_records(site: Site, mode: str) -> None:
    other = (
        with_mail(site, mode="province", server=None)
        if mode == "province"
        else site.model_copy(update={"mail": None})
    )
    assert inside_records(other) == ()
    assert outside_records(other, dkim_keys(other, lambda *asked: "")) == ()
    assert "Nothing to publish" in zone_snippet(other, ())


def test_the_snippet_has_closed_ports_and_the_provider_s_part_as_comments(site: Site) -> None:
    lines = zone_snippet(site, outside_records(site, KEYS)).splitlines()
    assert f"xa-mau.gialai.gov.vn. 3600 IN MX 10 mail.{DOMAIN}." in lines
    assert f"; _imaps._tcp.{DOMAIN}. 3600 IN SRV 0 1 993 mail.{DOMAIN}." in lines
    assert f"; 10.113.0.203.in-addr.arpa. 3600 IN PTR mail.{DOMAIN}." in lines
    for line in lines:
        assert not line or line.startswith((";", *(f"{label}{DOMAIN}. " for label in LABELS))), line


LABELS = ("", "mail.", "_dmarc.", "lx1._domainkey.", "lx2._domainkey.")


def test_public_keys_are_those_of_the_secrets(site: Site, tmp_path: Path) -> None:
    secrets = stand_in_secrets(tmp_path / "secrets.json")
    keys = dkim_keys(site, secrets)
    assert list(keys) == ["lx1", "lx2"]
    assert keys["lx1"] != keys["lx2"]
    assert dkim_keys(site, secrets) == keys
    assert all("PRIVATE" not in key and "\n" not in key for key in keys.values())


def test_the_policy_s_version_changes_with_it(site: Site) -> None:
    assert site.mail is not None
    first, second = values(inside_records(site), "TXT", "_mta-sts."), inside_records(with_mail(site, domain="x.vn"))
    assert first[0].startswith("v=STSv1; id=")
    assert first[0] not in [one.value for one in second]
    assert f"mx: mail.{DOMAIN}\r\n" in sts_policy(site.mail)
