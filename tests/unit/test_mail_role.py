"""Mail from the inventory to the machine: addresses, who may write as whom, keys, accounts, mailboxes that stay."""

from __future__ import annotations

import base64
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from deploy.errors import UserError
from deploy.inventory import certificates
from deploy.inventory.identity import Keys
from deploy.inventory.loading import load
from deploy.inventory.mail import loops
from deploy.inventory.resolve import Resolved, resolve
from deploy.inventory.role import AUTHORITY, Secret
from deploy.inventory.secrets import generate_missing, renew_certificates, show, stand_in_secrets, wanted_secrets
from deploy.inventory.site import SiteMail
from deploy.order import make_orders
from deploy.runner.operations import Script, mailboxes
from deploy.runner.operations.accounts import matches
from deploy.runner.operations.mailboxes import Folders, FoldersFact, HashesFact, MailAccount
from deploy.site import CATALOG
from roles.mail import tasks

DOMAIN = "xa-mau.gialai.gov.vn"
PROVINCE = """\
province: {name: Gia Lai, slug: gia-lai, code: 52, domain: gialai.gov.vn}
supernet: 10.52.0.0/14
"""
COMMUNE = """\
commune: {name: Xã Mẫu, slug: xa-mau, code: "00000", prefix: 10.52.0.0/22}
zones: {server: {vlan: 10}, office: {vlan: 20}}
uplinks: [{name: fibre, interface: wan0}]
machines:
  gw1: {kind: gateway, ports: {wan0: uplink, lan0: trunk}}
  srv1: {kind: server, zone: server, mac: "52:54:00:00:00:10"}
  vp01: {kind: office, zone: office, mac: "52:54:00:00:00:20"}
"""
LOCAL = """\
services:
  mail:
    mode: local
    server: srv1
    quota: 1GiB
    shared:
      vanthu: {name: Văn thư, members: [mau.nv, vidu.tt], quota: 5GiB}
    aliases:
      lienhe: [vanthu]
      tatca: [canbo, lienhe]
    lists:
      canbo: {name: Cán bộ}
      lanhdao: {name: Lãnh đạo, members: [mau.nv], senders: members}
people:
  - {name: Nguyễn Văn Mẫu, login: mau.nv, mailbox: true, quota: 500MiB}
  - {name: Trần Thị Ví Dụ, login: vidu.tt, mailbox: true, phone: "0269 3824 123", department: Văn phòng}
  - {name: Lê Văn Không, login: khong.lv}
"""


def commune(folder: Path, text: str = LOCAL, province: str = PROVINCE) -> Resolved:
    (folder / "xa-mau").mkdir(exist_ok=True)
    (folder / "province.yaml").write_text(province, encoding="utf-8")
    (folder / "xa-mau" / "commune.yaml").write_text(COMMUNE + text, encoding="utf-8")
    return resolve(load(folder, CATALOG), "xa-mau")


@pytest.fixture
def resolved(tmp_path: Path) -> Resolved:
    return commune(tmp_path)


@pytest.fixture
def mail(resolved: Resolved) -> SiteMail:
    assert resolved.site.mail is not None
    return resolved.site.mail


def test_mailboxes(mail: SiteMail) -> None:
    assert [(box.login, box.quota, box.shared) for box in mail.mailboxes] == [
        ("mau.nv", 500, False),
        ("vidu.tt", 1024, False),
        ("vanthu", 5120, True),
    ]
    assert mail.host_names[0] == mail.imap == mail.submission == f"mail.{DOMAIN}"


def test_aliases_are_followed_to_their_mailboxes_and_each_gets_a_mail_once(mail: SiteMail) -> None:
    aliases = {alias.name: alias.to for alias in mail.aliases}
    assert aliases["lienhe"] == ("vanthu",)
    assert aliases["tatca"] == ("mau.nv", "vidu.tt", "vanthu")
    assert {name: to for name, to in aliases.items() if name not in {"lienhe", "tatca"}} == dict.fromkeys(
        ("postmaster", "abuse", "hostmaster", "webmaster", "root"), ("mau.nv",)
    )
    assert {each.name: each.members for each in mail.lists} == {
        "canbo": ("mau.nv", "vidu.tt"),
        "lanhdao": ("mau.nv",),
    }


