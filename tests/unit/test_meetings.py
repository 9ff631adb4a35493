"""Meetings by video: from what is written to what a room's lobby shows, and who may see and hear."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import Site, SiteMeetingService
from deploy.runner.context import Context
from deploy.runner.render import render
from deploy.site import CATALOG, ROLES
from roles.video_client import lobby
from roles.video_client.chromium import LOBBY, lobby_policies, policies
from roles.video_client.options import Options

INVENTORIES = Path(__file__).parents[2] / "inventories"


@pytest.fixture(scope="module")
def site() -> Site:
    return resolve(load(INVENTORIES, CATALOG), "xa-mau").site


@pytest.fixture(scope="module")
def service(site: Site) -> SiteMeetingService:
    assert site.upstream.meeting
    return site.upstream.meeting


def file(
    site: Site, path: str, machine: str = "hop1", values: dict[str, object] | None = None, **options: object
) -> str:
    ctx = Context(
        site=site,
        machine=site.machine("hop1"),
        options=Options.model_validate(options),
        role=ROLES["video_client"],
    )
    return render(ctx, f"video_client{path}.j2", values)


def test_meetings_stand_on_the_site(site: Site, service: SiteMeetingService) -> None:
    weekly, council = site.meetings
    assert (weekly.title, weekly.weekdays, weekly.at, weekly.minutes) == ("Giao ban tuần với tỉnh", (1,), "08:00", 90)
    assert (weekly.date, weekly.url, weekly.machines) == (None, service.url, ("hop1",))
    assert council.weekdays == (2, 4)


def test_where_the_province_has_no_service_that_is_said_and_nothing_is_shown(tmp_path: Path) -> None:
    head = "province: {name: Gia Lai, slug: gia-lai, code: 52, domain: gialai.gov.vn}\nsupernet: 10.52.0.0/14\n"
    (tmp_path / "province.yaml").write_text(head, encoding="utf-8")
    (tmp_path / "xa-mau").mkdir()
    written = (INVENTORIES / "xa-mau" / "commune.yaml").read_text(encoding="utf-8")
    written = written.replace(", sip: phong-hop-xa-mau", "")
    (tmp_path / "xa-mau" / "commune.yaml").write_text(written, encoding="utf-8")
    without = resolve(load(tmp_path, CATALOG), "xa-mau").site
    assert without.meetings == ()
    assert any("upstream.meeting" in note for note in without.notes)


def test_a_lobby_is_a_room_s_and_only_where_it_is_wanted(site: Site) -> None:
    room, desk = site.machine("hop1").model_copy(update={"sip": None}), site.machine("vp01")
    assert lobby.wanted(site, room, Options())
    assert not lobby.wanted(site, desk, Options())
    assert not lobby.wanted(site, room, Options(lobby=False))
    without = site.model_copy(update={"upstream": site.upstream.model_copy(update={"meeting": None})})
    assert not lobby.wanted(without, room, Options())


def test_a_room_sees_its_own_meetings(site: Site) -> None:
    other = site.meetings[0].model_copy(update={"machines": ("hop2",)})
    both = site.model_copy(update={"meetings": (other, site.meetings[1])})
    assert lobby.meetings(both, site.machine("hop1")) == (site.meetings[1],)


@pytest.mark.parametrize("room", [True, False])
def test_nobody_but_the_service_sees_and_hears(service: SiteMeetingService, room: bool) -> None:
    told = policies(service, lobby=room)
    expected = ["https://hop.gialai.gov.vn:443", *([LOBBY] if room else [])]
    assert told["VideoCaptureAllowedUrls"] == told["AudioCaptureAllowedUrls"] == expected
    assert told["ScreenCaptureAllowedByOrigins"] == expected[:1]
    assert not any(told[f"{what}CaptureAllowed"] for what in ("Video", "Audio", "Screen"))


def test_a_lobby_leads_nowhere_else(service: SiteMeetingService) -> None:
    told = lobby_policies(service)
    assert (told["URLBlocklist"], told["URLAllowlist"]) == (["*"], [LOBBY, "https://hop.gialai.gov.vn:443"])
    assert told["SSLErrorOverrideAllowed"] is told["PasswordManagerEnabled"] is False


def test_the_page_has_the_meetings_whole(site: Site, service: SiteMeetingService) -> None:
    odd = site.meetings[0].model_copy(update={"title": 'Họp "</script>" & Đảng ủy'})
    shown = [odd.model_dump(exclude={"machines"})]
    page = file(site, lobby.PAGE, values={"service": service, "meetings": shown})
    written = re.search(r"const MEETINGS = (.*);\n", page)
    assert written
    assert json.loads(written[1])[0]["title"] == odd.title
    assert page.count("</script>") == 1


def test_a_link_with_signs_of_the_shell_stays_one_word(site: Site, service: SiteMeetingService) -> None:
    odd = service.model_copy(update={"url": "https://hop.gialai.gov.vn/p?a=1&b=$HOME;id"})
    assert f"--app='{odd.url}' " in file(site, "/usr/local/bin/lienxa-meeting", values={"service": odd})


@pytest.mark.parametrize("microphone", [None, "alsa_input.usb-Jabra_SPEAK_510-00.mono-fallback"])
def test_echo_is_taken_out_of_the_named_device(site: Site, microphone: str | None) -> None:
    text = file(site, "/etc/pipewire/pipewire.conf.d/60-lienxa-echo.conf", microphone=microphone)
    assert text.count("target.object") == bool(microphone)
    assert text.count("{") == text.count("}")
