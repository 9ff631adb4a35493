"""The address plan: which network a zone has, and which address a machine.

Nothing that was given ever moves: not when a machine, zone or commune is added, removed, or written elsewhere in its
file. No computation from names or positions alone can promise that (two names may want one place, and who came first
is then forgotten), so what was given is *written down*, in `addresses.yaml` beside the commune's file and in git with
it, as every address manager does. The plan is a pure function of the commune's file and that record:

1. what a person fixed (`network:`, `address:`) is so, and nothing else may have it;
2. what the record gives is kept, as long as it lies where the commune's prefix and the zone's network are;
3. the rest is placed in the order of the file, in what is free: zones at the first fitting gap, larger ones first if
   they do not fit in order; machines from the tenth address up (the second in a network below 64 addresses).

What left the inventory gives its addresses back. A plan never moves something to make room: it complains instead.

In every network the first address is the gateway's, the lower half (an eighth, for guests) is for machines with a
reservation, and the longest free run above is the pool for leases. Machines beyond their half take the pool's last
addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netaddr import IPNetwork, IPSet

SMALLEST = 29
"""A zone's longest prefix: room for the gateway and five more."""
WIDEST_DEFAULT, NARROWEST_DEFAULT = 24, 28


@dataclass(frozen=True)
class WantedZone:
    """A zone as the plan sees it."""

    name: str
    guest: bool = False
    network: IPv4Network | None = None
    hosts: int | None = None
    pool: bool = True


@dataclass(frozen=True)
class WantedMachine:
    """A machine as the plan sees it; the gateway is none of these, it has the first address everywhere."""

    name: str
    zone: str
    address: IPv4Address | None = None


@dataclass(frozen=True)
class Given:
    """What was given out: networks by zone, and zone and address by machine."""

    networks: Mapping[str, IPv4Network] = field(default_factory=dict)
    addresses: Mapping[str, tuple[str, IPv4Address]] = field(default_factory=dict)


@dataclass(frozen=True)
class Complaint:
    """Why the plan does not work out; `path` is where in `commune.yaml`."""

    path: tuple[str, ...]
    message: str


@dataclass(frozen=True)
class Plan:
    """Networks, addresses and pools of one commune."""

    given: Given = Given()
    pools: Mapping[str, tuple[IPv4Address, IPv4Address] | None] = field(default_factory=dict)
    complaints: tuple[Complaint, ...] = ()


def plan_commune(
    prefix: IPv4Network, zones: Iterable[WantedZone], machines: Iterable[WantedMachine], recorded: Given
) -> Plan:
    """Plan one commune. With complaints, what could not be placed is missing from the plan."""
    zones, machines = list(zones), list(machines)
    networks, complaints = _place_zones(prefix, zones, recorded)
    addresses: dict[str, tuple[str, IPv4Address]] = {}
    pools: dict[str, tuple[IPv4Address, IPv4Address] | None] = {}
    for zone in zones:
        network = networks.get(zone.name)
        if network is None:
            continue
        inside = [machine for machine in machines if machine.zone == zone.name]
        placed, wrong = _place_machines(zone, network, inside, recorded)
        complaints += wrong
        addresses |= {name: (zone.name, address) for name, address in placed.items()}
        pools[zone.name] = _pool(zone, network, placed.values())
    order = {machine.name: addresses[machine.name] for machine in machines if machine.name in addresses}
    return Plan(Given(networks, order), pools, tuple(complaints))


def first_address(network: IPv4Network) -> IPv4Address:
    """The gateway's address in a zone."""
    return network.network_address + 1


def default_length(prefix: IPv4Network, zone: WantedZone) -> int:
    """Prefix length that a zone gets: by its `hosts`, else a sixteenth of the commune's, an eighth for guests."""
    if zone.hosts is not None:
        return min(32 - (zone.hosts + 2).bit_length(), SMALLEST)
    usual = min(max(prefix.prefixlen + 4, WIDEST_DEFAULT), NARROWEST_DEFAULT)
    return usual - 1 if zone.guest else usual


