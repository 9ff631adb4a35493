"""Whether a commune's secrets are all there, sealed, and sealed for us. No secret is opened for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.inventory.identity import Keys
from deploy.inventory.problems import BadInventory, Problem
from deploy.inventory.resolve import Resolved
from deploy.inventory.role import Catalog, Secret
from deploy.inventory.secrets import malformed, missing, not_for_us, opens, wanted_secrets
from deploy.inventory.secrets_file import SecretsFile, read_secrets


def check_secrets(
    resolved: Resolved, catalog: Catalog, inventories: Path, keys: Keys | None = None
) -> tuple[Problem, ...]:
    """Everything that is wrong with a commune's `secrets.yaml` below `inventories`, in the order of lines.

    A secret that a role asks for and nobody has set; a value that is in clear or damaged; where an identity is set
    up (`keys`), a value that it does not open, unless the commune is `lab_only`. Where nothing is asked for there
    need be no file.
    """
    path = inventories / resolved.site.commune.slug / "secrets.yaml"
    wanted = wanted_secrets(resolved.site, resolved.options, catalog)
    if not path.exists():
        return tuple(missing(path, None, key, secret) for key, secret in wanted.items())
    try:
        file = read_secrets(path)
    except BadInventory as error:
        return error.problems
    return tuple(sorted([*_missing(file, wanted), *_unfit(file, keys)]))


def _missing(file: SecretsFile, wanted: Mapping[str, Secret]) -> Iterator[Problem]:
    return (missing(file.path, file, key, secret) for key, secret in wanted.items() if key not in file.values)


def _unfit(file: SecretsFile, keys: Keys | None) -> Iterator[Problem]:
    for key, value in file.values.items():
        if wrong := malformed(value.text):
            command = f"lienxa secrets set {file.path.parent.name} {key}"
            yield Problem(str(file.path), value.line, f"{key} {wrong}: {command}")
        elif keys is not None and not file.lab_only and not opens(value.text, keys):
            yield Problem(str(file.path), value.line, f"{key} {not_for_us(file.path, keys)}")
