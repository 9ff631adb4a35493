"""Secrets: really sealed, changed line by line, opened only by whom they are for."""

from __future__ import annotations

import stat
import string
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sample_site import CATALOG, sample_options, sample_site

from deploy import site
from deploy.errors import UserError
from deploy.inventory import secrets, secrets_check
from deploy.inventory.identity import Keys, configured_keys, create_identity, read_keys
from deploy.inventory.loading import load
from deploy.inventory.resolve import Resolved, resolve
from deploy.inventory.role import Secret
from deploy.inventory.secrets import generate_missing, rekey, set_secret, show, stand_in_secrets, wanted_secrets
from deploy.inventory.secrets_check import check_secrets
from deploy.inventory.secrets_edit import Edited, edit
from deploy.inventory.secrets_file import parse_secrets, with_value, without_value
from deploy.order import make_orders


@dataclass(frozen=True)
class Desk:
    """An engineer with a key, and a commune's file sealed for it."""

    keys: Keys
    path: Path

    def write(self, *lines: str) -> None:
        self.path.write_text("\n".join(("recipients:", f"  - {self.keys.recipients[0]}", *lines, "")))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    path = tmp_path / "inventories" / "xa-mau" / "secrets.yaml"
    path.parent.mkdir(parents=True)
    made = Desk(create_identity(tmp_path / "identity.txt"), path)
    made.write()
    return made


@pytest.fixture
def stranger(tmp_path: Path) -> Keys:
    return create_identity(tmp_path / "stranger.txt")


def resolved() -> Resolved:
    return Resolved(sample_site(), sample_options(), {})


# Set and show


def test_what_is_set_is_shown_to_its_recipient_alone(desk: Desk, stranger: Keys) -> None:
    set_secret(desk.path, "base.console_password", "mật khẩu: \"'#\n")
    assert "mật khẩu" not in desk.path.read_text()
    assert show(desk.path, "base.console_password", desk.keys) == "mật khẩu: \"'#\n"
    with pytest.raises(UserError, match=r"secrets.yaml:4: .*is not sealed for .*rekey xa-mau"):
        show(desk.path, "base.console_password", stranger)
    with pytest.raises(UserError, match="no identity is set up"):
        show(desk.path, "base.console_password", None)


def test_setting_one_value_changes_one_line(desk: Desk) -> None:
    desk.write("# of the machines", "base:", "  console_password: 'clear'  # at the keyboard", "network:")
    set_secret(desk.path, "network.pppoe_fibre", "one")
    set_secret(desk.path, "network.pppoe_backup", "two")
    before = desk.path.read_text().splitlines()
    set_secret(desk.path, "base.console_password", "three")
    after = desk.path.read_text().splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == 1
    assert changed[0].endswith('"  # at the keyboard')
    assert [line.split(":")[0] for line in after[2:]] == [
        "# of the machines", "base", "  console_password", "network", "  pppoe_fibre", "  pppoe_backup",
    ]  # fmt: skip
    assert show(desk.path, "network.pppoe_backup", desk.keys) == "two"


def test_braces_become_lines(desk: Desk) -> None:
    first = secrets.seal("first", desk.keys.recipients)
    desk.write(f'base: {{console_password: "{first}"}}')
    set_secret(desk.path, "base.wifi", "second")
    assert desk.path.read_text().splitlines()[2:4] == ["base:", f'  console_password: "{first}"']
    assert show(desk.path, "base.wifi", desk.keys) == "second"


@pytest.mark.parametrize("key", ["console_password", "base.", "Base.x", "base.a b", "base.a: b"])
def test_a_key_that_names_no_secret(desk: Desk, key: str) -> None:
    with pytest.raises(UserError, match=r"<role>\.<name>"):
        set_secret(desk.path, key, "x")


def test_an_empty_value_is_refused(desk: Desk) -> None:
    with pytest.raises(UserError, match="empty"):
        set_secret(desk.path, "base.x", "")


def test_no_file_says_how_to_begin_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"lienxa secrets generate {tmp_path.name}"):
        set_secret(tmp_path / "secrets.yaml", "base.x", "y")


