"""Reads a folder of inventories: every file, every mistake, in one go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from deploy.inventory.addresses import (
    Given,
    Plan,
    WantedMachine,
    WantedZone,
    plan_commune,
)
from deploy.inventory.mail_rules import check_mail_domain
from deploy.inventory.meeting_rules import check_meeting_links
from deploy.inventory.merge import BadOptions, Layer, check_layer, role_options
from deploy.inventory.models import AddressesFile, CommuneFile, ProvinceFile, UpstreamWritten, ZoneWritten
from deploy.inventory.people_rules import check_support_login
from deploy.inventory.problems import BadInventory, Problem, allowed
from deploy.inventory.role import Catalog, Kind, Options, Purpose, Role
from deploy.inventory.rules import Draft, check_commune, check_province, check_together
from deploy.inventory.sentences import Place, fit
from deploy.inventory.signing import NOTHING_HANDED, Handed, read_handed
from deploy.inventory.sip_rules import check_sip
from deploy.inventory.support_path import check_support_path
from deploy.inventory.yaml_source import Source, read
from deploy.inventory.zones import purpose_of

__all__ = ["BadInventory", "Commune", "Inventory", "Problem", "load"]

PROVINCE_FILE, COMMUNE_FILE, ADDRESSES_FILE = "province.yaml", "commune.yaml", "addresses.yaml"
SCHEMA_FOLDER = "schema"
PROVINCE_STAND_INS: dict[Place, object] = {
    ("province",): {"name": "?", "slug": "x", "code": "0", "domain": "x.vn"},
    ("supernet",): "0.0.0.0/0",
}
COMMUNE_STAND_INS: dict[Place, object] = {
    ("commune",): {"name": "?", "slug": "x", "code": "00000", "prefix": "0.0.0.0/8"},
    ("commune", "name"): "?",
    ("commune", "slug"): "x",
    ("commune", "code"): "00000",
    ("commune", "prefix"): "0.0.0.0/8",
    ("zones",): {},
    ("machines",): {},
}
"""What stands in for parts that are wrong and needed, so that the rest of the file is looked at all the same."""


@dataclass(frozen=True)
class Commune:
    """One commune as written, with its address plan and its machines' options."""

    slug: str
    file: CommuneFile
    source: Source
    recorded: Given
    """What `addresses.yaml` says was given out."""
    record: Source | None
    """That file, if there is one."""
    plan: Plan
    options: Mapping[str, Mapping[str, Options]]
    """By machine and role, merged from all levels."""


@dataclass(frozen=True)
class Inventory:
    """A province's folder, without mistakes. Communes by slug, in alphabetical order."""

    folder: Path
    province: ProvinceFile
    source: Source
    communes: Mapping[str, Commune]
    catalog: Catalog
    handed: Handed
    """What the province hands to its communes for signing."""

    def commune(self, slug: str) -> Commune:
        """The commune of that slug; BadInventory, naming those there are, if there is none."""
        if slug not in self.communes:
            message = f"there is no commune '{slug}' in this folder{allowed(slug, self.communes)}"
            raise BadInventory([Problem(str(self.folder / slug / COMMUNE_FILE), 1, message)])
        return self.communes[slug]

    def layers(self, slug: str, machine: str) -> tuple[Layer, ...]:
        """Where options of a machine may be written, the lowest level first."""
        commune = self.communes[slug]
        return _layers(self.province, self.source, commune.file, commune.source, machine)


def load(folder: Path, catalog: Catalog) -> Inventory:
    """Read `province.yaml` and every `<commune>/commune.yaml` below `folder`; BadInventory with all that is wrong."""
    reading = _Reading(folder, catalog)
    province = reading.province()
    for path in _commune_folders(folder):
        reading.commune(path)
    reserved = province[0].reserved if province else ()
    drafts = [draft for draft, _, _ in reading.drafts]
    reading.problems += check_together(reserved, drafts)
    if province:
        reading.problems += [each for one in drafts for each in check_mail_domain(one, province[0].province.domain)]
        reading.problems += [each for one in drafts for each in check_support_login(one, province[0].support.user)]
        service = province[0].upstream.meeting
        reading.problems += [each for one in drafts for each in check_meeting_links(one, service)]
        tunnel = province[0].upstream.support_path
        reading.problems += [each for one in drafts for each in check_support_path(one, tunnel)]
        reading.problems += check_sip(drafts, province[1])
    inventory = reading.finish(province)
    if inventory is None or reading.problems:
        raise BadInventory(reading.problems)
    return inventory


