"""Turns an order into pyinfra operations: for every role install, configure, activate; for one that left, retire.

Works in whatever pyinfra context is current: our engine's, or that of the stock command running `deploy/site.py`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from pydantic import ValidationError

from deploy.inventory.role import Options, Role
from deploy.order import Order
from deploy.runner.context import Context, contexts_of, debian_release
from deploy.runner.pyinfra_api import host


class Tasks(Protocol):
    """A role's `tasks.py`. Each function calls operations; what they return does not matter."""

    def install(self, ctx: Context[Any]) -> object:
        """Packages and accounts; nothing runs yet."""

    def configure(self, ctx: Context[Any]) -> object:
        """Files."""

    def activate(self, ctx: Context[Any]) -> object:
        """Units."""

    def retire(self, ctx: Context[Any]) -> object:
        """Stop and disable what `activate` started; data stays. The context has default options and no secrets."""


def shipped_tasks(role: str) -> Tasks:
    """The tasks of a role in this kit. Raises ModuleNotFoundError if it has none."""
    return cast("Tasks", importlib.import_module(f"roles.{role}.tasks"))


@dataclass(frozen=True)
class RoleSource:
    """Where roles come from: their cards by name, their tasks and checks."""

    cards: Mapping[str, Role]
    tasks: Callable[[str], Tasks] = shipped_tasks
    checks: Callable[[str], Path | None] | None = None
    """Where a role's checks are; None: beside its tasks in this kit."""


@dataclass(frozen=True)
class Stage:
    """One role's operations, in the order in which they are performed, by pyinfra's hashes."""

    role: str
    version: int
    what: Literal["apply", "retire"]
    operations: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    """What people should know of the role on this machine."""


class PrepareError(Exception):
    """A role could not say what it wants done; nothing was touched."""


def apply_roles(
    order: Order, source: RoleSource, *, lab: bool = False, only: tuple[str, ...] = ()
) -> tuple[Stage, ...]:
    """Register all operations of an order (or of its roles in `only`). Raises PrepareError."""
    unknown = [entry.name for entry in order.roles if entry.name not in source.cards]
    if unknown:
        raise PrepareError(f"this kit has no role {', '.join(unknown)}")
    try:
        contexts = contexts_of(order, source.cards, lab=lab, debian=debian_release())
    except ValidationError as error:
        raise PrepareError(f"the order's options do not fit this kit's roles: {error}") from error
    return tuple(_apply_role(ctx, source) for ctx in contexts if not only or ctx.role.name in only)


def retire_roles(
    order: Order, applied: Mapping[str, int], source: RoleSource, *, lab: bool = False
) -> tuple[Stage, ...]:
    """Register the retirement of every role that was applied to this machine and is not in its order any more.

    A role that this kit does not know has a stage without operations; see `is_known`.
    """
    ordered = {entry.name for entry in order.roles}
    return tuple(
        _retire_role(order, name, version, source, lab=lab)
        for name, version in applied.items()
        if name not in ordered
    )


def is_known(role: str, source: RoleSource) -> bool:
    """Whether this kit has the role's card."""
    return role in source.cards


def _apply_role(ctx: Context[Any], source: RoleSource) -> Stage:
    tasks = source.tasks(ctx.role.name)
    steps = (tasks.install, tasks.configure, tasks.activate)
    warnings = ctx.role.warnings(ctx.options, ctx.hardware, ctx.site)
    return Stage(ctx.role.name, ctx.role.version, "apply", _register(ctx, steps), warnings)


def _retire_role(order: Order, name: str, version: int, source: RoleSource, *, lab: bool) -> Stage:
    if not is_known(name, source):
        return Stage(name, version, "retire", ())
    card = source.cards[name]
    ctx = Context(
        site=order.site,
        machine=order.site.machine(order.machine),
        options=_default_options(card.options),
        role=card,
        lab=lab,
        debian=debian_release(),
    )
    return Stage(name, version, "retire", _register(ctx, (source.tasks(name).retire,)))


def _register(ctx: Context[Any], steps: tuple[Callable[[Context[Any]], object], ...]) -> tuple[str, ...]:
    before = len(host.op_hash_order)
    for step in steps:
        try:
            with host.deploy(ctx.role.name, None, None):
                step(ctx)
        except Exception as error:
            message = f"role {ctx.role.name}: {step.__name__} cannot be prepared: {type(error).__name__}: {error}"
            raise PrepareError(message) from error
    return tuple(host.op_hash_order[before:])


def _default_options(options: type[Options]) -> Options:
    try:
        return options()
    except ValidationError:
        # A required option has no default; to stop and disable units none is needed.
        return options.model_construct()
