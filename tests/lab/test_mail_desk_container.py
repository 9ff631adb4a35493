"""Mail as people meet it: the real mail machine and a desk's Thunderbird and Chromium, in one container.

Both roles are applied by the real runner, on both Debian releases; what reaches other machines is the lab's to show.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import pytest
from one_machine import OneMachine, booted, ended, operations

from deploy.fleet.kit import Kits
from deploy.inventory.certificates import anchor_of, make_authority
from deploy.inventory.loading import load
from deploy.inventory.resolve import resolve
from deploy.inventory.role import AUTHORITY, TRUST_ANCHOR
from deploy.inventory.secrets import generate
from deploy.inventory.site import Site, SiteMailbox
from deploy.journal import CheckEnded, Event
from deploy.lab.image import desk_image
from deploy.lab.layer import image_upon
from deploy.order import Order, RoleOrder
from deploy.site import CATALOG, ROLES, packages_of_desks
from roles.mail import web_checks
from roles.mail.tasks import SEARCH

pytestmark = pytest.mark.lab

INVENTORIES = Path(__file__).parents[2] / "inventories"
SCREENSHOT = Path(os.environ.get("LIENXA_SCREENSHOTS", "/nonexistent"))
"""A folder for pictures of webmail, where somebody wants them."""
MACHINE = "srv1"
ROLES_HERE = ("mail", "mail_client")
TOOLS = ("chromium", "chromium-driver", "curl", "python3-selenium")
OFFICE = SiteMailbox(login="vanthu", name="Văn thư xã Mẫu", quota=1024, members=("vidu.tt",))
SUBJECT = "Giấy mời họp: Đảng uỷ xã Mẫu, quý IV"
ATTACHMENT = "Tờ trình số 12 về ngữ nghĩa.txt"


@dataclass(kw_only=True)
class Desk(OneMachine):
    """The container, with the kit in it."""

    site: Site
    secrets: dict[str, str]

    def run(self, action: Literal["apply", "verify"] = "apply", only: tuple[str, ...] = ()) -> list[Event]:
        order = Order(
            machine=MACHINE,
            site=self.site,
            roles=tuple(RoleOrder(name=name, options={}) for name in ROLES_HERE),
            secrets={key: value for key, value in self.secrets.items() if key != AUTHORITY},
        )
        return self.carry_out(order, action, only=only)

    def password(self, login: str) -> str:
        return self.secrets[f"mail.password_{login}"]

    def address(self, login: str) -> str:
        assert self.site.mail is not None
        return self.site.mail.address(login)

    def python(self, module: str, *arguments: str, given: str = "") -> str:
        quoted = " ".join(f"'{word}'" for word in arguments)
        return self.sh(f"cd {self.content} && PYTHONPATH={self.runtime} python3 -B -m {module} {quoted}", given)


@cache
def commune() -> tuple[Site, dict[str, str]]:
    """The model commune and secrets made up for it, the same for both releases."""
    written = resolve(load(INVENTORIES, CATALOG), "xa-mau").site
    assert written.mail is not None
    boxes = (*(box for box in written.mail.mailboxes if not box.shared), OFFICE)
    site = written.model_copy(update={"mail": written.mail.model_copy(update={"mailboxes": boxes})})
    known = {AUTHORITY: make_authority((site.domain,))}
    for role in ROLES_HERE:
        card = ROLES[role]
        for secret in card.secrets(card.options(), site):
            known[f"{role}.{secret.name}"] = generate(secret, known.__getitem__)
    return site, known


@pytest.fixture(scope="module", params=["13", "12"], ids=["debian13", "debian12"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    site, secrets = commune()
    assert site.mail is not None
    packages = dict.fromkeys(package for role in ROLES_HERE for package in ROLES[role].packages)
    further = (*packages, SEARCH[request.param].package, *TOOLS)
    image = image_upon(desk_image(request.param, packages_of_desks()), f"mail-desk-{request.param}", further)
    hosts = dict.fromkeys(site.mail.host_names, "127.0.0.1")
    with booted(image, f"mail-desk-{request.param}", hosts) as name:
        made = Desk(name=name, site=site, secrets=secrets)
        made.take(Kits(), request.param)
        # Rspamd does not begin without a resolver's address; nothing answers there.
        made.sh("echo nameserver 127.0.0.1 >/etc/resolv.conf")
        made.sh(f"cat >{TRUST_ANCHOR}; update-ca-certificates", anchor_of(secrets[AUTHORITY]))
        yield made


def test_apply_then_again(desk: Desk) -> None:
    events = desk.run()
    assert ended(events).status == "done", events[-3:]
    again = desk.run()
    assert [one.name for one in operations(again) if one.status != "unchanged"] == []
    assert (ended(again).changed, ended(again).failed) == (0, 0)


def test_the_desk_s_own_checks_are_green(desk: Desk) -> None:
    events = desk.run("verify", only=("mail_client",))
    checks = [event for event in events if isinstance(event, CheckEnded) and ".test_" in event.id]
    assert len(checks) >= 9
    assert {one.id: one.detail for one in checks if one.status != "passed"} == {}


def test_webmail_s_own_checks_are_green(desk: Desk) -> None:
    ours = {name for name in vars(web_checks) if name.startswith("test_")}
    events = desk.run("verify", only=("mail",))
    checks = [one for one in events if isinstance(one, CheckEnded) and one.id.partition("[")[0][5:] in ours]
    assert {one.id.partition("[")[0][5:] for one in checks} == ours
    assert {one.id: one.detail for one in checks if one.status != "passed"} == {}


def test_webmail_writes_and_reads(desk: Desk) -> None:
    script = (Path(__file__).parent / "webmail_story.py").read_text()
    told = {
        "address": desk.address("mau.nv"),
        "password": desk.password("mau.nv"),
        "to": desk.address("vidu.tt"),
        "to_password": desk.password("vidu.tt"),
        "host": f"mail.{desk.site.domain}",
        "subject": SUBJECT,
        "attachment": ATTACHMENT,
        "anchor": anchor_of(desk.secrets[AUTHORITY]),
    }
    desk.sh("cat >/root/story.py", script)
    seen = json.loads(desk.sh("LANG=C.UTF-8 python3 /root/story.py", json.dumps(told)))
    assert seen["found_by_bare_letters"] == [f"Trần Thị Ví Dụ <{desk.address('vidu.tt')}>"]
    assert seen["from"] == [f"Nguyễn Văn Mẫu <{desk.address('mau.nv')}>"]
    assert seen["signature"].splitlines()[:3] == ["CHỦ TỊCH", "Nguyễn Văn Mẫu", "ỦY BAN NHÂN DÂN XÃ MẪU"]
    assert seen["arrived"] == {
        "subject": SUBJECT,
        "from": "Nguyễn Văn Mẫu",
        "attachments": [ATTACHMENT],
        "diacritics": True,
    }
    assert seen["english"] == []
    assert seen["refused_by_policy"] == []
    if SCREENSHOT.is_dir():
        (SCREENSHOT / "webmail.png").write_bytes(desk.read("/root/webmail.png"))


def test_thunderbird_opens_the_mailbox(desk: Desk) -> None:
    told = json.loads(
        desk.python(
            "roles.mail_client.thunderbird",
            desk.address("vidu.tt"),
            "Trần Thị Ví Dụ",
            desk.address("vanthu"),
            given=f"{desk.password('vidu.tt')}\n",
        )
    )
    assert told["loggedIn"] is True
    assert told["writesAs"] == [desk.address("vanthu"), desk.address("vidu.tt")]
    assert SUBJECT in told["subjects"]


def test_thunderbird_is_refused_with_a_wrong_password(desk: Desk) -> None:
    told = json.loads(
        desk.python("roles.mail_client.thunderbird", desk.address("vidu.tt"), "Trần Thị Ví Dụ", given="sai\n")
    )
    assert told["loggedIn"] is not True
    assert "subjects" not in told


def test_the_address_book_follows_the_commune_s_people(desk: Desk) -> None:
    policies = "/etc/thunderbird/policies/policies.json"
    desk.sh(f"cp {policies} /root/policies.json")
    try:
        told = [json.loads(line) for line in desk.sh(_BOOKS, "").splitlines()]
    finally:
        desk.sh(f"cp /root/policies.json {policies}")
    before, again, after = told
    assert before == again == [["Danh bạ xã Mẫu", ["Nguyễn Văn Mẫu", "Trần Thị Ví Dụ", OFFICE.name]]]
    assert after == [["Danh bạ xã Mẫu", ["Nguyễn Văn Mẫu", "Trần Thị Đổi Tên", OFFICE.name]]]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_webmail_speaks_no_old_tls(desk: Desk, version: str) -> None:
    command = f"curl -sS --tls-max {version} --ciphers DEFAULT@SECLEVEL=0 https://mail.{desk.site.domain}/ 2>&1"
    assert "protocol version" in desk.sh(f"! {command}")


@pytest.mark.parametrize(
    "path",
    [
        "/config/config.inc.php",
        "/installer/",
        "/plugins/lienxa/lienxa.php",
        "/plugins/password/config.inc.php.dist",
        "/SQL/sqlite.initial.sql",
        "/../../../etc/roundcube/lienxa-people.json",
    ],
)
def test_webmail_serves_no_file_that_is_not_for_people(desk: Desk, path: str) -> None:
    url = f"https://mail.{desk.site.domain}{path}"
    code = desk.sh(f"curl -sS --path-as-is -o /dev/null -w '%{{http_code}}' '{url}'")
    assert code in {"400", "403", "404"}


def test_webmail_lets_people_write_for_their_office(desk: Desk) -> None:
    query = "select name, email from identities join users using (user_id) where username like 'vidu.tt%' order by 1"
    rows = json.loads(desk.sh(f'python3 -c "{_QUERY}"', query))
    assert rows == [["Trần Thị Ví Dụ", desk.address("vidu.tt")], [OFFICE.name, desk.address("vanthu")]]


def test_webmail_keeps_settings_over_a_restart_of_its_daemons(desk: Desk) -> None:
    query = "select username, preferences from users order by 1"
    before = desk.sh(f'python3 -c "{_QUERY}"', query)
    assert "mau.nv" in before
    desk.sh("systemctl restart lienxa-webmail nginx")
    assert desk.sh(f'python3 -c "{_QUERY}"', query) == before


_QUERY = (
    "import json, sqlite3, sys; "
    "base = sqlite3.connect('/var/lib/dbconfig-common/sqlite3/roundcube/roundcube'); "
    "print(json.dumps(base.execute(sys.stdin.read()).fetchall()))"
)


_BOOKS = """
cd /opt/kit/content && PYTHONPATH=/opt/kit/runtime python3 -B - <<'END'
import json, pathlib, time
from roles.mail_client import thunderbird
ASK = '''
const {MailServices} = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const books = () => MailServices.ab.directories.filter(book => book.dirName.startsWith("Danh bạ "));
for (let turn = 0; turn < 60 && !books().some(book => [...book.childCards].length); turn++)
  await new Promise(next => setTimeout(next, 100));
await new Promise(next => setTimeout(next, 3000));
return books().map(book => [book.dirName, [...book.childCards].map(card => card.displayName).sort()]);
'''
policies = pathlib.Path("/etc/thunderbird/policies/policies.json")
with thunderbird._profile() as profile:
    for turn in range(3):
        if turn == 2:
            policies.write_text(policies.read_text().replace("Trần Thị Ví Dụ", "Trần Thị Đổi Tên"))
        with thunderbird._running(profile) as remote:
            print(json.dumps(remote.run(ASK)))
END
"""
