"""The desktop's files, each read as the program reads it that they are for."""

from __future__ import annotations

import configparser
import re
from xml.etree import ElementTree

import pytest
from render_sites import SITES
from rendering import context, rendered

from roles.desktop import office, tasks
from roles.desktop.options import Options


def text(path: str, values: dict[str, object] | None = None, **options: object) -> str:
    return rendered(context(SITES["trunk"], "vp01", "desktop", **options), path, **(values or {}))


def ini(written: str) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None)
    found.read_string(written)
    return found


def test_the_greeter_waits_for_a_screen_and_starts_xfce() -> None:
    found = ini(text(tasks.LIGHTDM))
    assert found["LightDM"]["logind-check-graphical"] == "true"
    assert found["Seat:*"]["user-session"] == "xfce"
    assert found["Seat:*"]["allow-guest"] == "false"
    assert ini(text(tasks.GREETER))["greeter"]["clock-format"] == "%A %d/%m/%Y %H:%M"


@pytest.mark.parametrize(("minutes", "expected"), [(5, "0:05:00"), (15, "0:15:00"), (60, "1:00:00")])
def test_the_lock_has_the_minutes_of_the_options(minutes: int, expected: str) -> None:
    found = text(tasks.LOCK, lock_minutes=minutes)
    assert f"xscreensaver.timeout: {expected}\n" in found
    assert "xscreensaver.lock: True\n" in found


@pytest.mark.parametrize("method", ["Telex", "VNI"])
def test_unikey_is_on_from_the_start(method: str) -> None:
    assert f"InputMethod={method}\n" in text(tasks.TYPING_UNIKEY, {"method": method})
    assert ini(text(tasks.TYPING_CONFIG))["Behavior"]["ActiveByDefault"] == "True"
    profile = ini(text(tasks.TYPING_PROFILE))
    assert profile["Groups/0"]["DefaultIM"] == profile["Groups/0/Items/1"]["Name"] == "unikey"


@pytest.mark.parametrize("path", [tasks.TYPING_START, tasks.LOCK_START, tasks.LOCK_SETTINGS])
def test_what_starts_with_the_session_is_an_entry(path: str) -> None:
    assert {"Type", "Name", "Exec"} <= {key.title() for key in ini(text(path))["Desktop Entry"]}


def test_nothing_of_the_desktop_listens_on_the_network() -> None:
    assert re.findall(r"^Listen (.+)$", text(tasks.CUPS), re.MULTILINE) == ["/run/cups/cups.sock"]
    assert ini(text(tasks.AVAHI))["server"]["allow-interfaces"] == "lo"


def test_usb_storage() -> None:
    assert 'isInGroup("lienxa-people")' in text(tasks.USB_RIGHTS, {"people": tasks.PEOPLE})
    assert "--setro $devnode" in text(tasks.USB_READ_ONLY)
    assert "noexec" in ini(text(tasks.USB_MOUNTS))["defaults"]["defaults"]


def test_office_begins_with_the_template() -> None:
    found = ElementTree.fromstring(text(tasks.OFFICE_DEFAULTS, {"new_document": office.TEMPLATE}))
    assert f"file://{office.TEMPLATE}" in [one.text for one in found.iter("value")]


def test_windows_of_the_light_form_have_no_shadows() -> None:
    found = ElementTree.fromstring(text(tasks.WINDOWS))
    assert [one.get("value") for one in found.iter("property") if one.get("name") == "use_compositing"] == ["false"]


@pytest.mark.parametrize("suite", [True, False])
def test_the_panel_has_what_is_installed(suite: bool) -> None:
    programs = tasks.panel_programs(SITES["trunk"], Options(suite=suite))
    found = ElementTree.fromstring(text(tasks.PANEL, {"programs": programs}))
    assert [one.get("value") for one in found.iter("value") if one.get("type") == "string"] == [
        f"{program}.desktop" for program in programs
    ]
    (ids,) = (one for one in found.iter("property") if one.get("name") == "plugin-ids")
    plugins = {one.get("name") for one in found.iter("property")}
    assert {f"plugin-{one.get('value')}" for one in ids} <= plugins
    assert ("libreoffice-writer" in programs) is suite
