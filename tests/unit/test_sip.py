"""Rooms that are called by SIP: from what is written to accounts, ports and secrets."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.inventory.loading import load
from deploy.inventory.resolve import Resolved, resolve
from deploy.inventory.secrets import wanted_secrets
from deploy.inventory.secrets_check import check_secrets
from deploy.inventory.site import PortRange, Site, SiteMeetingService, SiteSipService, Upstream
from deploy.lab.rehearsal import rehearse
from deploy.order import make_orders
from deploy.runner.context import Context
from deploy.runner.render import render
from deploy.site import CATALOG, ROLES
from roles.firewall import options as firewall
from roles.network import tasks as network
from roles.network.options import Options as NetworkOptions
from roles.video_client import lobby, sip
from roles.video_client.chromium import LOBBY
from roles.video_client.options import Options

INVENTORIES = Path(__file__).parents[2] / "inventories"
ACCOUNT = "phong-hop-xa-mau"
SIP = """\
  sip:
    title: Hội nghị truyền hình tỉnh Gia Lai
    registrar: sip.gialai.gov.vn
    media: [30000-31999]
"""


def written(folder: Path, sip: str = SIP) -> Resolved:
    """The model commune, whose room has an account, of a province with these room systems."""
    province = (INVENTORIES / "province.yaml").read_text(encoding="utf-8")
    text, count = re.subn(r"  sip:\n(    .*\n)+", sip, province)
    assert count == 1
    (folder / "province.yaml").write_text(text, encoding="utf-8")
    (folder / "xa-mau").mkdir()
    commune = (INVENTORIES / "xa-mau/commune.yaml").read_text(encoding="utf-8")
    (folder / "xa-mau/commune.yaml").write_text(commune, encoding="utf-8")
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


def room(tmp_path: Path, sip_text: str = SIP, password: str = "mat-khau") -> Context[Options]:
    site = written(tmp_path, sip_text).site
    return Context(
        site=site,
        machine=site.machine("hop1"),
        options=Options(),
        role=ROLES["video_client"],
        secrets={f"sip_{ACCOUNT}": password},
    )


def account_line(ctx: Context[Options], **options: object) -> str:
    told = replace(ctx, options=Options.model_validate(options))
    values = {"service": ctx.site.upstream.sip, "name": "Phòng họp", "password": ctx.secrets[f"sip_{ACCOUNT}"]}
    return render(told, f"video_client{sip.ACCOUNTS}.j2", values)


def accepted(line: str, tmp_path: Path) -> bool:
    file = tmp_path / "accounts"
    file.write_text(line, encoding="utf-8")
    return subprocess.run(sip.CHECK_ACCOUNT.format(file), shell=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("lines", "options", "parts"),
    [
        ("", {}, ["sip.gialai.gov.vn;transport=tls>", "answermode=manual", "mediaenc=srtp-mand"]),
        (
            "    srtp: off\n    transport: udp\n    port: 15060\n",
            {},
            ["vn:15060;transport=udp>", "=manual"],
        ),
        ("", {"sip_answer": "auto"}, ["answermode=auto", "mediaenc=srtp-mand"]),
    ],
)
def test_the_account_is_as_the_inventory_has_it(
    tmp_path: Path, lines: str, options: dict[str, object], parts: list[str]
) -> None:
    line = account_line(room(tmp_path, SIP + lines), **options)
    assert [part for part in parts if part not in line] == []
    assert ("mediaenc" in line) == ("srtp: off" not in lines)
    assert accepted(line, tmp_path)


@pytest.mark.parametrize("password", ["mat khau", "mat;khau", "mat\tkhau"])
def test_a_password_that_baresip_cannot_read_is_refused(tmp_path: Path, password: str) -> None:
    assert not accepted(account_line(room(tmp_path, password=password)), tmp_path)


def test_its_password_is_the_province_s_and_in_no_other_order(tmp_path: Path) -> None:
    resolved = written(tmp_path)
    key = f"video_client.sip_{ACCOUNT}"
    (secret,) = (one for name, one in wanted_secrets(resolved.site, resolved.options, CATALOG).items() if name == key)
    assert not secret.generated
    said = [str(one) for one in check_secrets(resolved, CATALOG, tmp_path)]
    missing = f"{key} is missing (Password of {ACCOUNT} at sip.gialai.gov.vn); run: lienxa secrets set xa-mau {key}"
    assert [one for one in said if missing in one]
    orders = make_orders(resolved.site, resolved.options, lambda machine, role, one: f"{machine}", CATALOG)
    assert [name for name, order in orders.items() if key in order.secrets] == ["hop1"]


def test_a_room_that_rings_has_its_lobby_in_any_case(tmp_path: Path) -> None:
    site = written(tmp_path).site
    assert lobby.wanted(site, site.machine("hop1"), Options(lobby=False))
    assert sip.service_of(site, site.machine("vp01")) is None


def test_its_session_has_a_bell_and_no_other_room_s(tmp_path: Path) -> None:
    ctx = room(tmp_path)
    for bell in (None, "/usr/local/bin/lienxa-sip bell"):
        text = render(ctx, f"video_client{lobby.PROGRAM}.j2", {"lobby": LOBBY, "bell": bell})
        assert ("lienxa-sip bell" in text) == bool(bell)
        subprocess.run(["sh", "-n"], input=text.encode(), check=True)


def test_each_machine_marks_what_it_sends_to_the_room_systems(tmp_path: Path) -> None:
    site = written(tmp_path).site
    ctx = Context(site=site, machine=site.machine("hop1"), options=firewall.Options(), role=ROLES["firewall"])
    rules = render(ctx, "firewall/etc/nftables.conf.j2", {"openings": (), "open_to_all": ()})
    assert rules.count("udp dport { 3478, 10000-20000, 30000-31999 }") == 2


def test_where_there_are_room_systems_alone_their_calls_are_marked_too(tmp_path: Path) -> None:
    site = written(tmp_path).site
    alone = site.model_copy(update={"upstream": site.upstream.model_copy(update={"meeting": None})})
    ctx = Context(site=alone, machine=alone.machine("vp01"), options=firewall.Options(), role=ROLES["firewall"])
    assert "udp dport { 30000-31999 }" in render(
        ctx, "firewall/etc/nftables.conf.j2", {"openings": (), "open_to_all": ()}
    )
    assert [str(ports) for ports in network_helpers(alone)] == ["30000-31999"]


def network_helpers(site: Site) -> Sequence[PortRange]:
    """What the gateway's templates are told of calls."""
    ctx = Context(site=site, machine=site.gateway, options=NetworkOptions(), role=ROLES["network"])
    media = network._helpers(ctx)["media"]
    assert isinstance(media, tuple)
    return media
