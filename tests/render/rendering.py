"""Renders a role's templates for a commune, as its tasks do."""

from __future__ import annotations

from deploy.inventory.site import Site
from deploy.runner.context import Context
from deploy.runner.render import render
from deploy.site import ROLES
from roles.network import tasks as network

FOLDER = "/@folder@"
"""Stands, in a text or a command, for the folder of the test's own in the container."""


def context(site: Site, machine: str, role: str, **options: object) -> Context:
    card = ROLES[role]
    return Context(
        site=site,
        machine=site.machine(machine),
        options=card.options.model_validate(options),
        role=card,
        secrets={
            secret.name: f"secret of {secret.name}"
            for secret in card.secrets_on(machine, card.options.model_validate(options), site)
        },
    )


def rendered(ctx: Context, path: str, template: str | None = None, **values: object) -> str:
    helpers = network._helpers(ctx) if ctx.role.name == "network" else {}
    return render(ctx, template or f"{ctx.role.name}{path}.j2", {**helpers, **values})
