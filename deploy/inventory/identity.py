"""Whose key opens a commune's secrets: the engineer's age identity or SSH key; and whom secrets are sealed for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pyrage

from deploy.errors import UserError

Identity: TypeAlias = Any
"""`pyrage.x25519.Identity` or `pyrage.ssh.Identity`; pyrage has no types of its own."""
Recipient: TypeAlias = Any
"""`pyrage.x25519.Recipient` or `pyrage.ssh.Recipient`."""


@dataclass(frozen=True)
class Keys:
    """The private keys of one file, never printed, and the recipients that belong to them."""

    path: Path
    identities: tuple[Identity, ...] = field(repr=False)
    recipients: tuple[str, ...]
    """`age1…` or `ssh-ed25519 …`; empty for an SSH key whose `.pub` file is not beside it."""


def identity_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the identity is looked for: LIENXA_IDENTITY, else lienxa/identity.txt in XDG_CONFIG_HOME (~/.config)."""
    if given := environ.get("LIENXA_IDENTITY"):
        return Path(given).expanduser()
    config = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config"
    return Path(config) / "lienxa" / "identity.txt"


def configured_keys(environ: Mapping[str, str] = os.environ) -> Keys | None:
    """The engineer's keys, or None if none are set up. Raises UserError for a file that cannot serve.

    A file that LIENXA_IDENTITY names has to exist; the default one need not.
    """
    path = identity_path(environ)
    if not path.exists() and not environ.get("LIENXA_IDENTITY"):
        return None
    return read_keys(path)


def read_keys(path: Path) -> Keys:
    """An age identity file (`AGE-SECRET-KEY-…` lines) or an SSH private key without passphrase. Raises UserError."""
    try:
        if path.stat().st_mode & 0o077:
            raise UserError(f"{path}: others may read this private key; run: chmod 600 {path}")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read: {error.strerror}; set LIENXA_IDENTITY to your age identity or SSH key"
        ) from error
    if content.startswith(b"-----BEGIN"):
        return _ssh_keys(path, content)
    return _age_keys(path, content.decode("utf-8", errors="replace"))


def create_identity(path: Path) -> Keys:
    """A new age identity in a file of its own (0600), in age-keygen's form. Raises UserError if the file is there."""
    identity = pyrage.x25519.Identity.generate()
    made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UserError(f"{path}: is there already, and is kept: secrets may be sealed for it") from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(f"# created: {made} by lienxa\n# public key: {identity.to_public()}\n{identity}\n")
    return read_keys(path)


def parse_recipient(text: str) -> Recipient:
    """An `age1…` or `ssh-…` public key. Raises ValueError with what is allowed."""
    try:
        if text.startswith("ssh-"):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise ValueError(
            f'"{text}" is no recipient: "age1…" (an age public key), "ssh-ed25519 …" or "ssh-rsa …" is'
        ) from error


def _age_keys(path: Path, text: str) -> Keys:
    found = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            found.append(pyrage.x25519.Identity.from_str(line))
        except pyrage.IdentityError as error:
            raise UserError(
                f"{path}:{number}: this is no age identity; allowed: AGE-SECRET-KEY-1… lines (age-keygen makes them)"
                " or an SSH private key"
            ) from error
    if not found:
        raise UserError(f"{path}: holds no key; make one with: age-keygen -o {path}")
    return Keys(path, tuple(found), tuple(str(one.to_public()) for one in found))


def _ssh_keys(path: Path, content: bytes) -> Keys:
    try:
        identity = pyrage.ssh.Identity.from_buffer(content)
    except pyrage.IdentityError as error:
        raise UserError(
            f"{path}: this SSH key cannot open age secrets ({error}); allowed: ed25519 and RSA, without passphrase"
        ) from error
    public = path.with_name(path.name + ".pub")
    words = public.read_text(encoding="utf-8").split() if public.exists() else []
    return Keys(path, (identity,), (" ".join(words[:2]),) if words else ())
