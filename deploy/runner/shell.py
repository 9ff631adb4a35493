"""One long-lived `sh` on this machine, and the pyinfra connector over it: a fork of a small shell per command.

pyinfra's `@local` forks its own large Python process for every command, which costs ten times as much.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Unpack

from deploy.runner.pyinfra_api import (
    BaseConnector,
    CommandOutput,
    ConnectorArguments,
    Host,
    OutputLine,
    State,
    StringCommand,
    make_unix_command_for_host,
)
from deploy.runner.question import Question

ENVIRONMENT: Mapping[str, str] = {
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}
"""All that a command finds in its environment."""
LONGEST_COMMAND = 2 * 3600.0
"""Seconds after which a command without a timeout of its own is given up. Packages on a bad line take long."""
_GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL."""


class ShellError(Exception):
    """The shell itself ended while it ran a command."""


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    command: str
    code: int
    stdout: str
    stderr: str


class Shell:
    """A `sh` process that runs one command after the other, each in a subshell of its own.

    The command travels through a pipe and its input and output through anonymous memory (memfd): nothing is visible
    in a process list or a directory, of any size, and stdout and stderr need no marks to be told apart.
    """

    def __init__(self, environment: Mapping[str, str] = ENVIRONMENT) -> None:
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, command: str, stdin: bytes = b"", timeout: float = LONGEST_COMMAND) -> Outcome:
        """Run one command to its end.

        Raises TimeoutError after `timeout` seconds (the command and its children are then killed), ShellError if the
        command took the shell with it; the next command gets a new shell.
        """
        if "\0" in command:
            raise ValueError("a command cannot contain a NUL character")
        with ExitStack() as stack:
            given, out, err = (stack.enter_context(_memory(name)) for name in ("stdin", "stdout", "stderr"))
            given.write(stdin)
            source = _path(given) if stdin else "/dev/null"
            line = f"( eval {shlex.quote(command)} ) <{source} >{_path(out)} 2>{_path(err)}; echo $?\n"
            code = self._converse(line.encode("utf-8", errors="surrogateescape"), timeout)
            return Outcome(command, code, _text(out), _text(err))

    def close(self) -> None:
        """End the shell and whatever still runs in its process group."""
        process, self._process = self._process, None
        if process is None:
            return
        _kill_group(process)
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _converse(self, line: bytes, timeout: float) -> int:
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(line)
            process.stdin.flush()
            answer = _read_line(process, time.monotonic() + timeout)
        except BrokenPipeError:
            answer = b""
        except BaseException:
            # Timeout, or an exception out of a signal handler: the command must not go on behind our back.
            self.close()
            raise
        if not answer.endswith(b"\n"):
            self.close()
            raise ShellError("the shell ended while it ran the command (killed from outside, or out of memory?)")
        return int(answer)

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            ["/bin/sh"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
            cwd="/",
            start_new_session=True,
        )
        return self._process


