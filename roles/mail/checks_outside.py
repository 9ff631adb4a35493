"""Proves the role `mail` against the outside world, which only a lab has: `tinh` judges what we send and writes us.

Part of `checks.py`, which names every check of this module.
"""

from __future__ import annotations

import json
import secrets
import smtplib
import time
import urllib.parse
import urllib.request
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any

import pytest
from testinfra.host import Host

from deploy.inventory.site import MAIL_SMTP, Site, SiteMachine, SiteMail
from deploy.runner.checking import each
from roles.mail.options import Options

WORLD = "mx.example.vn"
SOMEBODY = "nguoidan@example.vn"
BAD = ("forged", "disguised", "altered", "gtube", "relay")
"""Kinds of mail that `world kinds` on tinh explains; each is refused while it is being handed over."""
LOOK = (
    "On {machine}: `mailq`, `journalctl -u postfix -u rspamd -n 100`; `lienxa lab shell … tinh` for the other side."
)
_SECONDS = 20
"""A check may last 30."""


def _in_a_lab(*cases: str):  # type: ignore[no-untyped-def]  # noqa: ANN202
    return lambda site, machine, options: list(cases) if site.upstream.trust_anchors else []


@pytest.mark.needs("unit:postfix", "unit:rspamd")
@pytest.mark.next_step(LOOK)
@each(_in_a_lab(WORLD))
def test_is_believed_outside(site: Site, machine: SiteMachine, world: str) -> None:
    """Mail of {machine} passes SPF, DKIM and DMARC, as {world} judges it."""
    token = f"kiemtra{secrets.token_hex(8)}"
    port = next(port.number for port in machine.ports if port.purpose == MAIL_SMTP)
    sender = _address(site)
    with smtplib.SMTP("127.0.0.1", port, timeout=_SECONDS) as server:
        server.send_message(_message(sender, token), sender, [SOMEBODY])
    found = _ask(world, "received", subject=token, count="1", seconds=str(_SECONDS))
    assert found, f"{world} received nothing within {_SECONDS} s"
    verdict = {name: found[0][name] for name in ("spf", "dkim", "dmarc")}
    assert set(verdict.values()) == {"pass"}, f"{verdict}, {found[0]['symbols']}"
    assert found[0]["selector"] == _mail(site).selectors[0], f"signed with {found[0]['selector']}"
    assert found[0]["encrypted"], "it came without TLS"


@pytest.mark.needs("unit:postfix", "unit:dovecot", "unit:rspamd")
@pytest.mark.next_step(LOOK)
@each(_in_a_lab(WORLD))
def test_good_mail_comes_in(host: Host, site: Site, world: str) -> None:
    """Good mail of {world} arrives in a mailbox of {machine} at once."""
    token = f"kiemtra{secrets.token_hex(8)}"
    address = _address(site)
    # Short and Vietnamese: a filter made for English takes that for a mixture of alphabets.
    letter = {"subject": f"Hỏi về hồ sơ đất đai {token}", "body": "Đề nghị Ủy ban trả lời."}
    said = _ask(world, "send", kind="good", to=address, seconds=str(_SECONDS), **letter)
    assert said["status"] == "sent", said["text"]
    ours = ("mailbox", "INBOX", "header", "Message-ID", said["message_id"])
    words = " ".join(["%s"] * len(ours))
    try:
        deadline = time.monotonic() + 5
        while not (there := host.run(f"doveadm search -u %s {words}", address, *ours).stdout.strip()):
            assert time.monotonic() < deadline, "it was taken and is not in the inbox"
            time.sleep(0.3)
        assert len(there.splitlines()) == 1, f"it arrived {len(there.splitlines())} times"
    finally:
        host.run(f"doveadm expunge -u %s {words}", address, *ours)


@pytest.mark.needs("unit:postfix", "unit:rspamd")
@pytest.mark.next_step(LOOK)
@each(lambda site, machine, options: [*_in_a_lab(*BAD)(site, machine, options), *_virus(site, options)])
def test_bad_mail_is_refused(site: Site, kind: str) -> None:
    """{machine} refuses bad mail from outside: {kind}."""
    said = _ask(WORLD, "send", kind=kind, to=_address(site), subject="Thư thử")
    assert (said["accepted"], said["code"] // 100) == (False, 5), f"{said['stage']}: {said['code']} {said['text']}"


def _virus(site: Site, options: Options) -> list[str]:
    return ["virus"] if options.antivirus and site.upstream.trust_anchors else []


def _mail(site: Site) -> SiteMail:
    assert site.mail is not None
    return site.mail


def _address(site: Site) -> str:
    """Of somebody with a mailbox."""
    return _mail(site).address(next(box.login for box in _mail(site).mailboxes if not box.shared))


def _message(sender: str, token: str) -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = SOMEBODY
    message["Subject"] = f"Trả lời công dân {token}"
    message["Date"] = formatdate(localtime=True)
    message["Message-ID"] = f"<{token}@{sender.partition('@')[2]}>"
    message.set_content("Ủy ban đã nhận được đơn và sẽ trả lời trong thời hạn.\n")
    return message


def _ask(world: str, verb: str, **options: str) -> Any:  # noqa: ANN401  JSON
    """What `/usr/lib/lienxa-lab/world` on tinh answers; past any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{world}:8025/{verb}?{urllib.parse.urlencode(options)}", timeout=_SECONDS + 8) as page:
        return json.load(page)
