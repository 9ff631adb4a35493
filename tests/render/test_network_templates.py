"""The gateway's configuration, each file through the daemon that will read it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from render_sites import PPPOE, ROOT_DS, SITES, STATIC, site
from rendering import FOLDER, context, rendered

from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.role import Kind
from deploy.inventory.site import Site
from deploy.lab.rehearsal import LabFacts, rehearse
from deploy.runner import observe
from deploy.runner.context import Context
from deploy.runner.operations.checkers import CHECK_JSON, CHECK_PYTHON, CHECK_SHELL
from deploy.site import CATALOG
from roles.network import failover, shaping, tasks, wiring

Accepted = Callable[..., None]
MODEL = resolve(load(Path(__file__).parents[2] / "inventories", CATALOG), "xa-mau").site
"""The model commune, which has mail of its own; the others have none."""
WITH_MAIL = {"field": MODEL, "lab": rehearse(MODEL, LabFacts(trust_anchors=(ROOT_DS,)))}
OPTIONS = {
    "block_list": ["xau.example", "doc.hai.example"],
    "names": {"portal": "10.52.0.9", "ky.so.vn": "10.52.0.8"},
}


def network_context(which: Site, **options: object) -> Context:
    return context(which, "gw1", "network", **{**OPTIONS, **options})


def make_interfaces(which: Site) -> str:
    """Kea's checker asks for the interfaces; VLANs and dummies are not in every kernel, any kind will do."""
    names = [zone.interface for zone in which.zones]
    return "; ".join(f"ip link add {name} type veth peer name p{number}" for number, name in enumerate(names))


def test_nft_takes_the_rules(any_site: Site, accepted: Accepted) -> None:
    accepted(rendered(network_context(any_site), tasks.RULES), "nftables.conf", tasks.CHECK_RULES)


def test_loading_the_rules_twice_gives_the_same_table(any_site: Site, accepted: Accepted) -> None:
    script = (
        "nft -f {} && nft -s list table inet lienxa >/dev/null && nft -s list ruleset | sha256sum >{}.1;"
        "nft -f {}; nft -s list ruleset | sha256sum | cmp - {}.1"
    )
    accepted(rendered(network_context(any_site), tasks.RULES), "nftables.conf", f"nft -c -f {{}}; {script}")


def test_rules_of_other_programs_stay(accepted: Accepted) -> None:
    accepted(
        rendered(network_context(SITES["trunk"]), tasks.RULES),
        "nftables.conf",
        "nft list ruleset >/dev/null; nft -f {}; nft list table ip other >/dev/null",
        before="nft add table ip other",
    )


def test_kea_takes_the_leases(any_site: Site, accepted: Accepted) -> None:
    text = rendered(network_context(any_site), tasks.KEA)
    accepted(text, "kea-dhcp4.conf", "kea-dhcp4 -t {}", before=make_interfaces(any_site))


def test_every_machine_with_a_mac_has_its_reservation() -> None:
    which = SITES["trunk"]
    text = re.sub(r"^\s*//.*$", "", rendered(network_context(which), tasks.KEA), flags=re.MULTILINE)
    subnets = json.loads(text)["Dhcp4"]["subnet4"]
    given = {one["hw-address"]: one["ip-address"] for subnet in subnets for one in subnet["reservations"]}
    assert given == {m.mac: str(m.address) for m in which.machines if m.kind is not Kind.GATEWAY}


def test_only_guests_have_a_pool_and_a_short_lease() -> None:
    text = re.sub(r"^\s*//.*$", "", rendered(network_context(SITES["trunk"]), tasks.KEA), flags=re.MULTILINE)
    subnets = {one["id"]: one for one in json.loads(text)["Dhcp4"]["subnet4"]}
    assert [number for number, one in subnets.items() if one["pools"]] == [50]
    assert subnets[50]["valid-lifetime"] < subnets[20]["valid-lifetime"]


