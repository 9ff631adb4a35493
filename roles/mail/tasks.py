"""Applies the role `mail`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deploy.inventory.mailboxes import FOLDER as MAILBOXES
from deploy.inventory.site import SiteMail, SiteMailbox
from deploy.runner.context import Context
from deploy.runner.operations import absent, directory, packages, place, retire_units, unit
from deploy.runner.operations.mailboxes import MailAccount, mail_accounts, mail_folders, system_account
from deploy.runner.operations.system import masked
from roles.mail import virus, web
from roles.mail.options import Options

CERTIFICATE = "/etc/lienxa/mail/certificate.pem"
"""The machine's certificate and its authority's, for every daemon that speaks TLS."""
KEY = "/etc/lienxa/mail/key.pem"
"""Its private key; root's alone: daemons read it before they give up root."""
DKIM = "/etc/lienxa/mail/dkim"
ACCOUNTS = "/etc/dovecot/lienxa-accounts"
SIEVE = "/var/lib/dovecot/sieve/lienxa.sieve"
MAIN = "/etc/postfix/main.cf"
MASTER = "/etc/postfix/master.cf"
POSTFIX_SOCKETS = "/var/spool/postfix/private"
DOVECOT = "/etc/dovecot/dovecot.conf"
DOVECOT_UNIT = "/etc/systemd/system/dovecot.service.d/lienxa.conf"
POSTFIX_UNITS = tuple(f"/etc/systemd/system/{name}.service.d/lienxa.conf" for name in ("postfix", "postfix@"))
"""Debian 12 has an instance of the second behind the first."""
RSPAMD_UNIT = "/etc/systemd/system/rspamd.service.d/lienxa.conf"
RSPAMD_RULES = "/etc/rspamd/rspamd.local.lua"
REDIS = "/etc/redis/redis-mail.conf"
JAIL = "/etc/fail2ban/jail.d/lienxa-mail.conf"
FILTER = "/etc/fail2ban/filter.d/lienxa-mail.conf"
SMARTHOST = "/etc/postfix/lienxa-smarthost"
OWNER = "vmail"
QUOTA = "mailbox"
ARRIVED = "Đến"
"""Name of the folder in a shared mailbox where its mail arrives; `ARRIVED_ON_DISK` is the same in IMAP's UTF-7."""
ARRIVED_ON_DISK = "&ARAevw-n"
FULL = "The mailbox is full (hop thu da day)"
"""Said in SMTP, which takes ASCII."""

TABLES = ("mailboxes", "aliases", "senders", "own-domain", "lists-outside", "lists-inside")
RSPAMD = (
    "actions.conf",
    "antivirus.conf",
    "arc.conf",
    "chartable.conf",
    "dkim_signing.conf",
    "dmarc.conf",
    "fuzzy_check.conf",
    "greylist.conf",
    "logging.inc",
    "mid.conf",
    "milter_headers.conf",
    "multimap.conf",
    "neural.conf",
    "options.inc",
    "ratelimit.conf",
    "rbl.conf",
    "redis.conf",
    "rspamd_update.conf",
    "settings.conf",
    "whitelist.conf",
    "worker-controller.inc",
    "worker-normal.inc",
    "worker-proxy.inc",
)

CHECK_MAIN = (
    'cp /etc/postfix/master.cf "$(dirname {})"; said=$(postconf -c "$(dirname {})" -n 2>&1 >/dev/null); '
    '[ -z "$said" ] || { echo "$said" >&2; exit 1; }'
)
CHECK_MASTER = 'cp /etc/postfix/main.cf "$(dirname {})" && postconf -c "$(dirname {})" -M >/dev/null'
CHECK_DOVECOT = "doveconf -c {} -n >/dev/null"
CHECK_LUA = """printf 'assert(loadfile("%s"))' {} >{}.check && rspamadm lua -b {}.check"""


@dataclass(frozen=True)
class Search:
    """What a Debian release searches mail with."""

    dovecot: str
    package: str


SEARCH = {"12": Search("2.3", "dovecot-fts-xapian"), "13": Search("2.4", "dovecot-flatcurve")}


def install(ctx: Context[Options]) -> None:
    """Packages; and the one that searches, which is another in each release."""
    packages(ctx, _search(ctx).package, *(virus.PACKAGES if ctx.options.antivirus else ()))
    web.install(ctx)


