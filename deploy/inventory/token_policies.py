"""What people's programs are told by policy so that they see tokens and believe in the province's authorities.

Pure, from the site alone: whichever role owns a program's policy file puts it in there.
"""

from __future__ import annotations

from deploy.inventory.site import Site, SiteAuthority, SiteMachine

ROLE = "signing"
"""The role that registers tokens and places the authorities' certificates."""
FIREFOX_OWNER = "one_stop"
"""The role that writes Firefox's policies where it is applied; elsewhere `signing` does."""
TOKENS = "libp11-kit.so.0"
"""p11-kit's own module, which shows all that are registered with it. By its bare name: the linker knows where."""
AUTHORITY_FOLDER = "/usr/local/share/ca-certificates"
AUTHORITY_FILES = "lienxa-authority-*.crt"


def authority_file(authority: SiteAuthority) -> str:
    """Where a machine has an authority's certificate."""
    return f"{AUTHORITY_FOLDER}/{AUTHORITY_FILES.replace('*', authority.sha256[:16])}"


def authority_files(site: Site, machine: SiteMachine) -> tuple[str, ...]:
    """All of them on this machine, for Mozilla's policy `Certificates.Install`; () where the role is not."""
    return tuple(authority_file(one) for one in site.authorities) if ROLE in machine.roles else ()


def mozilla_policies(site: Site, machine: SiteMachine) -> dict[str, object]:
    """Policies for Firefox and Thunderbird; empty where the role is not applied."""
    if ROLE not in machine.roles:
        return {}
    made: dict[str, object] = {"SecurityDevices": {"Add": {"p11-kit": TOKENS}}}
    if files := authority_files(site, machine):
        made["Certificates"] = {"Install": list(files)}
    return made


def chromium_policies(site: Site) -> dict[str, object]:
    """Policies for Chromium, which does not ask the system whom to believe in."""
    roots = [_der(one) for one in site.authorities if one.root]
    others = [_der(one) for one in site.authorities if not one.root]
    return {"CACertificates": roots, "CAHintCertificates": others}


def _der(authority: SiteAuthority) -> str:
    """Base64 of the certificate, as PEM has it between its lines."""
    return "".join(line for line in authority.pem.splitlines() if not line.startswith("-----"))
