"""A day at the one-stop counter, told in order: token plugged in, portal, log-in, a signed dossier, its receipt.

A small commune: the gateway and one counter, and the province beside them. The official's programs are started as
the menu starts them, without any switch; keys are pressed as a person presses them. The token is soft and handed over
as a vendor's module is. Then the token, its certificate and what stands behind them go wrong, one at a time, and the
doctor says what it is.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import subprocess
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
import zxingcpp
from cryptography.hazmat.primitives import hashes
from PIL import Image
from province import Province, Said, province_of

from deploy import lab
from deploy.inventory.token_policies import authority_file
from deploy.lab.containers import runtime
from deploy.lab.image import PYTHON_PACKAGES
from deploy.lab.province import issuing
from deploy.lab.province.issuing import Holder, Wanted
from deploy.lab.wiring import namespace
from deploy.target import open_target
from roles.signing.tasks import MODULES, REGISTERED

pytestmark = pytest.mark.lab

SLUG, NAME = "xa-quay", "Xã Quầy"
DEBIAN = os.environ.get("LIENXA_TEST_DEBIAN", "13")
SCREENSHOTS = Path(os.environ.get("LIENXA_SCREENSHOTS", "/nonexistent"))
COUNTER, OFFICIAL, LOGIN = "mc01", "Trần Thị Ví Dụ", "vidu.tt"
HOME = f"/home/{LOGIN}"
PIN, SO_PIN = "271828", "12345678"
CODE = "H21.31-260001-0042"
CITIZEN = "Lê Thị Ngữ Nghĩa"
PROVINCE = "/usr/lib/lienxa-lab/province"
PORTAL = "https://portal.gialai.gov.vn:8443/dang-nhap"
START = "Một cửa"
"""Stands in the title of the start page."""
SECONDS = 60
SHADE = 160
"""Brightness, of 255, below which a light page is in the shade."""
TOOLS = ("imagemagick", "softhsm2", "vsmartcard-vpcd", "xclip", "xdotool", "xvfb", "xauth")
READER = "/etc/reader.conf.d/vpcd"
"""Where pcscd finds the reader that is none of metal."""
VENDOR = "libsofthsm2.so"
MODULE = f"{MODULES}/vendor.so"
SEAT = "XDG_SEAT=seat0 XDG_SESSION_TYPE=x11 XDG_SESSION_CLASS=user"
"""What a display manager tells PAM of somebody at the screen."""
FOUND_BY = f"""\
      origins: ["https://portal.gialai.gov.vn:8443"]
      issuers: [Lienxa Lab CA G2]
      helper_ports: [8987]
  modules:
    vendor: {{file: {VENDOR}, sha256: "PIN"}}
"""
AFTER = "      may: [popups, clipboard, pdf, local_network]\n"
"""What stands last of the portal in the model province's file."""


