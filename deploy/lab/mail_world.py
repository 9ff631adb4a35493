"""`tinh` as the outside world of mail: Postfix and Rspamd, which judge and send.

There where the commune has mail. Where that is the province's, tinh is its servers too: what mail is read from
(Dovecot, which knows nobody) and what it is sent through. `/usr/lib/lienxa-lab/world` on tinh is what tests ask;
checks that run on the commune's machines ask the same of `http://mx.example.vn:8025/`.
"""

from __future__ import annotations

from importlib.resources import files as resources
from ipaddress import IPv4Address

from deploy.inventory.certificates import dkim_public_key
from deploy.inventory.dkim import dkim_keys
from deploy.inventory.mail_dns import Record, outside_records
from deploy.inventory.role import Secret
from deploy.inventory.secrets import SecretsFor, stand_in_secrets
from deploy.inventory.site import Site, SiteMail
from deploy.lab.boot import File
from deploy.lab.keys import world_certificate, world_dkim_key
from deploy.lab.laptop import state_dir

DOMAIN = "example.vn"
EXCHANGER = IPv4Address("198.51.100.25")
"""`mx.example.vn`, of which SPF and DKIM are as they should be."""
RELAY = IPv4Address("198.51.100.26")
"""The province's servers: have the names that the inventory gives its smarthost, or all of its mail."""
STRANGER = IPv4Address("198.51.100.66")
"""Has no name, and nobody lets it send."""
SELECTOR = "world"
WORLD = "/usr/lib/lienxa-lab/world"

_RSPAMD = {
    # Nothing that comes is trusted for where it comes from. To compile all the world's suffixes takes ten seconds.
    "options.inc": 'local_addrs = ["127.0.0.1"];\n'
    "disable_hyperscan = true;\n"
    'url_tld = "/etc/rspamd/suffixes";\n'
    'dns { nameserver = ["127.0.0.1:53:1"]; timeout = 2s; }\n',
    # A judge who writes down; what the commune sends must arrive also when it is wrong.
    "actions.conf": "reject = null;\nadd_header = null;\ngreylist = null;\nrewrite_subject = null;\n",
    "milter_headers.conf": 'use = ["authentication-results", "x-spamd-result"];\n'
    "skip_local = false;\nskip_authenticated = false;\n",
    "worker-proxy.inc": 'bind_socket = "127.0.0.1:11332";\ncount = 1;\n'
    'upstream "local" { default = yes; self_scan = yes; }\n',
    "worker-normal.inc": "enabled = false;\n",
    "worker-controller.inc": "enabled = false;\n",
    # These ask the Internet or a database.
    **{
        f"{module}.conf": "enabled = false;\n"
        for module in ("asn", "dkim_signing", "fuzzy_check", "greylist", "phishing", "ratelimit", "rbl", "surbl")
    },
}


def addresses(site: Site) -> tuple[IPv4Address, ...]:
    """What tinh answers to besides what it always does."""
    return (EXCHANGER, RELAY, STRANGER) if site.mail else ()


def records(site: Site) -> tuple[Record, ...]:
    """The world's own records, and those of the commune exactly as the province is told to publish them."""
    if site.mail is None:
        return ()
    if site.mail.mode == "province":
        return _own_records(site)
    sections = outside_records(site, dkim_keys(site, _secrets(site)))
    published = (record for section in sections if section.reachable for record in section.records)
    return (*_own_records(site), *published)


