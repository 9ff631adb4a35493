"""Rooms that are called by SIP: from what is written to accounts, ports and secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.inventory.loading import load
from deploy.inventory.resolve import Resolved, resolve
from deploy.inventory.site import PortRange, SiteMeetingService, SiteSipService, Upstream
from deploy.lab.rehearsal import rehearse
from deploy.site import CATALOG

INVENTORIES = Path(__file__).parents[2] / "inventories"
ACCOUNT = "phong-hop-xa-mau"
SIP = """\
  sip:
    title: Hội nghị truyền hình tỉnh Gia Lai
    registrar: sip.gialai.gov.vn
    media: [30000-31999]
"""


def written(folder: Path, sip: str = SIP) -> Resolved:
    """The model commune with an account for its room."""
    province = (INVENTORIES / "province.yaml").read_text(encoding="utf-8")
    (folder / "province.yaml").write_text(province.replace("  meeting:\n", f"{sip}  meeting:\n"), encoding="utf-8")
    commune = (INVENTORIES / "xa-mau/commune.yaml").read_text(encoding="utf-8")
    (folder / "xa-mau").mkdir()
    text = commune.replace("{kind: room,", f"{{kind: room, sip: {ACCOUNT},")
    (folder / "xa-mau/commune.yaml").write_text(text, encoding="utf-8")
    return resolve(load(folder, CATALOG), "xa-mau")


def test_the_room_systems_stand_on_the_site_and_in_its_lab(tmp_path: Path) -> None:
    site = written(tmp_path).site
    service = site.upstream.sip
    assert service is not None
    assert (service.transport, service.srtp, service.location) == ("tls", "mandatory", "sip.gialai.gov.vn")
    assert [machine.name for machine in site.machines if machine.sip == ACCOUNT] == ["hop1"]
    assert rehearse(site).upstream.sip == service


def test_a_port_of_its_own_stands_in_the_address(tmp_path: Path) -> None:
    service = written(tmp_path, f"{SIP}    port: 15061\n").site.upstream.sip
    assert service is not None
    assert service.location == "sip.gialai.gov.vn:15061"


def test_calls_of_both_services_go_first(tmp_path: Path) -> None:
    assert [str(ports) for ports in written(tmp_path).site.upstream.media] == ["3478", "10000-20000", "30000-31999"]


@pytest.mark.parametrize(
    ("meeting", "sip", "merged"),
    [
        (((3478, 3478), (10000, 20000)), ((15000, 25000),), ["3478", "10000-25000"]),
        (((10000, 20000),), ((12000, 13000),), ["10000-20000"]),
        (((10000, 20000),), ((20001, 20005), (1000, 1001)), ["1000-1001", "10000-20005"]),
    ],
)
def test_ports_of_both_are_one_set_that_nftables_takes(
    meeting: tuple[tuple[int, int], ...], sip: tuple[tuple[int, int], ...], merged: list[str]
) -> None:
    upstream = Upstream(
        meeting=SiteMeetingService(title="Họp", url="https://hop.example.vn/", media=ranges(meeting)),
        sip=SiteSipService(
            title="Họp", registrar="sip.example.vn", transport="tls", media=ranges(sip), srtp="mandatory"
        ),
    )
    assert [str(ports) for ports in upstream.media] == merged


def ranges(pairs: tuple[tuple[int, int], ...]) -> tuple[PortRange, ...]:
    return tuple(PortRange(first=first, last=last) for first, last in pairs)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", ""),
        ("    transport: udp\n", "speaks udp: everybody on the way can read the keys"),
        ("    transport: tcp\n    srtp: off\n", "speaks tcp: everybody on the way can read who calls whom"),
    ],
)
def test_what_others_can_read_is_said(tmp_path: Path, lines: str, said: str) -> None:
    notes = [note for note in written(tmp_path, SIP + lines).site.notes if "upstream.sip" in note]
    assert bool(notes) == bool(said)
    assert said in "".join(notes)
