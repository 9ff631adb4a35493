"""Applies the role `base`."""

from __future__ import annotations

from datetime import datetime, timedelta

from deploy.inventory.role import TRUST_ANCHOR, Kind
from deploy.inventory.site import PACKAGES, Site, SiteMachine
from deploy.runner.context import Context
from deploy.runner.operations import absent, packages, place, unit
from deploy.runner.operations.accounts import account, authorized_keys, console_password
from deploy.runner.operations.system import hostname, locales, own_name_in_hosts, timezone, trust_anchor
from roles.base.options import Options

LANGUAGES = ("vi_VN.UTF-8", "en_US.UTF-8")
SSHD = "/etc/ssh/sshd_config.d/00-lienxa.conf"
SUDOERS = "/etc/sudoers.d/lienxa"
TIME = "/etc/chrony/sources.d/lienxa.sources"
JOURNAL = "/etc/systemd/journald.conf.d/lienxa.conf"
UPGRADES = "/etc/apt/apt.conf.d/52lienxa-upgrades"
CACHE = "/etc/apt/apt.conf.d/30lienxa-cache"
FIND_CACHE = "/usr/local/lib/lienxa/package-proxy"
RESTARTS = "/etc/needrestart/conf.d/lienxa.conf"
FETCH_TIMER = "/etc/systemd/system/apt-daily.timer.d/lienxa.conf"
UPGRADE_TIMER = "/etc/systemd/system/apt-daily-upgrade.timer.d/lienxa.conf"

CHECK_ANCHOR = "openssl x509 -noout -in {}"
CHECK_SSHD = r"printf 'Include %s\nInclude /etc/ssh/sshd_config\n' {} | /usr/sbin/sshd -t -f /dev/stdin"
"""The new drop-in before all else that sshd reads: with it, the daemon would start."""
CHECK_APT = "APT_CONFIG= apt-config -c={} dump >/dev/null"
CHECK_SUDOERS = "visudo -c -q -f {}"
CHECK_TIME = "chronyd -p -f {} >/dev/null"
CHECK_RESTARTS = "perl -c {}"


def install(ctx: Context[Options]) -> None:
    """Packages."""
    packages(ctx)


def configure(ctx: Context[Options]) -> None:
    """Name, language, support's way in, and every drop-in."""
    hostname(ctx.machine.name)
    own_name_in_hosts(ctx.machine.fqdn)
    timezone(ctx.options.timezone)
    locales(LANGUAGES, default=ctx.options.language)
    _support(ctx)
    if servers := time_servers(ctx):
        place(ctx, TIME, values={"servers": servers}, validate=CHECK_TIME)
    else:
        absent(TIME)
    place(ctx, JOURNAL)
    _upgrades(ctx)
    _trust(ctx)


def activate(ctx: Context[Options]) -> None:
    """Each daemon with what was written for it. SSH is reloaded: connections stay."""
    unit("ssh", files=[SSHD], reload=True)
    unit("chrony", files=[TIME])
    unit("systemd-journald", files=[JOURNAL])
    unit("apt-daily.timer", files=[FETCH_TIMER])
    unit("apt-daily-upgrade.timer", files=[UPGRADE_TIMER])


def retire(ctx: Context[Options]) -> None:
    """Take back every drop-in. SSH, the account with its keys and the time stay: without them nobody gets in."""
    for path in (TRUST_ANCHOR, JOURNAL, UPGRADES, CACHE, RESTARTS, FETCH_TIMER, UPGRADE_TIMER):
        absent(path)
    trust_anchor(TRUST_ANCHOR)
    unit("systemd-journald")


def time_servers(ctx: Context[Options]) -> tuple[str, ...]:
    """Whom the machine asks for the time: the gateway's side in its zone; the gateway itself the province's servers.

    Debian's pool, which is in the package's own configuration, stays for when these are silent.
    """
    if ctx.machine.kind is Kind.GATEWAY:
        return ctx.site.upstream.time_servers
    return (str(ctx.site.zone(ctx.machine.zone).gateway),)


def later(time: str, minutes: int) -> str:
    """The time of day so many minutes later, `23:30` and 45: `00:15`."""
    return (datetime.strptime(time, "%H:%M") + timedelta(minutes=minutes)).strftime("%H:%M")


def _support(ctx: Context[Options]) -> None:
    support = ctx.site.support
    account(support.user, groups=("sudo",))
    place(ctx, SUDOERS, mode="0440", validate=CHECK_SUDOERS)
    if support.keys:
        authorized_keys(support.user, support.keys)
    console_password(support.user, ctx.secrets["console_password"])
    place(ctx, SSHD, validate=CHECK_SSHD)


def package_cache(site: Site, machine: SiteMachine, options: Options) -> str | None:
    """`address:port` of the commune's own package cache where this machine uses it, else None."""
    offered = site.service(PACKAGES, machine)
    return offered[1] if offered and options.package_cache is None else None


def _package_cache(ctx: Context[Options]) -> None:
    own = package_cache(ctx.site, ctx.machine, ctx.options)
    if own:
        place(ctx, FIND_CACHE, mode="0755", values={"cache": own}, validate="sh -n {}")
    if own or ctx.options.package_cache:
        place(ctx, CACHE, validate=CHECK_APT)
    else:
        absent(CACHE)


def _trust(ctx: Context[Options]) -> None:
    """The commune's own authority among those that every program on the machine believes in."""
    if anchor := ctx.secrets.get("trust_anchor"):
        place(ctx, TRUST_ANCHOR, content=anchor, validate=CHECK_ANCHOR)
    else:
        absent(TRUST_ANCHOR)
    trust_anchor(TRUST_ANCHOR)


def _upgrades(ctx: Context[Options]) -> None:
    place(ctx, UPGRADES, validate=CHECK_APT)
    place(ctx, RESTARTS, validate=CHECK_RESTARTS)
    _package_cache(ctx)
    place(ctx, FETCH_TIMER, values={"at": ctx.options.upgrades_at})
    # Once everything that this evening brings has been fetched.
    install_at = later(ctx.options.upgrades_at, ctx.options.upgrades_spread)
    place(ctx, UPGRADE_TIMER, values={"at": install_at})
