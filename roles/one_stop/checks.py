"""Proves the role `one_stop`: scanning, who reaches signing helpers, the start page, the browsers' policies."""

from __future__ import annotations

import html
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

from deploy.inventory.site import Site, SiteMachine, SitePortal
from deploy.runner.checking import each
from roles.one_stop import chromium, firefox, kiosk, tasks
from roles.one_stop.options import Options

CODE = "H21.31-000000-0001"
SCAN_SECONDS = 25


def _portals(site: Site, machine: SiteMachine, options: Options) -> list[SitePortal]:
    return list(site.upstream.portals)


def _portals_to_work_with(site: Site, machine: SiteMachine, options: Options) -> list[SitePortal]:
    return [] if options.kiosk else list(site.upstream.portals)


def _look_up_pages(site: Site, machine: SiteMachine, options: Options) -> list[str]:
    return [options.kiosk] if options.kiosk else []


def _helper_ports(site: Site, machine: SiteMachine, options: Options) -> list[int]:
    return sorted({port for portal in site.upstream.portals for port in portal.helper_ports})


@pytest.mark.needs("package:sane-utils", "package:img2pdf")
@pytest.mark.next_step("On {machine}: `scanimage -L` and `lienxa-scan`; apply one_stop.")
def test_scan_is_a_colour_pdf(options: Options) -> None:
    """Scanning on {machine} gives a PDF/A in colour under the dossier's code, in the folder {options.scan_folder}."""
    with tempfile.TemporaryDirectory() as home:
        # SANE's own test device stands in for paper; the machine's own scanners are left alone.
        Path(home, "dll.conf").write_text("test\n", encoding="utf-8")
        environment = os.environ | {"HOME": home, "SANE_CONFIG_DIR": home}
        asked = [tasks.SCAN, "--device", "test:0", CODE]
        done = subprocess.run(
            asked, env=environment, capture_output=True, text=True, check=False, timeout=SCAN_SECONDS
        )
        assert done.returncode == 0, done.stderr
        content = Path(home, options.scan_folder, f"{CODE}.pdf").read_bytes()
    assert content.startswith(b"%PDF-1.4")
    assert b"pdfaid" in content


@pytest.mark.next_step("On {machine}: `nft list table inet lienxa` says who let port {port} in; nobody should.")
@each(_helper_ports)
def test_helper_is_this_machine_s_alone(host: Host, port: int) -> None:
    """Nobody but {machine} itself reaches port {port}, where signing programs listen."""
    loaded = json.loads(host.check_output("nft -j list table inet lienxa"))["nftables"]
    chain = next(one["chain"] for one in loaded if one.get("chain", {}).get("hook") == "input")
    assert chain["policy"] == "drop"
    opened = [one["rule"] for one in loaded if "rule" in one and _opens(one["rule"]["expr"], port)]
    assert opened == []


@pytest.mark.next_step("On {machine}: `chromium` opened at chrome://policy says what it read; apply one_stop.")
@each(_portals_to_work_with)
def test_chromium_knows_portal(host: Host, site: Site, options: Options, portal: SitePortal) -> None:
    """Chromium on {machine} has the policies for {portal.title}, refuses wrong certificates, and reports nothing."""
    written = json.loads(host.file(tasks.CHROMIUM).content_string)
    assert written == chromium.policies(site, options)
    assert portal.url in {one.get("url") for one in written["ManagedBookmarks"]}


@pytest.mark.next_step("On {machine}: `firefox-esr` opened at about:policies says what it read; apply one_stop.")
def test_firefox_knows_the_portals(host: Host, site: Site, machine: SiteMachine, options: Options) -> None:
    """Firefox on {machine} has the same policies as far as it knows them."""
    assert json.loads(host.file(tasks.FIREFOX).content_string) == firefox.policies(site, machine, options)


@pytest.mark.next_step("Apply the role one_stop to {machine}.")
@each(_portals)
def test_start_page_leads_to_portal(host: Host, portal: SitePortal) -> None:
    """The browsers' start page on {machine} leads to {portal.title}."""
    page = host.file(tasks.START_PAGE)
    assert page.mode & 0o004
    assert html.escape(portal.title) in page.content_string


@pytest.mark.next_step("On {machine}: `systemctl status lightdm`; apply one_stop.")
@each(_look_up_pages)
def test_look_up_screen_is_there(host: Host, site: Site, options: Options, page: str) -> None:
    """Whoever comes to {machine} finds {page}, without signing in, and Chromium leads nowhere else."""
    assert json.loads(host.file(tasks.CHROMIUM).content_string) == chromium.policies(site, options)
    assert f"autologin-user={kiosk.USER}" in host.file(kiosk.GREETER).content_string
    assert page in host.file(kiosk.PROGRAM).content_string
    assert host.user(kiosk.USER).exists


def _opens(expression: list[dict[str, Any]], port: int) -> bool:
    """Whether a rule accepts a port from anywhere."""
    if not any("accept" in part for part in expression):
        return False
    matches = [part["match"] for part in expression if "match" in part]
    ports = [one["right"] for one in matches if isinstance(one["left"], dict) and _is_port(one["left"])]
    return any(_has(one, port) for one in ports)


def _is_port(left: dict[str, Any]) -> bool:
    payload = left.get("payload", {})
    return bool(payload.get("field") == "dport" and payload.get("protocol") in {"tcp", "th"})


def _has(right: object, port: int) -> bool:
    if isinstance(right, dict) and "range" in right:
        first, last = right["range"]
        return bool(first <= port <= last)
    if isinstance(right, dict):
        return any(_has(one, port) for one in right.get("set", ()))
    return right == port
