"""Proves the role `mail` on its own machine: mail arrives, is found, is signed; what must be refused is refused.

What needs somebody's password is proved in the lab, from the machines that people sit at.
"""

from __future__ import annotations

import secrets
import smtplib
import socket
import ssl
import time
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate

import pytest
from testinfra.host import Host

from deploy.inventory.mailboxes import FOLDER, LOCKED
from deploy.inventory.site import (
    MAIL_IMAP,
    MAIL_SIEVE,
    MAIL_SMTP,
    MAIL_SUBMISSION,
    MAIL_SUBMISSION_STARTTLS,
    Site,
    SiteMachine,
    SiteMail,
    SiteMailbox,
)
from deploy.runner.checking import each
from roles.mail.checks_outside import (  # noqa: F401  checks of this role too
    test_bad_mail_is_refused,
    test_good_mail_comes_in,
    test_is_believed_outside,
)
from roles.mail.checks_virus import (  # noqa: F401
    test_signatures_are_young,
    test_viruses_are_found,
)

# The web side's are this role's too: pytest finds them here.
from roles.mail.web_checks import (  # noqa: F401
    test_policy_for_senders,
    test_web_refuses_old_tls,
    test_webmail_greets_in_vietnamese,
    test_webmail_hides,
    test_webmail_keeps_strangers_scripts_out,
    test_webmail_refuses_a_wrong_password,
    test_webmail_says,
)

LOOK_AT_LOGS = "On {machine}: `journalctl -u postfix -u postfix@- -u dovecot -u rspamd -n 100`, `mailq`."
STRANGER = "nguoi.la@example.org"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
OLD_TLS = {"TLS 1.0": ssl.TLSVersion.TLSv1, "TLS 1.1": ssl.TLSVersion.TLSv1_1}
PORTS = (MAIL_SMTP, MAIL_SUBMISSION, MAIL_SUBMISSION_STARTTLS, MAIL_IMAP, MAIL_SIEVE)
WHICH = "-u %s mailbox INBOX header Message-ID %s"
"""For doveadm: one mail of one mailbox."""
MOST_SECONDS = 20
LEAST_DAYS = 30


def _mail(site: Site) -> SiteMail:
    assert site.mail is not None
    return site.mail


def _somebody(site: Site) -> SiteMailbox:
    return next(box for box in _mail(site).mailboxes if not box.shared)


@pytest.mark.needs("unit:postfix", "unit:dovecot", "unit:rspamd")
@pytest.mark.next_step(LOOK_AT_LOGS)
def test_mail_arrives_and_is_found(host: Host, site: Site, machine: SiteMachine) -> None:
    """A mail in Vietnamese arrives in a mailbox of {machine}, signed, and is found by its words."""
    address = _mail(site).address(_somebody(site).login)
    token = f"kiemtra{secrets.token_hex(8)}"
    message = _message(address, address, f"Kiểm tra thư điện tử {token}", "Đề nghị phúc đáp công văn này.", token)
    with smtplib.SMTP("127.0.0.1", _port(machine, MAIL_SMTP), timeout=MOST_SECONDS) as server:
        server.send_message(message, address, [address])
    # Removed at the end: it is a person's own mailbox.
    ours = (address, f"<{token}@{_mail(site).domain}>")
    try:
        assert _eventually(host, ours), "it did not arrive"
        for words in ("phúc đáp", "cong van"):
            assert host.run(f"doveadm search {WHICH} text %s", *ours, words).stdout.strip(), f"{words} is not found"
        headers = host.check_output(f"doveadm fetch -u %s hdr {WHICH.removeprefix('-u %s ')}", *ours)
        assert f"d={_mail(site).domain};" in headers.replace(" ", ""), "it has no DKIM signature of ours"
    finally:
        host.run(f"doveadm expunge {WHICH}", *ours)


@pytest.mark.needs("unit:dovecot")
@each(lambda site, machine, options: _mail(site).mailboxes)
def test_has_its_mailbox(host: Host, site: Site, box: SiteMailbox) -> None:
    """{box.name} has the mailbox {box.login}, of {box.quota} MiB."""
    quota = host.check_output("doveadm -f flow quota get -u %s", _mail(site).address(box.login))
    assert f"limit={box.quota * 1024} " in quota.lower(), quota
    assert host.file(f"{FOLDER}/{box.login}").is_directory


@pytest.mark.needs("unit:dovecot")
@pytest.mark.next_step("Someone added it by hand; `lienxa apply` locks it.")
def test_locked(host: Host, site: Site) -> None:
    """Mailboxes of {machine} that the inventory does not know are locked, and kept."""
    known = {box.login for box in _mail(site).mailboxes}
    for login in set(host.file(FOLDER).listdir()) - known:
        assert host.file(f"{FOLDER}/{login}/{LOCKED}").exists, login
        assert host.run("doveadm user %s", _mail(site).address(login)).rc != 0, login


@pytest.mark.needs("unit:postfix")
@pytest.mark.next_step("What stands in smtpd_relay_restrictions? `postconf -n`; `lienxa apply` writes it anew.")
def test_is_no_open_relay(site: Site, machine: SiteMachine) -> None:
    """{machine} refuses mail of strangers for strangers."""
    code, said = _refusal(machine, STRANGER, "ai.do@example.com")
    assert (code, "Relay access denied" in said) == (554, True), said