def _commune_folders(folder: Path) -> Iterator[Path]:
    """Folders that are a commune's: they hold its file, or one of ours that makes no sense without it."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == SCHEMA_FOLDER or not path.is_dir():
            continue
        if any((path / name).exists() for name in (COMMUNE_FILE, "secrets.yaml", ADDRESSES_FILE)):
            yield path


@dataclass
class _Reading:
    """What has been read so far, right and wrong."""

    folder: Path
    catalog: Catalog
    problems: list[Problem] = field(default_factory=list)
    drafts: list[tuple[Draft, Given, Source | None]] = field(default_factory=list)
    handed: Handed = NOTHING_HANDED

    def province(self) -> tuple[ProvinceFile, Source] | None:
        file = self.folder / PROVINCE_FILE
        if not file.exists():
            what = "there is no province.yaml in this folder" if self.folder.is_dir() else "there is no such folder"
            message = f"{what}; begin with `lienxa new NAME --province P`, or name another folder with --inventories"
            self.problems.append(Problem(str(file), 1, message))
            return None
        source, problems = read(file, str(file))
        self.problems += problems
        if source is None:
            return None
        fitted = fit(ProvinceFile, source, PROVINCE_STAND_INS)
        self.problems += fitted.problems
        province = fitted.file
        if province is None:
            return None
        self.problems += check_province(province, source)
        self.problems += check_layer(_province_layer(province, source), self.catalog)
        self.handed, wrong = read_handed(self.folder, province.upstream, source, fitted.cut)
        self.problems += wrong
        return province, source

    def commune(self, folder: Path) -> None:
        file = folder / COMMUNE_FILE
        if not file.exists():
            message = "there is no commune.yaml beside this folder's other files; `lienxa new` writes one"
            self.problems.append(Problem(str(file), 1, message))
            return
        source, problems = read(file, str(file))
        self.problems += problems
        if source is None:
            return
        fitted = fit(CommuneFile, source, COMMUNE_STAND_INS)
        self.problems += fitted.problems
        if fitted.file is None:
            return
        draft = Draft(folder.name, fitted.file, source, fitted.cut)
        self.problems += check_commune(draft)
        self.drafts.append((draft, *self._recorded(folder)))

    def _recorded(self, folder: Path) -> tuple[Given, Source | None]:
        file = folder / ADDRESSES_FILE
        if not file.exists():
            return Given(), None
        source, problems = read(file, str(file))
        self.problems += problems
        if source is None:
            return Given(), None
        fitted = fit(AddressesFile, source)
        self.problems += fitted.problems
        if fitted.file is None:
            return Given(), None
        self.problems += _check_record(fitted.file, source)
        return _given(fitted.file), source

    def finish(self, province: tuple[ProvinceFile, Source] | None) -> Inventory | None:
        communes: dict[str, Commune] = {}
        shared: dict[str, Options] = {}
        for draft, recorded, record in self.drafts:
            plan = _plan(draft.file, recorded)
            if draft.has_prefix:
                self.problems += [draft.problem(complaint.path, complaint.message) for complaint in plan.complaints]
            options = self._options(draft, province, shared)
            communes[draft.slug] = Commune(draft.slug, draft.file, draft.source, recorded, record, plan, options)
        if province is None:
            return None
        return Inventory(self.folder, province[0], province[1], communes, self.catalog, self.handed)

    def _options(
        self, draft: Draft, province: tuple[ProvinceFile, Source] | None, shared: dict[str, Options]
    ) -> dict[str, dict[str, Options]]:
        """Merged options of every machine. Where a level adds nothing, what the level above gave is used again."""
        written = draft.file
        at_commune = Layer("commune", draft.source, ("options",), written.options)
        self.problems += check_layer(at_commune, self.catalog)
        here: dict[str, Options] = {} if written.options else shared
        options: dict[str, dict[str, Options]] = {}
        upstream = province[0].upstream if province else UpstreamWritten()
        for name, machine in written.machines.items():
            layers = _layers(*province, written, draft.source, name) if province else (at_commune,)
            if machine.options:
                self.problems += _machine_layer(layers[-1], name, written, upstream, self.catalog)
            known: dict[str, Options] = {} if machine.options else here
            roles = self.catalog.of(machine.kind, written.offered_by(name, upstream))
            options[name] = self._machine_options(roles, layers, known)
        return options

    def _machine_options(
        self, roles: tuple[Role, ...], layers: tuple[Layer, ...], known: dict[str, Options]
    ) -> dict[str, Options]:
        for role in roles:
            if role.name in known:
                continue
            try:
                known[role.name] = role_options(role, layers)
            except BadOptions as bad:
                self.problems += bad.problems
        return {role.name: known[role.name] for role in roles if role.name in known}


def _province_layer(province: ProvinceFile, source: Source) -> Layer:
    return Layer("province", source, ("options",), province.options)


def _layers(
    province: ProvinceFile, province_source: Source, commune: CommuneFile, source: Source, machine: str
) -> tuple[Layer, ...]:
    return (
        _province_layer(province, province_source),
        Layer("commune", source, ("options",), commune.options),
        Layer(f"machine {machine}", source, ("machines", machine, "options"), commune.machines[machine].options),
    )


def _machine_layer(
    layer: Layer, name: str, written: CommuneFile, upstream: UpstreamWritten, catalog: Catalog
) -> Iterator[Problem]:
    yield from check_layer(layer, catalog)
    kind = written.machines[name].kind
    its_own = catalog.names(kind, written.offered_by(name, upstream))
    for role in layer.options:
        if role in catalog.roles and role not in its_own:
            message = f"machine {name} ({kind}) has no role {role}{allowed(role, its_own)}"
            yield Problem(layer.source.file, layer.source.key_line((*layer.at, role)), message)


def _plan(file: CommuneFile, recorded: Given) -> Plan:
    machines = (
        WantedMachine(name, machine.zone, machine.address)
        for name, machine in file.machines.items()
        if machine.kind is not Kind.GATEWAY and machine.zone is not None
    )
    zones = (_wanted_zone(name, zone) for name, zone in file.zones.items())
    return plan_commune(file.commune.prefix, zones, machines, recorded)


def _wanted_zone(name: str, zone: ZoneWritten) -> WantedZone:
    guest = purpose_of(name, zone.purpose, guest=zone.guest) is Purpose.GUEST
    pool = guest if zone.pool is None else zone.pool
    return WantedZone(name, guest=guest, network=zone.network, hosts=zone.hosts, pool=pool)


def _given(record: AddressesFile) -> Given:
    return Given(
        {name: zone.network for name, zone in record.zones.items()},
        {
            machine: (name, address)
            for name, zone in record.zones.items()
            for machine, address in zone.machines.items()
        },
    )


def _check_record(record: AddressesFile, source: Source) -> Iterator[Problem]:
    """A record that contradicts itself comes from two branches of git, or from somebody's editor."""
    yield from _clashing_networks(record, source)
    machines: dict[str, str] = {}
    for name, zone in record.zones.items():
        owners: dict[IPv4Address, str] = {}
        for machine, address in zone.machines.items():
            at = ("zones", name, "machines", machine)
            wrong = _why_wrong(machine, address, zone.network, owners, machines)
            if wrong:
                yield source.problem(at, f"{wrong}; take out the line of whichever was not set up yet")
            owners.setdefault(address, machine)
            machines.setdefault(machine, name)


def _why_wrong(
    machine: str,
    address: IPv4Address,
    network: IPv4Network,
    owners: Mapping[IPv4Address, str],
    machines: Mapping[str, str],
) -> str | None:
    if address not in network:
        return f"{address} of {machine} is outside {network}"
    if address in owners:
        return f"{address} was given to {owners[address]} and to {machine}"
    if machine in machines:
        return f"{machine} was given an address in zone {machines[machine]} already"
    return None


def _clashing_networks(record: AddressesFile, source: Source) -> Iterator[Problem]:
    before: list[tuple[str, IPv4Network]] = []
    for name, zone in record.zones.items():
        for other, network in before:
            if zone.network.overlaps(network):
                message = f"{zone.network} of zone {name} overlaps {network} of zone {other}"
                message += "; take out the zone that was not set up yet"
                yield source.problem(("zones", name, "network"), message)
        before.append((name, zone.network))