def configure(ctx: Context[Options]) -> None:
    """Keys and accounts before the daemons that read them."""
    # Debian's own instance listens on a port; ours, redis-server@mail, does not.
    masked("redis-server.service")
    _keys(ctx)
    _accounts(ctx)
    _dovecot(ctx)
    _rspamd(ctx)
    _postfix(ctx)
    place(ctx, FILTER)
    place(ctx, JAIL, values={"ports": login_ports(ctx)})
    virus.configure(ctx)
    web.configure(ctx)


def activate(ctx: Context[Options]) -> None:
    """Who judges before who takes in."""
    virus.activate(ctx)
    unit("redis-server@mail", files=[REDIS])
    keys = [f"{DKIM}/{selector}.key" for selector in mail_of(ctx).selectors]
    unit("rspamd", files=[f"/etc/rspamd/local.d/{name}" for name in RSPAMD] + [RSPAMD_RULES, RSPAMD_UNIT, *keys])
    unit("dovecot", files=[DOVECOT, DOVECOT_UNIT, CERTIFICATE, KEY, SIEVE])
    tables = [f"/etc/postfix/lienxa-{name}" for name in (*TABLES, *_closed_lists(ctx))]
    unit("postfix", files=[MAIN, MASTER, CERTIFICATE, KEY, SMARTHOST, *POSTFIX_UNITS, *tables])
    unit("fail2ban", files=[JAIL, FILTER])
    web.activate(ctx)


def retire(ctx: Context[Options]) -> None:
    """Mail that was kept stays, and so do the accounts' hashes; mail that waits is kept in Postfix's queue."""
    web.retire(ctx)
    virus.retire(ctx)
    retire_units(ctx)
    for path in (JAIL, FILTER, RSPAMD_UNIT, DOVECOT_UNIT, *POSTFIX_UNITS):
        absent(path)


def mail_of(ctx: Context[Options]) -> SiteMail:
    """The commune's mail; whoever has this role has it."""
    assert ctx.site.mail is not None
    return ctx.site.mail


def senders(mail: SiteMail) -> dict[str, tuple[str, ...]]:
    """Who may write under which address: each under their own, those of an office under its shared one."""
    owners = {box.login: box.members or (box.login,) for box in mail.mailboxes}
    found = {login: list(logins) for login, logins in owners.items()}
    for alias in mail.aliases:
        # An alias of several people is nobody's own.
        if len(alias.to) == 1:
            found[alias.name] = list(owners[alias.to[0]])
    return {mail.address(name): tuple(mail.address(login) for login in logins) for name, logins in found.items()}


def login_ports(ctx: Context[Options]) -> tuple[int, ...]:
    """Where passwords are asked for; a locked-out address may still hand over mail from outside."""
    return tuple(port.number for port in ctx.role.ports if port.number != 25)


def namespace_names(mail: SiteMail) -> dict[str, str]:
    """A name for Dovecot's configuration of each shared mailbox."""
    shared = [box.login for box in mail.mailboxes if box.shared]
    return {login: f"shared{number}" for number, login in enumerate(shared, start=1)}


def accounts(mail: SiteMail, secrets: Mapping[str, str], dovecot: str) -> tuple[MailAccount, ...]:
    """Every mailbox with its password, its quota, and the shared ones that it sees."""
    names = namespace_names(mail)
    return tuple(
        MailAccount(
            mail.address(box.login),
            None if box.shared else secrets[f"password_{box.login}"],
            " ".join([_quota(box, dovecot), *_inbox(box, dovecot), *_sees(mail, box, names)]),
        )
        for box in mail.mailboxes
    )


def dovecot_values(ctx: Context[Options]) -> dict[str, object]:
    """What its templates see."""
    mail = mail_of(ctx)
    return {
        "accounts": ACCOUNTS,
        "arrived": ARRIVED,
        "certificate": CERTIFICATE,
        "default_quota": max((box.quota for box in mail.mailboxes), default=1024),
        "full": FULL,
        "key": KEY,
        "mail_folder": MAILBOXES,
        "names": namespace_names(mail),
        "quota_name": QUOTA,
        "sieve": SIEVE,
    }