def test_who_writes_under_which_address(mail: SiteMail) -> None:
    mau, vidu = f"mau.nv@{DOMAIN}", f"vidu.tt@{DOMAIN}"
    found = tasks.senders(mail)
    assert found[mau] == (mau,)
    assert found[f"vanthu@{DOMAIN}"] == found[f"lienhe@{DOMAIN}"] == (mau, vidu)
    assert found[f"postmaster@{DOMAIN}"] == (mau,)
    assert not found.keys() & {f"tatca@{DOMAIN}", f"canbo@{DOMAIN}", f"khong.lv@{DOMAIN}"}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ({"a": ["b"], "b": ["x"]}, []),
        ({"a": ["a"]}, [("a", "a")]),
        ({"a": ["x", "b"], "b": ["c"], "c": ["b"]}, [("b", "c", "b")]),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, []),
    ],
)
def test_loops(steps: dict[str, list[str]], expected: list[tuple[str, ...]]) -> None:
    assert list(loops(steps)) == expected


def test_a_long_chain_of_aliases_is_no_loop() -> None:
    assert list(loops({f"a{n}": [f"a{n + 1}"] for n in range(300)})) == []


def test_only_the_mail_machine_has_the_role(resolved: Resolved) -> None:
    assert [machine.name for machine in resolved.site.machines if "mail" in machine.roles] == ["srv1"]
    assert resolved.site.machine("srv1").roles.index("base") < resolved.site.machine("srv1").roles.index("mail")


def test_mail_of_the_province(tmp_path: Path) -> None:
    own = "upstream: {mail: {domain: gialai.gov.vn, imap: imap.gialai.gov.vn, submission: smtp.gialai.gov.vn}}\n"
    text = "services: {mail: {mode: province}}\npeople: [{name: A, login: a, mailbox: true}]\n"
    site = commune(tmp_path, text, PROVINCE + own).site
    assert site.mail is not None
    assert (site.mail.address("a"), site.mail.imap) == ("a@gialai.gov.vn", "imap.gialai.gov.vn")
    assert site.mail.host_names == ()
    assert not any("mail" in machine.roles for machine in site.machines)
    unsaid = commune(tmp_path, text).site
    assert unsaid.mail is None
    assert any("upstream.mail" in note for note in unsaid.notes)


# Secrets


def test_each_machine_gets_its_own_secrets_and_none_the_authority(resolved: Resolved, tmp_path: Path) -> None:
    orders = make_orders(resolved.site, resolved.options, stand_in_secrets(tmp_path / "lab.json"), CATALOG)
    asked = {name: {key.partition(".")[0] for key in order.secrets} for name, order in orders.items()}
    assert asked == {"gw1": {"base"}, "srv1": {"base", "mail"}, "vp01": {"base"}}
    assert all(AUTHORITY not in order.secrets for order in orders.values())
    assert {order.secrets["base.trust_anchor"] for order in orders.values()} == {
        orders["srv1"].secrets["base.trust_anchor"]
    }
    again = make_orders(resolved.site, resolved.options, stand_in_secrets(tmp_path / "lab.json"), CATALOG)
    assert {name: order.digest for name, order in again.items()} == {n: o.digest for n, o in orders.items()}
    _believed(orders["srv1"].secrets["mail.tls"], orders["gw1"].secrets["base.trust_anchor"])


def test_secrets_are_made_in_the_order_in_which_they_sign(resolved: Resolved, tmp_path: Path) -> None:
    keys = _keys(tmp_path)
    path = tmp_path / "xa-mau" / "secrets.yaml"
    wanted = wanted_secrets(resolved.site, resolved.options, CATALOG)
    made = generate_missing(path, wanted, keys.recipients)
    assert {"base.ca", "base.trust_anchor", "mail.tls", "mail.dkim_lx1", "mail.password_mau.nv"} <= set(made)
    _believed(show(path, "mail.tls", keys), show(path, "base.trust_anchor", keys))


