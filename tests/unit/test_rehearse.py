"""The site as the lab has it."""

from __future__ import annotations

import base64
import hashlib
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "lab"))

from lab_site import make_site

from deploy.inventory.site import SiteUplink, Support
from deploy.lab.keys import ds_of_root
from deploy.lab.rehearsal import LabFacts, Link, links, rehearse

FACTS = LabFacts(support_key="ssh-ed25519 AAAA lab", trust_anchors=(". IN DS 1 15 2 00",))


def test_zones_of_a_trunk_become_ports_under_the_same_names() -> None:
    before = make_site()
    after = rehearse(before, FACTS)
    assert [zone.interface for zone in after.zones] == ["lan0.10", "lan0.20", "lan0.50"]
    assert all(zone.trunk is None for zone in after.zones)
    assert [zone.model_copy(update={"trunk": "lan0"}) for zone in after.zones] == list(before.zones)


def test_every_kind_of_uplink_leases_and_keeps_its_rates() -> None:
    uplink = SiteUplink(
        name="fibre", interface="wan0", method="static", address="203.0.113.2/30", gateway=IPv4Address("203.0.113.1"),
        down=50, up=20,
    )  # fmt: skip
    after = rehearse(make_site().model_copy(update={"uplinks": (uplink,)}))
    leased = SiteUplink(
        name="fibre", interface="wan0", method="dhcp", public=IPv4Address("100.64.0.10"), down=50, up=20
    )
    assert after.uplinks == (leased,)


def test_support_comes_from_the_laptop_with_the_labs_key_beside_the_engineers() -> None:
    support = Support(keys=("ssh-ed25519 BBBB an",), prefixes=(IPv4Network("192.0.2.0/24"),))
    after = rehearse(make_site().model_copy(update={"support": support}), FACTS).support
    assert after.keys == ("ssh-ed25519 BBBB an", "ssh-ed25519 AAAA lab")
    assert after.prefixes == (IPv4Network("192.0.2.0/24"), IPv4Network("100.64.0.2/32"))


def test_tinh_is_outside_the_support_prefixes() -> None:
    site = rehearse(make_site(), FACTS)
    assert not any(resolver in prefix for resolver in site.upstream.resolvers for prefix in site.support.prefixes)


def test_upstream_is_tinh_alone() -> None:
    upstream = rehearse(make_site(), FACTS).upstream
    assert upstream.resolvers == (IPv4Address("100.64.0.1"),)
    assert upstream.time_servers == ("100.64.0.1",)
    assert upstream.trust_anchors == FACTS.trust_anchors


def test_machines_keep_their_mac_and_get_a_stable_one_where_they_have_none() -> None:
    first, second = rehearse(make_site()), rehearse(make_site())
    macs = {machine.name: machine.mac for machine in first.machines}
    assert macs == {machine.name: machine.mac for machine in second.machines}
    assert macs["srv1"] == "02:00:00:00:10:01"
    assert len(set(macs.values())) == len(macs)
    assert None not in macs.values()


def test_nothing_else_differs() -> None:
    before = make_site()
    restored = rehearse(before, FACTS).model_copy(
        update={name: getattr(before, name) for name in ("zones", "uplinks", "machines", "support", "upstream")}
    )
    assert restored == before


def test_rehearsing_twice_is_rehearsing_once_but_for_the_key() -> None:
    once = rehearse(make_site())
    assert links(rehearse(once)) == links(once)


def test_every_machine_is_plugged_into_its_zone_with_the_mac_of_its_site() -> None:
    site = rehearse(make_site())
    cables = links(site)
    assert Link("vp01", "eth0", "02:00:00:00:20:01", "zone20") in cables
    gateway = {cable.interface: cable.bridge for cable in cables if cable.machine == "gw1"}
    assert gateway == {"wan0": "up0", "lan0.10": "zone10", "lan0.20": "zone20", "lan0.50": "zone50"}
    assert next(cable.mac for cable in cables if cable.interface == "wan0") == site.gateway.mac
    assert {cable.machine for cable in cables if cable.bridge == "up0"} == {"gw1", "tinh", "laptop"}
    assert len({cable.mac for cable in cables}) == len(cables)


def test_the_trust_anchor_is_the_ds_record_of_rfc_8080() -> None:
    """The key of RFC 8080, section 6.1, and its tag; the digest is over the owner, which is the root here."""
    public = base64.b64decode("l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=")
    digest = hashlib.sha256(b"\0" + bytes.fromhex("0101030f") + public).hexdigest().upper()
    assert ds_of_root(public) == f". IN DS 3613 15 2 {digest}"
