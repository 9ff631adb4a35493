"""`lienxa completion`: the shell's own script, as click makes it."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes lienxa's verbs and options in your shell.

    \b
      bash: lienxa completion bash > ~/.local/share/bash-completion/completions/lienxa
      zsh:  lienxa completion zsh > "${fpath[1]}/_lienxa"
      fish: lienxa completion fish > ~/.config/fish/completions/lienxa.fish
    """
    maker = get_completion_class(shell)
    if maker is None:  # pragma: no cover click knows all of SHELLS
        raise click.UsageError(f"no completion for {shell}")
    click.echo(maker(ctx.find_root().command, {}, "lienxa", "_LIENXA_COMPLETE").source())