@pytest.mark.parametrize("dnssec", [True, False])
def test_unbound_takes_the_names(any_site: Site, dnssec: bool, accepted: Accepted) -> None:
    ctx = network_context(any_site, dnssec=dnssec, insecure_domains=["tslcd.example"])
    blocked = rendered(ctx, tasks.BLOCKED)
    text = rendered(ctx, tasks.UNBOUND, ipv6=True)
    accepted(blocked, "lienxa-blocked.zone", tasks.CHECK_BLOCKED)
    accepted(text.replace(tasks.BLOCKED, f"{FOLDER}/lienxa-blocked.zone"), "lienxa.conf", tasks.CHECK_UNBOUND)
    assert "\nxau.example IN CNAME ." in blocked
    assert "*.xau.example IN CNAME ." in blocked


def test_names_go_both_ways() -> None:
    text = rendered(network_context(SITES["trunk"]), tasks.UNBOUND)
    assert 'local-data: "vp01.xa-mau.gialai.gov.vn. 300 IN A 10.52.0.140"' in text
    assert 'local-data-ptr: "10.52.0.140 300 vp01.xa-mau.gialai.gov.vn."' in text
    assert 'local-data: "gw1.office.xa-mau.gialai.gov.vn. 300 IN A 10.52.0.129"' in text
    assert 'local-data: "portal.xa-mau.gialai.gov.vn. 300 IN A 10.52.0.9"' in text
    assert 'local-data: "ky.so.vn. 300 IN A 10.52.0.8"' in text
    assert [line.split('"')[1] for line in text.splitlines() if line.endswith(" static")] == [
        "0.52.10.in-addr.arpa.",
        "1.52.10.in-addr.arpa.",
        "2.52.10.in-addr.arpa.",
        "3.52.10.in-addr.arpa.",
    ]


def test_chrony_takes_its_part(any_site: Site, accepted: Accepted) -> None:
    accepted(rendered(network_context(any_site), tasks.TIME), "lienxa.conf", tasks.CHECK_TIME)


@pytest.mark.parametrize("which", SITES.values(), ids=list(SITES))
def test_networkd_files_are_complete(which: Site) -> None:
    ctx = network_context(which)
    texts = {
        file.path: rendered(ctx, "", template=f"network{tasks.NETWORKD}/{file.template}.j2", **file.values)
        for file in wiring.network_files(which)
    }
    for zone in which.zones:
        text = texts[f"10-lienxa-{zone.interface}.network"]
        assert f"Address={zone.gateway}/{zone.network.prefixlen}\n" in text
        assert ("IPv6SendRA=yes" in text) == bool(zone.network6)
        assert (f"10-lienxa-{zone.interface}.netdev" in texts) == bool(zone.trunk)
        if zone.trunk:
            assert f"VLAN={zone.interface}\n" in texts["10-lienxa-lan0.network"]
    for text in texts.values():
        assert_parses(text)


def assert_parses(text: str) -> None:
    for line in text.splitlines():
        assert re.fullmatch(r"|#.*|\[[A-Za-z0-9]+\]|[A-Za-z0-9]+=\S.*", line), line


@pytest.mark.parametrize("table", [None, 1001])
def test_pppd_takes_the_line(table: int | None, accepted: Accepted) -> None:
    which = site(uplinks=(PPPOE,))
    ctx = network_context(which)
    values = {
        "uplink": PPPOE,
        "device": wiring.device(PPPOE),
        "password": ctx.secrets["pppoe_vnpt"],
        "ipv6": False,
        "table": table,
    }
    text = rendered(ctx, "", template="network/etc/ppp/peers/uplink.j2", **values)
    assert ("nodefaultroute\n" in text) == bool(table)
    # pppd reads line by line, the plugin's last; a kernel without PPP ends it there, as far as it can be tried.
    command = "pppd file {} dryrun nodetach >{}.said 2>&1 || grep -q 'kernel does not support PPPoE' {}.said"
    before = "ip link add wan2 type veth peer name p0"
    accepted(text, "lienxa-vnpt", command, before=before)
    with pytest.raises(AssertionError):
        accepted(text.replace("mtu 1492", "mtv 1492"), "lienxa-vnpt", command, before=before)


