"""What a machine sees of readers, modules and tokens, and of who vouches for a certificate. No PIN is ever tried."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from deploy.inventory.site import Site, SiteAuthority, SiteModule
from deploy.inventory.token_policies import TOKENS, authority_file
from deploy.runner.diagnosis import Patient
from deploy.runner.observe import unit_runs
from roles.signing.options import Options
from roles.signing.tasks import module_file

_SECONDS = 20
_MOST_BYTES = 16 << 20
_USB = Path("/sys/bus/usb/devices")
_AUTHORITIES = "p11-kit-trust"
"""Model of the store of authorities that p11-kit shows beside tokens."""
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_DATE = "%b %d %H:%M:%S %Y GMT"
"""As openssl prints it."""

ModuleState = Literal["good", "gone", "foreign", "unregistered"]


@dataclass(frozen=True)
class Module:
    """A vendor's module of the inventory, as it is here."""

    name: str
    file: str
    architecture: str
    state: ModuleState


@dataclass(frozen=True)
class Certificate:
    """A certificate that stands on a token."""

    owner: str
    """Common name of its subject."""
    issuer: str
    begins: datetime
    ends: datetime
    authority: bool
    """Whether it is a CA's own, put there so that the chain is complete."""
    usage: frozenset[str]
    """As openssl names them; empty where the certificate does not say."""
    trusted: bool
    """Whether it leads to an authority of the inventory, times aside."""
    above: tuple[str, ...] = ()
    """Names further up where the token or the inventory knows the issuer."""
    revoked: bool = False


@dataclass(frozen=True)
class Token:
    """A token that is plugged in."""

    label: str
    pin: Literal["good", "last try", "locked"]
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True)
class Service:
    """Something out there that signing asks."""

    what: Literal["revocation", "time stamps"]
    url: str
    seconds: float | None
    """Until it answered; None where it did not."""


@dataclass(frozen=True)
class Seen:
    """All of it."""

    now: datetime
    processor: str
    service: bool
    readers: tuple[str, ...]
    usb: tuple[str, ...]
    """`vendor:product` of what is plugged in."""
    modules: tuple[Module, ...]
    tokens: tuple[Token, ...]
    anchors_missing: tuple[str, ...]
    """Names of authorities of the inventory that are not on the machine."""
    services: tuple[Service, ...]


def look(patient: Patient[Options]) -> Seen:
    """Ask the machine, and who is named in its certificates and in the inventory."""
    site = patient.site
    service = unit_runs("pcscd.socket")
    tokens: tuple[Token, ...] = ()
    services: tuple[Service, ...] = ()
    if service:
        with tempfile.TemporaryDirectory(prefix="lienxa-doctor-") as name:
            bench = _Bench(site.authorities, Path(name))
            held = tuple(_held(bench.folder))
            trusted = frozenset(
                file for one in held for file in one.files if bench.verified(file, one).returncode == 0
            )
            lists = _revocation_lists(site, trusted, bench.folder) if patient.connected else ()
            tokens = tuple(_token(bench, one, trusted, [file for _, file in lists if file]) for one in held)
            services = tuple(one for one, _ in lists)
            if patient.connected and patient.options.time_stamps:
                services += (_time_stamp(patient.options.time_stamps),)
    return Seen(
        now=datetime.now(UTC),
        processor=platform.machine(),
        service=service,
        readers=tuple(_readers()) if service else (),
        usb=tuple(_plugged_in()),
        modules=tuple(_module(module, _registered()) for module in site.modules),
        tokens=tokens,
        anchors_missing=tuple(one.name for one in site.authorities if not Path(authority_file(one)).exists()),
        services=services,
    )


def read_certificate(text: str) -> tuple[str, str, datetime, datetime, bool, frozenset[str]]:
    """Owner, issuer, begin, end, whether a CA's, and key usage, from what `openssl x509` prints (`DESCRIBED`)."""
    names = dict(re.findall(r"^(subject|issuer)=\n(?:    (?!CN=).*\n)*    CN=(.*)$", text, re.MULTILINE))
    dates = dict(re.findall(r"^(notBefore|notAfter)=(.*)$", text, re.MULTILINE))
    usage = re.search(r"X509v3 Key Usage:.*\n\s+(.*)", text)
    begins, ends = (datetime.strptime(dates[key], _DATE).replace(tzinfo=UTC) for key in ("notBefore", "notAfter"))
    return (
        names.get("subject", ""),
        names.get("issuer", ""),
        begins,
        ends,
        "CA:TRUE" in text,
        frozenset(word.strip() for word in usage[1].split(",")) if usage else frozenset(),
    )


