"""Proves the role `desktop`: what an official finds at this machine, and may not do there."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import zipfile
from pathlib import Path

import pytest
from testinfra.host import Host

from deploy.inventory.site import Site, SiteMachine, SitePerson
from deploy.runner.checking import each
from deploy.runner.operations.people import ADMIN_GROUPS
from deploy.runner.operations.printing import Queue
from roles.desktop import fcitx, office
from roles.desktop.options import Options
from roles.desktop.tasks import LOCK, OFFICE_DEFAULTS, PEOPLE, queues

LETTERS = "ăâđêôơưĂÂĐÊÔƠƯáàảãạấầẩẫậắằẳẵặéèẻẽẹếềểễệíìỉĩịóòỏõọốồổỗộớờởỡợúùủũụứừửữựýỳỷỹỵ"
METRIC = {
    "Times New Roman": "Liberation Serif",
    "Arial": "Liberation Sans",
    "Courier New": "Liberation Mono",
    "Calibri": "Carlito",
    "Cambria": "Caladea",
}
TYPED = {"telex": "tieengs Vieetj", "vni": "tie6ng1 Vie6t5"}
APPLY = (
    "On {machine}: `lienxa apply COMMUNE --machine {machine} --role desktop` puts it right; look at what changed it."
)


def _people(site: Site, machine: SiteMachine, options: Options) -> list[object]:
    return [pytest.param(one, id=one.login) for one in site.people if machine.name in one.machines]


def _printers(site: Site, machine: SiteMachine, options: Options) -> tuple[Queue, ...]:
    return queues(site, machine)


@pytest.mark.next_step(
    "On {machine}: `getent passwd {person.login}`; the password is `lienxa secrets show COMMUNE "
    "desktop.password_{person.login}`; apply desktop sets it."
)
@each(_people)
def test_person_can_sign_in(host: Host, person: SitePerson) -> None:
    """{person.name} ({person.login}) can sign in to {machine}."""
    account = host.run("getent passwd -- %s", person.login).stdout.strip().split(":")
    assert len(account) == 7, "there is no such account"
    shadow = host.run("getent shadow -- %s", person.login).stdout.strip().split(":")
    assert shadow[1].startswith("$"), "the password is locked or not set"
    assert not shadow[7], "the account has ended"
    assert host.file(account[5]).is_directory, f"the home {account[5]} is not there"


@pytest.mark.next_step(APPLY)
@each(_people)
def test_person_is_no_admin(host: Host, person: SitePerson) -> None:
    """{person.login} has no admin rights on {machine}."""
    groups = set(host.run("id -nG -- %s", person.login).stdout.split())
    assert groups & ADMIN_GROUPS == set()
    assert PEOPLE in groups
    said = host.run("LC_ALL=C sudo -n -l -U %s", person.login)
    assert "is not allowed to run sudo" in said.stdout + said.stderr


@pytest.mark.next_step(APPLY)
@each(_people)
def test_home_is_private(host: Host, person: SitePerson) -> None:
    """What {person.login} keeps on {machine} nobody else reads."""
    home = host.run("getent passwd -- %s", person.login).stdout.split(":")[5]
    assert host.file(home).mode & 0o007 == 0


@pytest.mark.next_step(APPLY)
def test_who_left_is_locked_out(host: Host, site: Site, machine: SiteMachine) -> None:
    """Nobody signs in to {machine} whom the inventory does not name there."""
    here = {person.login for person in site.people if machine.name in person.machines}
    members = host.run("getent group -- %s", PEOPLE).stdout.strip().rpartition(":")[2].split(",")
    for login in set(filter(None, members)) - here:
        assert host.run("getent shadow -- %s", login).stdout.split(":")[7] == "1", f"{login} can still sign in"


@pytest.mark.next_step(
    "On {machine}: `fcitx5-diagnose`; what stands in /etc/xdg/fcitx5/profile and conf/unikey.conf?"
)
def test_types_vietnamese(options: Options, tmp_path: Path) -> None:
    """{machine} writes "tiếng Việt" for what is typed as {options.typing}."""
    tmp_path.chmod(0o777)
    for parent in list(tmp_path.parents)[:2]:
        parent.chmod(0o755)
    clean = ["env", "-i", f"HOME={tmp_path}", f"XDG_RUNTIME_DIR={tmp_path}", "LANG=C.UTF-8", "PATH=/usr/bin:/bin"]
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *clean, "dbus-run-session", "--"]
    done = subprocess.run(
        [*command, "/usr/bin/python3", "-I", "-", TYPED[options.typing]],
        input=Path(fcitx.__file__).read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        check=False,
        timeout=28,
    )
    assert done.stdout.strip() == "tiếng Việt", done.stderr[-400:]


@pytest.mark.next_step("On {machine}: `fc-match -v '{name}'`; are the fonts of the card installed? `fc-cache -f`.")
@pytest.mark.parametrize("name", METRIC)
def test_font_has_the_same_widths(host: Host, name: str) -> None:
    """A document in {name} keeps its lines on {machine}."""
    assert host.check_output("fc-match -f '%%{family[0]}' %s", name) == METRIC[name]


@pytest.mark.next_step("On {machine}: `fc-list '{name}'`; apply desktop installs it.")
@pytest.mark.parametrize("name", ["Liberation Serif", "Liberation Sans", "Noto Sans"])
def test_font_has_every_vietnamese_letter(host: Host, name: str) -> None:
    """{name} on {machine} has every Vietnamese letter, so that no word is drawn in two fonts."""
    signs = " ".join(f"{ord(letter):x}" for letter in LETTERS + LETTERS.upper())
    assert host.check_output("fc-list %s file", f"{name}:style=Regular:charset={signs}")


@pytest.mark.needs("unit:cups")
@pytest.mark.next_step("On {machine}: `lpstat -v`, `journalctl -b -u cups`; apply desktop makes the queue.")
@each(_printers)
def test_printer_is_known(host: Host, printer: Queue) -> None:
    """People on {machine} find the printer {printer.name}."""
    assert printer.uri in host.check_output("LC_ALL=C lpstat -v %s", printer.name)
    assert "accepting requests" in host.check_output("LC_ALL=C lpstat -a %s", printer.name)


@pytest.mark.needs("unit:cups")
def test_cups_is_not_on_the_network(host: Host) -> None:
    """CUPS on {machine} prints for who sits there, and for nobody on the network."""
    assert ":631 " not in host.check_output("ss -lntuH")


@pytest.mark.next_step(
    "On {machine}: what do {options.lock_minutes} minutes say in /etc/X11/Xresources/lienxa-lock, and in the "
    ".xscreensaver of which home? Remove that file."
)
def test_screen_locks(host: Host, site: Site, machine: SiteMachine, options: Options) -> None:
    """The screen of {machine} locks after {options.lock_minutes} minutes."""
    assert _minutes(host.file(LOCK).content_string, "xscreensaver.timeout") == options.lock_minutes
    for person in site.people:
        own = host.file(f"/home/{person.login}/.xscreensaver")
        if machine.name in person.machines and own.exists:
            assert _minutes(own.content_string, "timeout") <= options.lock_minutes, f"{person.login} has it later"
            assert not re.search(r"^lock:\s*False", own.content_string, re.MULTILINE), f"{person.login} has none"


@pytest.mark.next_step("On {machine}: does LibreOffice open a new document on A4 with margins? Apply desktop.")
@each(lambda site, machine, options: ["A4"] if options.suite else [])
def test_new_document(host: Host, page: str) -> None:
    """A new document on {machine} has the page of Decree 30/2020."""
    assert f"<value>file://{office.TEMPLATE}</value>" in host.file(OFFICE_DEFAULTS).content_string
    with zipfile.ZipFile(office.TEMPLATE) as template:
        layout = template.read("styles.xml").decode()
    assert 'fo:page-width="210mm" fo:page-height="297mm"' in layout


@pytest.mark.next_step("On {machine}: `journalctl -b -u polkit`; what stands in /etc/polkit-1/rules.d?")
@each(lambda site, machine, options: _people(site, machine, options) if options.usb_storage == "deny" else [])
def test_usb_storage_is_refused(person: SitePerson) -> None:
    """{person.login} cannot use disks and sticks on USB on {machine}."""
    account = pwd.getpwnam(person.login)
    groups = os.getgrouplist(person.login, account.pw_gid)
    command = ["sleep", "20"]
    with subprocess.Popen(command, user=account.pw_uid, group=account.pw_gid, extra_groups=groups) as waiting:
        asked = ["pkcheck", "--process", str(waiting.pid), "--action-id", "org.freedesktop.udisks2.filesystem-mount"]
        done = subprocess.run(
            [*asked, "--detail", "drive.removable.bus", "usb"], capture_output=True, text=True, check=False
        )
        waiting.terminate()
    assert "Not authorized" in done.stderr, done.stderr or "it would be allowed"


def _minutes(resources: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)}:\s*(\d+):(\d+):(\d+)", resources, re.MULTILINE)
    assert found, f"there is no {name}"
    hours, minutes, seconds = (int(one) for one in found.groups())
    return hours * 60 + minutes + seconds / 60
