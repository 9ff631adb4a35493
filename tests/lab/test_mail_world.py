"""`tinh` as the outside world of mail, in one container without a network: it judges, records and sends.

The commune's side is played by the test itself, with the commune's own DKIM keys and address.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tinh_alone import site_of, tinh_alone

from deploy.inventory.certificates import anchor_of
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.role import Secret
from deploy.inventory.secrets import stand_in_secrets
from deploy.inventory.site import Site, Smarthost
from deploy.lab.containers import runtime
from deploy.lab.keys import world_authority
from deploy.lab.laptop import state_dir
from deploy.lab.mail_world import WORLD
from deploy.lab.rehearsal import gateway_address, tinh_address
from deploy.site import CATALOG

pytestmark = pytest.mark.lab

INVENTORIES = Path(__file__).parents[2] / "inventories"
SLUG = "xa-thu-mail"
DOMAIN = "xa-mau.gialai.gov.vn"
OFFICIAL = f"mau.nv@{DOMAIN}"
US, THEM, RELAY, STRANGER = "100.64.0.10", "198.51.100.25", "198.51.100.26", "198.51.100.66"

SAY = """
import json, smtplib, ssl, sys
import dkim
asked = json.load(sys.stdin)
message = asked["message"].encode()
if asked["selector"]:
    key, own = asked["key"].encode(), asked["domain"].encode()
    message = dkim.sign(message, asked["selector"].encode(), own, key, canonicalize=(b"relaxed",) * 2) + message
message += asked["added"].encode()
try:
    name = {"198.51.100.25": "mx.example.vn", "198.51.100.26": "smtp.gialai.gov.vn"}[asked["server"]]
    with smtplib.SMTP(name, asked["port"], "mail." + asked["domain"], 20, (asked["source"], 0)) as server:
        server.ehlo()
        offered = server.has_extn("auth")
        if asked["tls"]:
            server.starttls(context=ssl.create_default_context(cafile=asked["authority"]))
        if asked["user"]:
            server.login(asked["user"], asked["password"])
        server.sendmail(asked["sender"], asked["to"], message)
        said = [250, "", offered]
except smtplib.SMTPRecipientsRefused as error:
    said = [error.recipients[asked["to"]][0], error.recipients[asked["to"]][1].decode(), offered]
except smtplib.SMTPResponseException as error:
    said = [error.smtp_code, error.smtp_error.decode(), offered]
print(json.dumps(said))
"""
SINK = """
import socketserver, sys
# Plays the commune's server: refuses its own senders from outside, puts the first one off where the subject says so.
class Server(socketserver.StreamRequestHandler):
    seen = set()
    def say(self, text):
        self.wfile.write(text.encode() + b"\\r\\n")
    def handle(self):
        self.say("220 mail")
        while line := self.rfile.readline().decode().strip():
            verb = line[:4].upper()
            if verb == "MAIL" and "gialai.gov.vn" in line:
                self.say("550 5.7.1 not from outside")
            elif verb == "RCPT" and "gialai.gov.vn" not in line:
                self.say("554 5.7.1 Relay access denied")
            elif verb == "DATA":
                self.say("354 go on")
                self.data()
            elif verb == "QUIT":
                return self.say("221 bye")
            else:
                self.say("250 ok")
    def data(self):
        text = b""
        while (line := self.rfile.readline()) != b".\\r\\n":
            text += line[1:] if line.startswith(b"..") else line
        wait = b"Subject: wait" in text and not (b"wait" in self.seen or self.seen.add(b"wait"))
        if wait:
            return self.say("451 4.7.1 come again")
        with open("/tmp/mail", "wb") as kept:
            kept.write(("X-Client: " + self.client_address[0] + "\\r\\n").encode() + text)
        self.say("250 2.0.0 kept")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("100.64.0.10", 25), Server).serve_forever()
