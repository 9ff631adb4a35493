"""What every managed machine has, before anything else: who it is, whose it is, and how it stays sound.

Name, time zone, Vietnamese and English language, the support account and its keys, SSH with keys only, the right
time from the commune's gateway, a journal that does not fill the disk, and security upgrades at an hour that
disturbs nobody. Only drop-ins of our own are written: what the inventory does not speak of stays as it is.
"""

from __future__ import annotations

from deploy.inventory.role import MANAGEMENT_ONLY, Port, Role, Secret, Unit
from deploy.inventory.site import Site
from roles.base.options import Options


def secrets(options: Options, site: Site) -> tuple[Secret, ...]:
    """The console password is for who stands in front of a machine that the network does not reach.

    Where the commune has servers of its own that speak TLS it has an authority, which every machine trusts.
    """
    password = Secret(
        "console_password", "Password of the support account at the machine's own keyboard; SSH refuses it"
    )
    if site.mail is None or site.mail.mode != "local":
        return (password,)
    about = "the commune's authority for the certificates of its servers"
    return (
        password,
        Secret("ca", f"Key of {about}", form="authority", names=(site.domain,), ordered=False),
        Secret("trust_anchor", f"Certificate of {about}", form="anchor", names=(site.domain,)),
    )


ROLE = Role(
    name="base",
    summary="What every machine has: name, time, language, support account, SSH, upgrades.",
    options=Options,
    packages=(
        "ca-certificates",
        "chrony",
        "iproute2",
        "locales",
        "needrestart",
        "openssh-server",
        "openssl",
        "sudo",
        "tzdata",
        "unattended-upgrades",
    ),
    units=(
        Unit("ssh", "the way in for support"),
        Unit("chrony", "the right time"),
        Unit("systemd-journald", "the machine's journal"),
        Unit("apt-daily.timer", "fetches upgrades"),
        Unit("apt-daily-upgrade.timer", "installs security upgrades"),
    ),
    ports=(Port(22, "tcp", MANAGEMENT_ONLY, "SSH for support", from_support=True, unit="ssh"),),
    secrets=secrets,
)