def _place_zones(
    prefix: IPv4Network, zones: list[WantedZone], recorded: Given
) -> tuple[dict[str, IPv4Network], list[Complaint]]:
    placed, complaints = _fixed_zones(prefix, zones, recorded)
    for zone in zones:
        kept = recorded.networks.get(zone.name)
        if zone.network is None and kept is not None and kept.subnet_of(prefix):
            if default_length(prefix, zone) < kept.prefixlen and zone.hosts is not None:
                complaints.append(Complaint(("zones", zone.name, "hosts"), _outgrown(zone, kept)))
            placed[zone.name] = kept
    missing = [zone for zone in zones if zone.network is None and zone.name not in placed]
    if missing and not complaints:
        found = _fill(prefix, missing, placed.values())
        if found is None:
            complaints.append(Complaint(("commune", "prefix"), _too_small(prefix, missing)))
        placed |= found or {}
    return {zone.name: placed[zone.name] for zone in zones if zone.name in placed}, complaints


def _fixed_zones(
    prefix: IPv4Network, zones: list[WantedZone], recorded: Given
) -> tuple[dict[str, IPv4Network], list[Complaint]]:
    placed: dict[str, IPv4Network] = {}
    complaints = []
    kept = {
        zone.name: recorded.networks[zone.name]
        for zone in zones
        if zone.network is None and zone.name in recorded.networks and recorded.networks[zone.name].subnet_of(prefix)
    }
    for zone in zones:
        if zone.network is None:
            continue
        wrong = _why_not(prefix, zone.network, placed, kept)
        if wrong:
            complaints.append(Complaint(("zones", zone.name, "network"), f"zones.{zone.name}.network: {wrong}"))
        else:
            placed[zone.name] = zone.network
    return placed, complaints


def _why_not(
    prefix: IPv4Network, network: IPv4Network, fixed: Mapping[str, IPv4Network], kept: Mapping[str, IPv4Network]
) -> str | None:
    if not network.subnet_of(prefix):
        return f"{network} is not inside the commune's prefix {prefix}"
    if network.prefixlen > SMALLEST:
        return f"{network} is too small for a zone; allowed: /{SMALLEST} or larger"
    for name, other in fixed.items():
        if network.overlaps(other):
            return f"{network} overlaps {other} of zone {name}"
    for name, other in kept.items():
        if network.overlaps(other):
            return f"{network} overlaps {other}, which zone {name} was given (addresses.yaml); choose another"
    return None


def _outgrown(zone: WantedZone, kept: IPv4Network) -> str:
    return (
        f"zones.{zone.name}.hosts is {zone.hosts}, but the zone was given {kept}, which holds {_room(kept)}; given "
        f"networks do not move. To have it placed anew, with new addresses for its machines, take zone {zone.name} "
        "out of addresses.yaml"
    )


def _too_small(prefix: IPv4Network, missing: list[WantedZone]) -> str:
    sizes = ", ".join(f"{zone.name} /{default_length(prefix, zone)}" for zone in missing)
    return (
        f"{prefix} is too small for its zones: no room for {sizes}. Ask for a shorter prefix, or say how many "
        "machines each zone needs (hosts: 20)"
    )


def _fill(
    prefix: IPv4Network, missing: list[WantedZone], taken: Iterable[IPv4Network]
) -> dict[str, IPv4Network] | None:
    """Networks for all of `missing`, in their order or, if they do not fit so, larger ones first."""
    from netaddr import IPNetwork, IPSet  # noqa: PLC0415 - 30 ms that `check` saves where all is on record

    used = [IPNetwork(str(network)) for network in taken]
    by_size = sorted(missing, key=lambda zone: default_length(prefix, zone))
    for order in (missing, by_size):
        free = IPSet(IPNetwork(str(prefix))) - IPSet(used)
        found: dict[str, IPv4Network] = {}
        for zone in order:
            network = _first_fit(free, default_length(prefix, zone))
            if network is None:
                break
            free.remove(network)
            found[zone.name] = IPv4Network(str(network))
        if len(found) == len(missing):
            return found
    return None


def _first_fit(free: IPSet, length: int) -> IPNetwork | None:
    for gap in free.iter_cidrs():
        if gap.prefixlen <= length:
            return next(iter(gap.subnet(length)))
    return None


