"""Keys of one commune's lab, made on this laptop and gone with the lab."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from deploy.inventory.authorities import authority_of
from deploy.inventory.certificates import anchor_of, make_authority, make_certificate, make_dkim_key
from deploy.inventory.site import Site
from deploy.inventory.wireguard import make_key, public_key
from deploy.lab.laptop import run, state_dir, write_private
from deploy.lab.province.issuing import make_authorities
from deploy.lab.rehearsal import LabFacts

_ED25519 = 15
"""Number of the algorithm in DNSSEC (RFC 8080)."""
_KEY_SIGNING = 257


def facts(site: Site) -> LabFacts:
    """What `rehearse` has to know of this commune's lab; makes the keys when they are missing."""
    slug = site.commune.slug
    public = ssh_key(slug, "support").with_suffix(".pub").read_text().strip()
    anchors = province_anchors(slug, site.domain.split(".", 1)[1])
    return LabFacts(
        support_key=public,
        trust_anchors=(root_ds(slug),),
        authorities=tuple(authority_of(pem) for _, pem in sorted(anchors.items())),
        support_path_key=public_key(support_path_key(slug)) if site.upstream.support_path else "",
    )


def ssh_key(slug: str, name: str) -> Path:
    """The private key of that name (0600), its public half beside it."""
    key = state_dir(slug) / f"{name}.key"
    public = key.with_suffix(".pub")
    if not (key.exists() and public.exists()):
        made = state_dir(slug) / f"{name}.new"
        for left in (made, made.with_suffix(".new.pub"), key):
            left.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@lab-{slug}", "-f", str(made)])
        Path(f"{made}.pub").rename(public)
        made.rename(key)
    return key


def root_key(slug: str) -> Path:
    """The private key that signs the lab's root zone, PEM."""
    key = state_dir(slug) / "root.pem"
    if not key.exists():
        write_private(key, run(["openssl", "genpkey", "-algorithm", "ed25519"]).stdout)
    return key


def support_path_key(slug: str) -> str:
    """The private key of the province's end of the support path."""
    key = state_dir(slug) / "support-path.key"
    if not key.exists():
        write_private(key, make_key())
    return key.read_text()


def world_dkim_key(slug: str) -> Path:
    """The private key that the outside world's mail is signed with, PEM."""
    key = state_dir(slug) / "world-dkim.pem"
    if not key.exists():
        write_private(key, make_dkim_key())
    return key


def world_authority(slug: str) -> Path:
    """Key and certificate of whom the lab's machines believe about servers outside, as all the world does; PEM."""
    key = state_dir(slug) / "world-authority.pem"
    if not key.exists():
        write_private(key, make_authority(("vn",)))
    return key


def world_certificate(slug: str, names: tuple[str, ...]) -> str:
    """A key and a certificate for servers outside, PEM; made once, so that `up` twice changes nothing."""
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
    made = state_dir(slug) / f"world-{digest}.pem"
    if not made.exists():
        write_private(made, make_certificate(names, world_authority(slug).read_text()))
    return made.read_text()


def province_authorities(slug: str, domain: str) -> dict[str, str]:
    """The lab's authorities of the province with that domain, as `make_authorities` names them, with their keys."""
    made = state_dir(slug) / f"province-{domain}.json"
    if not made.exists():
        write_private(made, json.dumps(make_authorities(domain)))
    known: dict[str, str] = json.loads(made.read_text())
    return known


def province_anchors(slug: str, domain: str) -> dict[str, str]:
    """Whom this lab's machines have to believe in where the inventory names the province's own anchors; PEM by name.

    `root-g1` (the old one, which ends soon), `root-g2`, and `ca-g1` and `ca-g2`, which stand below them.
    """
    made = province_authorities(slug, domain)
    return {name: anchor_of(text) for name, text in made.items() if not name.endswith(".crl")}


def root_ds(slug: str) -> str:
    """The trust anchor that belongs to `root_key`, as a DS record."""
    public = run(["openssl", "pkey", "-in", str(root_key(slug)), "-pubout", "-outform", "DER"]).stdout[-32:]
    return ds_of_root(public)


def ds_of_root(public: bytes) -> str:
    """DS record (RFC 4034, SHA-256) of a root zone signed with one Ed25519 key of 32 bytes."""
    rdata = _KEY_SIGNING.to_bytes(2) + bytes((3, _ED25519)) + public
    total = sum(byte << 8 if index % 2 == 0 else byte for index, byte in enumerate(rdata))
    tag = (total + (total >> 16)) & 0xFFFF
    digest = hashlib.sha256(b"\0" + rdata).hexdigest().upper()
    return f". IN DS {tag} {_ED25519} 2 {digest}"
