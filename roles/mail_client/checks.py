"""Proves the role `mail_client`: what people and their programs find who sit at this machine."""

from __future__ import annotations

import plistlib
import socket
import ssl
import urllib.request
from typing import Any
from xml.etree import ElementTree

import pytest

from deploy.inventory.mail_clients import Server, book_name, contacts, imap_of, signature_html, submission_of
from deploy.inventory.site import Site, SiteMachine, SitePerson
from deploy.runner.checking import each
from roles.mail_client import thunderbird
from roles.mail_client.options import Options

_SECONDS = 20
"""How long a server that is far away may take."""
OUTLOOK = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"
ASKED = "<Autodiscover><Request><EMailAddress>%s</EMailAddress></Request></Autodiscover>"
LOOK_AT_WEB = "On the mail machine: `systemctl status nginx lienxa-webmail`, `journalctl -u lienxa-webmail -n 50`."
LOOK_AT_POLICIES = "On {machine}: `python3 -m json.tool /etc/thunderbird/policies/policies.json`; apply mail_client."


def _somebody(site: Site, machine: SiteMachine, options: Options) -> list[SitePerson]:
    """One is enough: what is asked is the same for all."""
    return [person for person in site.people if person.mailbox][:1] if site.mail else []


def _somebody_here(site: Site, machine: SiteMachine, options: Options) -> list[SitePerson]:
    """The same, where the mailboxes are the commune's own."""
    return _somebody(site, machine, options) if site.mail and site.mail.mode == "local" else []


def _servers(site: Site, machine: SiteMachine, options: Options) -> list[Server]:
    return [imap_of(site), submission_of(site)] if site.mail else []


@pytest.fixture(scope="module")
def told(site: Site) -> dict[str, Any]:
    """What a fresh Thunderbird says; without a password, which no desk is given."""
    assert site.mail is not None
    person = _somebody(site, site.machines[0], Options())[0]
    names = site.mail.host_names
    web = f"https://{names[0]}/" if names else ""
    return thunderbird.ask(site.mail.address(person.login), person.name, web=web)


@pytest.mark.next_step(LOOK_AT_POLICIES)
@each(_somebody)
def test_thunderbird_speaks_vietnamese(told: dict[str, Any], person: SitePerson) -> None:
    """Thunderbird on {machine} speaks Vietnamese."""
    assert told["language"] == "vi"


@pytest.mark.next_step(LOOK_AT_POLICIES)
@each(_somebody)
def test_thunderbird_reports_nothing(told: dict[str, Any], person: SitePerson) -> None:
    """Thunderbird on {machine} reports nothing to its makers."""
    assert told["telemetry"] is False


@pytest.mark.next_step("On {machine}: is the file of the domain in /usr/share/thunderbird/isp?")
@each(_somebody)
def test_account_is_found(told: dict[str, Any], site: Site, person: SitePerson) -> None:
    """On {machine}, Thunderbird finds the mailbox of {person.login} by its address."""
    assert told["found"]
    assert _server(told["imap"]) == imap_of(site)
    assert _server(told["submission"]) == submission_of(site)
    assert told["imap"]["tls"]
    assert told["submission"]["tls"]
    assert told["imap"]["user"].partition("@")[0] == person.login


@pytest.mark.next_step(LOOK_AT_POLICIES)
@each(_somebody)
def test_signature(told: dict[str, Any], site: Site, person: SitePerson) -> None:
    """On {machine}, Thunderbird signs the letters of {person.login} as Decree 30/2020 has it."""
    assert told["signature"] == signature_html(site, person)


@pytest.mark.next_step(LOOK_AT_POLICIES)
@each(_somebody)
def test_address_book(told: dict[str, Any], site: Site, person: SitePerson) -> None:
    """On {machine}, Thunderbird has everybody of the commune in its address book, once."""
    everybody = sorted([one.name, one.address] for one in contacts(site))
    assert [(book["name"], sorted(book["people"])) for book in told["books"]] == [(book_name(site), everybody)]


