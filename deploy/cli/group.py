"""The command itself. A verb's module is imported when the verb is asked for, so that `check` stays quick."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from deploy.cli.guard import guarded

VERBS = {
    "new": "deploy.cli.inventory:new",
    "check": "deploy.cli.inventory:check",
    "secrets": "deploy.cli.secrets:secrets",
    "dns": "deploy.cli.dns:dns",
    "support-path": "deploy.cli.support_path:support_path",
    "trust": "deploy.cli.machines:trust",
    "adopt": "deploy.cli.machines:adopt",
    "plan": "deploy.cli.runs:plan",
    "apply": "deploy.cli.runs:apply",
    "verify": "deploy.cli.runs:verify",
    "doctor": "deploy.cli.doctor:doctor",
    "call-test": "deploy.cli.call_test:call_test",
    "status": "deploy.cli.status:status",
    "attach": "deploy.cli.live:attach",
    "stop": "deploy.cli.live:stop",
    "log": "deploy.cli.live:log",
    "mailbox": "deploy.cli.mailbox:mailbox",
    "qr": "deploy.cli.qr:qr",
    "cache": "deploy.cli.cache:cache",
    "lab": "deploy.cli.lab:lab",
    "completion": "deploy.cli.completion:completion",
    "schema": "deploy.cli.inventory:schema",
}
"""In the order of an engineer's day; `--help` keeps it."""


class LazyGroup(click.Group):
    """A group that knows its verbs by the place where they are defined."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order of an engineer's day."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb; None if there is none of that name."""
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


def _print_version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version  # noqa: PLC0415 slow to import

        click.echo(f"lienxa {version('lienxa')}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Say which."
)
def lienxa() -> None:
    """Set up, prove and hand over all that a commune's offices run on, from one folder of YAML.

    \b
    A first commune, from an empty folder:
      lienxa new "Chư Prông" --province "Gia Lai"     its folder, with example machines
      lienxa check chu-prong                          is what was written right?
      lienxa lab up chu-prong                         rehearse it in containers
      lienxa apply chu-prong --lab                    … apply it there
      lienxa verify chu-prong --lab                   … and prove it
      lienxa trust chu-prong                          then, at the commune: its SSH host keys
      lienxa apply chu-prong
      lienxa verify chu-prong

    Exit codes: 0 done; 1 a change or a check failed; 2 bad input; 3 a machine was out of reach to the end.
    """


def main() -> None:
    """Entry point of the command: run, and turn every error into words and an exit code."""
    sys.exit(guarded(lienxa))