class ShellConnector(BaseConnector):
    """Runs pyinfra's commands in a Shell, and remembers the answers of facts until something is changed."""

    handles_execution = True

    def __init__(self, state: State, host: Host, shell: Shell) -> None:
        super().__init__(state, host)
        self._shell = shell
        self._facts: dict[tuple[str, bytes], Outcome] = {}
        self._is_changing = False
        self.last: Outcome | None = None
        """The last command's outcome, for the words of an error."""

    @staticmethod
    def make_names_data(name: str) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        """Not used: the engine makes its one host itself."""
        yield name, {}, []

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Commands run inside may change the machine: no fact that was known before is believed after."""
        self._is_changing = True
        try:
            yield
        finally:
            self._is_changing = False
            self._facts.clear()

    def run_shell_command(
        self,
        command: StringCommand,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Unpack[ConnectorArguments],
    ) -> tuple[bool, CommandOutput]:
        """Run a command, or answer from memory if it only asks and nothing was changed since."""
        timeout = arguments.pop("_timeout", None)
        stdin = _stdin_bytes(arguments.pop("_stdin", None))
        good_codes = arguments.pop("_success_exit_codes", None) or [0]
        arguments.pop("_get_pty", None)
        text = self._command_line(command, arguments)
        outcome = None if self._is_changing else self._facts.get((text, stdin))
        if outcome is None:
            outcome = _answered(command, text, arguments) or self._shell.run(text, stdin, timeout or LONGEST_COMMAND)
        self.last = outcome
        good = outcome.code in good_codes
        if good and not self._is_changing:
            self._facts[text, stdin] = outcome
        return good, _as_output(outcome)

    def put_file(
        self,
        filename_or_io: Any,  # noqa: ANN401 (pyinfra's own signature)
        remote_filename: str,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Unpack[ConnectorArguments],
    ) -> bool:
        """For pyinfra's own file operations; ours send content on stdin. Raises OSError if it cannot be written."""
        outcome = self._shell.run(f"umask 077; cat >{shlex.quote(remote_filename)}", _file_bytes(filename_or_io))
        self.last = outcome
        if outcome.code != 0:
            raise OSError(outcome.stderr)
        return True

    def get_file(
        self,
        remote_filename: str,
        filename_or_io: Any,  # noqa: ANN401 (pyinfra's own signature)
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Unpack[ConnectorArguments],
    ) -> bool:
        """For pyinfra's own file operations. Raises OSError if it cannot be read."""
        content = Path(remote_filename).read_bytes()
        if hasattr(filename_or_io, "write"):
            filename_or_io.write(content)
        else:
            Path(filename_or_io).write_bytes(content)
        return True

    def _command_line(self, command: StringCommand | str, arguments: ConnectorArguments) -> str:
        if isinstance(command, str):
            command = StringCommand(command)
        if not _as_somebody(arguments) and arguments.get("_shell_executable") in {"sh", None}:
            # It is a sh that reads it: no second one is needed.
            arguments["_shell_executable"] = None  # type: ignore[typeddict-item]
        return make_unix_command_for_host(self.state, self.host, command, **arguments).get_raw_value()


def _answered(command: StringCommand, text: str, arguments: ConnectorArguments) -> Outcome | None:
    """What a question comes to without a shell; None where it takes one."""
    if isinstance(command, Question) and not _as_somebody(arguments):
        with suppress(OSError):
            return Outcome(text, 0, command.here(), "")
    return None


def _as_somebody(arguments: ConnectorArguments) -> bool:
    return any(arguments.get(key) for key in ("_sudo", "_su_user", "_doas", "_dzdo"))


def _read_line(process: subprocess.Popen[bytes], deadline: float) -> bytes:
    """The shell's answer with its newline; without one if the shell ended."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    answer = b""
    while not answer.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            raise TimeoutError("the command took too long and was killed")
        piece = os.read(descriptor, 64)
        if not piece:
            break
        answer += piece
    return answer


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _memory(name: str) -> IO[bytes]:
    return os.fdopen(os.memfd_create(name), "r+b", buffering=0)


def _path(memory: IO[bytes]) -> str:
    return f"/proc/{os.getpid()}/fd/{memory.fileno()}"


def _text(memory: IO[bytes]) -> str:
    memory.seek(0)
    return memory.read().decode("utf-8", errors="replace")


def _as_output(outcome: Outcome) -> CommandOutput:
    return CommandOutput(
        [
            OutputLine(name, line)
            for name, text in (("stdout", outcome.stdout), ("stderr", outcome.stderr))
            if text
            for line in text.removesuffix("\n").split("\n")
        ]
    )


def _stdin_bytes(stdin: object) -> bytes:
    """As pyinfra's own connectors do it: text or lines, each ended with a newline."""
    if stdin is None:
        return b""
    if hasattr(stdin, "readlines"):
        stdin = stdin.readlines()
    lines = [str(line) for line in (stdin if isinstance(stdin, list | tuple) else [stdin])]
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines).encode()


def _file_bytes(source: Any) -> bytes:  # noqa: ANN401 (a file name or anything with read())
    if not hasattr(source, "read"):
        return Path(source).read_bytes()
    content = source.read()
    return content.encode() if isinstance(content, str) else bytes(content)
