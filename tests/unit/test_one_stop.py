"""What the browsers of a counter are told: everything for the portals that may, nothing for anybody else."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.inventory.site import Site, SiteBookmark, SitePortal
from deploy.runner.context import Context
from deploy.runner.render import render
from roles.one_stop import ROLE, chromium, firefox
from roles.one_stop.options import Options
from tests.unit.sample_site import sample_site

COUNTER = SitePortal(
    name="mot-cua",
    title="Một cửa <điện tử>",
    url="https://motcua.gialai.gov.vn:8443/",
    start=True,
    bookmarks=(SiteBookmark(title="Chờ xử lý", url="https://motcua.gialai.gov.vn:8443/cho?a=1&b=2"),),
    origins=("https://motcua.gialai.gov.vn:8443", "https://ky.gialai.gov.vn"),
    issuers=("CA Mẫu G1", "CA Mẫu G2"),
    helper_ports=(8987,),
    may=("popups", "local_network"),
)
LOOK_UP = SitePortal(
    name="tra-cuu",
    title="Tra cứu",
    url="https://tracuu.vn/",
    origins=("https://tracuu.vn",),
    may=("clipboard", "pdf"),
)
OWN = ["https://motcua.gialai.gov.vn:8443", "https://ky.gialai.gov.vn:443"]


def site(*portals: SitePortal) -> Site:
    base = sample_site()
    return base.model_copy(update={"upstream": base.upstream.model_copy(update={"portals": portals})})


def file(path: str, **options: Any) -> str:
    here = site(LOOK_UP, COUNTER)
    context = Context(site=here, machine=here.machines[0], options=Options(**options), role=ROLE)
    return render(context, f"one_stop{path}.j2")


def test_chromium_lets_only_those_do_it_who_may() -> None:
    told = chromium.policies(site(LOOK_UP, COUNTER), Options())
    assert told["PopupsAllowedForUrls"] == told["LocalNetworkAccessAllowedForUrls"] == OWN
    assert told["ClipboardAllowedForUrls"] == ["https://tracuu.vn:443"]
    assert told["AlwaysOpenPdfExternally"] is True
    assert (told["DefaultPopupsSetting"], told["DefaultClipboardSetting"]) == (2, 2)
    assert told["LocalNetworkAccessBlockedForUrls"] == told["ExtensionInstallBlocklist"] == ["*"]
    assert told["SSLErrorOverrideAllowed"] is told["MetricsReportingEnabled"] is False


def test_certificates_are_chosen_for_the_portal_s_own_origins_alone() -> None:
    made = [json.loads(str(one)) for one in chromium.certificates(site(LOOK_UP, COUNTER))]
    assert [(one["pattern"], one["filter"]["ISSUER"]["CN"]) for one in made] == [
        (origin, issuer) for origin in OWN for issuer in ("CA Mẫu G1", "CA Mẫu G2")
    ]


def test_a_look_up_screen_leads_nowhere_else() -> None:
    told = chromium.policies(site(LOOK_UP, COUNTER), Options(kiosk="https://tracuu.vn/ho-so"))
    assert (told["URLBlocklist"], told["URLAllowlist"]) == (["*"], ["https://tracuu.vn:443"])
    assert told["RestoreOnStartupURLs"] == ["https://tracuu.vn/ho-so"]
    assert {name for name in told if name.endswith("AllowedForUrls") and told[name]} == set()
    assert told["AutoSelectCertificateForUrls"] == told["ManagedBookmarks"] == []
    assert told["SSLErrorOverrideAllowed"] is told["PrintingEnabled"] is False


@pytest.mark.parametrize("page", ["http://tracuu.vn/", "https://*.tracuu.vn/", "tracuu.vn"])
def test_a_look_up_screen_s_page_is_a_link(page: str) -> None:
    with pytest.raises(ValueError, match="kiosk"):
        Options(kiosk=page)


def test_without_portals_nobody_may_anything() -> None:
    told = chromium.policies(site(), Options())
    assert {name: told[name] for name in told if name.endswith("AllowedForUrls")} == {
        "PopupsAllowedForUrls": [],
        "ClipboardAllowedForUrls": [],
        "LocalNetworkAccessAllowedForUrls": [],
    }
    assert told["AlwaysOpenPdfExternally"] is False


def told_firefox(*portals: SitePortal) -> Any:
    here = site(*portals)
    return firefox.policies(here, here.machines[0], Options())["policies"]


def test_firefox_is_told_the_same() -> None:
    told = told_firefox(LOOK_UP, COUNTER)
    assert told["PopupBlocking"] == {"Allow": OWN, "Default": True, "Locked": True}
    assert told["LocalNetworkAccess"]["SkipDomains"] == ["ky.gialai.gov.vn", "motcua.gialai.gov.vn"]
    assert told["DisableSecurityBypass"]["InvalidCertificate"] is True
    assert told["ManagedBookmarks"][0] == {"toplevel_name": "Dịch vụ công"}
    assert told["Handlers"]["mimeTypes"]["application/pdf"]["action"] == "saveToDisk"
    assert "Handlers" not in told_firefox(COUNTER)


def test_the_start_page_has_the_start_portal_on_top_and_no_markup_of_others() -> None:
    page = file("/usr/local/share/lienxa/one-stop/index.html")
    assert page.index("Một cửa &lt;điện tử&gt;") < page.index("Tra cứu")
    assert 'href="https://motcua.gialai.gov.vn:8443/cho?a=1&amp;b=2"' in page
    assert "<script" not in page


@pytest.mark.parametrize("name", ["/etc", ".giau", "a/b", "$(reboot)", 'a"b', "`x`"])
def test_a_folder_s_name_is_only_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="scan_folder"):
        Options(scan_folder=name)


@pytest.fixture
def scanner(tmp_path: Path) -> Path:
    """`lienxa-scan` with a scanner that does what the test says: the programs that it calls are scripts here."""
    script = tmp_path / "lienxa-scan"
    script.write_text(file("/usr/local/bin/lienxa-scan"), encoding="utf-8")
    _program(tmp_path / "img2pdf", 'while [ "$1" != --output ]; do shift; done; printf "%%PDF-1.3 x" >"$2"')
    return script


@pytest.mark.parametrize(
    ("dots", "colours", "modes", "words"),
    [
        (200, 3, "Gray|Color", ""),
        (300, 3, "Lineart|24bit Color", ""),
        (150, 3, "Gray|Color", "Bản quét chỉ có 150 dpi"),
        (200, 1, "Gray|Color", "Bản quét không có màu"),
        (200, 3, "Lineart|Gray", "không quét được màu"),
    ],
)
def test_what_a_scanner_really_did_is_looked_at(
    scanner: Path, dots: int, colours: int, modes: str, words: str
) -> None:
    picture = _jpeg(dots, colours)
    (scanner.parent / "page.jpg").write_bytes(picture)
    _program(
        scanner.parent / "scanimage",
        f"for one; do case $one in --help) echo '    --mode {modes} [Gray]';; "
        f"--output-file=*) cp '{scanner.parent}/page.jpg' \"${{one#*=}}\";; esac; done",
    )
    done = _scan(scanner, "--device", "x", "H1-1")
    kept = scanner.parent / "Hồ sơ quét" / "H1-1.pdf"
    assert (done.returncode, words in done.stderr) == (1 if words else 0, True)
    assert kept.exists() == (not words)
    assert words or kept.read_bytes().startswith(b"%PDF-1.4")


def test_no_scanner_is_said_in_vietnamese(scanner: Path) -> None:
    _program(scanner.parent / "scanimage", "exit 0")
    done = _scan(scanner, "H1-1")
    assert (done.returncode, done.stderr.startswith("Không thấy máy quét nào.")) == (1, True)


def _scan(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"HOME": str(script.parent), "PATH": f"{script.parent}:/usr/bin:/bin"}
    command = [sys.executable, "-I", str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def _program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _jpeg(dots: int, colours: int) -> bytes:
    head = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x02\x01" + dots.to_bytes(2) * 2 + b"\x00\x00"
    return head + b"\xff\xc0\x00\x11\x08\x00\x10\x00\x10" + bytes([colours]) + b"\x00" * 9 + b"\xff\xd9"
