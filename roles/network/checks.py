"""Proves the role `network` on the gateway itself. What the zones see of it is shown by checks and probes there."""

from __future__ import annotations

import csv
import io
import json
import urllib.request
from ipaddress import IPv4Address

import pytest
from testinfra.host import Host

from deploy.inventory.mail_dns import Record
from deploy.inventory.site import Site, SiteMachine, SiteUplink, SiteZone
from deploy.runner.checking import each
from deploy.runner.observe import ask, reverse_name
from deploy.runner.operations.netfilter import SAME, difference_script
from roles.network import failover, shaping, tasks, wiring
from roles.network.options import Options

OURSELVES = "127.0.0.1"
LEASES = "/var/lib/kea/kea-leases4.csv"
LAB_NAME = "www.example.vn"
LAB_BOGUS_NAME = "www.bogus.example.vn"
"""In a lab: a name whose DNSSEC chain is broken."""


def _only_in_a_lab(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return lambda site, machine, options: [name] if site.upstream.trust_anchors and options.dnssec else []


@pytest.mark.next_step(
    "On {machine}: `networkctl status {uplink.interface}`; is the cable in, is the provider's box on?"
)
@each(lambda site, machine, options: site.uplinks)
def test_uplink_has_an_address(host: Host, uplink: SiteUplink) -> None:
    """The uplink {uplink.name} of {machine} has an address."""
    found = json.loads(host.check_output("ip -json -4 address show dev %s", wiring.device(uplink)))
    addresses = [address["local"] for link in found for address in link.get("addr_info", [])]
    assert addresses
    if uplink.address:
        assert uplink.address.partition("/")[0] in addresses


@pytest.mark.next_step(
    "The line is the carrier's: restart its box, then call. On {machine}: `journalctl -u lienxa-lines`."
)
@each(lambda site, machine, options: failover.ways(site))
def test_line_works(host: Host, way: failover.Way) -> None:
    """Somebody beyond the line {way.name} answers {machine}."""
    watched = failover.watched()
    assert watched.in_use, "the lines are not watched"
    assert way.name not in watched.silent, f"{watched.in_use} is used instead"


@pytest.mark.next_step(
    "On {machine}: `networkctl status {way.device}`. Where it says `configuring` the carrier gives no new address: "
    "restart its box."
)
@each(lambda site, machine, options: failover.ways(site))
def test_line_has_a_way_of_its_own(host: Host, way: failover.Way) -> None:
    """{machine} knows where the line {way.name} leads to, also while another one is used."""
    # There is no table before something stands in it.
    shown = host.run("ip -json -4 route show default table %s", str(way.table)).stdout
    assert [route["dev"] for route in json.loads(shown or "[]")] == [way.device]


def test_way_out(host: Host, site: Site) -> None:
    """{machine} sends what is not the commune's to an uplink."""
    route = json.loads(host.check_output("ip -json -4 route get 192.0.2.1"))[0]
    assert route["dev"] in {wiring.device(uplink) for uplink in site.uplinks}
    assert "gateway" in route or route["dev"].startswith("ppp")


@pytest.mark.next_step("On {machine}: `systemctl restart lienxa-shaping`, then `tc -s qdisc show dev {device}`.")
@each(lambda site, machine, options: shaping.queues(site))
def test_line_is_shared_out(host: Host, device: str, rate: int) -> None:
    """{machine} lets {device} have {rate} bit/s and keeps its queue itself."""
    shown = host.check_output("tc qdisc show dev %s root; tc class show dev %s", device, device)
    assert any(abs(found - rate) <= rate / 100 for found in shaping.rates_shown(shown)), shown


@pytest.mark.next_step("On {machine}: `networkctl status {zone.interface}`.")
@each(lambda site, machine, options: site.zones)
def test_side_of_a_zone(host: Host, zone: SiteZone) -> None:
    """{machine} has {zone.gateway} in the zone {zone.name}."""
    found = json.loads(host.check_output("ip -json -4 address show dev %s", zone.interface))
    addresses = [(a["local"], a["prefixlen"]) for link in found for a in link.get("addr_info", [])]
    assert (str(zone.gateway), zone.network.prefixlen) in addresses


@pytest.mark.next_step(
    "Another file in /etc/sysctl.d says otherwise: `grep -r forward /etc/sysctl.d /etc/sysctl.conf`."
)
def test_forwards(host: Host) -> None:
    """{machine} forwards packets between its interfaces."""
    assert host.file("/proc/sys/net/ipv4/ip_forward").content_string.strip() == "1"


@pytest.mark.next_step("Someone changed the rules by hand; `nft list table inet lienxa` shows what is loaded.")
def test_loaded_rules_are_those_of_the_file(host: Host) -> None:
    """The rules that {machine} follows are those of the inventory."""
    said = host.check_output(difference_script(tasks.RULES, tasks.TABLE))
    assert said == SAME, said


@pytest.mark.parametrize("chain", ["input", "forward"])
def test_refuses_by_default(host: Host, chain: str) -> None:
    """{machine} refuses in {chain} what no role opens."""
    table = json.loads(host.check_output("nft -j list table inet lienxa"))["nftables"]
    policies = {row["chain"]["name"]: row["chain"].get("policy") for row in table if "chain" in row}
    assert policies[chain] == "drop"


def test_kea_takes_its_configuration(host: Host) -> None:
    """The address server of {machine} takes its configuration."""
    done = host.run("kea-dhcp4 -t %s", tasks.KEA)
    assert done.rc == 0, done.stdout + done.stderr


@pytest.mark.needs("unit:kea-dhcp4-server")
@each(lambda site, machine, options: [zone for zone in site.zones if wiring.reserved(site, zone)])
def test_reservations_are_kept(host: Host, site: Site, zone: SiteZone) -> None:
    """{machine} leased no reserved address of the zone {zone.name} to a stranger."""
    reserved = {str(machine.address): str(machine.mac).lower() for machine in wiring.reserved(site, zone)}
    rows = csv.DictReader(io.StringIO(host.file(LEASES).content_string))
    strangers = {
        row["address"]: row["hwaddr"]
        for row in rows
        if row["address"] in reserved and row["hwaddr"] not in {reserved[row["address"]], ""}
    }
    assert not strangers


@pytest.mark.needs("unit:unbound")
@each(lambda site, machine, options: wiring.names(site, options))
def test_resolves(host: Host, name: str, address: IPv4Address) -> None:
    """{machine} resolves {name} to {address}."""
    assert str(address) in ask(OURSELVES, name).values


@pytest.mark.needs("unit:unbound")
@each(lambda site, machine, options: wiring.reverse(site))
def test_resolves_back(host: Host, address: IPv4Address, name: str) -> None:
    """{machine} resolves {address} to {name}."""
    assert ask(OURSELVES, reverse_name(str(address)), "PTR").values == (name,)


@pytest.mark.needs("unit:unbound")
@each(lambda site, machine, options: [pytest.param(r, id=f"{r.type} {r.name}") for r in wiring.records(site)])
def test_resolves_for_mail(host: Host, record: Record) -> None:
    """{machine} answers {record.type} of {record.name} with what the inventory says of mail."""
    expected = record.value if record.type == "TXT" else record.value.removesuffix(".").rstrip()
    assert expected in [value.rstrip() for value in ask(OURSELVES, record.name, record.type).values]


@pytest.mark.needs("unit:unbound")
@pytest.mark.next_step("Something else writes /etc/resolv.conf on {machine}: it must name 127.0.0.1.")
def test_asks_itself(host: Host, machine: SiteMachine) -> None:
    """The programs of {machine} ask its own resolver."""
    assert str(machine.address) in host.check_output("getent ahostsv4 %s", f"{machine.name}.{machine.zone}")


@pytest.mark.needs("unit:unbound")
@pytest.mark.next_step("Is the line up? On {machine}: `unbound-control lookup .`, `journalctl -u unbound`.")
def test_resolves_upstream(host: Host, options: Options) -> None:
    """{machine} resolves names from outside, and validates them where it is told to."""
    answer = ask(OURSELVES, ".", "NS")
    assert answer.code == "NOERROR"
    assert answer.values
    assert answer.authentic == options.dnssec, "the answer was not validated by DNSSEC"


@pytest.mark.needs("network.test_resolves_upstream")
@each(_only_in_a_lab(LAB_NAME))
def test_resolves_an_upstream_name(host: Host, name: str) -> None:
    """{machine} resolves {name}, validated."""
    answer = ask(OURSELVES, name)
    assert answer.values
    assert answer.authentic


@pytest.mark.needs("network.test_resolves_upstream")
@each(_only_in_a_lab(LAB_BOGUS_NAME))
def test_bogus_name_is_refused(host: Host, name: str) -> None:
    """{machine} gives no address for {name}, whose signatures are wrong."""
    answer = ask(OURSELVES, name)
    assert (answer.code, answer.values) == ("SERVFAIL", ())


@pytest.mark.needs("unit:unbound")
@each(lambda site, machine, options: (tasks.CANARY, *options.block_list))
def test_blocked_name_is_refused(host: Host, name: str) -> None:
    """{machine} resolves neither {name}, which is blocked, nor what is below it."""
    for blocked in (name, f"a.{name}"):
        answer = ask(OURSELVES, blocked)
        assert (answer.code, answer.recursive) == ("NXDOMAIN", False), f"{blocked}: {answer}"


@pytest.mark.needs("unit:chrony")
@pytest.mark.next_step("`chronyc -N tracking` on {machine}: without an upstream it gives its own time, stratum 10.")
def test_gives_the_time(host: Host) -> None:
    """{machine} has a time to give to the zones."""
    stratum = int(host.check_output("chronyc -c tracking").split(",")[2])
    assert 1 <= stratum <= 10


@pytest.mark.needs("unit:prometheus-node-exporter")
def test_measures(host: Host) -> None:
    """{machine} offers its measurements."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{OURSELVES}:9100/metrics", timeout=5) as page:
        assert b"node_network_receive_bytes_total" in page.read()
