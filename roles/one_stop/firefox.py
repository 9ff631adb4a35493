"""What Firefox is told by policy, as far as it can be told the same as Chromium."""

from __future__ import annotations

from urllib.parse import urlsplit

from deploy.inventory.site import Site, SiteMachine
from deploy.inventory.token_policies import mozilla_policies
from roles.one_stop.chromium import START_PAGE, bookmarks, patterns
from roles.one_stop.options import Options

_VIETNAMESE = "langpack-vi@firefox-esr.mozilla.org"
"""Of Debian's firefox-esr-l10n-vi."""
_QUIET: dict[str, object] = {
    "CaptivePortal": False,
    "DisableAppUpdate": True,
    "DisableFirefoxAccounts": True,
    "DisableFirefoxStudies": True,
    "DisableSystemAddonUpdate": True,
    "DisableTelemetry": True,
    "DNSOverHTTPS": {"Enabled": False, "Locked": True},
    "DontCheckDefaultBrowser": True,
    "NetworkPrediction": False,
    "NoDefaultBookmarks": True,
    "OverrideFirstRunPage": "",
    "OverridePostUpdatePage": "",
    "SearchSuggestEnabled": False,
    "SkipTermsOfUse": True,
}
_STRICT: dict[str, object] = {
    "DisableSecurityBypass": {"InvalidCertificate": True, "SafeBrowsing": True},
    # A language is an extension, too: without this one Firefox speaks English.
    "ExtensionSettings": {"*": {"installation_mode": "blocked"}, _VIETNAMESE: {"installation_mode": "allowed"}},
    "InstallAddonsPermission": {"Default": False},
    "SSLVersionMin": "tls1.2",
    "Permissions": {
        "Location": {"BlockNewRequests": True, "Locked": True},
        "Notifications": {"BlockNewRequests": True, "Locked": True},
    },
}
_MIXED: dict[str, object] = {
    "security.mixed_content.block_active_content": True,
    "security.mixed_content.block_display_content": True,
}


def policies(site: Site, machine: SiteMachine, options: Options) -> dict[str, object]:
    """The whole of policies.json, with what tokens and authorities want in it."""
    made: dict[str, object] = {
        **_QUIET,
        **_STRICT,
        "RequestedLocales": ["vi", "en-US"],
        "Homepage": {"URL": START_PAGE, "Locked": True, "StartPage": "homepage-locked"},
        "ShowHomeButton": True,
        "DisplayBookmarksToolbar": "always",
        "ManagedBookmarks": bookmarks(site),
        "OfferToSaveLogins": options.remember_passwords,
        "PopupBlocking": {"Allow": patterns(site, "popups"), "Default": True, "Locked": True},
        "LocalNetworkAccess": {
            "Enabled": True,
            "SkipDomains": sorted({urlsplit(one).hostname or "" for one in patterns(site, "local_network")}),
            "Locked": True,
        },
        "Preferences": {name: {"Value": value, "Status": "locked"} for name, value in _MIXED.items()},
    }
    if patterns(site, "pdf"):
        made["Handlers"] = {"mimeTypes": {"application/pdf": {"action": "saveToDisk", "ask": False}}}
    return {"policies": made | mozilla_policies(site, machine)}
