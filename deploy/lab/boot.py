"""What a lab machine is given before its first boot: as if Debian's installer and `lienxa adopt` had been there."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files as resources

from deploy.inventory.certificates import anchor_of
from deploy.inventory.site import Site, SiteMachine
from deploy.lab.keys import ssh_key, world_authority
from deploy.lab.rehearsal import TINH, tinh_address


@dataclass(frozen=True)
class File:
    """A file of a lab machine; owned by root."""

    path: str
    content: str
    mode: int = 0o644


def machine_files(site: Site, machine: SiteMachine) -> tuple[File, ...]:
    """The files of a machine of the commune: it leases its address wherever it is plugged in."""
    client = machine.name != site.gateway.name
    interfaces = "eth0" if client else " ".join(uplink.interface for uplink in site.uplinks)
    # Known to carriers by its MAC, as the installer's dhclient makes it.
    network = f"[Match]\nName={interfaces}\n\n[Network]\nDHCP=yes\n\n[DHCPv4]\nClientIdentifier=mac\nUseDomains=yes\n"
    resolver = () if client else (File("/etc/resolv.conf", f"nameserver {tinh_address(0)}\n"),)
    return (
        File("/etc/systemd/network/90-installer.network", network),
        *resolver,
        *_authorities(site),
        *common_files(site, machine.name, client=client),
    )


def _authorities(site: Site) -> tuple[File, ...]:
    """Who vouches for servers outside; only mail meets any."""
    if site.mail is None:
        return ()
    anchor = anchor_of(world_authority(site.commune.slug).read_text())
    return (File("/usr/local/share/ca-certificates/lienxa-lab.crt", anchor),)


def common_files(site: Site, machine: str, *, client: bool = False) -> tuple[File, ...]:
    """Name, identity and the support account, as on every machine that was adopted."""
    slug, user = site.commune.slug, site.support.user
    own = ssh_key(slug, f"host-{machine}")
    support = ssh_key(slug, "support").with_suffix(".pub").read_text()
    first_boot = (resources("deploy.lab") / "files" / "first-boot").read_text()
    identity = hashlib.sha256(f"{slug}/{machine}".encode()).hexdigest()[:32]
    return (
        File("/etc/hostname", f"{machine}\n"),
        File("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {machine}\n::1 localhost ip6-localhost ip6-loopback\n"),
        File("/etc/machine-id", f"{identity}\n", 0o444),
        File("/etc/ssh/ssh_host_ed25519_key", own.read_text(), 0o600),
        File("/etc/ssh/ssh_host_ed25519_key.pub", own.with_suffix(".pub").read_text()),
        File(f"/etc/sudoers.d/{user}", f"{user} ALL=(ALL) NOPASSWD: ALL\n", 0o440),
        File("/var/lib/lienxa-lab/authorized_keys", support),
        File("/var/lib/lienxa-lab/first-boot.d/account", first_boot, 0o755),
        File("/var/lib/lienxa-lab/arguments", f"{user} {'yes' if client and machine != TINH else 'no'}\n"),
    )


def with_values(text: str, values: Mapping[str, str]) -> str:
    """The text with a value for each mark: `@DOMAIN@`."""
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text


def as_tar(given: Iterable[File]) -> bytes:
    """The files as an archive for `podman cp`, deterministic."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for file in sorted(given, key=lambda file: file.path):
            data = file.content.encode()
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size, entry.mode = len(data), file.mode
            archive.addfile(entry, io.BytesIO(data))
    return target.getvalue()
