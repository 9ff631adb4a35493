"""A new commune's folder: its official name and code, a free prefix, the zones of level 2, and example machines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from deploy.errors import UserError
from deploy.inventory.atomic import create_folder, locked, write_atomically
from deploy.inventory.identity import parse_recipient
from deploy.inventory.models import ProvinceFile
from deploy.inventory.official_names import OfficialCommune, OfficialProvince, find_commune, find_province
from deploy.inventory.problems import BadInventory
from deploy.inventory.secrets import new_secrets_text
from deploy.inventory.sentences import fit
from deploy.inventory.yaml_source import parse

LONGEST_PREFIX = 25
"""The seven zones of the example have room in 128 addresses."""


@dataclass(frozen=True)
class NewCommune:
    """What was made."""

    commune: OfficialCommune
    folder: Path
    prefix: IPv4Network
    written: tuple[Path, ...]


def new_commune(
    inventories: Path,
    name: str,
    province: str | None = None,
    prefix: str | None = None,
    recipients: Sequence[str] = (),
) -> NewCommune:
    """Make the folder of the commune that `name` (or its official code) means.

    The province is that of the folder's `province.yaml`; where there is none yet `province` says which, and a first
    `province.yaml` is written too. Without `prefix` the first free one of the supernet is taken. With `recipients`
    (age or SSH public keys) a `secrets.yaml` is begun for them.

    Raises UserError and writes nothing where the name is unknown or ambiguous, the folder is there already, the
    prefix overlaps another, or the supernet is used up.
    """
    _check_recipients(recipients)
    try:
        commune = find_commune(name, _official_province(inventories, province))
        inventories.mkdir(parents=True, exist_ok=True)
        with locked(inventories):
            return _create(inventories, commune, prefix, recipients)
    except OSError as error:
        raise UserError(f"{error.filename or inventories}: {error.strerror}") from error


def first_province(province: OfficialProvince) -> str:
    """The text of a first `province.yaml`. Its supernet is a proposal, made from the province's code."""
    return _PROVINCE.format(
        name=province.name,
        slug=province.slug,
        code=province.code,
        domain=province.slug.replace("-", ""),
        second=province.code & ~3,
    )


def _create(inventories: Path, commune: OfficialCommune, wanted: str | None, recipients: Sequence[str]) -> NewCommune:
    folder = inventories / commune.slug
    if folder.exists():
        raise UserError(
            f"{folder}: is there already, and is kept; change it by hand, then: lienxa check {folder.name}"
        )
    province_path = inventories / "province.yaml"
    first = None if province_path.exists() else first_province(commune.province)
    province = _province(province_path, first.encode() if first else province_path.read_bytes())
    taken = [*((network, str(province_path)) for network in province.reserved), *_taken(inventories)]
    prefix = _given(wanted, taken) if wanted else _free(province, [network for network, _ in taken])
    files = {"commune.yaml": _commune_text(commune, prefix, chosen=wanted is None)}
    if recipients:
        files["secrets.yaml"] = new_secrets_text(recipients)
    if first:
        write_atomically(province_path, first)
    create_folder(folder, files)
    written = (*((province_path,) if first else ()), *(folder / name for name in files))
    return NewCommune(commune, folder, prefix, written)


def _official_province(inventories: Path, wanted: str | None) -> OfficialProvince:
    path = inventories / "province.yaml"
    if not path.exists():
        if wanted is None:
            raise UserError(f"{path}: is not there, so say which province it is: --province 'Gia Lai'")
        return find_province(wanted)
    ours = find_province(_province(path, path.read_bytes()).province.code)
    if wanted is not None and find_province(wanted) != ours:
        raise UserError(
            f"{path}: this folder is {ours.name}'s; for {wanted} give a folder of its own: --inventories DIR"
        )
    return ours


def _province(path: Path, raw: bytes) -> ProvinceFile:
    source, problems = parse(raw, str(path))
    if source is None:
        raise BadInventory(problems)
    fitted = fit(ProvinceFile, source)
    if fitted.file is None or problems or fitted.problems:
        raise BadInventory([*problems, *fitted.problems])
    return fitted.file


_COMMENT = re.compile(r"(?:^|\s)#.*", re.MULTILINE)
_NETWORK = re.compile(r"\b(?:prefix|network):\s*[\"']?([0-9./]+)")


def _taken(inventories: Path) -> Iterator[tuple[IPv4Network, str]]:
    """Every prefix and fixed network of the communes in the folder, and the file where it stands.

    Read by pattern rather than as YAML: with 135 communes that is the difference between 10 ms and 1 s. A file
    without any is one that `check` refuses, and one that a new prefix might overlap.
    """
    for path in sorted(inventories.glob("*/commune.yaml")):
        found = _NETWORK.findall(_COMMENT.sub("", path.read_text(encoding="utf-8", errors="replace")))
        if not found:
            raise UserError(f"{path}: no prefix can be read there, so none can be given beside it; run: lienxa check")
        for text in found:
            try:
                yield IPv4Network(text, strict=False), str(path)
            except ValueError as error:
                raise UserError(f"{path}: '{text}' is no IPv4 network; run: lienxa check") from error