def test_show_says_what_there_is(desk: Desk) -> None:
    set_secret(desk.path, "base.x", "y")
    with pytest.raises(
        UserError, match=r"has no base.z; it has: base.x; set it with: lienxa secrets set xa-mau base.z"
    ):
        show(desk.path, "base.z", desk.keys)


KEYS = st.tuples(st.sampled_from(["base", "network"]), st.text("abc_1", min_size=1, max_size=3)).map(".".join)


@given(changes=st.lists(st.tuples(KEYS, st.one_of(st.none(), st.text(string.printable, min_size=1)))))
def test_any_row_of_changes_is_what_a_mapping_would_be(changes: list[tuple[str, str | None]]) -> None:
    """None takes a value out."""
    recipient = str(pyrage.x25519.Identity.generate().to_public())
    text = f"# whose\nrecipients:\n  - {recipient}  # mine\n"
    expected: dict[str, str] = {}
    for key, value in changes:
        if value is None:
            text = without_value(text, key)
            expected.pop(key, None)
        else:
            sealed = "age:" + value.encode().hex()
            text = with_value(text, key, sealed)
            expected[key] = sealed
        parsed = parse_secrets(Path("secrets.yaml"), text.encode())
        assert {name: one.text for name, one in parsed.values.items()} == expected
        assert text.startswith(f"# whose\nrecipients:\n  - {recipient}  # mine\n")
        for name, one in parsed.values.items():
            assert f'{name.split(".")[1]}: "{expected[name]}"' in text.splitlines()[one.line - 1]


# Recipients


def test_rekey_lets_the_new_one_in_and_the_old_one_out(desk: Desk, stranger: Keys) -> None:
    set_secret(desk.path, "base.x", "one")
    set_secret(desk.path, "base.y", "two")
    desk.path.write_text(desk.path.read_text().replace(desk.keys.recipients[0], stranger.recipients[0]))
    assert rekey(desk.path, desk.keys) == 2
    assert show(desk.path, "base.y", stranger) == "two"
    with pytest.raises(UserError, match="is not sealed for"):
        show(desk.path, "base.x", desk.keys)


def test_rekey_that_cannot_open_all_changes_nothing(desk: Desk, stranger: Keys) -> None:
    set_secret(desk.path, "base.x", "one")
    before = desk.path.read_bytes()
    with pytest.raises(UserError):
        rekey(desk.path, stranger)
    assert desk.path.read_bytes() == before


def test_several_recipients_can_each_open_it(desk: Desk, stranger: Keys) -> None:
    desk.write(f"  - {stranger.recipients[0]}")
    set_secret(desk.path, "base.x", "one")
    assert show(desk.path, "base.x", desk.keys) == show(desk.path, "base.x", stranger) == "one"


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_an_ssh_key_serves_as_identity(desk: Desk, tmp_path: Path, kind: str) -> None:
    _ssh_key(tmp_path / "id", kind)
    keys = read_keys(tmp_path / "id")
    desk.path.write_text(f"recipients:\n  - {keys.recipients[0]}\n")
    set_secret(desk.path, "base.x", "one")
    assert show(desk.path, "base.x", keys) == "one"


@pytest.mark.parametrize(("kind", "passphrase"), [("ed25519", "abcde"), ("ecdsa", "")])
def test_an_ssh_key_that_cannot_serve_says_why(tmp_path: Path, kind: str, passphrase: str) -> None:
    _ssh_key(tmp_path / "id", kind, passphrase)
    with pytest.raises(UserError, match="allowed: ed25519 and RSA, without passphrase"):
        read_keys(tmp_path / "id")


def _ssh_key(path: Path, kind: str, passphrase: str = "") -> None:
    bits = ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", passphrase, "-f", path], check=True)


# Identity


def test_identity_is_private_and_not_overwritten(desk: Desk) -> None:
    assert stat.S_IMODE(desk.keys.path.stat().st_mode) == 0o600
    with pytest.raises(UserError, match="is there already"):
        create_identity(desk.keys.path)
    assert "SECRET" not in repr(desk.keys)


def test_an_identity_that_others_may_read_is_refused(desk: Desk) -> None:
    desk.keys.path.chmod(0o644)
    with pytest.raises(UserError, match="run: chmod 600"):
        read_keys(desk.keys.path)


