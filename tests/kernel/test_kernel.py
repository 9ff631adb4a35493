"""The gateway on Debian's own kernel, which has what a CI machine's lacks: VLANs, CAKE, several lines, WireGuard.

One machine in QEMU for all of it, made a gateway by our own command over SSH. Each test says its figure at the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from guest import Guest, booted, disk_with
from kernel_commune import (
    BY_LINE,
    DESKS,
    ENGINEERS,
    FAR,
    GATEWAY,
    MACS,
    MANAGEMENT,
    RETURN_SECONDS,
    ROUTERS,
    SLUG,
    Laptop,
    engineers_key,
    laptop,
)

from deploy.inventory.role import Kind
from deploy.site import CATALOG

APPLIED = ("--role", "base", "--role", "network", "--role", "support_path")
"""Without the package cache: it takes minutes to start on an emulated processor, and is the same on every kernel."""
WORLD = Path(__file__).with_name("world.py")
MOST_LOST = 0.03
"""Of a call both ways; the carrier itself loses one in a hundred."""
MOST_LATER = 0.150
"""Seconds by which a call's round trip may grow; ITU-T G.114 has 0.15 one way as what most calls bear."""
LONGEST_GAP = 10.0
EF = 0xB8
PROVINCE_END = "/run/province0.conf"


@dataclass(frozen=True)
class Gateway:
    """The machine, and the laptop that made it a gateway."""

    guest: Guest
    laptop: Laptop

    def apply(self) -> list[dict[str, Any]]:
        """Its events, by our own command over SSH."""
        return [json.loads(line) for line in self.laptop.lienxa("apply", SLUG, *APPLIED, "--json").splitlines()]

    def world(self, verb: str, *words: object, seconds: float = 1200) -> Any:
        """What `world.py` finds on the machine."""
        given = " ".join(f"'{json.dumps(word)}'" for word in words)
        said = self.guest.sh(f"python3 - {verb} {given}", stdin=WORLD.read_bytes(), seconds=seconds)
        return json.loads(said.splitlines()[-1])


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("kernel")
    cards = CATALOG.of(Kind.GATEWAY, ("support path",))
    packages = {package for card in cards for package in (*card.packages, *card.optional)}
    key = engineers_key(folder)
    with (
        booted(disk_with(sorted({*packages, "conntrack", "udhcpc"})), folder, key, MANAGEMENT, GATEWAY) as guest,
        laptop(folder, guest.port) as engineer,
    ):
        made = Gateway(guest, engineer)
        made.world("wire", MACS)
        engineer.lienxa("trust", SLUG, "--yes")
        roles = {event["role"]: event for event in made.apply() if event["event"] == "role_started"}
        assert roles["network"]["warnings"] == [], "CAKE is there, so there is nothing to say about it"
        yield made