def test_systemd_takes_the_line_s_unit(accepted: Accepted) -> None:
    text = rendered(network_context(SITES["pppoe"]), tasks.PPPOE_UNIT)
    accepted(text, "lienxa-pppoe@vnpt.service", "systemd-analyze verify --man=no {}")


def test_outside_is_the_interface_that_carries_the_packets() -> None:
    rules = rendered(network_context(site(uplinks=(STATIC, PPPOE))), tasks.RULES)
    assert 'set outside { type ifname; elements = { "wan1", "ppp-vnpt" }; }' in rules


def test_no_rule_leads_from_guests_inside() -> None:
    rules = rendered(network_context(SITES["trunk"]), tasks.RULES)
    forward = rules.partition("chain forward")[2].partition("chain refuse")[0]
    inside = [line for line in forward.splitlines() if "ip daddr 10.52." in line and "accept" in line]
    assert inside
    assert not [line for line in inside if '"lan0.50"' in line]


def test_reverse_zones_of_small_and_large_prefixes() -> None:
    assert wiring.reverse_zones(IPv4Network("10.52.0.0/16")) == ("52.10.in-addr.arpa",)
    assert wiring.reverse_zones(IPv4Network("10.52.7.128/25")) == ("7.52.10.in-addr.arpa",)
    assert len(wiring.reverse_zones(IPv4Network("10.52.0.0/15"))) == 2


def test_several_lines_have_their_default_routes_in_tables_of_their_own() -> None:
    which = site(uplinks=(SITES["trunk"].uplinks[0], STATIC))
    ctx = network_context(which)
    texts = {
        file.path: rendered(ctx, "", template=f"network{tasks.NETWORKD}/{file.template}.j2", **file.values)
        for file in wiring.network_files(which)
    }
    leased, fixed = texts["10-lienxa-wan0.network"], texts["10-lienxa-wan1.network"]
    assert "RouteTable=1000\n" in leased.partition("[DHCPv4]")[2]
    assert "Gateway=" not in fixed.partition("[Route]")[0]
    assert fixed.partition("[Route]")[2].strip() == "Gateway=203.0.113.1\nTable=1001"
    for text in (leased, fixed):
        assert_parses(text)


def test_python_takes_the_watcher_and_systemd_its_unit(accepted: Accepted) -> None:
    ctx = network_context(SITES["two lines"])
    accepted(rendered(ctx, tasks.LINES), "lines", CHECK_PYTHON)
    told = failover.settings(ctx.site, ctx.options)
    accepted(rendered(ctx, tasks.LINES_SETTINGS, settings=told), "lines.json", CHECK_JSON)
    unit = rendered(ctx, tasks.LINES_UNIT, program="/bin/true")
    accepted(unit, "lienxa-lines.service", "systemd-analyze verify --man=no {}")


# Lines that are shared out, and calls


SHAPED = {
    "model": MODEL,
    "dialled": MODEL.model_copy(
        update={"uplinks": (PPPOE.model_copy(update={"up": 10_000_000, "down": 30_000_000}),)}
    ),
}


def shape_values(which: Site, *, ipv6: bool = False) -> dict[str, object]:
    masks = shaping.masks(which.upstream.media)
    return {"lines": shaping.lines(which), "masks": masks, "call_bytes": shaping.CALL_BYTES, "ipv6": ipv6}


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("which", SHAPED.values(), ids=list(SHAPED))
def test_the_kernel_takes_the_queues(which: Site, ipv6: bool, accepted: Accepted) -> None:
    text = rendered(network_context(which), tasks.SHAPE, **shape_values(which, ipv6=ipv6))
    (line,) = shaping.lines(which)
    device, helper = line.device, line.helper
    # Without the handles that the kernel counts up.
    state = f"tc qdisc show | sed -E 's/ 8[0-9a-f]+: / /' | sort; tc filter show dev {device} parent 1:"
    commands = (
        CHECK_SHELL,
        "sh -e {}",
        f"tc qdisc show dev {device} root | grep -e htb -e cake",
        f"tc qdisc show dev {device} | grep ingress",
        f"({state}) >{{}}.once",
        f"sh -e {{}} {device}",
        f"({state}) | cmp - {{}}.once",
        "sh -e {} off",
        f'test -z "$(tc qdisc show dev {device} | grep -e htb -e cake -e ingress)"',
        f'test -z "$(ip link show | grep {helper})"',
    )
    accepted(text, "shape", "; ".join(commands), before=f"ip link add {device} type veth peer name p0")