@dataclass(frozen=True)
class Counter:
    """The counter's machine, who works there, and the province."""

    province: Province
    applied: list[Said] = field(default_factory=list)
    """What the first apply said, and the one that brought the module."""

    def sh(self, script: str, given: str | None = None) -> str:
        """By root."""
        return self.province.on(COUNTER, "sh", "-ec", script, given=given)

    def desk(self, script: str, given: str | None = None) -> str:
        """By the official, before the screen."""
        environment = f"HOME={HOME} DISPLAY=:7 LANG=C.UTF-8"
        return self.sh(f"runuser -u {LOGIN} -- env {environment} sh -ec {shlex.quote(f'cd; {script}')}", given)

    def world(self, *words: str) -> Any:
        return json.loads(self.province.on("tinh", PROVINCE, *words))

    def plug_in(self, kind: str, name: str = OFFICIAL) -> None:
        """A token with a certificate of this kind, as the vendor hands it over."""
        issued = self.world("issue", kind, "--name", name)
        self.plug_in_with(issued["key"], issued["certificate"])

    def plug_in_with(self, key: str, certificate: str) -> None:
        """A token with this key and certificate, PEM."""
        self.unplug()
        tool = f"pkcs11-tool --module {MODULE}"
        write = f"{tool} --token-label Token --login --pin {PIN} --id 01 --label Ky --write-object"
        self.desk(
            f"{tool} --init-token --slot-index 0 --label Token --so-pin {SO_PIN} >&2; "
            f"{tool} --init-pin --token-label Token --so-pin {SO_PIN} --pin {PIN} >&2; umask 077; mkdir -p new"
        )
        self.desk("cat >new/key", key)
        self.desk("cat >new/certificate", certificate)
        self.desk(
            "openssl pkey -in new/key -outform DER -out new/key.der; "
            "openssl x509 -in new/certificate -outform DER -out new/cert.der; "
            f"{write} new/key.der --type privkey >&2; {write} new/cert.der --type cert >&2; rm -r new"
        )

    def unplug(self) -> None:
        self.sh("rm -rf /var/lib/softhsm/tokens/*")

    def titles(self) -> list[str]:
        """Of all windows."""
        found = self.desk("xdotool search --onlyvisible --name . 2>/dev/null || true").split()
        names = (self.desk(f"xdotool getwindowname {window} || true").strip() for window in found)
        return [unicodedata.normalize("NFC", name) for name in names]

    def start(self, browser: str) -> None:
        """From the menu, in a session at the screen."""
        environment = f"{SEAT} DISPLAY=:7 HOME={HOME} LANG=vi_VN.UTF-8"
        words = " ".join(f"--setenv={one}" for one in environment.split())
        self.sh(f"systemctl stop browser 2>/dev/null || :; systemctl reset-failed browser 2>/dev/null || :; "
                f"systemd-run -q --unit=browser -p PAMName=login -p User={LOGIN} {words} {browser}")  # fmt: skip
        self.sees(START, seconds=90)

    def type(self, text: str) -> None:
        """Into what has the focus; by way of the clipboard, which knows every letter."""
        self.desk("xclip -selection clipboard >/dev/null 2>&1; xdotool key ctrl+v; sleep 0.3", text)

    def type_pin(self) -> None:
        """Into the program's own dialog, which takes its time to take keys."""
        self.desk(f"sleep 1; xdotool type --delay 100 {PIN}; xdotool key Return")

    def press(self, *keys: str) -> None:
        self.desk(f"xdotool key --delay 120 {' '.join(keys)}")

    def go(self, address: str) -> None:
        self.press("ctrl+l")
        self.type(address)
        self.press("Return")

    def goes(self, address: str, title: str) -> None:
        """There, until a window of this title shows that it did: a browser that has just come up loses keys."""
        until(lambda: self._went(address, title), self.titles)

    def _went(self, address: str, title: str) -> bool:
        self.go(address)
        with suppress(AssertionError):
            self.sees(title, SECONDS / 4)
            return True
        return False

    def sees(self, title: str, seconds: float = SECONDS) -> None:
        """Wait for a window of this title."""
        until(lambda: any(title in one for one in self.titles()), self.titles, seconds)

    def screen(self) -> bytes:
        """A picture of it, PNG."""
        command = ["podman", *runtime().arguments, "exec", "-e", "DISPLAY=:7", "-u", LOGIN]
        shoot = [*command, namespace(SLUG, COUNTER), "import", "-window", "root", "png:-"]
        return subprocess.run(shoot, check=True, capture_output=True).stdout

    def in_the_shade(self) -> bool:
        """Whether the browser asks something in its own window: the page behind is darker then."""
        return bool(Image.open(io.BytesIO(self.screen())).convert("L").getpixel((60, 850)) < SHADE)

    def picture(self, name: str) -> None:
        """Of the screen, where somebody wants it."""
        if SCREENSHOTS.is_dir():
            (SCREENSHOTS / f"{name}.png").write_bytes(self.screen())


def until(seen: Callable[[], Any], what: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait for a condition; what there was instead is said where it does not come."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, what()
        time.sleep(0.3)


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counter]:
    province = province_of(tmp_path_factory.mktemp("province") / "inventories", SLUG, NAME)
    _small(province)
    lab.down(SLUG)
    try:
        province.say("lab", "up", SLUG, "--debian", DEBIAN, "--prepared")
        made = Counter(province)
        # Behind a gateway that is not set up yet nothing is to be had.
        made.applied.append(province.lienxa("apply"))
        _tools(made)
        _handed_over(made)
        made.applied.append(province.lienxa("apply"))
        yield made
    finally:
        lab.down(SLUG)


def test_a_vendor_s_module_comes_with_the_next_apply(counter: Counter) -> None:
    said = counter.applied[-1]
    assert {name for name, count in said.changed.items() if count} == {COUNTER}
    assert (said.summary["failed"], said.summary["unreachable"], said.summary["held_back"]) == (0, 0, 0)
    again = counter.province.lienxa("apply")
    assert [(line["machine"], line["name"]) for line in again.of("operation", status="changed")] == []


