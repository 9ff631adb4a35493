"""Proves the role `signing`: who gets at a reader, what programs see, and whom they believe in."""

from __future__ import annotations

import secrets
import ssl
import tempfile
import time
import urllib.request
from pathlib import Path

import pytest
from testinfra.host import Host

from deploy.inventory.role import Kind
from deploy.inventory.site import Site, SiteAuthority, SiteMachine, SiteModule
from deploy.inventory.token_policies import TOKENS
from deploy.runner.checking import each
from deploy.runner.observe import clock_offset
from roles.signing import tasks
from roles.signing.options import Options

STRANGER = "nobody"
MOST_APART = 2.0
"""Seconds. A time stamp from a clock further off is refused by some portals."""
_ALLOWED, _DENIED = "0x0", ("0x8010006a", "0x8010001d")
"""What PC/SC says: welcome; not authorized (by polkit), no such service (the socket is closed)."""
_ASK_READERS = """
import ctypes
library, context = ctypes.CDLL("libpcsclite.so.1"), ctypes.c_long()
print(hex(library.SCardEstablishContext(ctypes.c_ulong(2), None, None, ctypes.byref(context)) & 0xFFFFFFFF))
"""
LOOK_AT_PCSCD = "On {machine}: `systemctl status pcscd.socket pcscd`, `journalctl -u pcscd -n 30`."
LOOK_AT_P11_KIT = "On {machine}: `p11-kit list-modules`; is a file of this module in /etc/pkcs11/modules?"


def _modules(site: Site, machine: SiteMachine, options: Options) -> tuple[SiteModule, ...]:
    return site.modules


def _with_opensc(site: Site, machine: SiteMachine, options: Options) -> list[str]:
    return ["opensc-pkcs11"] if options.opensc else []


def _roots(site: Site, machine: SiteMachine, options: Options) -> list[SiteAuthority]:
    return [one for one in site.authorities if one.root]


def _lists(site: Site, machine: SiteMachine, options: Options) -> list[str]:
    return list(dict.fromkeys(url for one in site.authorities for url in one.revocation))


def _behind_gateway(site: Site, machine: SiteMachine, options: Options) -> list[SiteMachine]:
    return [] if machine.kind is Kind.GATEWAY else [site.gateway]


@pytest.mark.needs("unit:pcscd.socket")
@pytest.mark.next_step(LOOK_AT_PCSCD)
def test_readers_are_served(host: Host) -> None:
    """{machine} serves readers of smart cards and tokens."""
    assert host.check_output("python3 -I -c %s", _ASK_READERS) == _ALLOWED


@pytest.mark.needs("signing.test_readers_are_served")
@pytest.mark.next_step(
    "On {machine}: `getfacl /run/pcscd/pcscd.comm` says who may; `/usr/local/lib/lienxa/reader-seat` sets it right."
)
def test_reader_is_not_for_strangers(host: Host) -> None:
    """Who does not sit at {machine} gets at no reader of it."""
    answer = host.check_output("runuser -u %s -- python3 -I -c %s", STRANGER, _ASK_READERS)
    assert answer in _DENIED, f"an account without a session at the screen is answered {answer}"


@pytest.mark.next_step(LOOK_AT_P11_KIT)
@each(_with_opensc)
def test_opensc_is_registered(host: Host, name: str) -> None:
    """On {machine} programs see cards through OpenSC."""
    assert name in _registered(host)


@pytest.mark.next_step(LOOK_AT_P11_KIT)
@each(_modules)
def test_module_works(host: Host, module: SiteModule) -> None:
    """On {machine} programs can use the tokens of {module.name}."""
    found = _registered(host).get(f"lienxa-{module.name}")
    assert found, "p11-kit does not load it: is a library missing? `ldd` says which"
    assert found == tasks.module_file(module)


@pytest.mark.next_step("Someone put another file there; `lienxa apply` makes it the inventory's again.")
@each(_modules)
def test_module_is_the_inventory_s(host: Host, module: SiteModule) -> None:
    """On {machine} the module of {module.name} is the one of the inventory."""
    assert host.file(tasks.module_file(module)).sha256sum == module.sha256