def test_where_the_identity_is_looked_for(desk: Desk, tmp_path: Path) -> None:
    assert configured_keys({"HOME": str(tmp_path)}) is None
    default = create_identity(tmp_path / ".config" / "lienxa" / "identity.txt")
    found = configured_keys({"HOME": str(tmp_path)})
    assert found is not None
    assert found.recipients == default.recipients
    named = configured_keys({"HOME": str(tmp_path), "LIENXA_IDENTITY": str(desk.keys.path)})
    assert named is not None
    assert named.recipients == desk.keys.recipients
    with pytest.raises(UserError, match="LIENXA_IDENTITY"):
        configured_keys({"LIENXA_IDENTITY": str(tmp_path / "gone")})


@pytest.mark.parametrize(("content", "message"), [("# nothing\n", "holds no key"), ("hello\n", ":1: this is no age")])
def test_a_file_that_is_no_identity(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "identity.txt"
    path.touch(mode=0o600)
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        read_keys(path)


# Generated values


def test_what_is_missing_is_generated_once(desk: Desk) -> None:
    wanted = wanted_secrets(sample_site(), sample_options(), CATALOG)
    assert list(wanted) == ["base.console_password", "network.pppoe_fibre"]
    assert generate_missing(desk.path, wanted) == ("base.console_password",)
    value = show(desk.path, "base.console_password", desk.keys)
    assert len(value) == 24
    assert not set(value) & set("0Oo1lIi2Z5S8B")
    assert generate_missing(desk.path, wanted) == ()
    assert show(desk.path, "base.console_password", desk.keys) == value


def test_a_first_file_is_begun_for_the_recipients(desk: Desk) -> None:
    desk.path.unlink()
    with pytest.raises(UserError, match="lienxa secrets identity"):
        generate_missing(desk.path, {})
    assert generate_missing(desk.path, {"base.x": Secret("x", "a test", length=8)}, desk.keys.recipients) == (
        "base.x",
    )
    assert len(show(desk.path, "base.x", desk.keys)) == 8


# Edit


def test_edit_seals_again_only_what_was_changed(desk: Desk) -> None:
    for key in ("base.x", "base.y", "network.z"):
        set_secret(desk.path, key, f"old {key}")
    before = desk.path.read_text().splitlines()
    seen: list[tuple[Path, int, int]] = []

    def editor(view: Path) -> None:
        seen.append((view, stat.S_IMODE(view.stat().st_mode), stat.S_IMODE(view.parent.stat().st_mode)))
        text = view.read_text()
        assert 'x: "old base.x"' in text
        (view.parent / "swap~").write_text(text)
        text = text.replace("old base.y", "mới").replace('network:\n  z: "old network.z"\n', "")
        view.write_text(text + 'firewall:\n  new: "fresh"\n')

    assert edit(desk.path, desk.keys, editor) == Edited(("base.y", "firewall.new"), ("network.z",))
    view, mode, folder_mode = seen[0]
    assert (mode, folder_mode) == (0o600, 0o700)
    assert not view.parent.exists()
    assert _file_system(view.parent.parent) == "tmpfs"
    after = desk.path.read_text().splitlines()
    assert after[3] == before[3]
    assert show(desk.path, "base.y", desk.keys) == "mới"
    assert show(desk.path, "firewall.new", desk.keys) == "fresh"
    assert "network" not in desk.path.read_text()


def _file_system(folder: Path) -> str:
    return subprocess.run(
        ["stat", "-f", "-c", "%T", folder], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_edit_without_a_change_leaves_the_file_alone(desk: Desk) -> None:
    set_secret(desk.path, "base.x", "one")
    before = desk.path.stat().st_mtime_ns, desk.path.read_bytes()
    assert edit(desk.path, desk.keys, lambda view: None) == Edited((), ())
    assert (desk.path.stat().st_mtime_ns, desk.path.read_bytes()) == before


@pytest.mark.parametrize(
    "text",
    [
        "base:\n  x: 12345\n",
        "base: {x: [zq]}\n",
        "base: zq\n",
        "base:\n\tx: zq\n",
        'base:\n  x: "zq\n',
        "base:\n  x:\n",
    ],
)
def test_an_edit_that_makes_no_sense_changes_nothing_and_shows_nothing(desk: Desk, text: str) -> None:
    set_secret(desk.path, "base.x", "one")
    before = desk.path.read_bytes()
    with pytest.raises(UserError, match=r"the edited text:\d+: .*nothing was changed") as caught:
        edit(desk.path, desk.keys, lambda view: view.write_text(text) and None)
    assert "zq" not in str(caught.value)
    assert "12345" not in str(caught.value)
    assert desk.path.read_bytes() == before


def test_the_engineers_editor_is_run(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_secret(desk.path, "base.x", "one")
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", "sed -i s/one/two/")
    assert edit(desk.path, desk.keys) == Edited(("base.x",), ())
    assert show(desk.path, "base.x", desk.keys) == "two"
    monkeypatch.setenv("EDITOR", "false")
    with pytest.raises(UserError, match="ended with 1; nothing was changed"):
        edit(desk.path, desk.keys)
    monkeypatch.setenv("EDITOR", str(tmp_path / "no-editor"))
    with pytest.raises(UserError, match="set EDITOR"):
        edit(desk.path, desk.keys)


# Check


def problems(desk: Desk, keys: Keys | None = None) -> list[str]:
    folder = desk.path.parents[1]
    return [str(one).removeprefix(f"{folder}/") for one in check_secrets(resolved(), CATALOG, folder, keys)]


MISSING_PASSWORD = "base.console_password is missing (password at the keyboard); run: lienxa secrets generate xa-mau"
MISSING_LINE = (
    "network.pppoe_fibre is missing (password of the line fibre); run: lienxa secrets set xa-mau network.pppoe_fibre"
)


def test_check_names_each_missing_secret_and_the_command(desk: Desk) -> None:
    desk.write("network:")
    assert problems(desk) == [f"xa-mau/secrets.yaml:1: {MISSING_PASSWORD}", f"xa-mau/secrets.yaml:3: {MISSING_LINE}"]
    desk.path.unlink()
    assert problems(desk) == [f"xa-mau/secrets.yaml:1: {MISSING_PASSWORD}", f"xa-mau/secrets.yaml:1: {MISSING_LINE}"]


def test_check_is_content_with_all_that_is_asked_for(desk: Desk) -> None:
    set_secret(desk.path, "base.console_password", "a")
    set_secret(desk.path, "network.pppoe_fibre", "b")
    assert problems(desk) == problems(desk, desk.keys) == []


def test_check_says_which_values_our_key_does_not_open(desk: Desk, stranger: Keys) -> None:
    set_secret(desk.path, "base.console_password", "a")
    set_secret(desk.path, "network.pppoe_fibre", "b")
    found = problems(desk, stranger)
    assert [one.split(" ")[1] for one in found] == ["base.console_password", "network.pppoe_fibre"]
    assert f"adds {stranger.recipients[0]} to the recipients and runs: lienxa secrets rekey xa-mau" in found[0]


def test_check_opens_no_secret(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    set_secret(desk.path, "base.console_password", "a")
    set_secret(desk.path, "network.pppoe_fibre", "b")
    opened = []

    class Watched:
        DecryptError = pyrage.DecryptError

        @staticmethod
        def decrypt(sealed: bytes, identities: list[object]) -> bytes:
            opened.append(pyrage.decrypt(sealed, identities))
            return opened[-1]

    monkeypatch.setattr(secrets, "pyrage", Watched)
    assert secrets_check.check_secrets(resolved(), CATALOG, desk.path.parents[1], desk.keys) == ()
    assert opened == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "hunter2",
            "is not sealed, so it is a secret no longer; change it where it is used, and run: lienxa secrets set",
        ),
        ("age:äöü", "is damaged"),
        ("age:YWJj", "is damaged"),
    ],
)
def test_check_says_what_is_malformed_and_does_not_repeat_it(desk: Desk, value: str, message: str) -> None:
    set_secret(desk.path, "network.pppoe_fibre", "b")
    desk.path.write_text(desk.path.read_text() + f'base:\n  console_password: "{value}"\n')
    found = problems(desk, desk.keys)
    assert [one.split(" ")[0] for one in found] == ["xa-mau/secrets.yaml:6:"]
    assert message in found[0]
    assert value not in found[0]


def test_a_value_cut_short_is_damaged(desk: Desk) -> None:
    sealed = secrets.seal("x", desk.keys.recipients)
    desk.write("base:", f'  console_password: "{sealed[:80]}"')
    assert any("console_password is damaged" in one for one in problems(desk, desk.keys))


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        (["recipients: []"], 1, "no recipients"),
        (["recipients:", "  - age1nobody"], 2, '"age1nobody" is no recipient'),
        (["base: {a: {b: c}}"], 1, "no recipients"),
        (["recipients: []", "base:", "  a: [1]"], 3, "has to be a name and one value"),
        (["recipients: []", "recipients: []"], 2, "stands here again"),
        (["recipients: ["], 2, "not YAML"),
    ],
)
def test_a_file_that_is_wrong_is_said_with_its_line(desk: Desk, lines: list[str], line: int, message: str) -> None:
    desk.path.write_text("\n".join(lines) + "\n")
    assert any(one.startswith(f"xa-mau/secrets.yaml:{line}: ") and message in one for one in problems(desk))