DESCRIBED = (
    *("-noout", "-subject", "-issuer", "-dates", "-nameopt", "utf8,sep_multiline"),
    *("-ext", "keyUsage,basicConstraints"),
)
"""What of a certificate openssl is to print."""
_LISTS_OF = ("openssl", "x509", "-noout", "-ext", "crlDistributionPoints", "-in")


def tokens_of(listed: str) -> Iterator[tuple[str, str, Literal["good", "last try", "locked"]]]:
    """Slot, label and state of the PIN of each token, from what `pkcs11-tool --list-slots` prints."""
    for block in re.split(r"^Slot ", listed, flags=re.MULTILINE)[1:]:
        slot = re.match(r"\d+ \((0x[0-9a-f]+)\)", block)
        label = re.search(r"token label\s*: (.*)", block)
        flags = re.search(r"token flags\s*: (.*)", block)
        if not (slot and label and flags) or _AUTHORITIES in block:
            continue
        pin: Literal["good", "last try", "locked"] = "good"
        if "user PIN locked" in flags[1]:
            pin = "locked"
        elif "final user PIN try" in flags[1]:
            pin = "last try"
        yield slot[1], label[1].strip(), pin


@dataclass(frozen=True)
class _Held:
    """What was read from a token: its certificates, a file each."""

    label: str
    pin: Literal["good", "last try", "locked"]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class _Bench:
    """Where certificates are compared with the authorities of the inventory."""

    authorities: tuple[SiteAuthority, ...]
    folder: Path

    def verified(self, file: Path, held: _Held, *more: str) -> subprocess.CompletedProcess[str]:
        """What openssl thinks of a certificate, times aside; what stands beside it on the token may help."""
        roots, others = self.folder / "roots.pem", self.folder / "others.pem"
        roots.write_text("".join(one.pem for one in self.authorities if one.root), encoding="ascii")
        on_token = "".join(one.read_text(encoding="ascii") for one in held.files if one != file)
        others.write_text("".join(one.pem for one in self.authorities if not one.root) + on_token, encoding="ascii")
        verify = ("openssl", "verify", "-no_check_time", "-no-CApath", "-no-CAstore", "-CAfile", str(roots))
        return _run(*verify, "-untrusted", str(others), *more, str(file))


def _held(folder: Path) -> Iterator[_Held]:
    for slot, label, pin in tokens_of(_pkcs11("--list-slots").stdout):
        listed = _pkcs11("--slot", slot, "--list-objects", "--type", "cert").stdout
        ids = list(dict.fromkeys(re.findall(r"^\s+ID:\s+([0-9a-f]+)$", listed, re.MULTILINE)))
        yield _Held(label, pin, tuple(file for number in ids if (file := _read(slot, number, folder))))


def _token(bench: _Bench, held: _Held, trusted: frozenset[Path], lists: Sequence[Path]) -> Token:
    return Token(
        held.label, held.pin, tuple(_certificate(bench, held, file, file in trusted, lists) for file in held.files)
    )


def _read(slot: str, number: str, folder: Path) -> Path | None:
    raw, file = folder / f"{slot}-{number}.der", folder / f"{slot}-{number}.pem"
    _pkcs11("--slot", slot, "--read-object", "--type", "cert", "--id", number, "--output-file", str(raw))
    done = _run("openssl", "x509", "-inform", "DER", "-in", str(raw), "-out", str(file))
    return file if done.returncode == 0 else None


def _certificate(bench: _Bench, held: _Held, file: Path, trusted: bool, lists: Sequence[Path]) -> Certificate:
    said = _run("openssl", "x509", "-in", str(file), *DESCRIBED).stdout
    owner, issuer, begins, ends, authority, usage = read_certificate(said)
    revoked = False
    if trusted and lists:
        known = [word for one in lists for word in ("-CRLfile", str(one))]
        revoked = "certificate revoked" in bench.verified(file, held, "-crl_check", *known).stderr
    above = tuple(_above(issuer, held.files, bench.authorities))
    return Certificate(owner, issuer, begins, ends, authority, usage, trusted, above, revoked)


