"""The address plan: what was given never moves, and nothing is given twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.inventory.addresses import Given, Plan, WantedMachine, WantedZone, first_address, plan_commune

PREFIX = IPv4Network("10.52.0.0/22")
NOTHING = Given()
ZONE_NAMES = [f"z{number}" for number in range(9)]
MACHINE_NAMES = [f"m{number}" for number in range(25)]


@dataclass(frozen=True)
class Wanted:
    """A commune's file as the plan sees it."""

    zones: tuple[WantedZone, ...] = ()
    machines: tuple[WantedMachine, ...] = ()

    def plan(self, recorded: Given = NOTHING) -> Plan:
        return plan_commune(PREFIX, self.zones, self.machines, recorded)


def zones(*names: str) -> tuple[WantedZone, ...]:
    return tuple(WantedZone(name) for name in names)


Draw = Callable[[st.SearchStrategy[Any]], Any]


def edited(draw: Draw) -> Iterator[tuple[Wanted, Plan, Given]]:
    """A file, its plan and what was on record before it, after each of many edits.

    Anything may be put in anywhere, taken out, reordered. An edit that is refused is taken back.
    """
    wanted, recorded = Wanted(), NOTHING
    for _ in range(draw(st.integers(5, 25))):
        edit = draw(st.sampled_from([_zone_in, _zone_out, _machine_in, _machine_in, _machine_out, _shuffled]))
        after = edit(draw, wanted)
        plan = after.plan(recorded)
        if plan.complaints:
            continue
        yield after, plan, recorded
        wanted, recorded = after, plan.given


def _zone_in(draw: Draw, wanted: Wanted) -> Wanted:
    names = [name for name in ZONE_NAMES if name not in {zone.name for zone in wanted.zones}]
    if not names:
        return wanted
    zone = WantedZone(
        draw(st.sampled_from(names)),
        guest=draw(st.booleans()),
        hosts=draw(st.sampled_from([None, None, 5, 30, 100])),
        network=draw(st.sampled_from([None, None, None, IPv4Network("10.52.3.0/25"), IPv4Network("10.52.1.64/27")])),
    )
    at = draw(st.integers(0, len(wanted.zones)))
    return replace(wanted, zones=(*wanted.zones[:at], zone, *wanted.zones[at:]))


def _zone_out(draw: Draw, wanted: Wanted) -> Wanted:
    if not wanted.zones:
        return wanted
    gone = draw(st.sampled_from(wanted.zones))
    return Wanted(
        tuple(zone for zone in wanted.zones if zone is not gone),
        tuple(machine for machine in wanted.machines if machine.zone != gone.name),
    )


def _machine_in(draw: Draw, wanted: Wanted) -> Wanted:
    names = [name for name in MACHINE_NAMES if name not in {machine.name for machine in wanted.machines}]
    if not names or not wanted.zones:
        return wanted
    zone = draw(st.sampled_from(wanted.zones)).name
    address = draw(st.sampled_from([None, None, None, IPv4Address("10.52.0.12"), IPv4Address("10.52.3.20")]))
    machine = WantedMachine(draw(st.sampled_from(names)), zone, address)
    at = draw(st.integers(0, len(wanted.machines)))
    return replace(wanted, machines=(*wanted.machines[:at], machine, *wanted.machines[at:]))


def _machine_out(draw: Draw, wanted: Wanted) -> Wanted:
    if not wanted.machines:
        return wanted
    gone = draw(st.sampled_from(wanted.machines))
    return replace(wanted, machines=tuple(machine for machine in wanted.machines if machine is not gone))


def _shuffled(draw: Draw, wanted: Wanted) -> Wanted:
    return Wanted(
        tuple(draw(st.permutations(list(wanted.zones)))), tuple(draw(st.permutations(list(wanted.machines))))
    )


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_nothing_that_stays_ever_moves_and_nothing_is_given_twice(data: st.DataObject) -> None:
    for wanted, plan, recorded in edited(data.draw):
        assert_sound(wanted, plan)
        for zone, network in plan.given.networks.items():
            assert recorded.networks.get(zone, network) == network
        for machine, here in plan.given.addresses.items():
            before = recorded.addresses.get(machine, here)
            assert before == here or before[0] != here[0], f"{machine} moved from {before} to {here}"