@pytest.mark.needs("unit:postfix")
def test_own_names_are_not_for_strangers(site: Site, machine: SiteMachine) -> None:
    """{machine} refuses a stranger who writes under an address of the commune."""
    address = _mail(site).address(_somebody(site).login)
    code, said = _refusal(machine, address, address)
    assert (code, "log in to send" in said) == (554, True), said


@pytest.mark.needs("unit:postfix", "unit:rspamd")
def test_own_names_in_the_letter_neither(site: Site, machine: SiteMachine) -> None:
    """{machine} refuses a stranger whose letter says that it is from the commune."""
    address = _mail(site).address(_somebody(site).login)
    code, said = _refusal(machine, STRANGER, address, _message(address, address, "Thử", "Thử."))
    assert (code, "log in to send" in said) == (554, True), said


@pytest.mark.needs("unit:postfix", "unit:rspamd")
@pytest.mark.next_step("On {machine}: does Rspamd answer? `journalctl -u rspamd -n 50`.")
def test_unwanted_mail_is_refused(site: Site, machine: SiteMachine) -> None:
    """{machine} refuses the mail that all filters know as a test (GTUBE)."""
    address = _mail(site).address(_somebody(site).login)
    code, said = _refusal(machine, STRANGER, address, _message(STRANGER, address, "Thử", GTUBE))
    assert code == 554, said


@pytest.mark.needs("unit:postfix")
@pytest.mark.parametrize("service", [MAIL_SMTP, MAIL_SUBMISSION_STARTTLS])
def test_no_password_in_clear(machine: SiteMachine, service: str) -> None:
    """{machine} asks for no password without TLS ({service})."""
    with smtplib.SMTP(str(machine.address), _port(machine, service), timeout=MOST_SECONDS) as server:
        server.ehlo()
        assert not server.has_extn("auth")


@pytest.mark.needs("unit:dovecot")
def test_imap_in_clear_is_closed(machine: SiteMachine) -> None:
    """Nobody reads mail from {machine} without TLS."""
    for address in (str(machine.address), "127.0.0.1"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, socket.getservbyname("imap2")), timeout=5)


@pytest.mark.needs("unit:postfix", "unit:dovecot")
@each(lambda site, machine, options: [(service, old) for service in PORTS for old in OLD_TLS])
def test_old_tls_is_refused(machine: SiteMachine, service: str, old: str) -> None:
    """{machine} refuses {old} ({service})."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = OLD_TLS[old]
    with pytest.raises(ssl.SSLError):
        _handshake(machine, service, context, None)


@pytest.mark.needs("unit:postfix", "unit:dovecot")
@pytest.mark.next_step("`lienxa secrets renew` makes a new one by the commune's authority; then apply.")
@each(lambda site, machine, options: PORTS)
def test_certificate(site: Site, machine: SiteMachine, service: str) -> None:
    """The certificate of {machine} is believed in here, under the name of the mail server ({service})."""
    context = ssl.create_default_context()
    certificate = _handshake(machine, service, context, _mail(site).imap)
    assert certificate is not None
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    assert ends - time.time() > LEAST_DAYS * 86400, f"it ends on {certificate['notAfter']}"


@pytest.mark.needs("unit:fail2ban")
def test_guessing_is_watched(host: Host) -> None:
    """{machine} watches for guessed passwords."""
    assert "Filter" in host.check_output("fail2ban-client status lienxa-mail")


def _message(sender: str, to: str, subject: str, text: str, token: str = "") -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = f"<{token or secrets.token_hex(8)}@{to.partition('@')[2]}>"
    message.set_content(text)
    return message


def _eventually(host: Host, ours: tuple[str, str]) -> bool:
    deadline = time.monotonic() + MOST_SECONDS
    while time.monotonic() < deadline:
        if host.run(f"doveadm search {WHICH}", *ours).stdout.strip():
            return True
        time.sleep(0.3)
    return False


def _refusal(machine: SiteMachine, sender: str, to: str, message: EmailMessage | None = None) -> tuple[int, str]:
    """What a stranger is told: asked at the machine's own address, where nobody is trusted for being here."""
    with smtplib.SMTP(str(machine.address), _port(machine, MAIL_SMTP), timeout=MOST_SECONDS) as server:
        try:
            server.send_message(message or _message(sender, to, "Thử", "Thử."), sender, [to])
        except smtplib.SMTPRecipientsRefused as refused:
            return refused.recipients[to][0], refused.recipients[to][1].decode(errors="replace")
        except smtplib.SMTPResponseException as refused:
            said = refused.smtp_error
            return refused.smtp_code, said.decode(errors="replace") if isinstance(said, bytes) else said
    return 250, "it was taken"


def _handshake(
    machine: SiteMachine, service: str, context: ssl.SSLContext, name: str | None
) -> Mapping[str, object] | None:
    with socket.create_connection((str(machine.address), _port(machine, service)), timeout=10) as connection:
        if service in {MAIL_SMTP, MAIL_SUBMISSION_STARTTLS}:
            connection.recv(1000)
            connection.sendall(b"EHLO kiem.tra.example\r\n")
            connection.recv(4000)
        if service in {MAIL_SMTP, MAIL_SUBMISSION_STARTTLS, MAIL_SIEVE}:
            if service == MAIL_SIEVE:
                connection.recv(4000)
            connection.sendall(b"STARTTLS\r\n")
            connection.recv(1000)
        with context.wrap_socket(connection, server_hostname=name) as secured:
            return secured.getpeercert()


def _port(machine: SiteMachine, service: str) -> int:
    return next(port.number for port in machine.ports if port.purpose == service)