@pytest.mark.next_step("On {machine}: a module of a vendor's own installer? Put it into province.yaml, or remove it.")
def test_nothing_else_is_registered(host: Host, site: Site, options: Options) -> None:
    """On {machine} programs load no module that the inventory does not know."""
    wanted = {f"lienxa-{one.name}" for one in site.modules} | {"p11-kit-trust"}
    assert set(_registered(host)) - {"opensc-pkcs11"} == wanted


@pytest.mark.next_step(
    "On {machine}, as who has the trouble: `/usr/local/lib/lienxa/token-store` says what is wrong."
)
def test_new_account_has_tokens(host: Host) -> None:
    """Who signs in to {machine} for the first time has tokens in Chromium and LibreOffice."""
    home = f"/run/lienxa-check-{secrets.token_hex(6)}"
    ask = f"HOME={home} {tasks.STORE} && modutil -dbdir sql:{home}/.pki/nssdb -list"
    try:
        host.check_output("install -d -m 0700 -o %s %s", STRANGER, home)
        said = host.check_output("runuser -u %s -- sh -c %s", STRANGER, ask)
    finally:
        host.run("rm -rf -- %s", home)
    assert f"library name: {TOKENS}" in said, said
    assert "System Trust" in said, said


@pytest.mark.next_step("On {machine}: `update-ca-certificates --fresh`; apply signing.")
@each(_roots)
def test_authority_is_believed_in(authority: SiteAuthority) -> None:
    """Programs on {machine} believe in the authority {authority.name}."""
    believed = ssl.create_default_context().get_ca_certs(binary_form=True)
    assert ssl.PEM_cert_to_DER_cert(authority.pem) in believed


@pytest.mark.next_step(
    "From {machine}: `curl -v {url}`. Is the address right (upstream.trust_anchors[].revocation), is the line up?"
)
@each(_lists)
def test_revocation_list(host: Host, site: Site, url: str) -> None:
    """{machine} gets the revocation list {url}, which is signed and in force."""
    with urllib.request.urlopen(url, timeout=15) as answer:
        content: bytes = answer.read(16 << 20)
    with tempfile.TemporaryDirectory(prefix="lienxa-") as folder:
        anchors, file = Path(folder, "anchors"), Path(folder, "list")
        # All of them: by the list itself nobody can tell which of several generations signed it.
        anchors.write_text("".join(one.pem for one in site.authorities), encoding="ascii")
        file.write_bytes(content)
        command = "openssl crl -in %s -noout -nextupdate -CAfile %s 2>&1"
        said = host.check_output(command, str(file), str(anchors))
    assert "verify OK" in said, f"nobody whom we believe in has signed it: {said}"
    ends = said.partition("nextUpdate=")[2].splitlines()[0]
    if ends != "NONE":
        assert ssl.cert_time_to_seconds(ends) > time.time(), f"it ended on {ends}"


@pytest.mark.next_step("On {machine}: `chronyc tracking`, `chronyc sources`; on {gateway.name}: the same.")
@each(_behind_gateway)
def test_clock(site: Site, machine: SiteMachine, gateway: SiteMachine) -> None:
    """The clock of {machine} is less than two seconds off that of {gateway.name}."""
    apart = clock_offset(str(site.zone(machine.zone).gateway))
    assert apart is not None, f"{gateway.name} does not tell the time"
    assert abs(apart) < MOST_APART, f"it is {apart:.1f} s off"


def _registered(host: Host) -> dict[str, str]:
    """Modules that any account's programs load, with their files."""
    said = host.check_output("runuser -u %s -- p11-kit list-modules", STRANGER)
    found, name = {}, ""
    for line in said.splitlines():
        key, _, value = line.strip().partition(": ")
        if not line.startswith(" "):
            # Debian 12 says `name: file`, Debian 13 `module: name` and the file below it.
            name = value if key == "module" else key
            found[name] = "" if key == "module" else value
        elif key == "path":
            found[name] = value
    return found