def assert_sound(wanted: Wanted, plan: Plan) -> None:
    assert set(plan.given.networks) == {zone.name for zone in wanted.zones}
    assert set(plan.given.addresses) == {machine.name for machine in wanted.machines}
    assert all(network.subnet_of(PREFIX) for network in plan.given.networks.values())
    assert not any(one.overlaps(other) for one, other in combinations(plan.given.networks.values(), 2))
    addresses = [address for _, address in plan.given.addresses.values()]
    gateways = [first_address(network) for network in plan.given.networks.values()]
    assert len({*addresses, *gateways}) == len(addresses) + len(gateways)
    for zone, address in plan.given.addresses.values():
        assert address in plan.given.networks[zone]
    for zone_name, pool in plan.pools.items():
        if pool is not None:
            network = plan.given.networks[zone_name]
            assert first_address(network) < pool[0] <= pool[1] < network.broadcast_address
            assert not any(pool[0] <= address <= pool[1] for address in addresses)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_the_order_in_the_file_does_not_matter_once_recorded(data: st.DataObject) -> None:
    for wanted, plan, _ in edited(data.draw):
        turned = Wanted(wanted.zones[::-1], wanted.machines[::-1]).plan(plan.given)
        assert dict(turned.given.networks) == dict(plan.given.networks)
        assert dict(turned.given.addresses) == dict(plan.given.addresses)
        assert turned.pools == plan.pools


def test_a_first_plan_reads_like_the_file() -> None:
    machines = (WantedMachine("srv1", "server"), WantedMachine("vp02", "office"), WantedMachine("vp01", "office"))
    plan = Wanted((*zones("server", "office"), WantedZone("guests", guest=True)), machines).plan()
    assert {name: str(network) for name, network in plan.given.networks.items()} == {
        "server": "10.52.0.0/26",
        "office": "10.52.0.64/26",
        "guests": "10.52.0.128/25",
    }
    assert {name: str(address) for name, (_, address) in plan.given.addresses.items()} == {
        "srv1": "10.52.0.10",
        "vp02": "10.52.0.74",
        "vp01": "10.52.0.75",
    }
    assert [str(end) for end in plan.pools["office"] or ()] == ["10.52.0.96", "10.52.0.126"]
    assert [str(end) for end in plan.pools["guests"] or ()] == ["10.52.0.144", "10.52.0.254"]


def test_zones_that_only_fit_when_the_larger_come_first_are_placed_so() -> None:
    fixed = WantedZone("fixed", network=IPv4Network("10.52.3.0/24"))
    plan = Wanted((WantedZone("middle", hosts=200), WantedZone("large", hosts=500), fixed)).plan()
    assert plan.complaints == ()
    assert [str(plan.given.networks[name]) for name in ("middle", "large")] == ["10.52.2.0/24", "10.52.0.0/23"]


def test_hosts_counts_all_but_the_gateway() -> None:
    for hosts, length in ((5, 29), (6, 28), (13, 28), (14, 27), (61, 26), (62, 25)):
        plan = Wanted((WantedZone("office", hosts=hosts),)).plan()
        assert plan.given.networks["office"].prefixlen == length


def test_a_zone_takes_as_many_machines_as_it_has_room_for_and_no_more() -> None:
    office = WantedZone("office", network=IPv4Network("10.52.1.0/28"))
    many = tuple(WantedMachine(f"m{number}", "office") for number in range(14))
    full = Wanted((office,), many[:13]).plan()
    assert full.complaints == ()
    assert full.pools["office"] is None
    assert [complaint.path for complaint in Wanted((office,), many).plan().complaints] == [("machines", "m13")]


def test_a_machine_in_another_zone_gets_an_address_there() -> None:
    before = Wanted(zones("a", "b"), (WantedMachine("m", "a"), WantedMachine("n", "b"))).plan().given
    after = Wanted(zones("a", "b"), (WantedMachine("m", "b"), WantedMachine("n", "b"))).plan(before).given
    assert after.addresses["m"][1] in after.networks["b"]
    assert after.addresses["n"] == before.addresses["n"]


def test_another_prefix_moves_everything() -> None:
    before = Wanted(zones("a"), (WantedMachine("m", "a"),)).plan().given
    after = plan_commune(IPv4Network("10.60.0.0/24"), zones("a"), (WantedMachine("m", "a"),), before)
    assert after.complaints == ()
    assert str(after.given.addresses["m"][1]) == "10.60.0.2"