"""
VERIFY = """
import dkim, email, email.policy, json
data = open("/tmp/mail", "rb").read()
client, _, rest = data.partition(b"\\r\\n")
# Postfix writes its own line on top; what is signed is below it.
message = email.message_from_bytes(rest, policy=email.policy.default)
print(json.dumps([client.decode(), dkim.verify(rest), message["From"].addresses[0].addr_spec, message["Subject"]]))
"""


@dataclass(frozen=True)
class World:
    """The container and the site that it was made for."""

    name: str
    site: Site

    def sh(self, script: str, given: str = "") -> str:
        command = ["podman", *runtime().arguments, "exec", "-i", self.name, "sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False, input=given)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def ask(self, *words: str) -> Any:
        quoted = " ".join(f"'{word}'" for word in (WORLD, *words))
        return json.loads(self.sh(quoted))

    def secret(self, name: str, form: Any = "password") -> str:
        return stand_in_secrets(state_dir(SLUG) / "secrets.json")("srv1", "mail", Secret(name, "", form=form))

    def from_commune(self, subject: str, *, to: str = "nguoidan@example.vn", **more: Any) -> tuple[int, str, bool]:
        """Send as the commune's server does; code, words, and whether passwords were asked for in clear."""
        text = f"From: {OFFICIAL}\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@{DOMAIN}>\r\n"
        text += "Date: Wed, 25 Nov 2026 09:00:00 +0700\r\n\r\nKinh gui\r\n"
        selector = more.pop("selector", "lx1")
        asked = {
            "message": text, "selector": selector, "domain": DOMAIN, "added": "", "server": THEM, "port": 25,
            "source": US, "tls": True, "user": "", "password": "", "sender": OFFICIAL, "to": to,
            "authority": "/tmp/authority.pem",
            "key": self.secret(f"dkim_{selector}", "dkim") if selector else "",
        } | more  # fmt: skip
        code, words, offered = json.loads(self.sh("python3 /tmp/say.py", json.dumps(asked)))
        return code, words, offered

    def verdict(self, subject: str) -> dict[str, Any]:
        (found,) = self.ask("received", "--subject", subject, "--count", "1")
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    model = resolve(load(INVENTORIES, CATALOG), "xa-mau").site
    assert model.mail is not None
    relay = Smarthost(host="smtp.gialai.gov.vn", port=587, user="xa-mau")
    mail = model.mail.model_copy(update={"smarthost": relay})
    site = site_of(model.model_copy(update={"mail": mail}), SLUG)
    made = World(f"lx-mail-world-{os.getpid()}", site)
    with tinh_alone(site, made.name):
        made.sh(f"ip link set lo up; for a in {gateway_address(0)} {tinh_address(0)}; do ip addr add $a dev lo; done")
        made.sh("cat >/tmp/say.py", SAY)
        made.sh("cat >/tmp/authority.pem", anchor_of(world_authority(SLUG).read_text()))
        made.sh("cat >/tmp/verify.py", VERIFY)
        made.sh("cat >/tmp/sink.py", SINK)
        made.sh("systemd-run --quiet --unit sink python3 /tmp/sink.py")
        yield made


def test_it_boots_whole(world: World) -> None:
    assert world.sh("systemctl list-units --failed --plain --no-legend") == ""
    assert world.sh("systemctl is-active postfix rspamd knot unbound lienxa-world").split() == ["active"] * 5


def test_the_commune_s_records_are_published_and_signed(world: World) -> None:
    for kind, name, expected in (
        ("MX", DOMAIN, f"10 mail.{DOMAIN}."),
        ("A", f"mail.{DOMAIN}", US),
        ("TXT", DOMAIN, f"v=spf1 ip4:{US} a:smtp.gialai.gov.vn -all"),
        ("TXT", f"_dmarc.{DOMAIN}", "p=reject"),
        ("TXT", f"lx1._domainkey.{DOMAIN}", "v=DKIM1"),
        ("TXT", f"lx2._domainkey.{DOMAIN}", "v=DKIM1"),
        ("PTR", "10.0.64.100.in-addr.arpa", f"mail.{DOMAIN}."),
    ):
        said = world.sh(f"dig @127.0.0.1 +dnssec {kind} {name}")
        assert "flags: qr rd ra ad;" in said, said
        assert expected in said


def test_what_is_closed_from_outside_is_not_published(world: World) -> None:
    for kind, name in (("A", "mta-sts"), ("A", "autoconfig"), ("SRV", "_imaps._tcp")):
        assert "NXDOMAIN" in world.sh(f"dig @127.0.0.1 {kind} {name}.{DOMAIN}")


@pytest.mark.parametrize("selector", ["lx1", "lx2"])
def test_mail_as_it_should_be_passes(world: World, selector: str) -> None:
    assert world.from_commune(f"dung-{selector}", selector=selector)[0] == 250
    found = world.verdict(f"dung-{selector}")
    assert (found["spf"], found["dkim"], found["dmarc"]) == ("pass", "pass", "pass"), found
    assert found["selector"] == selector
    assert found["encrypted"]
    assert found["to"] == "nguoidan@example.vn"


def test_mail_without_a_signature_is_seen(world: World) -> None:
    world.from_commune("khong-ky", selector="")
    found = world.verdict("khong-ky")
    assert (found["spf"], found["dkim"], found["dmarc"]) == ("pass", "none", "pass"), found


def test_mail_that_was_changed_on_its_way_is_seen(world: World) -> None:
    world.from_commune("bi-sua", added="them\r\n")
    assert world.verdict("bi-sua")["dkim"] == "fail"


def test_mail_of_a_stranger_fails_all(world: World) -> None:
    world.from_commune("mao-danh", selector="", source=STRANGER)
    found = world.verdict("mao-danh")
    assert (found["spf"], found["dkim"], found["dmarc"]) == ("fail", "none", "fail"), found


