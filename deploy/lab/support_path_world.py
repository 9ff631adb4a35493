"""`tinh` as the province's end of the support path: a tunnel to this commune's gateway, by wireguard-go."""

from __future__ import annotations

from deploy.inventory.secrets import stand_in_secrets
from deploy.inventory.site import Site
from deploy.inventory.support_path import KEY, ROLE, address
from deploy.inventory.wireguard import public_key
from deploy.lab.boot import File
from deploy.lab.keys import support_path_key
from deploy.lab.laptop import state_dir
from deploy.lab.rehearsal import SUPPORT_PATH_PORT

INTERFACE = "province0"


def support_path_files(site: Site) -> tuple[File, ...]:
    """Its end, with the commune's key as `lienxa support-path` would print it; () where there is none."""
    path = site.upstream.support_path
    if path is None:
        return ()
    slug, engineers = site.commune.slug, path.prefixes[0]
    own = next(iter(engineers.hosts()))
    commune = stand_in_secrets(state_dir(slug) / "secrets.json")(site.gateway.name, ROLE, KEY)
    end = f"""\
[Interface]
Address = {own}/{engineers.prefixlen}
PrivateKey = {support_path_key(slug)}
ListenPort = {SUPPORT_PATH_PORT}

[Peer]
PublicKey = {public_key(commune)}
AllowedIPs = {address(site)}/32
"""
    enable = f"#!/bin/sh\nexec systemctl enable --quiet wg-quick@{INTERFACE}.service\n"
    return (
        File(f"/etc/wireguard/{INTERFACE}.conf", end, 0o600),
        File("/var/lib/lienxa-lab/first-boot.d/support-path", enable, 0o755),
    )
