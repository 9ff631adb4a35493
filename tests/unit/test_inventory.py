"""What is accepted, and what comes of it: merge, explanation, site, record, schemas, speed."""

from __future__ import annotations

import json
import shutil
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from deploy.inventory.explain import explain
from deploy.inventory.loading import BadInventory, Inventory, load
from deploy.inventory.merge import merge
from deploy.inventory.record import plan_addresses, write_plan
from deploy.inventory.resolve import Resolved, SshHost, resolve
from deploy.inventory.role import Purpose
from deploy.inventory.schema import schemas
from deploy.inventory.site import PACKAGES
from deploy.inventory.yaml_source import parse
from deploy.site import CATALOG

INVENTORIES = Path(__file__).parents[2] / "inventories"
PROVINCE = """\
province: {name: Gia Lai, slug: gia-lai, code: 52, domain: gialai.gov.vn}
supernet: 10.52.0.0/14
"""
COMMUNE = """\
commune: {name: Xã Mẫu, slug: xa-mau, code: "00000", prefix: 10.52.0.0/22}
zones:
  server: {vlan: 10}
  office: {vlan: 20}
  wireless: {vlan: 50, guest: true}
uplinks:
  - {name: fibre, interface: wan0}
machines:
  gw1: {kind: gateway, ports: {wan0: uplink, lan0: trunk}}
  srv1: {kind: server, zone: server, mac: "52:54:00:00:00:10"}
  vp01: {kind: office, zone: office, mac: 52-54-00-00-00-AB}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "province.yaml").write_text(PROVINCE, encoding="utf-8")
    (tmp_path / "xa-mau").mkdir()
    (tmp_path / "xa-mau" / "commune.yaml").write_text(COMMUNE, encoding="utf-8")
    return tmp_path


def edit(folder: Path, *pairs: tuple[str, str], file: str = "xa-mau/commune.yaml") -> Path:
    text = (folder / file).read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new, 1)
    (folder / file).write_text(text, encoding="utf-8")
    return folder


def loaded(folder: Path) -> Inventory:
    return load(folder, CATALOG)


def resolved(folder: Path) -> Resolved:
    return resolve(loaded(folder), "xa-mau")


def test_the_inventories_of_this_repository_are_good_and_their_addresses_recorded() -> None:
    inventory = loaded(INVENTORIES)
    assert plan_addresses(inventory) == ()
    site = resolve(inventory, "xa-mau").site
    assert site.domain == "xa-mau.gialai.gov.vn"
    assert {machine.name: machine.zone for machine in site.machines} == {
        "gw1": "management",
        "srv1": "server",
        "vp01": "office",
        "mc01": "counter",
        "hop1": "meeting",
        "qt01": "management",
        "in01": "office",
        "kh01": "wireless",
    }


def test_schemas_are_fresh() -> None:
    for name, text in schemas(CATALOG).items():
        stored = (INVENTORIES / "schema" / name).read_text(encoding="utf-8")
        assert stored == text, f"inventories/schema/{name} is stale: run `lienxa schema`"


def test_a_schema_knows_the_options_of_every_role() -> None:
    schema = json.loads(schemas(CATALOG)["commune.json"])
    definitions = schema["$defs"]
    for name, role in CATALOG.roles.items():
        target = definitions["Options"]["properties"][name]["$ref"].rpartition("/")[2]
        assert set(definitions[target]["properties"]) == set(role.options.model_fields)
    assert schema["properties"]["options"]["$ref"] == "#/$defs/Options"
    assert definitions["MachineWritten"]["properties"]["options"]["$ref"] == "#/$defs/Options"


def test_every_field_that_people_write_says_what_it_means() -> None:
    for name in schemas(CATALOG):
        for definition in json.loads(schemas(CATALOG)[name])["$defs"].values():
            for field, body in definition.get("properties", {}).items():
                described = "description" in body or body.get("$ref", "").startswith("#/$defs/options.")
                assert described, f"{name}: {definition.get('title')}.{field}"


# YAML


def test_words_and_numbers_are_what_they_look_like() -> None:
    text = "a: no\nb: 12:34:56\nc: 00123\nd: true\ne: 7\nf: ~\ng: 1.5\nh: '7'\ni: 2026-11-24\nj: 0x10\nk:\nl: -3\n"
    source, problems = parse(text.encode(), "f.yaml")
    assert problems == []
    assert source is not None
    assert source.data == {
        "a": "no", "b": "12:34:56", "c": "00123", "d": True, "e": 7, "f": None, "g": 1.5, "h": "7", "i": "2026-11-24",
        "j": "0x10", "k": None, "l": -3,
    }  # fmt: skip


def test_lines_of_keys_and_values() -> None:
    source, _ = parse("\ufeffa:\n  b:\n    - x\n    - c: 1\n      d:\n        2\n".encode(), "f.yaml")
    assert source is not None
    assert [source.line(path) for path in (("a",), ("a", "b"), ("a", "b", 0), ("a", "b", 1, "d"))] == [1, 2, 3, 6]
    assert source.key_line(("a", "b", 1, "d")) == 5
    assert source.line(("a", "nowhere", "at", "all")) == 1


@pytest.mark.parametrize(
    "raw", [b"- " * 100_000, b"[" * 100_000, b"a: " + b"{a: " * 900 + b"}" * 900, b"\x00", b"\xff"]
)
def test_hostile_bytes_are_refused_quickly(raw: bytes) -> None:
    source, problems = parse(raw, "f.yaml")
    assert source is None
    assert len(problems) == 1


# merge and explain


def test_maps_merge_and_lists_replace() -> None:
    below = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge(below, {"a": {"c": [3]}, "d": {"e": 2}}) == {"a": {"b": 1, "c": [3]}, "d": {"e": 2}}
    assert below == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


def test_machine_over_commune_over_province_over_default(folder: Path) -> None:
    edit(
        folder,
        ("supernet", "options: {base: {journal_days: 30, journal_size: 300, upgrades_spread: 10}}\nsupernet"),
        file="province.yaml",
    )
    edit(
        folder,
        ("zone: office, mac", "zone: office, options: {base: {journal_days: 10}}, mac"),
        ("machines:", "options:\n  base:\n    journal_days: 20\n    journal_size: 200\nmachines:"),
    )
    inventory = loaded(folder)
    by_machine = {
        name: options["base"].model_dump() for name, options in resolve(inventory, "xa-mau").options.items()
    }
    keys = ("journal_days", "journal_size", "upgrades_spread", "timezone")
    assert [by_machine["vp01"][key] for key in keys] == [10, 200, 10, "Asia/Ho_Chi_Minh"]
    assert [by_machine["srv1"][key] for key in keys] == [20, 200, 10, "Asia/Ho_Chi_Minh"]

    said = {origin.key: origin for origin in explain(inventory, "xa-mau", "machines.vp01.base")}
    where = {key.rpartition(".")[2]: (said[key].said_by, said[key].line) for key in said}
    assert where["journal_days"] == ("machine vp01", 15)
    assert where["journal_size"] == ("commune", 11)
    assert where["upgrades_spread"] == ("province", 2)
    assert where["timezone"] == ("default of role base", None)

    (commune_level,) = explain(inventory, "xa-mau", "base.journal_days")
    assert (commune_level.value, commune_level.said_by, commune_level.line) == (20, "commune", 10)
    assert str(commune_level) == f"base.journal_days = 20: commune ({folder}/xa-mau/commune.yaml:10)"


def test_explain_addresses_before_and_after_they_are_recorded(folder: Path) -> None:
    (origin,) = explain(loaded(folder), "xa-mau", "machines.vp01.address")
    assert (origin.value, origin.said_by) == ("10.52.0.74", "address plan, not recorded yet")
    write_plan(loaded(folder))
    (origin,) = explain(loaded(folder), "xa-mau", "machines.vp01.address")
    lines = (folder / "xa-mau" / "addresses.yaml").read_text(encoding="utf-8").splitlines()
    assert (origin.said_by, lines[(origin.line or 0) - 1].strip()) == ("given before", "vp01: 10.52.0.74")


@pytest.mark.parametrize("key", ["netwrok.x", "machines.vp99", "base.nothing", "", "zones.office.vlan.deeper"])
def test_a_key_that_is_not_there(folder: Path, key: str) -> None:
    with pytest.raises(BadInventory, match="nothing at"):
        explain(loaded(folder), "xa-mau", key)


def test_a_commune_that_is_not_there(folder: Path) -> None:
    with pytest.raises(
        BadInventory, match="there is no commune 'xa-mua' in this folder; allowed: xa-mau; did you mean"
    ):
        resolve(loaded(folder), "xa-mua")


# the record


def test_what_is_recorded_stays_when_things_come_in_between(folder: Path) -> None:
    write_plan(loaded(folder))
    before = {machine.name: machine.address for machine in resolved(folder).site.machines}
    edit(
        folder,
        ("  office:", "  counter: {vlan: 30}\n  office:"),
        ("  vp01:", "  mc01: {kind: counter, zone: counter}\n  vp00: {kind: office, zone: office}\n  vp01:"),
    )
    edit(folder, ("zones:", "people: []\nzones:"))
    changes = [str(change) for change in plan_addresses(loaded(folder))]
    after = {machine.name: machine.address for machine in resolved(folder).site.machines}
    assert {name: after[name] for name in before} == before
    assert changes == [
        "xa-mau: zone counter gets 10.52.1.0/26",
        "xa-mau: machine mc01 gets 10.52.1.10 (counter)",
        "xa-mau: machine vp00 gets 10.52.0.75 (office)",
    ]


def test_another_commune_moves_nothing(folder: Path) -> None:
    before = resolved(folder).site
    shutil.copytree(folder / "xa-mau", folder / "xa-khac")
    edit(
        folder,
        ("slug: xa-mau", "slug: xa-khac"), ("00000", "00001"), ("10.52.0.0", "10.52.4.0"),
        file="xa-khac/commune.yaml",
    )  # fmt: skip
    assert resolved(folder).site == before


def test_writing_the_record_twice_changes_nothing(folder: Path) -> None:
    assert write_plan(loaded(folder), ("elsewhere",)) == ()
    assert write_plan(loaded(folder)) == (folder / "xa-mau" / "addresses.yaml",)
    assert write_plan(loaded(folder)) == ()
    assert sorted(path.name for path in (folder / "xa-mau").iterdir()) == ["addresses.yaml", "commune.yaml"]


def test_what_left_is_given_back(folder: Path) -> None:
    write_plan(loaded(folder))
    edit(folder, ('  srv1: {kind: server, zone: server, mac: "52:54:00:00:00:10"}\n', ""))
    assert [str(change) for change in plan_addresses(loaded(folder))] == [
        "xa-mau: machine srv1 gives 10.52.0.10 (server) back"
    ]


# the site


def test_zones_on_a_trunk_and_on_ports_of_their_own(folder: Path) -> None:
    edit(folder, ("lan0: trunk", "lan0: trunk, lan1: office"))
    zones = {zone.name: (zone.interface, zone.trunk) for zone in resolved(folder).site.zones}
    assert zones == {"server": ("lan0.10", "lan0"), "office": ("lan1", None), "wireless": ("lan0.50", "lan0")}


def test_purposes_follow_names_unless_written(folder: Path) -> None:
    edit(folder, ("{vlan: 20}", "{vlan: 20, purpose: dmz}"), ("  office:", "  management: {vlan: 99}\n  office:"))
    site = resolved(folder).site
    assert {zone.name: zone.purpose for zone in site.zones} == {
        "server": Purpose.SERVER,
        "management": Purpose.MANAGEMENT,
        "office": Purpose.DMZ,
        "wireless": Purpose.GUEST,
    }
    assert site.gateway.zone == "management"


def test_the_gateway_stands_where_it_is_written_else_with_the_servers(folder: Path) -> None:
    assert resolved(folder).site.gateway.address == IPv4Address("10.52.0.1")
    edit(folder, ("{kind: gateway,", "{kind: gateway, zone: office,"))
    assert resolved(folder).site.gateway.address == IPv4Address("10.52.0.65")


def test_ports_come_from_the_cards_with_the_names_of_zones(folder: Path) -> None:
    site = resolved(folder).site
    for machine in site.machines:
        cards = [(role.name, port) for role in map(CATALOG.roles.__getitem__, machine.roles) for port in role.ports]
        assert [(port.role, port.number) for port in machine.ports] == [(role, port.number) for role, port in cards]
        for port, (_, card) in zip(machine.ports, cards, strict=True):
            assert port.zones == tuple(sorted(zone.name for zone in site.zones if zone.purpose in card.zones))


@pytest.mark.parametrize(("written", "where"), [("", "gw1"), ("services: {packages: {server: srv1}}\n", "srv1")])
def test_the_package_cache_is_where_the_inventory_says_else_on_the_gateway(
    folder: Path, written: str, where: str
) -> None:
    edit(folder, ("uplinks:", f"{written}uplinks:"))
    both = resolved(folder)
    assert [m.name for m in both.site.machines if "cache" in m.roles] == [where]
    assert both.site.machine(where).roles[0] == "cache", "what follows could not use it"
    assert [name for name, options in both.options.items() if "cache" in options] == [where]


def test_a_service_is_met_where_the_user_stands(folder: Path) -> None:
    edit(folder, ("  vp01:", "  kh01: {kind: unmanaged, zone: wireless}\n  vp01:"))
    site = resolved(folder).site
    offered = {machine.name: site.service(PACKAGES, machine) for machine in site.machines}
    assert {name: each and each[1] for name, each in offered.items()} == {
        "gw1": "127.0.0.1:3128",
        "srv1": f"{site.zone('server').gateway}:3128",
        "vp01": f"{site.zone('office').gateway}:3128",
        "kh01": None,
    }


def test_a_machine_as_the_roles_see_it(folder: Path) -> None:
    edit(folder, ("{kind: gateway,", "{kind: gateway, debian: 12, ssh: 'gw.example.vn:2222',"))
    both = resolved(folder)
    machine = both.site.machine("vp01")
    assert (machine.mac, machine.fqdn, machine.debian, machine.roles) == (
        "52:54:00:00:00:ab",
        "vp01.xa-mau.gialai.gov.vn",
        None,
        CATALOG.kinds[machine.kind],
    )
    assert both.site.gateway.debian == "12"
    assert both.ssh == {"gw1": SshHost("gw.example.vn", 2222)}


def test_uplinks_of_each_kind(folder: Path) -> None:
    edit(
        folder,
        ("wan0: uplink", "wan0: uplink, wan1: uplink, wan2: uplink"),
        (
            "  - {name: fibre, interface: wan0}",
            """\
  - {name: fibre, interface: wan0, down: 50mbit, up: 512kbit}
  - {name: dsl, interface: wan1, address: pppoe, user: xamau}
  - {name: leased, interface: wan2, address: 203.0.113.2/30, gateway: 203.0.113.1}""",
        ),
    )
    fibre, dsl, leased = resolved(folder).site.uplinks
    assert (fibre.method, fibre.address, fibre.down, fibre.up) == ("dhcp", None, 50_000_000, 512_000)
    assert (dsl.method, dsl.address, dsl.user) == ("pppoe", None, "xamau")
    assert (leased.method, leased.address, str(leased.gateway)) == ("static", "203.0.113.2/30", "203.0.113.1")


def test_notes_say_what_is_not_refused(folder: Path) -> None:
    edit(folder, (", mac: 52-54-00-00-00-AB", ""), ("uplinks:", "services: {mail: {mode: province}}\nuplinks:"))
    assert resolved(folder).site.notes == (
        "security level 2 asks for a zone that is not here: management",
        "security level 2 asks for a zone that is not here: dmz (services reached from outside)",
        "no engineers' keys in province.yaml (support.keys): nobody can log in after `adopt`",
        "services.mail is the province's, but province.yaml does not say where (upstream.mail)",
        "no MAC address yet, so no fixed lease: vp01",
    )


def test_only_guests_and_who_asks_for_it_lease_to_strangers(folder: Path) -> None:
    assert [zone.name for zone in resolved(folder).site.zones if zone.pool] == ["wireless"]
    edit(folder, ("{vlan: 20}", "{vlan: 20, pool: true}"), ("guest: true}", "guest: true, pool: false}"))
    assert [zone.name for zone in resolved(folder).site.zones if zone.pool] == ["office"]


def test_other_folders_and_files_are_left_alone(folder: Path) -> None:
    for name in ("docs", ".git", "schema"):
        (folder / name).mkdir()
    (folder / "README.md").write_text("hello")
    assert list(loaded(folder).communes) == ["xa-mau"]


def test_a_province_of_135_communes_is_resolved_whole(folder: Path) -> None:
    for number in range(134):
        slug = f"xa-{number}"
        shutil.copytree(folder / "xa-mau", folder / slug)
        edit(
            folder,
            ("slug: xa-mau", f"slug: {slug}"),
            ("00000", f"{number + 1:05}"),
            ("10.52.0.0", f"10.{53 + number // 64}.{number % 64 * 4}.0"),
            file=f"{slug}/commune.yaml",
        )
    write_plan(loaded(folder))
    inventory = loaded(folder)
    sites = [resolve(inventory, slug).site for slug in inventory.communes]
    assert len(sites) == 135