def mail_files(site: Site) -> tuple[File, ...]:
    """What makes tinh a mail server; nothing where the commune has no mail."""
    if site.mail is None:
        return ()
    ours = resources("deploy.lab") / "files" / "mail"
    smarthost = site.mail.smarthost
    user = smarthost.user if smarthost and smarthost.user else ""
    password = _secrets(site)("", "mail", Secret("smarthost_password", "")) if user else ""
    return (
        *(File(f"/etc/rspamd/local.d/{name}", text) for name, text in _RSPAMD.items()),
        File("/etc/rspamd/suffixes", "vn\ncom.vn\ngov.vn\nnet\norg\ncom\n"),
        File("/etc/systemd/system/rspamd.service.d/world.conf", _RSPAMD_UNIT),
        File("/etc/systemd/system/postfix.service.d/world.conf", "[Unit]\nAfter=rspamd.service\n"),
        File("/etc/postfix/main.cf", (ours / "main.cf").read_text()),
        File("/etc/postfix/mailboxes", "/./ all/\n"),
        File("/etc/postfix/recipients", _RECIPIENTS),
        *_province(site.mail),
        File("/etc/postfix/relay-name", f"{_servers(site)[1]}\n"),
        File("/etc/postfix/relay-user", user),
        File("/etc/postfix/world.pem", world_certificate(site.commune.slug, _servers(site)), 0o600),
        File("/etc/postfix/sasl/smtpd.conf", _SASL),
        File("/etc/lienxa-lab/world-dkim.pem", world_dkim_key(site.commune.slug).read_text(), 0o600),
        File("/var/lib/lienxa-lab/relay-password", password, 0o600),
        File("/var/lib/lienxa-lab/first-boot.d/tinh-mail", (ours / "first-boot").read_text(), 0o755),
        File("/etc/systemd/system/lienxa-world.service", (ours / "world.service").read_text()),
        File(WORLD, (ours / "world").read_text(), 0o755),
    )


def _province(mail: SiteMail) -> tuple[File, ...]:
    if mail.mode != "province":
        return ()
    enable = "#!/bin/sh\nsystemctl enable --quiet dovecot.service\n"
    return (
        File("/etc/dovecot/dovecot.conf", _DOVECOT),
        File("/var/lib/lienxa-lab/first-boot.d/tinh-province", enable, 0o755),
    )


_DOVECOT = f"""\
dovecot_config_version = 2.4.1
dovecot_storage_version = 2.4.1
protocols = imap
listen = {RELAY}
base_dir = /run/dovecot
ssl = required
ssl_server_cert_file = /etc/postfix/world.pem
ssl_server_key_file = /etc/postfix/world.pem
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
}}
# Nobody has a mailbox here: what desks prove is that the server answers and is believed.
passdb static {{
  deny = yes
}}
"""
_RECIPIENTS = f"""\
/^nobody@{DOMAIN}$/ 550 5.1.1 there is no such mailbox
/^later@{DOMAIN}$/ 450 4.2.1 this mailbox is not ready, try again later
"""
_RSPAMD_UNIT = """\
# Up when it answers: what comes earlier would be put off.
[Service]
ExecStartPost=/bin/bash -c 'until (exec 3<>/dev/tcp/127.0.0.1/11332) 2>/dev/null; do sleep 0.1; done'
"""
_SASL = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n"


def _secrets(site: Site) -> SecretsFor:
    """The same made-up secrets as the lab's orders have."""
    return stand_in_secrets(state_dir(site.commune.slug) / "secrets.json")


def _servers(site: Site) -> tuple[str, ...]:
    """The names of the exchanger, of the relay, and of what the province's mail is read from."""
    assert site.mail is not None
    if site.mail.mode == "province":
        return tuple(dict.fromkeys((f"mx.{DOMAIN}", site.mail.submission, site.mail.imap)))
    smarthost = site.mail.smarthost
    return f"mx.{DOMAIN}", smarthost.host if smarthost else f"relay.{DOMAIN}"


def _own_records(site: Site) -> tuple[Record, ...]:
    host, *province = _servers(site)
    key = dkim_public_key(world_dkim_key(site.commune.slug).read_text())
    policy = f"v=spf1 ip4:{EXCHANGER} -all"
    return (
        Record(DOMAIN, "MX", f"10 {host}."),
        Record(DOMAIN, "TXT", policy),
        Record(host, "A", str(EXCHANGER)),
        Record(host, "TXT", policy),
        Record(EXCHANGER.reverse_pointer, "PTR", f"{host}."),
        Record(f"{SELECTOR}._domainkey.{DOMAIN}", "TXT", f"v=DKIM1; k=rsa; p={key}"),
        Record(f"_dmarc.{DOMAIN}", "TXT", "v=DMARC1; p=reject"),
        *(Record(name, "A", str(RELAY)) for name in province),
        Record(RELAY.reverse_pointer, "PTR", f"{province[0]}."),
    )