def _above(issuer: str, beside: Sequence[Path], authorities: tuple[SiteAuthority, ...]) -> Iterator[str]:
    """Who signed the issuer, where its certificate is known."""
    for text in (*(one.read_text(encoding="ascii") for one in beside), *(one.pem for one in authorities)):
        said = subprocess.run(
            ["openssl", "x509", *DESCRIBED], input=text, capture_output=True, text=True, check=False, timeout=_SECONDS
        ).stdout
        if "subject=" in said:
            subject, signer, *_ = read_certificate(said)
            if subject == issuer and signer != issuer:
                yield signer


def _module(module: SiteModule, registered: frozenset[str]) -> Module:
    file = Path(module_file(module))
    state: ModuleState = "good"
    if module.architecture != platform.machine():
        state = "foreign"
    elif not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() != module.sha256:
        state = "gone"
    elif str(file) not in registered:
        state = "unregistered"
    return Module(module.name, str(file), module.architecture, state)


def _registered() -> frozenset[str]:
    """Files of the modules that programs load."""
    said = _run("p11-kit", "list-modules").stdout
    # Debian 12 says `name: file`, Debian 13 `path: file` below the name.
    return frozenset(re.findall(r"^(?:\S+|\s+path): (/\S+)$", said, re.MULTILINE))


def _readers() -> Iterator[str]:
    for line in _run("opensc-tool", "--list-readers").stdout.splitlines():
        if found := re.match(r"\d+\s+(?:Yes|No)\s+\S*\s*(.+)", line):
            yield found[1].strip()


def _plugged_in() -> Iterator[str]:
    for vendor in sorted(_USB.glob("*/idVendor")):
        yield f"{vendor.read_text().strip()}:{(vendor.parent / 'idProduct').read_text().strip()}"


def _revocation_lists(site: Site, trusted: frozenset[Path], folder: Path) -> tuple[tuple[Service, Path | None], ...]:
    """Those of the authorities, and those that a certificate names which leads to one of them: the last issuer's."""
    named = (url for file in sorted(trusted) for url in lists_in(_run(*_LISTS_OF, str(file)).stdout))
    urls = dict.fromkeys((*(url for one in site.authorities for url in one.revocation), *named))
    return tuple(_revocation_list(url, folder / f"{number}.crl") for number, url in enumerate(urls))


def lists_in(text: str) -> list[str]:
    """Web addresses of revocation lists, from what openssl prints of a certificate's CRL Distribution Points."""
    return re.findall(r"^\s+URI:(https?://\S+)$", text, re.MULTILINE)


def _revocation_list(url: str, file: Path) -> tuple[Service, Path | None]:
    begun = time.monotonic()
    try:
        with urllib.request.urlopen(url, timeout=_SECONDS) as answer, file.open("wb") as target:
            target.write(answer.read(_MOST_BYTES))
    except OSError:
        return Service("revocation", url, None), None
    seconds = time.monotonic() - begun
    for form in ("DER", "PEM"):
        made = file.with_suffix(".pem")
        if _run("openssl", "crl", "-inform", form, "-in", str(file), "-out", str(made)).returncode == 0:
            return Service("revocation", url, seconds), made
    return Service("revocation", url, None), None


def _time_stamp(url: str) -> Service:
    ask = ["openssl", "ts", "-query", "-data", "/dev/null", "-sha256", "-cert"]
    query = subprocess.run(ask, capture_output=True, check=True, timeout=_SECONDS).stdout
    asked = urllib.request.Request(url, data=query, headers={"Content-Type": "application/timestamp-query"})
    begun = time.monotonic()
    try:
        with urllib.request.urlopen(asked, timeout=_SECONDS) as answer:
            good = answer.headers.get_content_type() == "application/timestamp-reply"
    except OSError:
        good = False
    return Service("time stamps", url, time.monotonic() - begun if good else None)


def _pkcs11(*words: str) -> subprocess.CompletedProcess[str]:
    return _run("pkcs11-tool", "--module", TOKENS, *words)


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        return subprocess.CompletedProcess(command, 127, "", "")
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, timeout=30, env=_ENVIRONMENT
    )
