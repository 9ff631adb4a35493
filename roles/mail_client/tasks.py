"""Applies the role `mail_client`."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import asdict

from deploy.inventory.mail_clients import book_name, contacts, imap_of, organ, signature_html, submission_of
from deploy.inventory.role import TRUST_ANCHOR
from deploy.inventory.site import Site, SiteMachine, SiteMail
from deploy.inventory.token_policies import authority_files, mozilla_policies
from deploy.runner.context import Context
from deploy.runner.operations import absent, no_others, packages, place
from deploy.runner.operations.checkers import CHECK_JSON, CHECK_XML
from deploy.runner.render import render
from roles.mail_client.options import Options

POLICIES = "/etc/thunderbird/policies/policies.json"
ACCOUNTS = "/usr/share/thunderbird/isp"
OURS = "Written by lienxa (role mail_client)"
"""Stands in every file of that folder that this role has written."""
EXTENSION_ID = "danh-ba@lienxa"
EXTENSION_FOLDER = "/usr/local/share/lienxa/thunderbird"
EXTENSION = f"{EXTENSION_FOLDER}/danh-ba.xpi"
EXTENSION_FILES = ("manifest.json", "background.js")


_QUIET: dict[str, object] = {
    # Nobody outside is asked where a mailbox is, and no password goes where a stranger's answer points to.
    "mailnews.auto_config_url": "",
    "mailnews.auto_config.addons_url": "",
    "mailnews.auto_config.fetchFromExchange.enabled": False,
    "mailnews.auto_config.fetchFromISP.sendEmailAddress": False,
    "mailnews.auto_config.fetchFromISP.sslOnly": True,
    "mailnews.auto_config.guess.enabled": False,
    "mail.accounthub.thundermail.enabled": False,
    "mail.inappnotifications.enabled": False,
    "mailnews.start_page.enabled": False,
    "mail.chat.enabled": False,
    "extensions.getAddons.showPane": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "network.connectivity-service.enabled": False,
}
_WRITING: dict[str, object] = {
    "mail.identity.default.compose_html": True,
    "mail.identity.default.sig_on_fwd": True,
    "mail.identity.default.suppress_signature_separator": True,
    "mailnews.message_display.disable_remote_image": True,
    "mail.strictly_mime": True,
}


def install(ctx: Context[Options]) -> None:
    """Packages."""
    packages(ctx)


def configure(ctx: Context[Options]) -> None:
    """Where the account is, what Thunderbird may and may not do, and our extension for it."""
    if ctx.site.mail is not None:
        _account(ctx, ctx.site.mail)
    # Of a domain that the commune's people no longer have their mail at.
    no_others(ACCOUNTS, "*.xml", [account_file(ctx.site.mail)] if ctx.site.mail else [], mark=OURS)
    place(ctx, EXTENSION, content=extension(ctx))
    written = json.dumps(policies(ctx.site, ctx.machine, ctx.options), ensure_ascii=False, indent=2)
    place(ctx, POLICIES, content=f"{written}\n", validate=CHECK_JSON)


def activate(ctx: Context[Options]) -> None:
    """Thunderbird reads its policies when it is started next."""


def retire(ctx: Context[Options]) -> None:
    """Profiles are people's, and stay."""
    for path in (POLICIES, EXTENSION):
        absent(path)
    no_others(ACCOUNTS, "*.xml", (), mark=OURS)


def account_file(mail: SiteMail) -> str:
    """Where Thunderbird looks for the servers of an address before it asks anybody."""
    return f"{ACCOUNTS}/{mail.domain}.xml"


def _account(ctx: Context[Options], mail: SiteMail) -> None:
    servers = {"imap": imap_of(ctx.site), "submission": submission_of(ctx.site), "organ": organ(ctx.site)}
    template = f"{ctx.role.name}{ACCOUNTS}/domain.xml.j2"
    place(ctx, account_file(mail), template=template, values=servers, validate=CHECK_XML)


def extension(ctx: Context[Options]) -> bytes:
    """Our extension for Thunderbird: the same bytes each time, so that a second run changes nothing."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in EXTENSION_FILES:
            text = render(ctx, f"{ctx.role.name}{EXTENSION_FOLDER}/{name}.j2", {"extension": EXTENSION_ID})
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return packed.getvalue()


def policies(site: Site, machine: SiteMachine, options: Options) -> dict[str, object]:
    """What policies.json says. The extension's data go with it, so that new people need no new extension."""
    made: dict[str, object] = {
        "RequestedLocales": ["vi", "en-US"],
        "DisableTelemetry": True,
        "DisableAppUpdate": True,
        "DisableSystemAddonUpdate": True,
        "CaptivePortal": False,
        "NetworkPrediction": False,
        "DNSOverHTTPS": {"Enabled": False, "Locked": True},
        "InAppNotification": {"Disabled": True},
        "SSLVersionMin": "tls1.2",
        "OfferToSaveLogins": options.remember_passwords,
        "ExtensionSettings": {
            EXTENSION_ID: {"installation_mode": "force_installed", "install_url": f"file://{EXTENSION}"}
        },
        "Preferences": {name: {"Value": value, "Status": "locked"} for name, value in _QUIET.items()}
        | {name: {"Value": value, "Status": "default"} for name, value in _WRITING.items()},
    }
    if site.mail is not None:
        made["3rdparty"] = {"Extensions": {EXTENSION_ID: _people(site, site.mail)}}
    # Of the province's mail servers everybody's programs know the authority already.
    own = [TRUST_ANCHOR] if site.mail is not None and site.mail.mode == "local" else []
    made |= mozilla_policies(site, machine)
    if trusted := [*own, *authority_files(site, machine)]:
        made["Certificates"] = {"Install": trusted}
    return {"policies": made}


def _people(site: Site, mail: SiteMail) -> dict[str, object]:
    return {
        "organization": organ(site),
        "book": book_name(site),
        "people": {
            mail.address(one.login): {
                "signature": signature_html(site, one),
                "shared": {mail.address(box.login): box.name for box in mail.mailboxes if one.login in box.members},
            }
            for one in site.people
            if one.mailbox
        },
        "contacts": [
            {name: value for name, value in asdict(contact).items() if value} | {"organization": organ(site)}
            for contact in contacts(site)
        ],
    }
