"""The mail server's files, each through the daemon that will read it, in both releases."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from render_sites import SITES
from rendering import FOLDER, context, rendered

from deploy.inventory.role import Kind
from deploy.inventory.site import (
    Site,
    SiteAlias,
    SiteMail,
    SiteMailbox,
    SiteMailList,
    Smarthost,
)
from deploy.runner.context import Context
from roles.mail import tasks

Accepted = Callable[..., None]
DOMAIN = "xa-mau.gialai.gov.vn"
MAIL = SiteMail(
    mode="local",
    domain=DOMAIN,
    imap=f"mail.{DOMAIN}",
    submission=f"mail.{DOMAIN}",
    server="srv1",
    mailboxes=(
        SiteMailbox(login="mau.nv", name="Nguyễn Văn Mẫu", quota=500),
        SiteMailbox(login="vidu.tt", name="Trần Thị Ví Dụ", quota=2048),
        SiteMailbox(login="vanthu", name="Văn thư", quota=5120, members=("mau.nv",)),
    ),
    aliases=(SiteAlias(name="postmaster", to=("mau.nv",)), SiteAlias(name="gopy", to=("mau.nv", "vanthu"))),
    lists=(
        SiteMailList(name="canbo", title="Cán bộ", members=("mau.nv", "vidu.tt"), senders="commune"),
        SiteMailList(name="lanhdao", title="Lãnh đạo", members=("mau.nv",), senders="members"),
    ),
    selectors=("lx1", "lx2"),
)
BARE = MAIL.model_copy(update={"mailboxes": MAIL.mailboxes[:1], "aliases": (), "lists": ()})
RELAYED = MAIL.model_copy(update={"smarthost": Smarthost(host="relay.gialai.gov.vn", port=465, user="xa-mau")})
MAILS = {"full": MAIL, "bare": BARE, "relayed": RELAYED}
CERTIFICATE = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -days 9"
KEYS = f"mkdir -p /etc/lienxa/mail; {CERTIFICATE} -keyout {tasks.KEY} -out {tasks.CERTIFICATE} 2>/dev/null"


CHECK_RSPAMD = """said=$(rspamadm configtest 2>&1) || { echo "$said"; exit 1; }
case $said in *rror*) echo "$said"; exit 1;; esac"""
VERIFY = "mkdir -p {folder} && cp {{}} {folder}/ && systemd-analyze verify --man=no {name}.service"
SMALL = "sed 's,/run/redis-mail/redis.sock,/tmp/r.sock,; s,/var/lib/redis,/tmp,' {} >{}.x"


def mail_context(mail: SiteMail = MAIL, site: str = "trunk", **options: object) -> Context:
    chosen: Site = SITES[site].model_copy(update={"mail": mail})
    assert chosen.machine("srv1").kind is Kind.SERVER
    return context(chosen, "srv1", "mail", **options)


@pytest.mark.parametrize("mail", MAILS.values(), ids=list(MAILS))
def test_postfix_takes_its_configuration(mail: SiteMail, accepted: Accepted) -> None:
    ctx = mail_context(mail)
    master = rendered(ctx, tasks.MASTER)
    main = rendered(ctx, tasks.MAIN, certificate=tasks.CERTIFICATE, key=tasks.KEY, late=True)
    # As on a machine: the one checks itself against the other that is in place.
    accepted(main, "main.cf", "cp {} /etc/postfix/main.cf")
    accepted(master, "master.cf", f"{tasks.CHECK_MASTER} && cp {{}} /etc/postfix/master.cf")
    accepted(main, "main.cf", tasks.CHECK_MAIN)
    with pytest.raises(AssertionError, match="smtpd_relay_restriction"):
        accepted(main.replace("smtpd_relay_restrictions", "smtpd_relay_restriction"), "main.cf", tasks.CHECK_MAIN)


@pytest.mark.parametrize("table", tasks.TABLES)
def test_postfix_reads_its_tables(table: str, accepted: Accepted) -> None:
    ctx = mail_context()
    text = rendered(ctx, f"/etc/postfix/lienxa-{table}", senders=tasks.senders(MAIL))
    keys = [line.split()[0] for line in text.splitlines() if not line.startswith("#")]
    assert keys
    for key in keys:
        accepted(text, table, f"ip link set lo up; postmap -q {key} texthash:{{}}")


@pytest.mark.parametrize("mail", MAILS.values(), ids=list(MAILS))
@pytest.mark.parametrize("site", ["trunk", "ipv6"])
def test_dovecot_takes_its_configuration(mail: SiteMail, site: str, checkers: str, accepted: Accepted) -> None:
    ctx = mail_context(mail, site)
    version = tasks.SEARCH["12" if "-12-" in checkers else "13"].dovecot
    template = f"mail/etc/dovecot/dovecot-{version}.conf.j2"
    text = rendered(ctx, tasks.DOVECOT, template, **tasks.dovecot_values(ctx))
    accepted(text, "dovecot.conf", tasks.CHECK_DOVECOT, before=KEYS)
    with pytest.raises(AssertionError, match=r"(?i)unknown setting"):
        accepted(f"{text}\nno_such_setting = yes\n", "dovecot.conf", tasks.CHECK_DOVECOT, before=KEYS)


@pytest.mark.parametrize("options", [{}, {"antivirus": True, "greylisting": False, "public_lists": True}])
def test_rspamd_takes_its_configuration(options: dict[str, object], accepted: Accepted) -> None:
    ctx = mail_context(**options)
    values = {"dkim_folder": tasks.DKIM, "senders": tasks.senders(MAIL)}
    rules = rendered(ctx, tasks.RSPAMD_RULES, **values)
    accepted(rules, "rspamd.local.lua", f"{tasks.CHECK_LUA} && cp {{}} {tasks.RSPAMD_RULES}")
    for name in tasks.RSPAMD:
        text = rendered(ctx, f"/etc/rspamd/local.d/{name}", **values)
        accepted(text, name, f"cp {{}} /etc/rspamd/local.d/{name}")
    accepted("", "all", CHECK_RSPAMD)
    with pytest.raises(AssertionError, match="unexpected symbol"):
        accepted(f"{rules}\nx = = 1\n", "rspamd.local.lua", tasks.CHECK_LUA)


def test_sieve_compiles(accepted: Accepted) -> None:
    accepted(rendered(mail_context(), tasks.SIEVE), "lienxa.sieve", "sievec {}")


def test_fail2ban_sees_a_wrong_password_and_nothing_else(accepted: Accepted) -> None:
    text = rendered(mail_context(), tasks.FILTER)
    lines = {
        "auth(a@x,10.52.1.7,sasl:plain)<pO9YexBhl6UKTQAC>: passwd-file: Password mismatch": 1,
        "auth: passwd-file(a@x,10.52.1.7,<Ff8uchBhqb8KTQAC>): Password mismatch": 1,
        "auth: passwd-file(a@x,10.52.1.7): unknown user": 1,
        "imap-login: Login: user=<a@x>, method=PLAIN, rip=10.52.1.7, lip=10.52.0.10, TLS": 0,
    }
    for line, matched in lines.items():
        asked = f"fail2ban-regex 'Nov 25 09:20:44 srv1 dovecot[12]: {line}' {{}}"
        accepted(text, "lienxa-mail.conf", f"{asked} | grep -q 'Lines: 1 lines, 0 ignored, {matched} matched'")


def test_fail2ban_takes_its_jail(accepted: Accepted) -> None:
    ctx = mail_context(wrong_passwords=7)
    accepted(rendered(ctx, tasks.FILTER), "filter", f"cp {{}} {tasks.FILTER}")
    jail = rendered(ctx, tasks.JAIL, ports=tasks.login_ports(ctx))
    accepted(jail, "jail", f"cp {{}} {tasks.JAIL} && fail2ban-client -d | grep -q \"'maxretry', 7\"")
    assert FOLDER not in jail


def test_systemd_takes_the_drop_ins(accepted: Accepted) -> None:
    ctx = mail_context()
    for name, path in (("dovecot", tasks.DOVECOT_UNIT), ("rspamd", tasks.RSPAMD_UNIT)):
        text = rendered(ctx, path, sieve=tasks.SIEVE, mail_folder=tasks.MAILBOXES)
        accepted(text, "lienxa.conf", VERIFY.format(folder=path.rpartition("/")[0], name=name))


def test_redis_takes_its_configuration(accepted: Accepted) -> None:
    starts = f"{SMALL}; timeout 3 redis-server {{}}.x || [ $? = 124 ]"
    accepted(rendered(mail_context(), tasks.REDIS), "redis.conf", starts)