def _quota(box: SiteMailbox, dovecot: str) -> str:
    if dovecot == "2.3":
        return f"userdb_quota_rule=*:storage={box.quota}M"
    return f"userdb_quota/{QUOTA}/storage_size={box.quota}M"


def _inbox(box: SiteMailbox, dovecot: str) -> list[str]:
    """Where several look in, what arrives is a folder like others: a Maildir's root is seen by its owner alone."""
    if not box.shared:
        return []
    inbox = f"~/Maildir/.{ARRIVED_ON_DISK}"
    return [f"userdb_mail=maildir:~/Maildir:INBOX={inbox}" if dovecot == "2.3" else f"userdb_mail_inbox_path={inbox}"]


def _sees(mail: SiteMail, box: SiteMailbox, names: Mapping[str, str]) -> list[str]:
    return [
        f"userdb_namespace/{names[other.login]}/disabled=no" for other in mail.mailboxes if box.login in other.members
    ]


def _search(ctx: Context[Options]) -> Search:
    return SEARCH.get(ctx.debian, SEARCH["13"])


def _keys(ctx: Context[Options]) -> None:
    key, begin, certificate = ctx.secrets["tls"].partition("-----BEGIN CERTIFICATE-----")
    place(ctx, CERTIFICATE, content=begin + certificate)
    place(ctx, KEY, content=key, secret=True)
    directory(DKIM, mode="0750", group="_rspamd")
    for selector in mail_of(ctx).selectors:
        content = ctx.secrets[f"dkim_{selector}"]
        place(ctx, f"{DKIM}/{selector}.key", content=content, secret=True, mode="0640", group="_rspamd")


def _accounts(ctx: Context[Options]) -> None:
    mail = mail_of(ctx)
    system_account(OWNER, MAILBOXES)
    mail_accounts(ACCOUNTS, accounts(mail, ctx.secrets, _search(ctx).dovecot), group="dovecot")
    mail_folders(MAILBOXES, [box.login for box in mail.mailboxes], user=OWNER)


def _dovecot(ctx: Context[Options]) -> None:
    template = f"mail{DOVECOT.removesuffix('.conf')}-{_search(ctx).dovecot}.conf.j2"
    place(ctx, DOVECOT, template=template, values=dovecot_values(ctx), validate=CHECK_DOVECOT)
    place(ctx, SIEVE)
    # Dovecot, which is started first, has sockets there; Postfix makes it only when it is started for the first time.
    directory(POSTFIX_SOCKETS, mode="0700", owner="postfix")
    place(ctx, DOVECOT_UNIT, values={"sieve": SIEVE, "mail_folder": MAILBOXES})


def _rspamd(ctx: Context[Options]) -> None:
    place(ctx, REDIS)
    values = {"dkim_folder": DKIM, "senders": senders(mail_of(ctx))}
    for name in RSPAMD:
        place(ctx, f"/etc/rspamd/local.d/{name}", values=values)
    place(ctx, RSPAMD_RULES, values=values, validate=CHECK_LUA)
    place(ctx, RSPAMD_UNIT)


def _postfix(ctx: Context[Options]) -> None:
    mail = mail_of(ctx)
    values = {"senders": senders(mail)}
    for name in TABLES:
        place(ctx, f"/etc/postfix/lienxa-{name}", values=values)
    for mail_list in mail.lists:
        if mail_list.senders == "members":
            path = f"/etc/postfix/lienxa-members-{mail_list.name}"
            place(ctx, path, template="mail/etc/postfix/lienxa-members.j2", values={"list": mail_list})
    if mail.smarthost and mail.smarthost.user:
        place(ctx, SMARTHOST, secret=True)
    else:
        absent(SMARTHOST)
    for path in POSTFIX_UNITS:
        place(ctx, path)
    # master.cf first: it uses what main.cf defines, and a parameter that nobody uses is a mistake in main.cf.
    place(ctx, MASTER, validate=CHECK_MASTER)
    late = _search(ctx).dovecot != "2.3"
    place(ctx, MAIN, values={"certificate": CERTIFICATE, "key": KEY, "late": late}, validate=CHECK_MAIN)


def _closed_lists(ctx: Context[Options]) -> tuple[str, ...]:
    return tuple(f"members-{one.name}" for one in mail_of(ctx).lists if one.senders == "members")