def test_a_commune_of_the_lab_needs_no_key_of_ours(desk: Desk, stranger: Keys) -> None:
    desk.write("lab_only: true")
    set_secret(desk.path, "base.console_password", "a")
    set_secret(desk.path, "network.pppoe_fibre", "b")
    assert problems(desk, stranger) == []
    with pytest.raises(UserError, match="lives in the lab only; add --lab"):
        make_orders(sample_site(), sample_options(), secrets.secrets_from(desk.path, stranger), CATALOG)


def test_the_model_commune_has_its_secrets() -> None:
    inventories = Path(__file__).parents[2] / "inventories"
    model = resolve(load(inventories, site.CATALOG), "xa-mau")
    assert check_secrets(model, site.CATALOG, inventories, None) == ()


BAD = Path(__file__).parent / "bad_secrets"


def refused(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `check` says of the folder, with our key in words."""
    keys = create_identity(tmp_path / "identity.txt")
    monkeypatch.chdir(BAD / case)
    found = check_secrets(resolve(load(Path(), site.CATALOG), "xa-mau"), site.CATALOG, Path(), keys)
    text = "".join(f"{problem}\n" for problem in found)
    return text.replace(str(keys.path), "IDENTITY").replace(keys.recipients[0], "PUBLIC")


@pytest.mark.parametrize("case", sorted(path.name for path in BAD.iterdir()))
def test_refused_with_these_words(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(case, tmp_path, monkeypatch) == (BAD / case / "expected.txt").read_text()


# Orders


def test_orders_take_their_secrets_from_the_file(desk: Desk) -> None:
    set_secret(desk.path, "base.console_password", "a")
    with pytest.raises(UserError, match=r"^gw1: .*network.pppoe_fibre is missing"):
        make_orders(sample_site(), sample_options(), secrets.secrets_from(desk.path, desk.keys), CATALOG)
    set_secret(desk.path, "network.pppoe_fibre", "b")
    orders = make_orders(sample_site(), sample_options(), secrets.secrets_from(desk.path, desk.keys), CATALOG)
    assert orders["gw1"].secrets == {"base.console_password": "a", "network.pppoe_fibre": "b"}


def test_stand_ins_stay_the_same_and_private(tmp_path: Path) -> None:
    path = tmp_path / "lab" / "secrets.json"
    first = make_orders(sample_site(), sample_options(), stand_in_secrets(path), CATALOG)
    again = make_orders(sample_site(), sample_options(), stand_in_secrets(path), CATALOG)
    assert {name: one.digest for name, one in first.items()} == {name: one.digest for name, one in again.items()}
    assert first["gw1"].secrets["base.console_password"] != first["gw1"].secrets["network.pppoe_fibre"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    elsewhere = make_orders(sample_site(), sample_options(), stand_in_secrets(tmp_path / "other"), CATALOG)
    assert elsewhere["gw1"].secrets != first["gw1"].secrets