@pytest.fixture
def figure(record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Says a figure where people and programs see it."""

    def say(**figures: object) -> None:
        for name, value in figures.items():
            record_property(name, value)
        with capsys.disabled():
            print("\n  " + ", ".join(f"{name} {value}" for name, value in figures.items()))  # noqa: T201

    return say


def test_a_second_apply_changes_nothing(gateway: Gateway, figure: Callable[..., None]) -> None:
    summary = gateway.apply()[-1]
    assert summary["changed"] == 0, summary
    figure(kernel=gateway.guest.sh("uname -r").strip(), changes_of_a_second_apply=summary["changed"])


@pytest.mark.parametrize("zone", DESKS)
def test_a_desk_gets_its_lease_over_its_vlan(gateway: Gateway, zone: str, figure: Callable[..., None]) -> None:
    found = gateway.world("lease", zone)
    assert found == {"address": DESKS[zone], "router": ROUTERS[zone], "answers": True}
    figure(**found)


def test_a_vlan_is_seen_by_nobody_else(gateway: Gateway, figure: Callable[..., None]) -> None:
    found = gateway.world("seen", "counter")
    assert found == {"trunk": [30], "other_desks": 0}
    figure(**found)


def test_zones_on_one_trunk_are_kept_apart(gateway: Gateway, figure: Callable[..., None]) -> None:
    gateway.world("lease", "office")
    gateway.world("lease", "counter")
    assert gateway.world("reached", "office", FAR)["answers"], "the way out"
    assert not gateway.world("reached", "office", DESKS["counter"])["answers"]
    spoofed = gateway.world("spoofed", "office", "10.52.0.140")
    assert spoofed["thrown_away"] > 0
    figure(spoofed_packets_thrown_away=spoofed["thrown_away"])


def test_lines_are_shared_out_by_cake(gateway: Gateway, figure: Callable[..., None]) -> None:
    shown = gateway.guest.sh("tc qdisc show dev wan0 root; tc qdisc show dev in-fibre root")
    assert shown.count("qdisc cake") == 2, shown
    assert shown.count("diffserv4") == 2, shown
    assert "bandwidth 9500Kbit" in shown
    assert "bandwidth 8500Kbit" in shown
    figure(up="9500Kbit", down="8500Kbit")


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_call_holds_on_a_full_line_and_without_us_it_does_not(
    gateway: Gateway, way: str, figure: Callable[..., None]
) -> None:
    gateway.world("lease", "office")
    found = gateway.world("shared", way)
    later = {name: found[name]["slowest_twentieth"] - found["quiet"]["median"] for name in ("ours", "without")}
    assert found["ours"]["lost"] < MOST_LOST, found
    assert later["ours"] < MOST_LATER, found
    assert found["without"]["lost"] > MOST_LOST or later["without"] > MOST_LATER, found
    assert found["ours"]["marks"] == [EF], found
    figure(
        quiet_ms=round(found["quiet"]["median"] * 1000),
        **{f"{name}_ms": round(found[name]["slowest_twentieth"] * 1000) for name in later},
        **{f"{name}_lost_percent": round(found[name]["lost"] * 100, 1) for name in later},
        **{f"{name}_mbit": round(found[name]["mbit"], 1) for name in later},
    )


def test_another_line_takes_over_and_gives_back(gateway: Gateway, figure: Callable[..., None]) -> None:
    gateway.world("lease", "office")
    found = gateway.world("failover", RETURN_SECONDS)
    assert found["interrupted"] < LONGEST_GAP, found
    assert found["before"] == found["new"] == [BY_LINE["fibre"]], found
    assert found["after"] == [BY_LINE["backup"]], found
    assert found["stayed_while_it_flapped"], found
    assert found["returned_after"] > RETURN_SECONDS - 1, found
    assert found["interrupted_by_return"] < 1, found
    figure(**{name: round(found[name], 1) for name in ("interrupted", "moved_after", "returned_after")})


def test_the_province_s_engineers_come_in_by_the_support_path(gateway: Gateway, figure: Callable[..., None]) -> None:
    own = f"[Interface]\nPrivateKey = {gateway.laptop.province_key}\nListenPort = 51820\n\n"
    peer = gateway.laptop.lienxa("support-path", SLUG)
    gateway.guest.sh(f"umask 077; cat >{PROVINCE_END}", stdin=f"{own}{peer}".encode())
    found = gateway.world("tunnel", ENGINEERS, PROVINCE_END, GATEWAY)
    assert "wireguard" in gateway.guest.sh("ip -details link show support0"), "by the kernel's module"
    assert gateway.world("open_to_engineers", GATEWAY, 22, 53, 9100, 3128)["open"] == [22]
    assert gateway.guest.through("far", GATEWAY, "hostname").strip() == "gw1"
    verified = json.loads(gateway.laptop.lienxa("verify", SLUG, "--role", "support_path", "--json").splitlines()[-1])
    assert (verified["failed"], verified["skipped"]) == (0, 0), verified
    figure(handshake_after=round(found["handshake_after"], 1), open_to_engineers=[22])