def test_a_verdict_that_the_sender_wrote_himself_does_not_count(world: World) -> None:
    forged = "Authentication-Results: mx.example.vn; dkim=pass; spf=pass; dmarc=pass\r\n"
    text = f"{forged}From: {OFFICIAL}\r\nTo: a@example.vn\r\nSubject: tu-khen\r\n\r\nKinh gui\r\n"
    world.from_commune("tu-khen", selector="", source=STRANGER, message=text)
    assert world.verdict("tu-khen")["dmarc"] == "fail"


def test_checks_on_the_commune_s_machines_ask_over_http(world: World) -> None:
    def ask(path: str) -> Any:
        return json.loads(world.sh(f"curl -s --get 'http://mx.example.vn:8025/{path}'"))

    world.from_commune("qua-mang", to="web@example.vn")
    (found,) = ask("received?to=web@example.vn&subject=qua-mang&count=1")
    assert found["dkim"] == "pass"
    assert "Subject: qua-mang" in ask(f"show?file={found['file']}")
    assert ask(f"send?kind=forged&to={OFFICIAL}")["code"] == 550
    assert world.sh("curl -s -o /dev/null -w '%{http_code}' 'http://mx.example.vn:8025/send?kind=nothing'") == "400"
    assert "good" in ask("kinds")


def test_names_that_refuse(world: World) -> None:
    assert world.from_commune("khong-co", to="nobody@example.vn")[0] == 550
    assert world.from_commune("de-sau", to="later@example.vn")[0] == 450
    assert world.from_commune("chuyen-tiep", to="ai@example.org")[0] == 554


def test_the_relay_wants_a_password_and_tls(world: World) -> None:
    known = {"user": "xa-mau", "password": world.secret("smarthost_password"), "server": RELAY, "port": 587}
    assert world.from_commune("ngoai", **known | {"user": ""})[0] == 554
    assert world.from_commune("sai", **known | {"password": "sai"})[0] == 535
    code, words, offered_in_clear = world.from_commune("qua-tinh", **known)
    assert (code, offered_in_clear) == (250, False), words
    found = world.verdict("qua-tinh")
    assert (found["spf"], found["dkim"], found["dmarc"]) == ("pass", "pass", "pass"), found


def test_good_mail_of_the_world_is_believed(world: World) -> None:
    said = world.ask("send", "good", "--to", OFFICIAL, "--subject", "Đơn xin xác nhận")
    assert said["status"] == "sent", said
    assert said["text"].startswith("250 2.0.0 kept")
    client, valid, sender, subject = json.loads(world.sh("python3 /tmp/verify.py"))
    assert (client, sender, subject) == (f"X-Client: {THEM}", "nguoidan@example.vn", "Đơn xin xác nhận")
    assert valid


def test_the_world_comes_again_when_it_is_put_off(world: World) -> None:
    said = world.ask("send", "good", "--to", OFFICIAL, "--subject", "wait", "--seconds", "60")
    assert said["status"] == "sent", said


def test_good_mail_is_good_to_a_filter_as_debian_ships_it(world: World) -> None:
    assert world.ask("send", "direct", "--to", "ban@example.vn", "--subject", "Mời họp", "--size", "1")["accepted"]
    (found,) = world.ask("received", "--to", "ban@example.vn", "--subject", "Mời họp", "--count", "1")
    assert (found["spf"], found["dkim"], found["dmarc"]) == ("pass", "pass", "pass")
    assert found["score"] < 3, found
    assert found["files"] == ["Đơn đề nghị.pdf"]


def test_mail_that_was_altered_is_not_believed(world: World) -> None:
    said = world.ask("send", "altered", "--to", OFFICIAL)
    assert said["accepted"], said
    client, valid, *_ = json.loads(world.sh("python3 /tmp/verify.py"))
    assert (client, valid) == (f"X-Client: {STRANGER}", False)


def test_what_the_commune_refuses_is_told_in_its_words(world: World) -> None:
    said = world.ask("send", "forged", "--to", OFFICIAL)
    assert (said["accepted"], said["stage"], said["code"]) == (False, "mail", 550), said
    said = world.ask("send", "relay", "--to", OFFICIAL)
    assert (said["accepted"], said["stage"], said["code"]) == (False, "rcpt", 554), said
    assert "Relay access denied" in said["text"]


def test_gtube_is_in_the_mail_and_not_in_the_file(world: World) -> None:
    assert world.ask("send", "gtube", "--to", OFFICIAL)["accepted"]
    assert "NSBN3*2IDNEN*GTUBE-STANDARD" in world.sh("cat /tmp/mail")
    assert "IDNEN*GTUBE" not in world.sh(f"cat {WORLD}")