def test_what_the_counter_needs_is_proved(counter: Counter) -> None:
    counter.plug_in("good")
    said = counter.province.lienxa("verify", "--role", "desktop", "--role", "one_stop", "--role", "signing")
    red = [(line["sentence"], line["detail"]) for line in said.of("check") if line["status"] != "passed"]
    assert red == []
    assert said.summary["checks"] > 30


@pytest.fixture(scope="module")
def screen(counter: Counter) -> None:
    """What stands for the graphics card, and a window manager."""
    counter.sh(f"systemd-run -q --uid={LOGIN} --unit=screen Xvfb :7 -screen 0 1280x900x24 -nolisten tcp")
    until(lambda: counter.sh("test -e /tmp/.X11-unix/X7 && echo yes || true"), lambda: "no screen")
    environment = f"--setenv=DISPLAY=:7 --setenv=HOME={HOME}"
    counter.sh(
        f"systemd-run -q --uid={LOGIN} --unit=windows {environment} dbus-run-session -- xfwm4 --compositor=off"
    )
    until(lambda: "Xfwm4" in counter.titles(), counter.titles)


@pytest.mark.usefixtures("screen")
def test_chromium_logs_in_and_a_signed_dossier_is_taken(counter: Counter) -> None:
    counter.plug_in("good")
    counter.start("chromium")
    counter.picture("one-stop")
    counter.goes(PORTAL, "Mở khoá thiết bị bảo mật")
    counter.type_pin()
    counter.sees("Nộp hồ sơ")
    counter.picture("portal-logged-in")
    file = _scanned_and_signed(counter)
    counter.press("ctrl+f")
    counter.type("Người nộp hồ sơ")
    counter.press("Return", "Escape", "Tab")
    counter.type(CITIZEN)
    counter.press("Tab", "Tab", "space")
    _chooses(counter, file)
    counter.press("Tab", "space")
    counter.sees("Giấy tiếp nhận hồ sơ")
    (dossier,) = counter.world("dossiers", "--official", OFFICIAL, "--count", "1")
    assert (dossier["reason"], dossier["why"]) == ("", "")
    assert (dossier["citizen"], dossier["signer"], dossier["file"]) == (CITIZEN, OFFICIAL, Path(file).name)
    # The receipt's picture comes after its text.
    until(lambda: _codes(counter), counter.titles)
    assert _codes(counter) == [dossier["link"]]
    counter.picture("receipt")


def test_a_foreign_origin_gets_neither_certificate_nor_pop_up(counter: Counter) -> None:
    """Who asks for a certificate and is no portal is answered by a question to the official, who says no."""
    windows = len(counter.titles())
    counter.go("https://foreign.example.vn:8443/")

    until(counter.in_the_shade, counter.titles)
    counter.press("Escape")
    until(lambda: counter.world("visits", "--host", "foreign.example.vn"), counter.titles)
    assert {visit["verified"] for visit in counter.world("visits", "--host", "foreign.example.vn")} == {"NONE"}
    assert len(counter.titles()) == windows


@pytest.mark.parametrize("host", ["expired", "wrong-name", "untrusted"])
def test_there_is_no_way_past_a_wrong_certificate(counter: Counter, host: str) -> None:
    counter.go(f"https://{host}.gialai.gov.vn/")
    counter.sees("Lỗi bảo mật")
    counter.desk("xdotool type --delay 30 thisisunsafe; xdotool key Tab Tab Tab Return")
    assert counter.world("visits", "--host", f"{host}.gialai.gov.vn") == []


@pytest.mark.usefixtures("screen")
def test_firefox_logs_in_too(counter: Counter) -> None:
    counter.start("firefox-esr")
    counter.goes(PORTAL, "Yêu cầu mật khẩu")
    counter.type_pin()

    # Which certificate it would send, in its own window. Firefox takes no key for a second, lest somebody says yes by
    # accident (security.dialog_enable_delay): who was too early presses again.
    until(counter.in_the_shade, counter.titles)
    until(lambda: _says_yes(counter), counter.titles)
    counter.sees("Nộp hồ sơ")


def _says_yes(counter: Counter) -> bool:
    """Whether the question is gone."""
    counter.press("Return")
    time.sleep(2)
    return not counter.in_the_shade()


