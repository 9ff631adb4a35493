"""What Chromium is told by policy: for the portals what they need, for everybody else nothing."""

from __future__ import annotations

import json
from typing import Literal

from deploy.inventory.browser_policies import QUIET, STRICT
from deploy.inventory.site import Site
from deploy.inventory.urls import origin_of, with_port
from roles.one_stop.options import Options

START_PAGE = "file:///usr/local/share/lienxa/one-stop/index.html"
BOOKMARKS = "Dịch vụ công"


def policies(site: Site, options: Options) -> dict[str, object]:
    """The whole of the policy file."""
    made: dict[str, object] = {
        **QUIET,
        **STRICT,
        "HomepageIsNewTabPage": False,
        "HomepageLocation": START_PAGE,
        "NewTabPageLocation": START_PAGE,
        "RestoreOnStartup": 4,
        "RestoreOnStartupURLs": [START_PAGE],
        "ShowHomeButton": True,
        "BookmarkBarEnabled": True,
        "ManagedBookmarks": bookmarks(site),
        "PasswordManagerEnabled": options.remember_passwords,
        "PopupsAllowedForUrls": patterns(site, "popups"),
        "ClipboardAllowedForUrls": patterns(site, "clipboard"),
        "AlwaysOpenPdfExternally": bool(patterns(site, "pdf")),
        "LocalNetworkAccessAllowedForUrls": patterns(site, "local_network"),
        "AutoSelectCertificateForUrls": certificates(site),
    }
    return made | _of_a_look_up_screen(options.kiosk) if options.kiosk else made


def bookmarks(site: Site) -> list[dict[str, str]]:
    """The portals and their pages, in one folder; Firefox reads the same form."""
    made = [{"toplevel_name": BOOKMARKS}]
    for portal in site.upstream.portals:
        made.append({"name": portal.title, "url": portal.url})
        made += [{"name": page.title, "url": page.url} for page in portal.bookmarks]
    return made


def patterns(site: Site, what: Literal["popups", "clipboard", "pdf", "local_network"]) -> list[str]:
    """The origins that may do it, each with its port: without one, Chromium takes any."""
    return [with_port(one) for portal in site.upstream.portals if what in portal.may for one in portal.origins]


def certificates(site: Site) -> list[str]:
    """For each origin of a portal, by whom the certificate is that is chosen without asking."""
    return [
        json.dumps({"pattern": with_port(origin), "filter": {"ISSUER": {"CN": issuer}}}, ensure_ascii=False)
        for portal in site.upstream.portals
        for origin in portal.origins
        for issuer in portal.issuers
    ]


def _of_a_look_up_screen(url: str) -> dict[str, object]:
    """What Chromium is told there beside and instead of the rest: one site, and nothing that leads out of it."""
    return {
        "AllowDinosaurEasterEgg": False,
        "AllowFileSelectionDialogs": False,
        "AlwaysOpenPdfExternally": False,
        "AutoSelectCertificateForUrls": [],
        "BookmarkBarEnabled": False,
        "ClipboardAllowedForUrls": [],
        "DeveloperToolsAvailability": 2,
        "DownloadRestrictions": 3,
        "HomepageLocation": url,
        "IncognitoModeAvailability": 2,
        "LocalNetworkAccessAllowedForUrls": [],
        "ManagedBookmarks": [],
        "NewTabPageLocation": url,
        "PasswordManagerEnabled": False,
        "PopupsAllowedForUrls": [],
        "PrintingEnabled": False,
        "RestoreOnStartupURLs": [url],
        "URLAllowlist": [with_port(origin_of(url))],
        "URLBlocklist": ["*"],
    }
