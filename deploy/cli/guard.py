"""Every error in words: which are the user's, which are ours, and what exit code they end with."""

from __future__ import annotations

import os
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

import click

from deploy.errors import UserError
from deploy.report.exit_codes import BAD_INPUT, FAILED, INTERRUPTED


def guarded(command: click.Command) -> int:
    """Run the command with the process's arguments; what it ends with as an exit code."""
    try:
        code = command.main(prog_name="lienxa", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except UserError as error:
        click.echo(str(error), err=True)
        return BAD_INPUT
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        return _reader_gone()
    except Exception as error:  # noqa: BLE001 the last line of defence: a person gets a sentence, we get a file
        click.echo(f"lienxa broke: {type(error).__name__}: {_first_line(error)}", err=True)
        click.echo(f"This is a bug. Please report it with {_write_crash(error)}.", err=True)
        return FAILED
    return code if isinstance(code, int) else 0


def _reader_gone() -> int:
    """`lienxa plan … | head`: nobody reads on. What is left in the buffer must not raise again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return FAILED


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0]


def _write_crash(error: Exception) -> Path:
    """The traceback in a file of the user's own; without values of variables, which may be secret."""
    folder = Path.home() / ".cache" / "lienxa" / "crash"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}.txt"
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        traceback.print_exception(error, file=stream)
    return file