TOKEN_FLAGS = """\
import pathlib, struct, sys
(file,) = pathlib.Path("/var/lib/softhsm/tokens").glob("*/token.object")
data = bytearray(file.read_bytes())
at = data.index(struct.pack(">QQ", 0x8000534B, 2)) + 16
(flags,) = struct.unpack_from(">Q", data, at)
struct.pack_into(">Q", data, at, flags | int(sys.argv[1], 16))
file.write_bytes(data)
"""
"""Sets flags that the token reports of itself, in the file in which SoftHSM keeps them (CKA_OS_TOKENFLAGS): it counts
no wrong PINs as a card does."""
SOURCES, CHRONY = "/etc/chrony/sources.d/lienxa.sources", "/etc/chrony/chrony.conf"
CHOSEN = "systemctl restart chrony; tries=0; until chronyc -c -n sources | grep -q '^^,[*]'; do "
CHOSEN += "tries=$((tries + 1)); [ $tries -lt 60 ]; sleep 0.5; done"
AHEAD = f"sed -i.kept 's/ iburst/ iburst offset 60/' {SOURCES}; sed -i.kept /^makestep/d {CHRONY}; {CHOSEN}"
"""The gateway thinks tinh's time to be wrong by a minute. chronyd -x, which leaves the clock alone, cannot step."""
RIGHT = f"for file in {SOURCES} {CHRONY}; do mv $file.kept $file; done; {CHOSEN}"
PINS = {"0x20000": "signing.pin_last_try", "0x60000": "signing.pin_locked"}
"""CKF_USER_PIN_FINAL_TRY, and with it CKF_USER_PIN_LOCKED (PKCS #11 v2.40, section 3.2)."""
ILLS: dict[str, tuple[str, str, str]] = {
    # What is done, how it is mended, and the one cause that is said.
    "service": ("systemctl stop pcscd.socket pcscd", "systemctl start pcscd.socket", "signing.service_down"),
    "module gone": (f"mv {MODULE} /root/kept", f"mv /root/kept {MODULE}", "signing.module_gone"),
    "module not registered": (
        f"mv {REGISTERED}/lienxa-vendor.module /root/kept",
        f"mv /root/kept {REGISTERED}/lienxa-vendor.module",
        "signing.module_unregistered",
    ),
}
CERTIFICATES = {
    "expired": "signing.certificate_expired",
    "future": "signing.certificate_not_yet",
    "ending": "signing.certificate_ends",
    "revoked": "signing.certificate_revoked",
    "usage": "signing.wrong_usage",
    "stranger": "signing.anchor_missing",
    "unlisted": "signing.chain_incomplete",
}
SERVICES = {
    ("crl", "away"): "signing.revocation_unreachable",
    ("tsa", "away"): "signing.time_stamps_unreachable",
    ("tsa", "slow"): "signing.slow",
}


def test_doctor_finds_nothing_wrong_with_a_good_token(counter: Counter) -> None:
    counter.plug_in("good")
    assert _told(counter) == []


@pytest.mark.parametrize("ill", ILLS)
def test_doctor_names_what_is_wrong_with_modules(counter: Counter, ill: str) -> None:
    how, mended, cause = ILLS[ill]
    counter.sh(how)
    try:
        assert _told(counter) == [cause]
    finally:
        counter.sh(mended)
    assert _told(counter) == []


def test_doctor_names_a_module_for_another_processor(counter: Counter) -> None:
    """As it stands in the inventory; `apply` refuses to install it."""
    module, file = counter.province.folder / VENDOR, counter.province.folder / "province.yaml"
    before, text = module.read_bytes(), file.read_text()
    # e_machine of an ELF file's header (elf.h): AArch64.
    foreign = before[:18] + (183).to_bytes(2, "little") + before[20:]
    module.write_bytes(foreign)
    file.write_text(text.replace(hashlib.sha256(before).hexdigest(), hashlib.sha256(foreign).hexdigest()))
    try:
        assert _told(counter) == ["signing.module_architecture"]
    finally:
        module.write_bytes(before)
        file.write_text(text)


@pytest.mark.parametrize("kind", CERTIFICATES)
def test_doctor_names_what_is_wrong_with_a_certificate(counter: Counter, kind: str) -> None:
    counter.plug_in(kind)
    assert _told(counter) == [CERTIFICATES[kind]]


def test_doctor_names_whose_certificate_it_is(counter: Counter) -> None:
    counter.plug_in("good", "Phạm Văn Khác")
    assert _told(counter) == ["signing.other_person"]