def test_a_line_that_is_not_there_is_no_fault(accepted: Accepted) -> None:
    text = rendered(network_context(SHAPED["dialled"]), tasks.SHAPE, **shape_values(SHAPED["dialled"]))
    accepted(text, "shape", "sh -e {} | grep 'is not there yet'; sh -e {} off; sh -e {} eth7")


def test_systemd_takes_the_unit_that_shares_out(accepted: Accepted) -> None:
    text = rendered(network_context(MODEL), tasks.SHAPING_UNIT, script="/bin/true")
    accepted(text, "lienxa-shaping.service", "systemd-analyze verify --man=no {}")


def test_dialling_again_shapes_that_line_again(accepted: Accepted) -> None:
    text = rendered(network_context(MODEL), tasks.SHAPE_DIALLED, script=f"{FOLDER}/shape")
    accepted('#!/bin/sh\necho "shaped $1"\n', "shape", "chmod 755 {}")
    accepted(text, "hook", "PPP_IFACE=ppp-vnpt sh -e {} | grep '^shaped ppp-vnpt$'")


def test_calls_are_marked_on_the_lines_alone_and_guests_never_first() -> None:
    chain = rendered(network_context(MODEL), tasks.RULES).partition("chain marks")[2].partition("chain input")[0]
    calls = "udp dport { 3478, 10000-20000, 30000-31999 }"
    assert f"{calls} counter ip dscp set af41" in chain
    lines = [line.strip() for line in chain.splitlines()]
    assert lines.index("oifname != @outside return") < lines.index('iifname { "lan0.50" } return')
    assert lines.index('iifname { "lan0.50" } return') < lines.index(
        f'{calls} ip dscp {{ ef, af41 }} counter return comment "marked by its machine"'
    )


def test_without_a_meeting_service_nothing_is_marked() -> None:
    assert "chain marks" not in rendered(network_context(SITES["trunk"]), tasks.RULES)


# The same, where the commune has mail of its own


@pytest.mark.parametrize("which", WITH_MAIL.values(), ids=list(WITH_MAIL))
def test_nft_takes_what_is_handed_on(which: Site, accepted: Accepted) -> None:
    text = rendered(network_context(which), tasks.RULES)
    address = which.machine("srv1").address
    assert f"ip daddr != 10.52.0.0/22 tcp dport 25 dnat ip to {address}" in text
    assert text.count("dnat ip to") == 1
    accepted(text, "nftables.conf", f"{tasks.CHECK_RULES}; nft -f {{}} && nft -f {{}}")


def test_who_tries_a_machine_behind_the_gateway_itself_is_refused() -> None:
    rules = rendered(network_context(MODEL), tasks.RULES).partition("chain forward")[2].partition("jump refuse")[0]
    let_in, refused = (
        rules.index(word) for word in ("iifname @outside ct status dnat", "iifname @outside counter drop")
    )
    assert let_in < refused
    assert "iifname @outside ip daddr" not in rules


@pytest.mark.parametrize("which", WITH_MAIL.values(), ids=list(WITH_MAIL))
def test_unbound_takes_the_names_of_mail(which: Site, accepted: Accepted) -> None:
    ctx = network_context(which)
    accepted(rendered(ctx, tasks.BLOCKED), "lienxa-blocked.zone", tasks.CHECK_BLOCKED)
    text = rendered(ctx, tasks.UNBOUND, ipv6=False)
    accepted(text.replace(tasks.BLOCKED, f"{FOLDER}/lienxa-blocked.zone"), "lienxa.conf", tasks.CHECK_UNBOUND)


