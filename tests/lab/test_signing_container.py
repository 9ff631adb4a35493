"""Signing as an official meets it: a token plugged in, seen by every program, and by nobody else; in one container.

The role is applied by the real runner on both Debian releases. The vendor's module is handed over by an inventory, as
any vendor's is; that its token is soft is known to this test alone, which provisions it as the vendor would.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import pytest
from made_authorities import Authority
from one_machine import OneMachine, booted, ended, image_of_desks, operations

from deploy.fleet.kit import Kits
from deploy.inventory.loading import BadInventory, Inventory, load
from deploy.inventory.resolve import resolve
from deploy.inventory.site import Site
from deploy.inventory.token_policies import TOKENS, authority_file
from deploy.journal import CheckEnded, Event
from deploy.order import Order, RoleOrder
from deploy.site import CATALOG
from roles.signing.checks import _ASK_READERS, _DENIED

pytestmark = pytest.mark.lab

INVENTORIES = Path(__file__).parents[2] / "inventories"
MACHINE = "mc01"
OFFICIAL, OTHER = "mau.nv", "vidu.tt"
NAME = "Nguyễn Văn Mẫu"
VENDOR_LIBRARY = "/usr/lib/softhsm/libsofthsm2.so"
CRL_PORT = 8099
PIN = "271828"
SEAT = "--setenv=XDG_SEAT=seat0 --setenv=XDG_SESSION_TYPE=x11 --setenv=XDG_SESSION_CLASS=user"
"""What a display manager tells PAM of somebody at the screen."""


@cache
def authorities() -> tuple[Authority, Authority, Authority]:
    """An old root, a new root, and who issues certificates under the new one."""
    old, new = Authority("Gốc Ký Số Tỉnh G1", days=400), Authority("Gốc Ký Số Tỉnh G2", days=3650)
    return old, new, new.issuing("Cấp Phát Ký Số G2", crl=f"http://127.0.0.1:{CRL_PORT}/goc-g2.crl")


@dataclass(kw_only=True)
class Counter(OneMachine):
    """The container, and the inventory that it is set up by."""

    folder: Path

    def as_(self, login: str, script: str, given: str = "", *, at_the_screen: bool = False) -> str:
        """What a command prints, run by an official: at the machine's screen, or from anywhere else."""
        return self.sh(self.unit(login, script, SEAT if at_the_screen else "--setenv=XDG_SESSION_CLASS=user"), given)

    @staticmethod
    def unit(login: str, script: str, session: str) -> str:
        """The command that runs a script in a session of that account's own."""
        unit = f"systemd-run --quiet --pipe --wait -p PAMName=login -p User={login} {session}"
        return f"{unit} --setenv=HOME=/home/{login} sh -ec '{script}'"

    def inventory(self, *, modules: bool = True, sha256: str = "") -> Inventory:
        """The model commune's, with authorities and the vendor's module."""
        lines = (INVENTORIES / "province.yaml").read_text(encoding="utf-8").splitlines()
        at = lines.index("upstream:") + 1
        anchors = ["  trust_anchors:"]
        for one in authorities():
            file = f"{one.fingerprint[:8]}.crt"
            (self.folder / file).write_bytes(one.pem)
            anchors.append(f'    - {{file: {file}, sha256: "{one.fingerprint}"}}')
        library = self.folder / "libvendor.so"
        found = sha256 or hashlib.sha256(library.read_bytes()).hexdigest()
        given = ["  modules:", f'    vendor: {{file: libvendor.so, sha256: "{found}", usb: ["096e:0807"]}}']
        text = "\n".join((*lines[:at], *anchors, *(given if modules else ()), *lines[at:])) + "\n"
        (self.folder / "province.yaml").write_text(text, encoding="utf-8")
        return load(self.folder, CATALOG)

    def run(self, inventory: Inventory, action: str = "apply", **more: Any) -> list[Event]:
        """As the laptop would have it done: kit, order, run."""
        self.send(Kits(files=inventory.handed.files))
        return self.run_with_what_is_there(inventory, action, **more)

    def send(self, kits: Kits) -> None:
        """The kit's content, in place of the one before."""
        self.unpack(kits.content(), self.content)

    def run_with_what_is_there(
        self,
        inventory: Inventory,
        action: Literal["apply", "plan", "verify"] = "apply",
        *,
        roles: tuple[str, ...] = ("one_stop", "signing"),
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> list[Event]:
        """A run with the kit that was sent last; `one_stop` writes what Firefox is told, for `signing` too."""
        site = self.site(inventory)
        orders = tuple(RoleOrder(name=name, options=dict(options) if name == "signing" else {}) for name in roles)
        order = Order(machine=MACHINE, site=site, roles=orders)
        return self.carry_out(order, action)

    def site(self, inventory: Inventory) -> Site:
        return resolve(inventory, "xa-mau").site


@pytest.fixture(scope="module", params=["13", "12"], ids=["debian13", "debian12"])
def counter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    folder = tmp_path_factory.mktemp("inventories")
    (folder / "xa-mau").mkdir()
    (folder / "xa-mau/commune.yaml").write_bytes((INVENTORIES / "xa-mau/commune.yaml").read_bytes())
    with booted(image_of_desks(request.param), f"signing-{request.param}") as name:
        made = Counter(name=name, folder=folder)
        made.take(Kits(), request.param)
        prepare(made)
        yield made


def prepare(counter: Counter) -> None:
    """Officials, a vendor's library that is not Debian's, the province's revocation list, the gateway's clock."""
    counter.sh(f"for login in {OFFICIAL} {OTHER}; do useradd -m -s /bin/bash $login; done")
    (counter.folder / "libvendor.so").write_bytes(counter.read(VENDOR_LIBRARY))
    counter.sh(f"rm -f {VENDOR_LIBRARY} /usr/share/p11-kit/modules/softhsm2.module /usr/lib/*/softhsm/libsofthsm2.so")
    # A vendor's module works for every account; only the token is somebody's.
    counter.sh(
        "chmod 0755 /etc/softhsm /var/lib/softhsm; chmod 0644 /etc/softhsm/*; chmod 1777 /var/lib/softhsm/tokens"
    )
    counter.sh("mkdir /srv/crl; cat >/srv/crl/goc-g2.crl", authorities()[1].revoked())
    counter.sh(f"systemd-run -q python3 -m http.server --bind 127.0.0.1 --directory /srv/crl {CRL_PORT}")
    site = counter.site(counter.inventory())
    gateway = site.zone(site.machine(MACHINE).zone).gateway
    counter.sh(f"ip address add {gateway}/32 dev lo; systemctl stop chrony; mkdir -p /run/chrony")
    counter.sh("systemd-run -q chronyd -d -x -u root 'local stratum 8' 'allow all'")


def test_apply_then_again(counter: Counter) -> None:
    inventory = counter.inventory()
    events = counter.run(inventory)
    assert ended(events).status == "done", events[-3:]
    assert ended(events).changed > 10
    again = counter.run(inventory)
    assert [one.name for one in operations(again) if one.status != "unchanged"] == []
    assert (ended(again).changed, ended(again).failed) == (0, 0)


def test_checks_are_green(counter: Counter) -> None:
    events = counter.run(counter.inventory(), "verify")
    checks = [event for event in events if isinstance(event, CheckEnded)]
    assert len([one for one in checks if ".test_" in one.id]) >= 10
    assert {one.id: one.detail for one in checks if one.status != "passed"} == {}


def test_the_official_s_certificate_is_listed_and_nobody_else_s_business(counter: Counter) -> None:
    plug_in_token(counter)
    listed = f"pkcs11-tool --module {TOKENS} --list-objects --type cert"
    assert NAME in counter.as_(OFFICIAL, listed, at_the_screen=True)
    assert NAME not in counter.as_(OTHER, f"{listed} 2>&1 || true", at_the_screen=True)


def plug_in_token(counter: Counter) -> None:
    """What a vendor does with a token before it is handed out: PIN, key, certificate. It is the official's alone."""
    official = Authority(NAME, ca=False, by=authorities()[2])
    home = f"/home/{OFFICIAL}"
    counter.sh(
        f"mkdir -p {home}/.config/softhsm2 {home}/token; "
        f"echo directories.tokendir = {home}/token >{home}/.config/softhsm2/softhsm2.conf; "
        f"chown -R {OFFICIAL}: {home}; chmod 0700 {home}/token"
    )
    tool = "pkcs11-tool --module /usr/local/lib/lienxa/pkcs11/vendor.so"
    script = (
        f"{tool} --init-token --slot-index 0 --label Token --so-pin 12345678 >&2; "
        f"{tool} --init-pin --token-label Token --so-pin 12345678 --pin {PIN} >&2; "
        "umask 077; cat >token/key.pem; "
        f"{tool} --token-label Token --login --pin {PIN} --write-object token/key.pem --type privkey --id 01 >&2; "
        f"rm token/key.pem"
    )
    counter.as_(OFFICIAL, f"cd; {script}", official.key_pem)
    certificate = (
        f"cat >token/cert.der; {tool} --token-label Token --login --pin {PIN} --write-object token/cert.der "
        f'--type cert --id 01 --label "{NAME}" >&2'
    )
    unit = f"systemd-run --quiet --pipe --wait -p PAMName=login -p User={OFFICIAL}"
    counter.sh(f"{unit} --setenv=HOME=/home/{OFFICIAL} sh -ec 'cd; {certificate}'", official.der)


def test_the_reader_is_for_who_sits_at_the_machine(counter: Counter) -> None:
    ask = "cat >/tmp/ask-$$.py; python3 /tmp/ask-$$.py"
    until_open = "until [ -w /run/pcscd/pcscd.comm ]; do sleep 0.1; done"
    meanwhile = f"runuser -u {OTHER} -- python3 -c '{_ASK_READERS}'"
    seated = subprocess.Popen(
        ["podman", "exec", counter.name, "sh", "-ec", counter.unit(OFFICIAL, f"{until_open}; sleep 60", SEAT)]
    )
    try:
        counter.sh(f"timeout 30 runuser -u {OFFICIAL} -- sh -c '{until_open}'")
        assert counter.sh(meanwhile).strip() in _DENIED
    finally:
        counter.sh(f"pkill -u {OFFICIAL} sleep")
        seated.wait(30)
    assert counter.as_(OFFICIAL, f"{until_open}; {ask}", _ASK_READERS, at_the_screen=True).strip() == "0x0"
    until_closed = "while [ -w /run/pcscd/pcscd.comm ]; do sleep 0.1; done"
    counter.sh(f"timeout 30 runuser -u {OFFICIAL} -- sh -c '{until_closed}'")
    assert counter.as_(OFFICIAL, ask, _ASK_READERS).strip() in _DENIED


def test_chromium_and_libreoffice_s_store_shows_the_certificate(counter: Counter) -> None:
    store = "/usr/local/lib/lienxa/token-store && certutil -L -h all -d sql:$HOME/.pki/nssdb"
    assert f"Token:{NAME}" in counter.as_(OFFICIAL, store, at_the_screen=True)
    assert NAME not in counter.as_(OTHER, store, at_the_screen=True)
    login = 'bash -lc "echo \\$MOZILLA_CERTIFICATE_FOLDER"'
    assert counter.as_(OFFICIAL, login).strip() == f"sql:/home/{OFFICIAL}/.pki/nssdb"


def test_firefox_sees_the_token_and_believes_in_the_authorities(counter: Counter) -> None:
    counter.sh("cat >/root/firefox.py", _FIREFOX)
    given = json.dumps([base64.b64encode(one.der).decode() for one in (*authorities(), Authority("Lạ"))])
    python = f"PYTHONPATH={counter.content}:{counter.runtime} python3 -B /root/firefox.py {OFFICIAL}"
    told = json.loads(counter.sh(f"cd {counter.content}; {python}", given))
    # It does not list what is on the token before the PIN is typed: that is the counter's own test.
    assert "Token" in told["tokens"]
    assert told["trusted"] == [True, True, True, False]


_FIREFOX = """
import json, sys
from roles.mail_client import thunderbird
thunderbird.USER = sys.argv[1]
thunderbird._COMMAND = ("firefox-esr", *thunderbird._COMMAND[1:])
ASK = '''
const db = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
const modules = Cc["@mozilla.org/security/pkcs11moduledb;1"].getService(Ci.nsIPKCS11ModuleDB);
const certificates = arguments[0].map(one => db.constructX509FromBase64(one));
const isTrusted = one => db.isCertTrusted(one, Ci.nsIX509Cert.CA_CERT, Ci.nsIX509CertDB.TRUSTED_SSL);
const told = {tokens: [], trusted: []};
for (const module of await modules.listModules()) {
  told.tokens.push(...[...module.slots].map(slot => slot.tokenName));
}
for (let turn = 0; turn < 100 && told.trusted.filter(one => one).length < 3; turn++) {
  await new Promise(next => setTimeout(next, 100));
  told.trusted = [];
  for (const one of certificates) told.trusted.push(await isTrusted(one));
}
return told;
'''
with thunderbird._profile() as profile:
    # Its home is its profile: there the vendor's module has to find its token too.
    (profile / ".config").symlink_to(f"/home/{sys.argv[1]}/.config")
    with thunderbird._running(profile) as remote:
        print(json.dumps(remote.run(ASK, json.load(sys.stdin))))
"""


def test_chromium_believes_in_the_authorities_and_in_nobody_else(counter: Counter) -> None:
    # It sends its own certificate alone, as badly set up servers do: who issued it, policy says.
    assert "Ciphers supported" in page_of(counter, authorities()[2], 8443)
    assert "Ciphers supported" not in page_of(counter, Authority("Lạ"), 8444)


def page_of(counter: Counter, issuer: Authority, port: int) -> str:
    """What Chromium makes of a portal whose certificate comes from there."""
    portal = Authority("localhost", ca=False, by=issuer, names=("localhost",))
    file = f"/root/{port}.pem"
    counter.sh(f"umask 077; cat >{file}", portal.key_pem.encode() + portal.pem)
    counter.sh(f"systemd-run -q openssl s_server -accept {port} -cert {file} -key {file} -www")
    page = f"timeout 60 chromium --headless --disable-gpu --dump-dom https://localhost:{port}/ 2>/dev/null"
    return counter.as_(OFFICIAL, f"{page} || true")


def test_a_module_with_a_wrong_pin_is_refused_by_check(counter: Counter) -> None:
    with pytest.raises(BadInventory, match=r"upstream\.modules\.vendor\.sha256: libvendor\.so has SHA-256"):
        counter.inventory(sha256="0" * 64)


def test_a_module_that_is_another_on_the_machine_is_refused_before_anything_is_done(counter: Counter) -> None:
    inventory = counter.inventory()
    (module,) = counter.site(inventory).modules
    forged = counter.folder / "forged.so"
    forged.write_bytes((counter.folder / "libvendor.so").read_bytes() + b"\\0")
    found = hashlib.sha256(forged.read_bytes()).hexdigest()
    counter.send(Kits(files={found: forged}))
    counter.sh(f"mv {counter.content}/handed/{found} {counter.content}/handed/{module.sha256}")
    last = ended(counter.run_with_what_is_there(inventory))
    assert (last.status, last.changed) == ("failed", 0)
    assert last.error is not None
    assert "libvendor.so is not the one of the inventory" in last.error.message
    assert "nothing was touched" in last.error.message


def test_a_module_that_has_left_the_inventory_is_unregistered(counter: Counter) -> None:
    events = counter.run(counter.inventory(modules=False))
    assert ended(events).status == "done", events[-3:]
    assert "vendor" not in counter.sh("p11-kit list-modules; ls /etc/pkcs11/modules /usr/local/lib/lienxa/pkcs11")
    listed = f"pkcs11-tool --module {TOKENS} --list-objects --type cert 2>&1 || true"
    assert NAME not in counter.as_(OFFICIAL, listed, at_the_screen=True)
    assert counter.sh(f"ls /home/{OFFICIAL}/token").strip(), "the token itself is nobody's but the official's"


def test_without_opensc_no_program_loads_it(counter: Counter) -> None:
    inventory = counter.inventory(modules=False)
    assert "opensc-pkcs11" in counter.sh("p11-kit list-modules")
    assert ended(counter.run(inventory, options={"opensc": False})).status == "done"
    assert "opensc" not in counter.sh("p11-kit list-modules")


def test_retired_the_authorities_are_believed_in_no_longer(counter: Counter) -> None:
    inventory = counter.inventory(modules=False)
    root = counter.site(inventory).authorities[1]
    file = authority_file(root)
    bundle = "/etc/ssl/certs/ca-certificates.crt"
    known = f"openssl verify -CAfile {bundle}"
    assert "OK" in counter.sh(f"{known} {file}; cp {file} /root/goc.crt")
    events = counter.run(inventory, roles=())
    assert ended(events).status == "done", events[-3:]
    assert "OK" not in counter.sh(f"{known} /root/goc.crt 2>&1 || true")
    names = " -o ".join(f"-name '{name}'" for name in ("*lienxa-signing*", "*lienxa-authority*", "*lienxa-vendor*"))
    assert counter.sh(f"find /etc /usr {names}") == ""
    assert "inactive" in counter.sh("systemctl is-active pcscd.socket || true")
    again = ended(counter.run(inventory, roles=()))
    assert (again.status, again.changed) == ("done", 0)
