"""Secrets of a commune: sealed with age, value by value, in `inventories/<slug>/secrets.yaml`.

Nothing here prints a value or puts one into an error's text; only `show` and `edit` hand values to a person.
A value is opened when it is asked for, and no other with it.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pyrage

from deploy.errors import UserError
from deploy.inventory.atomic import locked, write_atomically
from deploy.inventory.identity import Keys, parse_recipient
from deploy.inventory.problems import Problem
from deploy.inventory.role import AUTHORITY, Catalog, Options, Secret
from deploy.inventory.secrets_file import (
    SecretsFile,
    Value,
    check_key,
    parse_secrets,
    read_secrets,
    with_value,
)
from deploy.inventory.site import Site

SecretsFor = Callable[[str, str, Secret], str]
"""Gives the value of a role's secret on a machine: `secrets_for(machine, role, secret)`."""

ALPHABET = "abcdefghjkmnpqrstuvwxyzACDEFGHJKLMNPQRTUVWXY34679"
"""Of generated values: ASCII that any keyboard has, without look-alikes (0 O, 1 l I i, 2 Z, 5 S, 8 B, o)."""


def set_secret(path: Path, key: str, value: str) -> None:
    """Seal a value for the file's recipients and put it in place. Needs no identity. Raises UserError."""
    check_key(key)
    if not value:
        raise UserError(f"{key}: an empty value is no secret; leave it out instead")
    with locked(path.parent):
        file = read_secrets(path)
        write_atomically(path, with_value(file.text, key, seal(value, file.recipients)))


def show(path: Path, key: str, keys: Keys | None) -> str:
    """The value in clear. Raises UserError if there is none, or it is not sealed for these keys."""
    check_key(key)
    file = read_secrets(path)
    if key not in file.values:
        known = ", ".join(sorted(file.values)) or "none"
        raise UserError(f"{path}: has no {key}; it has: {known}; set it with: {_command('set', path, key)}")
    return unseal(path, key, file.values[key], keys)


def rekey(path: Path, keys: Keys | None) -> int:
    """Seal every value anew for the recipients that the file names now; how many there were. Raises UserError.

    One who is no longer a recipient has known the values: change those that still matter.
    """
    with locked(path.parent):
        file = read_secrets(path)
        text = file.text
        for key, value in file.values.items():
            text = with_value(text, key, seal(unseal(path, key, value, keys), file.recipients))
        write_atomically(path, text)
    return len(file.values)


def generate_missing(
    path: Path, wanted: Mapping[str, Secret], recipients: Sequence[str] = (), keys: Keys | None = None
) -> tuple[str, ...]:
    """Make up the values that are wanted, may be generated, and are not there yet; the keys that were made.

    A file that is not there is begun for `recipients`. `keys` are needed for one thing: a certificate by an authority
    that was made before. Raises UserError.
    """
    if not path.exists() and not recipients:
        raise UserError(
            f"{path}: is not there, and nobody is known to seal it for; make a key with: lienxa secrets identity"
        )
    with locked(path.parent):
        raw = path.read_bytes() if path.exists() else new_secrets_text(recipients).encode()
        file = parse_secrets(path, raw)
        text = file.text
        made: dict[str, str] = {}

        def value_of(key: str) -> str:
            return made[key] if key in made else unseal(path, key, file.values[key], keys)

        for key in _in_order(wanted):
            if wanted[key].generated and key not in file.values:
                made[key] = generate(wanted[key], value_of)
        for key, value in made.items():
            text = with_value(text, key, seal(value, file.recipients))
        if made or not path.exists():
            write_atomically(path, text)
    return tuple(sorted(made))


def renew_certificates(
    path: Path, wanted: Mapping[str, Secret], keys: Keys | None, within: timedelta
) -> tuple[str, ...]:
    """Make certificates anew that end soon, or are for other names than are wanted by now; the keys that were made.

    Raises UserError, for a value that these keys do not open too.
    """
    with locked(path.parent):
        file = read_secrets(path)

        def value_of(key: str) -> str:
            return unseal(path, key, file.values[key], keys)

        from deploy.inventory.certificates import is_due  # noqa: PLC0415 slow to import, and few runs make any

        made: dict[str, str] = {}
        for key, secret in sorted(wanted.items()):
            if secret.form == "certificate" and key in file.values and is_due(value_of(key), secret.names, within):
                made[key] = generate(secret, value_of)
        text = file.text
        for key, value in made.items():
            text = with_value(text, key, seal(value, file.recipients))
        if made:
            write_atomically(path, text)
    return tuple(made)


def new_secrets_text(recipients: Sequence[str]) -> str:
    """A `secrets.yaml` without values yet."""
    lines = "".join(f"  - {one}\n" for one in recipients)
    return (
        "# Sealed with age, value by value. Change it with: lienxa secrets set|edit|show|generate.\n"
        "\n"
        "# Who can open them. After a change here: lienxa secrets rekey.\n"
        f"recipients:\n{lines}"
    )


def wanted_secrets(site: Site, options: Mapping[str, Mapping[str, Options]], catalog: Catalog) -> dict[str, Secret]:
    """Every secret that the roles of the site's machines ask for, by `<role>.<name>`, in the order of machines."""
    wanted: dict[str, Secret] = {}
    for machine in site.machines:
        for role in machine.roles:
            for secret in catalog.roles[role].secrets_on(machine.name, options[machine.name][role], site):
                wanted.setdefault(f"{role}.{secret.name}", secret)
    return wanted