def _place_machines(
    zone: WantedZone, network: IPv4Network, machines: list[WantedMachine], recorded: Given
) -> tuple[dict[str, IPv4Address], list[Complaint]]:
    kept = {
        machine.name: recorded.addresses[machine.name][1]
        for machine in machines
        if machine.address is None and _still_holds(machine, network, recorded)
    }
    placed, complaints = _fixed_machines(zone, network, machines, kept)
    placed |= kept
    candidates = _candidates(zone, network, frozenset(placed.values()))
    for machine in machines:
        if machine.address is not None or machine.name in placed:
            continue
        address = next(candidates, None)
        if address is None:
            complaints.append(Complaint(("machines", machine.name), _full(zone, network, machine)))
        else:
            placed[machine.name] = address
    return placed, complaints


def _still_holds(machine: WantedMachine, network: IPv4Network, recorded: Given) -> bool:
    zone, address = recorded.addresses.get(machine.name, ("", network.network_address))
    return zone == machine.zone and _usable(network, address)


def _usable(network: IPv4Network, address: IPv4Address) -> bool:
    return first_address(network) < address < network.broadcast_address


def _fixed_machines(
    zone: WantedZone, network: IPv4Network, machines: list[WantedMachine], kept: Mapping[str, IPv4Address]
) -> tuple[dict[str, IPv4Address], list[Complaint]]:
    placed: dict[str, IPv4Address] = {}
    owners: dict[IPv4Address, str] = {address: name for name, address in kept.items()}
    complaints = []
    for machine in machines:
        if machine.address is None:
            continue
        wrong = _why_not_here(zone, network, machine.address, owners, kept)
        if wrong:
            complaints.append(Complaint(("machines", machine.name, "address"), f"machine {machine.name}: {wrong}"))
            continue
        owners[machine.address] = machine.name
        placed[machine.name] = machine.address
    return placed, complaints


def _why_not_here(
    zone: WantedZone,
    network: IPv4Network,
    address: IPv4Address,
    owners: Mapping[IPv4Address, str],
    kept: Mapping[str, IPv4Address],
) -> str | None:
    if address == first_address(network):
        return f"{address} is the gateway's address in zone {zone.name}"
    if not _usable(network, address):
        return f"{address} is outside its zone {zone.name}; allowed: {network[2]} to {network[-2]}"
    owner = owners.get(address)
    if owner is None:
        return None
    return f"{address} is {owner}'s" + (" already (addresses.yaml); choose another" if owner in kept else " already")


def _room(network: IPv4Network) -> int:
    """How many addresses are left beside the gateway's."""
    return network.num_addresses - 3


def _full(zone: WantedZone, network: IPv4Network, machine: WantedMachine) -> str:
    return (
        f"machine {machine.name}: zone {zone.name} ({network}) is full, it holds {_room(network)} machines; "
        "put it into another zone, or take machines out that are gone"
    )


def _reserved_below(zone: WantedZone, network: IPv4Network) -> int:
    """Offset at which leases may begin."""
    return max(4, network.num_addresses // (8 if zone.guest else 2))


def _candidates(zone: WantedZone, network: IPv4Network, taken: frozenset[IPv4Address]) -> Iterator[IPv4Address]:
    size, edge = network.num_addresses, _reserved_below(zone, network)
    start = 10 if edge >= 16 else 2
    for offset in (*range(start, edge), *range(2, start), *range(size - 2, edge - 1, -1)):
        address = network[offset]
        if address not in taken:
            yield address


def _pool(
    zone: WantedZone, network: IPv4Network, taken: Iterable[IPv4Address]
) -> tuple[IPv4Address, IPv4Address] | None:
    """The longest run of free addresses in the part for leases; None where there is none, or none is wanted."""
    if not zone.pool:
        return None
    base, last = int(network.network_address), network.num_addresses - 2
    walls = sorted({int(address) - base for address in taken} | {last + 1})
    begin, best = _reserved_below(zone, network), (0, 0)
    for wall in walls:
        if wall - begin > best[1] - best[0]:
            best = (begin, wall)
        begin = max(begin, wall + 1)
    return (network[best[0]], network[best[1] - 1]) if best[1] > best[0] else None
