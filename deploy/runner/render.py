"""Renders a role's templates. An undefined variable is an error, never an empty string."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from deploy.runner.context import Context

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"


def render(
    context: Context,
    template: str,
    values: Mapping[str, object] | None = None,
    *,
    folder: Path = TEMPLATES,
) -> str:
    """The text of a template, named by its path below `folder`.

    Its variables are site, machine, options, secrets, role, lab and those in `values`. Raises jinja2.TemplateError,
    with the template's name and line.
    """
    return (
        _environment(folder)
        .get_template(template)
        .render(
            site=context.site,
            machine=context.machine,
            options=context.options,
            secrets=context.secrets,
            role=context.role,
            lab=context.lab,
            **(values or {}),
        )
    )


@cache
def _environment(folder: Path) -> Environment:
    # No escaping: these are configuration files, and each is checked by its own daemon before it is used.
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701
    )