def _given(wanted: str, taken: Iterable[tuple[IPv4Network, str]]) -> IPv4Network:
    try:
        prefix = IPv4Network(wanted)
    except ValueError as error:
        raise UserError(f"--prefix '{wanted}' is no IPv4 network like 10.52.4.0/22: {error}") from error
    if not 8 <= prefix.prefixlen <= LONGEST_PREFIX:
        raise UserError(f"--prefix {prefix}: allowed are lengths from /8 to /{LONGEST_PREFIX}, room for seven zones")
    for network, where in taken:
        if prefix.overlaps(network):
            raise UserError(
                f"--prefix {prefix} overlaps {network} in {where}; leave it out to take the next free one"
            )
    return prefix


def _free(province: ProvinceFile, taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first free prefix of the supernet."""
    size = 1 << (32 - province.commune_prefix)
    candidate = int(province.supernet.network_address)
    spans = sorted((int(network.network_address), int(network.broadcast_address)) for network in taken)
    for first, last in spans:
        if last >= candidate and first < candidate + size:
            candidate = (last // size + 1) * size
    if candidate + size - 1 > int(province.supernet.broadcast_address):
        raise UserError(
            f"province.yaml: the supernet {province.supernet} has no free /{province.commune_prefix} left;"
            " enlarge it, or give an assigned one: --prefix"
        )
    return IPv4Network((candidate, province.commune_prefix))


def _check_recipients(recipients: Sequence[str]) -> None:
    for one in recipients:
        try:
            parse_recipient(one)
        except ValueError as error:
            raise UserError(str(error)) from error


def _commune_text(commune: OfficialCommune, prefix: IPv4Network, *, chosen: bool) -> str:
    code = int(commune.code)
    # Locally administered, and of this commune alone, so that two forgotten examples never clash.
    macs = [f"02:00:00:{code >> 8:02x}:{code & 255:02x}:{number:02x}" for number in range(1, 6)]
    why = f"next free one of {commune.province.name}" if chosen else "as assigned"
    return _COMMUNE.format(
        name=commune.name, slug=commune.slug, code=commune.code, prefix=prefix, why=why, macs=macs,
        province=commune.province.full_name,
    )  # fmt: skip


_PROVINCE = """\
# yaml-language-server: $schema=schema/province.json
# What all communes of {name} share.

province:
  name: {name}
  slug: {slug}
  code: "{code}"
  domain: {domain}.gov.vn

# Communes get their prefixes from the supernet. A proposal: write what the province was assigned.
supernet: 10.{second}.0.0/14
commune_prefix: 22
reserved:
  - 10.{second}.252.0/22   # never given to a commune

# The engineers' way in: their public keys, and the networks they come from.
support:
  user: hotro
  keys: []
  prefixes: []

# What the province offers every commune. No resolvers: each gateway asks the root servers itself.
upstream:
  resolvers: []
  time_servers: []
"""

_COMMUNE = """\
# yaml-language-server: $schema=../schema/commune.json
# {name}, {province}. The machines are examples: write the commune's own, with their MAC addresses.

commune:
  name: {name}
  slug: {slug}
  code: "{code}"
  prefix: {prefix}   # {why}

# Network segments, separated as level 2 asks. The gateway stands in each of them, and between them.
zones:
  server:     {{vlan: 10}}
  dmz:        {{vlan: 15}}                # what is reached from outside; empty until there is such a thing
  office:     {{vlan: 20}}
  counter:    {{vlan: 30}}                # the one-stop counters
  meeting:    {{vlan: 40}}
  wireless:   {{vlan: 50, guest: true}}   # visitors: the Internet and nothing else
  management: {{vlan: 99}}                # where machines are looked after from

uplinks:
  - {{name: fibre, interface: wan0, address: dhcp}}   # or pppoe with user, or a fixed address with gateway

machines:
  gw1:  {{kind: gateway, ports: {{wan0: uplink, lan0: trunk}}}}   # or a port for each zone
  srv1: {{kind: server, zone: server, mac: "{macs[0]}"}}
  vp01: {{kind: office, zone: office, mac: "{macs[1]}"}}
  mc01: {{kind: counter, zone: counter, mac: "{macs[2]}"}}
  hop1: {{kind: room, zone: meeting, mac: "{macs[3]}"}}
  # Known to the network, not logged in to: printers, Windows machines, phones.
  in01: {{kind: unmanaged, zone: office, mac: "{macs[4]}", what: printer}}

# Whose mailboxes the officials have: the province's, or a server's here (mode: local, server: srv1).
services:
  mail: {{mode: province}}

# - {{name: Nguyễn Văn Mẫu, login: mau.nv, mailbox: true, machines: [vp01]}}   # signs in at vp01
people: []
"""