def test_doctor_names_a_token_that_is_not_there_or_empty(counter: Counter) -> None:
    counter.unplug()
    assert _told(counter) == ["signing.no_reader"]
    tool = f"pkcs11-tool --module {MODULE}"
    counter.desk(f"{tool} --init-token --slot-index 0 --label Token --so-pin {SO_PIN} >&2")
    assert _told(counter) == ["signing.no_certificate"]


@pytest.mark.parametrize("flags", PINS)
def test_doctor_names_a_pin_that_was_typed_wrong_too_often(counter: Counter, flags: str) -> None:
    counter.plug_in("good")
    counter.sh(f"python3 - {flags}", TOKEN_FLAGS)
    assert _told(counter) == [PINS[flags]]


def test_doctor_names_a_reader_without_a_token(counter: Counter) -> None:
    counter.unplug()
    counter.sh(f"mv /root/vpcd {READER}; systemctl restart pcscd")
    try:
        until(lambda: "Virtual PCD" in counter.sh("opensc-tool --list-readers"), lambda: "no reader")
        assert _told(counter) == ["signing.no_token"]
    finally:
        counter.sh(f"mv {READER} /root/vpcd; systemctl restart pcscd")


def test_doctor_names_an_authority_that_is_not_on_the_machine(counter: Counter) -> None:
    counter.plug_in("good")
    site = open_target(counter.province.folder, SLUG, lab=True).site
    file = authority_file(next(one for one in site.authorities if one.name == "Lienxa Lab CA G1"))
    counter.sh(f"mv {file} /root/kept")
    try:
        assert _told(counter) == ["signing.anchor_not_here"]
    finally:
        counter.sh(f"mv /root/kept {file}")
    assert _told(counter) == []


def test_doctor_names_a_generation_that_has_ended(counter: Counter) -> None:
    """Its root and its issuing authority stand in the inventory still, and an official has a token of theirs."""
    file = counter.province.folder / "province.yaml"
    text = file.read_text()
    root, issuer, official = _old_generation()
    for one in (root, issuer):
        (counter.province.folder / f"{_fingerprint(one)}.crt").write_text(issuing.certificate_pem(one.certificate))
    anchors = [{"file": f"{_fingerprint(one)}.crt", "sha256": _fingerprint(one)} for one in (root, issuer)]
    file.write_text(text.replace("upstream:\n", f"upstream:\n  trust_anchors: {json.dumps(anchors)}\n"))
    try:
        assert counter.province.lienxa("apply").summary["failed"] == 0
        counter.plug_in_with(issuing.key_pem(official.key), issuing.certificate_pem(official.certificate))
        assert _told(counter) == ["signing.anchor_ended"]
    finally:
        file.write_text(text)
        counter.province.lienxa("apply")


def test_doctor_names_a_clock_that_is_wrong(counter: Counter) -> None:
    """All containers have one clock, so it is the gateway that gives another time, a minute ahead."""
    counter.plug_in("good")
    counter.province.on("gw1", "sh", "-ec", AHEAD)
    try:
        assert _told(counter, "network") == ["network.clock_wrong"]
    finally:
        counter.province.on("gw1", "sh", "-ec", RIGHT)


@pytest.mark.parametrize(("service", "fault"), SERVICES)
def test_doctor_names_a_service_of_the_province(counter: Counter, service: str, fault: str) -> None:
    counter.plug_in("good")
    counter.world("fault", service, fault)
    try:
        assert _told(counter) == [SERVICES[service, fault]]
    finally:
        counter.world("fault", service, "none")


def test_doctor_names_a_signing_program_that_rests(counter: Counter) -> None:
    assert _told(counter, "portal") == ["portal.helper_silent"]
    counter.sh("systemd-run -q --unit=helper python3 -m http.server --bind 127.0.0.1 8987")
    try:
        until(lambda: counter.sh("ss -Hltn sport = 8987"), lambda: "nobody listens")
        assert _told(counter, "portal") == []
    finally:
        counter.sh("systemctl stop helper")


def _old_generation() -> tuple[Holder, Holder, Holder]:
    """A root that has ended, the authority below it, and what that issued to the official."""
    now = datetime.now(UTC).replace(microsecond=0)
    begun, ended, later = now - timedelta(days=3650), now - timedelta(days=3), now + timedelta(days=300)
    root = issuing.self_signed(Wanted(issuing.name("Gốc Ký Số Đời Cũ"), issuing.authority(1), begun, ended))
    issuer = issuing.issue(root, Wanted(issuing.name("Cấp Phát Đời Cũ"), issuing.authority(0), begun, later))
    signs = ((issuing.usage("digital_signature", "content_commitment"), True),)
    return root, issuer, issuing.issue(issuer, Wanted(issuing.name(OFFICIAL), signs, begun, later))


