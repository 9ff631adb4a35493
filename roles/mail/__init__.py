"""Official mail of the commune's own: mailboxes that work while the line is down, and that the world believes.

Postfix takes mail in and out, Dovecot keeps it and is asked about every password, Rspamd judges what comes, signs
what goes, and counts. Who has which address stands in the inventory; passwords are secrets, hashed on the machine.
Nobody logs in without TLS, and nobody writes under another's address. Mail for the commune is delivered here at once;
mail for the world waits for the line. A mailbox that has left the inventory is locked and kept.
"""

from __future__ import annotations

from deploy.inventory.mailboxes import FOLDER
from deploy.inventory.role import INSIDE, Kept, Port, Role, Secret, Unit
from deploy.inventory.site import MAIL_IMAP, MAIL_SIEVE, MAIL_SMTP, MAIL_SUBMISSION, MAIL_SUBMISSION_STARTTLS, Site
from roles.mail import web_card
from roles.mail.options import Options


def secrets(options: Options, site: Site) -> tuple[Secret, ...]:
    """A password for everybody with a mailbox, the machine's certificate, a key for each DKIM selector."""
    mail = site.mail
    if mail is None or mail.server is None:
        return ()
    names = (*mail.host_names, site.machine(mail.server).fqdn)
    found = [
        Secret("tls", "Key and certificate of the mail server", form="certificate", names=names),
        *(Secret(f"dkim_{one}", f"DKIM key of the selector {one}", form="dkim") for one in mail.selectors),
        *(_password(box.login, box.name) for box in mail.mailboxes if not box.shared),
        *web_card.SECRETS,
    ]
    if mail.smarthost and mail.smarthost.user:
        about = f"Password of {mail.smarthost.user} at {mail.smarthost.host}"
        found.append(Secret("smarthost_password", about, generated=False))
    return tuple(found)


def _password(login: str, name: str) -> Secret:
    return Secret(f"password_{login}", f"Mail password of {name}", length=16)


ROLE = Role(
    name="mail",
    summary="Official mail: mailboxes, submission, filtering, signatures, mail that waits for the line.",
    options=Options,
    packages=(
        "dovecot-imapd",
        "dovecot-lmtpd",
        "dovecot-managesieved",
        "dovecot-sieve",
        "fail2ban",
        "nftables",
        "postfix",
        "python3-systemd",
        "redis-server",
        "rspamd",
        *web_card.PACKAGES,
    ),
    units=(
        Unit("redis-server@mail", "what Rspamd remembers"),
        Unit("rspamd", "judges, signs and counts mail"),
        Unit("dovecot", "keeps mailboxes"),
        Unit("postfix", "takes mail in and out"),
        Unit("fail2ban", "locks out who guesses passwords"),
        *web_card.UNITS,
    ),
    ports=(
        Port(25, "tcp", INSIDE, MAIL_SMTP, from_outside=True, unit="postfix"),
        Port(465, "tcp", INSIDE, MAIL_SUBMISSION, unit="postfix"),
        Port(587, "tcp", INSIDE, MAIL_SUBMISSION_STARTTLS, unit="postfix"),
        Port(993, "tcp", INSIDE, MAIL_IMAP, unit="dovecot"),
        Port(4190, "tcp", INSIDE, MAIL_SIEVE, unit="dovecot"),
        *web_card.PORTS,
    ),
    keeps=(
        # A mail in a Maildir is a file that is there as a whole or not at all; indexes are made anew.
        Kept(
            "mailboxes",
            (FOLDER,),
            restore=f"chown -R vmail:vmail {FOLDER}; doveadm force-resync -A '*'; doveadm index -A '*'",
        ),
        Kept(
            "what Rspamd has learnt",
            ("/var/lib/redis/mail.rdb",),
            dump="redis-cli -s /run/redis-mail/redis.sock save",
            restore="chown redis:redis /var/lib/redis/mail.rdb; systemctl restart redis-server@mail",
        ),
        Kept(
            "mail that waits",
            ("/var/spool/postfix/deferred", "/var/spool/postfix/incoming", "/var/spool/postfix/active"),
            restore="postsuper -s; systemctl restart postfix",
        ),
    ),
    needs=("base",),
    secrets=secrets,
)
