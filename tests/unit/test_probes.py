"""Probes: from every place what must arrive and what must be refused, as the cards say."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_site import ZONES, sample_site

from deploy.inventory.role import Purpose
from deploy.inventory.site import Support
from deploy.probes import Outside, Probe, probes_from

SUPPORT = Outside(IPv4Address("192.0.2.7"), {"gw1": "192.0.2.17"})


def found(probes: tuple[Probe, ...]) -> dict[tuple[str, int], str]:
    return {(probe.target, probe.port): probe.expect for probe in probes}


def test_from_the_office() -> None:
    assert found(probes_from(sample_site(), "office", "vp01")) == {
        ("gw1", 22): "refused",
        ("gw1", 53): "reached",
        ("gw1", 9100): "refused",
        ("srv1", 22): "refused",
        ("srv1", 443): "reached",
    }


def test_a_machine_in_the_same_zone_is_probed_too() -> None:
    assert found(probes_from(sample_site(), "office", "in01"))["vp01", 22] == "refused"


def test_from_management_everything_for_management_is_reached_and_nothing_else() -> None:
    probes = found(probes_from(sample_site(), "management"))
    assert probes["vp01", 22] == probes["gw1", 22] == probes["gw1", 9100] == "reached"
    assert probes["srv1", 443] == "refused"


def test_guests_reach_nothing_but_what_is_theirs() -> None:
    probes = found(probes_from(sample_site(), "wireless"))
    assert {key for key, expect in probes.items() if expect == "reached"} == {("gw1", 53)}
    assert len(probes) == 6


def test_the_gateway_has_the_address_of_the_zone_that_asks() -> None:
    for zone in ZONES:
        probes = [probe for probe in probes_from(sample_site(), zone) if probe.target == "gw1"]
        assert {probe.address for probe in probes if probe.expect == "reached"} == {
            str(sample_site().zone(zone).gateway)
        }


def test_what_the_gateway_refuses_it_refuses_on_its_own_zones_address_too() -> None:
    probes = [probe for probe in probes_from(sample_site(), "wireless") if probe.target == "gw1" and probe.port == 22]
    assert [(probe.address, probe.expect) for probe in probes] == [
        (str(sample_site().zone("wireless").gateway), "refused"),
        ("10.52.0.193", "refused"),
    ]


def test_from_outside_support_reaches_the_gateway_alone() -> None:
    probes = probes_from(sample_site(), SUPPORT)
    assert {(probe.target, probe.port, probe.address) for probe in probes if probe.expect == "reached"} == {
        ("gw1", 22, "192.0.2.17")
    }
    assert found(probes)["gw1", 53] == "refused"
    assert {probe.address for probe in probes if probe.target == "srv1"} == {"10.52.0.10"}


def test_without_support_prefixes_nobody_gets_in_from_outside() -> None:
    site = sample_site().model_copy(update={"support": Support()})
    assert {probe.expect for probe in probes_from(site, SUPPORT)} == {"refused"}


def test_a_stranger_outside_is_refused_everything() -> None:
    stranger = Outside(IPv4Address("198.51.100.7"), SUPPORT.addresses)
    probes = probes_from(sample_site(), stranger)
    assert ("gw1", 22) in found(probes)
    assert {probe.expect for probe in probes} == {"refused"}


def test_a_gateway_of_unknown_address_is_left_out_outside() -> None:
    assert {probe.target for probe in probes_from(sample_site(), Outside(SUPPORT.source))} == {"srv1", "vp01"}


def test_the_gateway_probes_its_way_in() -> None:
    probes = probes_from(sample_site(), "management", "gw1")
    assert [(probe.target, probe.port, probe.expect) for probe in probes] == [
        ("srv1", 22, "reached"),
        ("vp01", 22, "reached"),
    ]


def test_a_zone_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        probes_from(sample_site(), "attic")


def test_what_is_handed_on_is_met_at_the_gateway_and_nowhere_else() -> None:
    site = sample_site()
    server = site.machine("srv1")
    ports = tuple(port.model_copy(update={"from_outside": port.number == 443}) for port in server.ports)
    machines = tuple(one.model_copy(update={"ports": ports}) if one is server else one for one in site.machines)
    stranger = Outside(IPv4Address("198.51.100.7"), SUPPORT.addresses)
    probes = probes_from(site.model_copy(update={"machines": machines}), stranger)
    of_server = [(probe.address, probe.expect) for probe in probes if (probe.target, probe.port) == ("srv1", 443)]
    assert of_server == [("10.52.0.10", "refused"), ("192.0.2.17", "reached")]


@given(place=st.sampled_from([SUPPORT, *ZONES]), machine=st.sampled_from([None, "srv1", "vp01", "in01"]))
def test_all_that_is_probed_comes_from_a_card(place: str | Outside, machine: str | None) -> None:
    site = sample_site()
    for probe in probes_from(site, place, machine):
        ports = [port for port in site.machine(probe.target).ports if port.number == probe.port]
        assert probe.target != machine
        assert probe.how == ports[0].probe
        if isinstance(place, str):
            assert (probe.expect == "reached") == (place in ports[0].zones)
        if isinstance(place, str) and site.zone(place).purpose is Purpose.GUEST:
            assert probe.expect == "refused" or probe.port == 53
