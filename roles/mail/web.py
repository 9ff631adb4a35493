"""The web side of the role `mail`: webmail, autoconfiguration, MTA-STS policy. Its card is `web_card`.

Roundcube is Debian's, with its database where Debian's package keeps and upgrades it. PHP runs in a unit of our own:
its name and its configuration stay the same when a new Debian brings a new PHP.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict

from deploy.inventory.mail_clients import book_name, contacts, imap_of, organ, signature_html, submission_of
from deploy.inventory.mail_dns import sts_policy
from deploy.inventory.site import MAIL_IMAP, MAIL_SIEVE, MAIL_SUBMISSION, SiteMail
from deploy.runner.context import Context
from deploy.runner.operations import absent, place, unit
from deploy.runner.operations.checkers import CHECK_JSON, CHECK_SHELL, CHECK_XML
from deploy.runner.operations.system import masked
from roles.mail.options import Options

CERTIFICATE = "/etc/lienxa/mail/certificate.pem"
KEY = "/etc/lienxa/mail/key.pem"
NGINX = "/etc/nginx/conf.d/lienxa-mail.conf"
NGINX_DEFAULT = "/etc/nginx/sites-enabled/default"
FPM = "/etc/php/lienxa-webmail.conf"
FPM_START = "/usr/local/lib/lienxa/php-fpm"
FPM_UNIT = "/etc/systemd/system/lienxa-webmail.service"
ROUNDCUBE = "/etc/roundcube/config.inc.php"
PEOPLE = "/etc/roundcube/lienxa-people.json"
PLUGIN = "/var/lib/roundcube/plugins/lienxa"
SHARE = "/usr/local/share/lienxa/mail-web"
PHP_OF_DEBIAN = ("php8.2-fpm.service", "php8.4-fpm.service")
"""Of Debian 12 and 13; with a pool of their own that nobody asked for."""

WEB_FILES = ("autodiscover.php", "config-v1.1.xml", "huong-dan.html", "lienxa.crt", "mobileconfig.php", "mta-sts.txt")
PLUGIN_FILES = ("lienxa.php", "lienxa_people.php", "words.php")

CHECK_NGINX = (
    "printf '%s\\n' 'pid /run/nginx-lienxa.pid;' 'events { }' \"http { include \"{}\"; }\" "
    ">/etc/nginx/lienxa-check.conf; nginx -q -t -c /etc/nginx/lienxa-check.conf; was=$?; "
    "rm -f /etc/nginx/lienxa-check.conf /run/nginx-lienxa.pid; exit $was"
)
"""As the only server: what else is in conf.d is judged when nginx is started."""
CHECK_PHP = "php -l {} >/dev/null"
CHECK_FPM = f"{FPM_START} -t -y {{}}"
CHECKS = {"php": CHECK_PHP, "xml": CHECK_XML}


def install(ctx: Context[Options]) -> None:
    """Debian's own PHP service never runs: ours does."""
    for name in PHP_OF_DEBIAN:
        masked(name)


def configure(ctx: Context[Options]) -> None:
    """What PHP runs before PHP, PHP before who asks it."""
    values = _values(ctx)
    for name in WEB_FILES:
        place(ctx, f"{SHARE}/{name}", values=values, validate=CHECKS.get(name.rpartition(".")[2]))
    for name in PLUGIN_FILES:
        place(ctx, f"{PLUGIN}/{name}", values=values, validate=CHECK_PHP)
    place(ctx, PEOPLE, content=people(ctx), mode="0640", group="www-data", validate=CHECK_JSON)
    place(ctx, ROUNDCUBE, values=values, secret=True, mode="0640", group="www-data", validate=CHECK_PHP)
    place(ctx, FPM_START, mode="0755", validate=CHECK_SHELL)
    place(ctx, FPM, values=values, validate=CHECK_FPM)
    place(ctx, FPM_UNIT, values=values)
    absent(NGINX_DEFAULT)
    place(ctx, NGINX, values=values, validate=CHECK_NGINX)


def activate(ctx: Context[Options]) -> None:
    """Its daemons."""
    unit("lienxa-webmail", files=[FPM, FPM_START, FPM_UNIT])
    unit("nginx", files=[NGINX, CERTIFICATE, KEY])


def retire(ctx: Context[Options]) -> None:
    """Mail that was kept is the mail server's; the web side keeps people's address books and settings."""
    absent(NGINX)


def anchor(certificate: str) -> str:
    """The last certificate of a PEM text: that of the authority."""
    begin = "-----BEGIN CERTIFICATE-----"
    return begin + certificate.rpartition(begin)[2]


def people(ctx: Context[Options]) -> str:
    """Who is who, for webmail: JSON."""
    mail = _mail(ctx)
    told = {
        "book": book_name(ctx.site),
        "organization": organ(ctx.site),
        "people": {
            mail.address(one.login): {
                "name": one.name,
                "signature": signature_html(ctx.site, one),
                "shared": {mail.address(box.login): box.name for box in mail.mailboxes if one.login in box.members},
            }
            for one in ctx.site.people
            if one.mailbox
        },
        "contacts": [asdict(contact) for contact in contacts(ctx.site)],
    }
    return json.dumps(told, ensure_ascii=False, indent=1) + "\n"


def _mail(ctx: Context[Options]) -> SiteMail:
    assert ctx.site.mail is not None, "the role is applied where there is mail"
    return ctx.site.mail


def _values(ctx: Context[Options]) -> dict[str, object]:
    mail = _mail(ctx)
    webmail, autoconfig, autodiscover, mta_sts = mail.host_names
    return {
        "mail": mail,
        "webmail": webmail,
        "autoconfig": autoconfig,
        "autodiscover": autodiscover,
        "mta_sts": mta_sts,
        "policy": sts_policy(mail),
        "organ": organ(ctx.site),
        "imap": imap_of(ctx.site),
        "submission": submission_of(ctx.site),
        "here": {
            purpose: ctx.site.service(purpose, ctx.machine) for purpose in (MAIL_IMAP, MAIL_SUBMISSION, MAIL_SIEVE)
        },
        "anchor": anchor(ctx.secrets["tls"]),
        "ipv6": ctx.site.zone(ctx.machine.zone).network6 is not None,
        "profile": str(uuid.uuid5(uuid.NAMESPACE_DNS, mail.domain)),
        "share": SHARE,
        "certificate": CERTIFICATE,
        "key": KEY,
        "people": PEOPLE,
        "start": FPM_START,
        "fpm": FPM,
    }