def test_a_certificate_by_an_authority_that_is_there_wants_a_key_that_opens_it(
    resolved: Resolved, tmp_path: Path
) -> None:
    keys = _keys(tmp_path)
    path = tmp_path / "xa-mau" / "secrets.yaml"
    wanted = wanted_secrets(resolved.site, resolved.options, CATALOG)
    generate_missing(path, {key: one for key, one in wanted.items() if key.startswith("base.")}, keys.recipients)
    before = path.read_text()
    with pytest.raises(UserError, match="no identity is set up"):
        generate_missing(path, wanted)
    assert path.read_text() == before
    generate_missing(path, wanted, keys=keys)
    _believed(show(path, "mail.tls", keys), show(path, "base.trust_anchor", keys))


def test_certificates_are_renewed_when_they_are_due(resolved: Resolved, tmp_path: Path) -> None:
    keys = _keys(tmp_path)
    path = tmp_path / "xa-mau" / "secrets.yaml"
    wanted = wanted_secrets(resolved.site, resolved.options, CATALOG)
    generate_missing(path, wanted, keys.recipients)
    first = show(path, "mail.tls", keys)
    assert renew_certificates(path, wanted, keys, timedelta(days=90)) == ()
    assert renew_certificates(path, wanted, keys, timedelta(days=1000)) == ("mail.tls",)
    assert show(path, "mail.tls", keys) != first
    _believed(show(path, "mail.tls", keys), show(path, "base.trust_anchor", keys))
    other = {"mail.tls": replace(wanted["mail.tls"], names=(f"thu.{DOMAIN}",))}
    assert renew_certificates(path, other, keys, timedelta(days=90)) == ("mail.tls",)


def test_the_authority_vouches_for_the_commune_only() -> None:
    authority = certificates.make_authority((DOMAIN,))
    anchor = certificates.anchor_of(authority)
    assert "PRIVATE" not in anchor
    constraint = x509.load_pem_x509_certificate(anchor.encode()).extensions.get_extension_for_class(
        x509.NameConstraints
    )
    assert constraint.critical
    assert constraint.value.permitted_subtrees == [x509.DNSName(DOMAIN)]
    ends = certificates.expires(certificates.make_certificate((f"mail.{DOMAIN}",), authority))
    assert timedelta(days=800) < ends - datetime.now(UTC) < timedelta(days=825)


def test_dkim_key() -> None:
    private = certificates.make_dkim_key()
    key = load_pem_private_key(private.encode(), None)
    assert getattr(key, "key_size", 0) == 2048
    assert certificates.dkim_public_key(private).startswith("MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A")


def test_a_smarthost_s_password_comes_from_outside(tmp_path: Path) -> None:
    text = LOCAL.replace("    quota:", "    smarthost: {host: relay.gialai.gov.vn, user: xa-mau}\n    quota:")
    resolved = commune(tmp_path, text)
    wanted = wanted_secrets(resolved.site, resolved.options, CATALOG)
    assert not wanted["mail.smarthost_password"].generated


def _keys(folder: Path) -> Keys:
    identity = pyrage.x25519.Identity.generate()
    return Keys(folder / "identity", (identity,), (str(identity.to_public()),))


def _believed(certificate: str, anchor: str) -> None:
    """By a handshake in memory, as a mail program has it."""
    key, begin, chain = certificate.partition("-----BEGIN CERTIFICATE-----")
    leaf = x509.load_pem_x509_certificate((begin + chain).encode())
    authority = x509.load_pem_x509_certificate(anchor.encode())
    leaf.verify_directly_issued_by(authority)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
        x509.DNSName
    )
    assert names == [f"{one}.{DOMAIN}" for one in ("mail", "autoconfig", "autodiscover", "mta-sts", "srv1")]
    assert load_pem_private_key(key.encode(), None).public_key() == leaf.public_key()
    assert ssl.create_default_context(cadata=anchor).cert_store_stats()["x509_ca"] == 1


# On the machine


MAU, VIDU = MailAccount("mau.nv@x", "mat-khau-1", "q=1"), MailAccount("vanthu@x", None, "q=2")