def secrets_from(path: Path, keys: Keys | None) -> SecretsFor:
    """Opens a commune's secrets as orders ask for them. Raises UserError here or when called."""
    file: SecretsFile | None = None

    def secrets_for(machine: str, role: str, secret: Secret) -> str:
        nonlocal file
        file = file or read_secrets(path)
        if file.lab_only:
            raise UserError(f"{path}: this commune lives in the lab only; add --lab")
        key = f"{role}.{secret.name}"
        if key not in file.values:
            raise UserError(f"{machine}: {missing(path, file, key, secret)}")
        return unseal(path, key, file.values[key], keys)

    return secrets_for


def stand_in_secrets(path: Path) -> SecretsFor:
    """For a rehearsal: values made up once and kept in a file (0600), so that the next run gives the same."""

    def secrets_for(machine: str, role: str, secret: Secret) -> str:
        key = f"{role}.{secret.name}"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(path.parent):
            known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
            if key not in known:
                if secret.form == "anchor" and AUTHORITY not in known:
                    from deploy.inventory.certificates import make_authority  # noqa: PLC0415 slow to import, and few runs make any

                    # No order holds the authority itself; its certificate goes to every machine before all others.
                    known[AUTHORITY] = make_authority(secret.names)
                known[key] = generate(secret, known.__getitem__)
                write_atomically(path, json.dumps(known, indent=1, sort_keys=True) + "\n", mode=0o600)
        return known[key]

    return secrets_for


def no_authority(key: str) -> str:
    """Where nothing has been made that could sign."""
    raise UserError(f"{key} has to be made first")


def generate(secret: Secret, value_of: Callable[[str], str] = no_authority) -> str:
    """A random value of the secret's form; `value_of` gives that of another one, by its key."""
    if secret.form == "password":
        return "".join(secrets.choice(ALPHABET) for _ in range(secret.length))
    if secret.form == "wireguard":
        from deploy.inventory.wireguard import make_key  # noqa: PLC0415 slow to import, and few runs make any

        return make_key()
    from deploy.inventory import certificates  # noqa: PLC0415 slow to import, and few runs make any

    if secret.form == "authority":
        return certificates.make_authority(secret.names)
    if secret.form == "dkim":
        return certificates.make_dkim_key()
    authority = value_of(AUTHORITY)
    if secret.form == "anchor":
        return certificates.anchor_of(authority)
    return certificates.make_certificate(secret.names, authority)


def _in_order(wanted: Mapping[str, Secret]) -> list[str]:
    """By name, but the authority before what it signs."""
    return sorted(wanted, key=lambda key: (key != AUTHORITY, key))


def seal(value: str, recipients: Sequence[str]) -> str:
    """`age:` and base64, on one line."""
    sealed = pyrage.encrypt(value.encode(), [parse_recipient(one) for one in recipients])
    return "age:" + base64.b64encode(sealed).decode("ascii")


def malformed(text: str) -> str | None:
    """What is wrong with a value as it stands in the file, up to the command that mends it; None for a sealed one."""
    if not text.startswith("age:"):
        return "is not sealed, so it is a secret no longer; change it where it is used, and run"
    return None if _header(text) else "is damaged (no age file in base64); take it from git's history, or run"


def opens(text: str, keys: Keys) -> bool:
    """Whether these keys open a well-formed value; only its header is looked at, the secret itself stays sealed."""
    header = _header(text)
    assert header is not None
    try:
        pyrage.decrypt(header, list(keys.identities))
    except pyrage.DecryptError as error:
        # With a header that it can open age goes on to find the body missing.
        return "No matching keys" not in str(error)
    return True


def missing(path: Path, file: SecretsFile | None, key: str, secret: Secret) -> Problem:
    """For a secret that a role asks for and the file (None: there is none) lacks: with the command that mends it."""
    line = file.lines.get(key.partition(".")[0], 1) if file else 1
    command = f"lienxa secrets generate {path.parent.name}" if secret.generated else _command("set", path, key)
    return Problem(str(path), line, f"{key} is missing ({secret.description}); run: {command}")


def unseal(path: Path, key: str, value: Value, keys: Keys | None) -> str:
    """One value of the file in clear. Raises UserError if it is malformed, or these keys do not open it."""
    where = f"{path}:{value.line}: {key}"
    if wrong := malformed(value.text):
        raise UserError(f"{where} {wrong}: {_command('set', path, key)}")
    if keys is None:
        raise UserError(f"{where} is sealed, and no identity is set up; set LIENXA_IDENTITY to your age or SSH key")
    try:
        opened: bytes = pyrage.decrypt(base64.b64decode(value.text.removeprefix("age:")), list(keys.identities))
        return opened.decode("utf-8")
    except (pyrage.DecryptError, UnicodeDecodeError) as error:
        reason = not_for_us(path, keys) if "No matching keys" in str(error) else "is damaged"
        raise UserError(f"{where} {reason}") from error


def not_for_us(path: Path, keys: Keys) -> str:
    """What to do about a value that is sealed for others."""
    ours = ", ".join(keys.recipients) or f"the public key of {keys.path}"
    return (
        f"is not sealed for the key in {keys.path}; one who can open it adds {ours} to the recipients and runs:"
        f" lienxa secrets rekey {path.parent.name}"
    )


_MAGIC = b"age-encryption.org/"
_NONCE = 16


def _header(text: str) -> bytes | None:
    """An age file's header and nonce: enough to try keys on."""
    try:
        sealed = base64.b64decode(text.removeprefix("age:"), validate=True)
    except ValueError:
        return None
    mac = sealed.find(b"\n--- ")
    end = sealed.find(b"\n", mac + 1) + 1
    if not sealed.startswith(_MAGIC) or mac < 0 or not end or len(sealed) <= end + _NONCE:
        return None
    return sealed[: end + _NONCE]


def _command(verb: str, path: Path, key: str) -> str:
    return f"lienxa secrets {verb} {path.parent.name} {key}"