def _fingerprint(one: Holder) -> str:
    return one.certificate.fingerprint(hashes.SHA256()).hex()


def _told(counter: Counter, topic: str = "signing") -> list[str]:
    asked = ("doctor", SLUG, "--lab", "--json", "--machine", COUNTER, "--topic", topic)
    return [line["cause"] for line in counter.province.say(*asked, code=None).of("finding")]


def _chooses(counter: Counter, file: str) -> None:
    """In the dialog for files: its path, and the button at the bottom."""
    counter.sees("Mở Tệp")
    counter.press("ctrl+l", "ctrl+a")
    counter.type(file)
    where = "eval $(xdotool getactivewindow getwindowgeometry --shell); xdotool mousemove --window $WINDOW"
    counter.desk(f"{where} $((WIDTH-50)) $((HEIGHT-24)) click 1")
    until(lambda: not any("Mở Tệp" in title for title in counter.titles()), counter.titles)


def _codes(counter: Counter) -> list[str]:
    """What the QR codes on the screen say."""
    return [code.text for code in zxingcpp.read_barcodes(Image.open(io.BytesIO(counter.screen())))]


def _scanned_and_signed(counter: Counter) -> str:
    """The path of a scan, signed with the token."""
    counter.sh("echo test >/etc/sane.d/dll.conf")
    scan = counter.desk(f"/usr/local/bin/lienxa-scan {CODE}").strip()
    signed = f"{scan.removesuffix('.pdf')}-da-ky.pdf"
    counter.desk("cat >token_program.py", (Path(__file__).parent / "token_program.py").read_text())
    program = f"python3 token_program.py {MODULE} http://tsa.gialai.gov.vn/"
    counter.desk(f"PIN={PIN} PYTHONPATH={PYTHON_PACKAGES} {program} <{shlex.quote(scan)} >{shlex.quote(signed)}")
    return signed


def _small(province: Province) -> None:
    """The model commune with nothing but a gateway and its counter."""
    content = yaml.safe_load(province.file.read_text())
    content["machines"] = {name: content["machines"][name] for name in ("gw1", COUNTER)}
    content["people"] = [one for one in content["people"] if one["login"] == LOGIN]
    del content["services"]
    province.file.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False))
    (province.folder / SLUG / "addresses.yaml").unlink(missing_ok=True)


def _tools(counter: Counter) -> None:
    """What presses keys and looks at windows, the soft token, and what stands for a vendor's signing program."""
    counter.province.install(COUNTER, *TOOLS)
    counter.sh(f"mv {READER} /root/vpcd; systemctl stop pcscd; systemctl restart pcscd.socket")
    podman = ["podman", *runtime().arguments, "exec", "-i"]
    pack = [*podman, namespace(SLUG, "tinh"), "tar", "-C", "/", "-c", PYTHON_PACKAGES[1:]]
    packed = subprocess.run(pack, check=True, capture_output=True).stdout
    subprocess.run([*podman, namespace(SLUG, COUNTER), "tar", "-C", "/", "-x"], input=packed, check=True)


def _handed_over(counter: Counter) -> None:
    """The vendor's module becomes the inventory's; Debian's own copy of it goes."""
    found = counter.sh("readlink -f /usr/lib/softhsm/libsofthsm2.so").strip()
    read = ["podman", *runtime().arguments, "exec", namespace(SLUG, COUNTER), "cat", found]
    library = subprocess.run(read, check=True, capture_output=True).stdout
    (counter.province.folder / VENDOR).write_bytes(library)
    counter.sh("rm -f /usr/lib/softhsm/libsofthsm2.so /usr/share/p11-kit/modules/softhsm2.module "
               "/usr/lib/*/softhsm/libsofthsm2.so; chmod 0755 /etc/softhsm /var/lib/softhsm; "
               "chmod 0644 /etc/softhsm/*; chmod 1777 /var/lib/softhsm/tokens")  # fmt: skip
    file = counter.province.folder / "province.yaml"
    text = file.read_text()
    assert text.count(AFTER) == 1
    more = FOUND_BY.replace("PIN", hashlib.sha256(library).hexdigest())
    stamps = "options:\n  signing: {time_stamps: http://tsa.gialai.gov.vn/}\n"
    file.write_text(text.replace(AFTER, AFTER + more).replace("options: {}\n", stamps))