def _written(said: dict[type, Any], before: str, *accounts: MailAccount) -> tuple[str, str]:
    """What the file becomes, and what the journal says of it."""

    said[HashesFact] = before
    commands = list(mailboxes._mail_accounts._inner(path="/x", accounts=accounts, group="dovecot"))
    if not commands:
        return before, ""
    (script,) = commands
    assert isinstance(script, Script)
    return base64.b64decode(script.connector_arguments["_stdin"]).decode(), script.summary


def test_accounts_are_hashed_once(said: dict[type, Any]) -> None:
    text, says = _written(said, "", MAU, VIDU)
    assert says == "write /x: +mau.nv@x, +vanthu@x"
    hashed = text.splitlines()[0].split(":")[1].removeprefix("{CRYPT}")
    assert hashed.startswith("$2b$10$")
    assert matches("mat-khau-1", hashed)
    assert text.splitlines()[1] == "vanthu@x:{CRYPT}*::::::q=2"
    assert "mat-khau" not in text
    assert _written(said, text, MAU, VIDU) == (text, "")


def test_an_account_that_changes_or_goes(said: dict[type, Any]) -> None:
    text, _ = _written(said, "", MAU, VIDU)
    other, says = _written(said, text, MailAccount("mau.nv@x", "mat-khau-2", "q=1"))
    assert says == "write /x: -vanthu@x, ~mau.nv@x"
    assert matches("mat-khau-2", other.split(":")[1].removeprefix("{CRYPT}"))
    assert "mat-khau-2" not in repr(MailAccount("mau.nv@x", "mat-khau-2"))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (Folders(), ["make the mailboxes of a, b"]),
        (Folders(open=frozenset({"a", "b"})), []),
        (Folders(open=frozenset({"a"}), locked=frozenset({"b"})), ["make the mailboxes of b"]),
        (
            Folders(open=frozenset({"a", "b", "c"})),
            ["lock the mailboxes of c: no longer in the inventory; their mail is kept"],
        ),
        (Folders(open=frozenset({"a", "b"}), locked=frozenset({"c"})), []),
    ],
)
def test_mailboxes_outlive_their_people(said: dict[type, Any], now: Folders, expected: list[str]) -> None:
    said[FoldersFact] = now
    commands = list(mailboxes._mail_folders._inner(folder="/m", logins=("a", "b"), user="vmail"))
    assert [command.summary for command in commands if isinstance(command, Script)] == expected
    assert not any("rm -r" in str(command) for command in commands)


def test_folders_are_understood() -> None:
    assert FoldersFact().process(["open mau.nv", "locked cu.nv"]) == Folders(
        frozenset({"mau.nv"}), frozenset({"cu.nv"})
    )


@pytest.mark.parametrize("dovecot", ["2.3", "2.4"])
def test_quotas_and_shared_mailboxes_are_on_the_accounts(mail: SiteMail, dovecot: str) -> None:
    secrets = {"password_mau.nv": "a" * 16, "password_vidu.tt": "b" * 16}
    mau, _, vanthu = tasks.accounts(mail, secrets, dovecot)
    assert "500M" in mau.fields
    assert "userdb_namespace/shared1/disabled=no" in mau.fields
    assert vanthu.password is None
    assert tasks.ARRIVED_ON_DISK in vanthu.fields


def test_the_folder_of_what_arrives_has_its_name_on_disk() -> None:
    utf7 = tasks.ARRIVED_ON_DISK.replace("&", "+").replace(",", "/").encode().decode("utf-7")
    assert utf7 == tasks.ARRIVED


def test_a_password_is_asked_for_only_by_those_who_log_in(resolved: Resolved) -> None:
    wanted = wanted_secrets(resolved.site, resolved.options, CATALOG)
    assert {key for key in wanted if key.startswith("mail.password_")} == {
        "mail.password_mau.nv",
        "mail.password_vidu.tt",
    }
    assert wanted["mail.tls"] == Secret(
        "tls",
        "Key and certificate of the mail server",
        form="certificate",
        names=tuple(f"{one}.{DOMAIN}" for one in ("mail", "autoconfig", "autodiscover", "mta-sts", "srv1")),
    )