ANSWERS = [
    ("A", "mail.xa-mau.gialai.gov.vn", str(MODEL.machine("srv1").address)),
    ("A", "autoconfig.xa-mau.gialai.gov.vn", str(MODEL.machine("srv1").address)),
    ("MX", "xa-mau.gialai.gov.vn", "10 mail.xa-mau.gialai.gov.vn"),
    ("TXT", "xa-mau.gialai.gov.vn", "v=spf1 ip4:203.0.113.10 -all"),
    ("SRV", "_imaps._tcp.xa-mau.gialai.gov.vn", "0 1 993 mail.xa-mau.gialai.gov.vn"),
    ("SRV", "_pop3._tcp.xa-mau.gialai.gov.vn", "0 0 0 "),
    # Only the province knows: the page at the commune's own name, and the keys that its mail is signed with.
    ("A", "xa-mau.gialai.gov.vn", "192.0.2.80"),
    ("TXT", "lx1._domainkey.xa-mau.gialai.gov.vn", "v=DKIM1" + "k" * 300),
    # Of a name that has an address here the address is all there is.
    ("TXT", "srv1.xa-mau.gialai.gov.vn", None),
]
ASK = """
import sys, time
sys.path.insert(0, "{folder}")
from observe import ask
for kind, name, expected in {answers!r}:
    for _ in range(20):
        try:
            values = ask("127.0.0.1", name, kind).values
            break
        except OSError:
            time.sleep(0.2)
    assert values == ((expected,) if expected is not None else ()), (kind, name, values)
"""
PROVINCE = """
server:
    interface: 127.0.0.1@5300
    do-daemonize: yes
    chroot: ""
    username: ""
    use-syslog: no
    pidfile: "{folder}/province.pid"
    do-not-query-localhost: no
    local-zone: "gialai.gov.vn." static
    local-data: "xa-mau.gialai.gov.vn. IN A 192.0.2.80"
    local-data: 'lx1._domainkey.xa-mau.gialai.gov.vn. IN TXT "v=DKIM1{first}" "{second}"'
    local-data: 'srv1.xa-mau.gialai.gov.vn. IN TXT "the province knows better"'
"""
OURS = """
server:
    chroot: ""
    username: ""
    do-daemonize: yes
    use-syslog: no
    pidfile: "{folder}/ours.pid"
    do-not-query-localhost: no
    access-control: 127.0.0.0/8 allow
    include: "{folder}/lienxa.conf"
forward-zone:
    name: "."
    forward-addr: 127.0.0.1@5300
"""


def test_a_real_unbound_answers_of_mail_and_asks_the_province_for_the_rest(accepted: Accepted) -> None:
    ctx = network_context(MODEL, dnssec=False)
    ours = rendered(ctx, tasks.UNBOUND, ipv6=False).replace(tasks.BLOCKED, f"{FOLDER}/lienxa-blocked.zone")
    files = {
        "lienxa-blocked.zone": rendered(ctx, tasks.BLOCKED),
        "province.conf": PROVINCE.format(folder=FOLDER, first="k" * 200, second="k" * 100),
        "lienxa.conf": ours,
        "ours.conf": OURS.format(folder=FOLDER),
        "observe.py": Path(observe.__file__).read_text(),
    }
    for name, text in files.items():
        accepted(text, name, "true")
    start = f"ip link set lo up; unbound -c {FOLDER}/province.conf; unbound -c {FOLDER}/ours.conf"
    stop = f"kill $(cat {FOLDER}/ours.pid) $(cat {FOLDER}/province.pid)"
    script = ASK.format(folder=FOLDER, answers=ANSWERS)
    accepted(script, "ask.py", f"{start}; python3 {{}} && said=0 || said=1; {stop}; exit $said")


def test_a_real_packet_from_outside_comes_to_the_mail_machine_and_to_it_alone(accepted: Accepted) -> None:
    accepted(rendered(network_context(MODEL), tasks.RULES), "nftables.conf", "mkdir -p /etc/nftables.d")
    server, zone = MODEL.machine("srv1"), MODEL.zone("server")
    words = (zone.gateway, zone.network.prefixlen, server.address, MODEL.prefix, f"{FOLDER}/nftables.conf")
    script = Path(__file__).with_name("packets_from_outside.py").read_text()
    accepted(script, "packets.py", f"ip link set lo up; python3 {{}} {' '.join(map(str, words))}")
