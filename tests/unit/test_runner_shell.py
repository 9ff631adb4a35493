"""The long-lived shell: what commands print and take, and what they cannot break."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.runner.shell import ENVIRONMENT, Outcome, Shell, ShellError


@pytest.fixture
def shell() -> Iterator[Shell]:
    opened = Shell()
    yield opened
    opened.close()


def test_output_errors_and_exit_code_are_told_apart(shell: Shell) -> None:
    assert shell.run("echo ra; echo lỗi >&2; exit 3") == Outcome("echo ra; echo lỗi >&2; exit 3", 3, "ra\n", "lỗi\n")


@pytest.mark.parametrize(
    "command", ["exit 4", "if then fi", "nonesuch", "exec false", "set -e; false", "cd /nonesuch"]
)
def test_no_command_changes_the_shell_for_the_next(shell: Shell, command: str) -> None:
    assert shell.run(command).code != 0
    assert shell.run("echo $PWD").stdout == "/\n"


def test_large_input_and_output_arrive_byte_for_byte(shell: Shell) -> None:
    content = bytes(range(256)) * 20_000
    outcome = shell.run(
        "tee /dev/stderr | sha256sum >&2; sha256sum /dev/null >/dev/null; base64 -w0 </dev/null", content
    )
    assert len(outcome.stderr) > 1_000_000
    assert shell.run("wc -c", content).stdout == f"{len(content)}\n"


def test_without_input_a_command_reads_nothing(shell: Shell) -> None:
    assert shell.run("cat").stdout == ""
    assert shell.run("echo still here").stdout == "still here\n"


def test_neither_command_nor_input_stand_in_a_process_list(shell: Shell) -> None:
    everything = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    # The secret is put together by the shell, so that this file's own name or arguments cannot hold it.
    outcome = shell.run(f": mat-khau-trong-lenh; cat >/dev/null; {everything}", b"mat-khau-tren-stdin")
    assert outcome.code == 0
    assert "mat-khau" not in outcome.stdout


def test_the_environment_is_clean(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    names = {line.partition("=")[0] for line in shell.run("env").stdout.splitlines()}
    assert names - {"PWD", "OLDPWD", "_"} == set(ENVIRONMENT)


def test_a_command_that_takes_too_long_is_killed_with_its_children(shell: Shell, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        shell.run(f"sleep 60 & echo $! >{tmp_path}/child; wait", timeout=0.2)
    assert time.monotonic() - begun < 5
    child = int((tmp_path / "child").read_text())
    # The signal is sent; when a child has died of it is the kernel's affair.
    while _runs(child):
        assert time.monotonic() - begun < 30
        time.sleep(0.01)
    assert shell.run("echo again").stdout == "again\n"


def test_a_command_that_kills_the_shell_is_an_error_and_the_next_gets_a_new_one(shell: Shell) -> None:
    with pytest.raises(ShellError):
        shell.run("kill -9 $$")
    assert shell.run("echo again").stdout == "again\n"


def test_what_runs_on_in_the_background_does_not_disturb_the_next_command(shell: Shell, tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    assert shell.run(f"(read line <{fifo}; echo late; echo late >&2) & echo now").stdout == "now\n"
    assert shell.run(f"echo go >{fifo}; wait; echo next").stdout == "next\n"


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