@pytest.mark.next_step(
    "Whose certificate is it? On {machine}: `openssl s_client -connect HOST:PORT </dev/null`. Of the province: "
    "is the line up, and does `upstream.mail` in province.yaml name them right?"
)
@each(_servers)
def test_mail_server_answers(server: Server) -> None:
    """{server.host} answers on port {server.port}, and {machine} believes its certificate."""
    context = ssl.create_default_context()
    with (
        socket.create_connection((server.host, server.port), timeout=_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=server.host) as secure,
    ):
        greeting = secure.recv(1024)
    assert greeting.startswith((b"* OK", b"220")), greeting


@pytest.mark.next_step(
    "On {machine}: is the commune's certificate in /usr/local/share/ca-certificates? Apply base and mail_client."
)
@each(_somebody_here)
def test_server_is_trusted(told: dict[str, Any], person: SitePerson) -> None:
    """Thunderbird on {machine} trusts the certificate of the mail server."""
    assert told["web"] == 200


@pytest.mark.next_step(LOOK_AT_WEB)
@each(_somebody_here)
def test_autoconfig(site: Site, person: SitePerson) -> None:
    """From {machine}, programs find their settings at the autoconfiguration address."""
    document = ElementTree.fromstring(_fetch(f"https://{_name(site, 1)}/mail/config-v1.1.xml"))
    for kind, server in (("incomingServer", imap_of(site)), ("outgoingServer", submission_of(site))):
        found = document.find(f"./emailProvider/{kind}")
        assert found is not None
        assert (found.findtext("hostname"), found.findtext("port")) == (server.host, str(server.port))
        assert found.findtext("socketType") == "SSL"


@pytest.mark.next_step(LOOK_AT_WEB)
@each(_somebody_here)
def test_autodiscover(site: Site, person: SitePerson) -> None:
    """From {machine}, Outlook is told where the mailbox of {person.login} is."""
    assert site.mail is not None
    address = site.mail.address(person.login)
    answer = ElementTree.fromstring(
        _fetch(f"https://{_name(site, 2)}/autodiscover/autodiscover.xml", (ASKED % address).encode())
    )
    found = {one.findtext(f"{OUTLOOK}Type"): one for one in answer.iter(f"{OUTLOOK}Protocol")}
    for kind, server in (("IMAP", imap_of(site)), ("SMTP", submission_of(site))):
        told = [found[kind].findtext(f"{OUTLOOK}{name}") for name in ("Server", "Port", "LoginName", "SSL")]
        assert told == [server.host, str(server.port), address, "on"]


@pytest.mark.next_step(LOOK_AT_WEB)
@each(_somebody_here)
def test_mobileconfig(site: Site, person: SitePerson) -> None:
    """From {machine}, a phone gets a profile with the mailbox of {person.login} and the commune's authority."""
    assert site.mail is not None
    address = site.mail.address(person.login)
    profile = plistlib.loads(_fetch(f"https://{_name(site, 0)}/mobileconfig?address={address}"))
    authority, account = profile["PayloadContent"]
    assert account["EmailAddress"] == account["IncomingMailServerUsername"] == address
    assert Server(account["IncomingMailServerHostName"], account["IncomingMailServerPortNumber"]) == imap_of(site)
    assert ssl.DER_cert_to_PEM_cert(authority["PayloadContent"]).startswith("-----BEGIN CERTIFICATE-----")


def _server(told: dict[str, Any]) -> Server:
    return Server(told["host"], told["port"])


def _name(site: Site, number: int) -> str:
    assert site.mail is not None
    return site.mail.host_names[number]


def _fetch(url: str, asked: bytes | None = None) -> bytes:
    """As a program does that trusts what the machine trusts."""
    request = urllib.request.Request(url, data=asked, headers={"Content-Type": "text/xml"} if asked else {})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        content: bytes = answer.read()
        return content
