"""A question answered without a shell has the shell's answer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.runner.engine import Engine
from deploy.runner.operations.accounts import AccountFact
from deploy.runner.operations.files import DirectoryFact, PathFact
from deploy.runner.operations.networking import KernelDifferenceFact
from deploy.runner.pyinfra_api import StringCommand
from deploy.runner.question import Question
from deploy.runner.shell import Shell


@pytest.fixture(name="shell")
def one_shell() -> Iterator[Shell]:
    made = Shell()
    yield made
    made.close()


@pytest.fixture(name="folder")
def folder_of_all_sorts(tmp_path: Path) -> Path:
    (tmp_path / "văn bản").write_bytes(b"\x00\xff no text\nkh\xc3\xb4ng")
    (tmp_path / "empty").touch(0o600)
    (tmp_path / "sticky").mkdir()
    (tmp_path / "sticky").chmod(0o1777)
    (tmp_path / "setuid").write_text("x")
    (tmp_path / "setuid").chmod(0o4750)
    (tmp_path / "link").symlink_to("văn bản")
    (tmp_path / "to a folder").symlink_to("sticky")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "round").symlink_to("round")
    os.mkfifo(tmp_path / "fifo")
    if os.geteuid() == 0:
        (tmp_path / "nobody's").touch()
        os.chown(tmp_path / "nobody's", 54321, 54322)
    return tmp_path


@pytest.mark.parametrize("fact", [PathFact, DirectoryFact])
def test_a_path(shell: Shell, folder: Path, fact: type[PathFact | DirectoryFact]) -> None:
    paths = [*sorted(folder.iterdir()), folder / "missing", folder / "empty" / "below a file", Path("/dev/null")]
    for path in paths:
        _same(shell, fact().command(str(path)))


@pytest.mark.parametrize("name", ["root", "nobody", "daemon", "games", "no-such-account"])
def test_an_account(shell: Shell, name: str) -> None:
    _same(shell, AccountFact().command(name))


def test_kernel_settings(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "90-test.conf"
    there = Path("/proc/sys/kernel/ostype").read_text(encoding="utf-8").strip()
    several = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="utf-8").strip()
    file.write_text(
        f"# kernel.ostype = no\nkernel.ostype = {there} \nkernel.osrelease=other\n\nnot.there = 1\n"
        f"net.ipv4.ip_local_port_range = {several}\n"
    )
    question = KernelDifferenceFact().command(str(file))
    _same(shell, question)
    assert question.here().split() == ["kernel.osrelease", "not.there"]
    _same(shell, KernelDifferenceFact().command(str(tmp_path / "missing")))


@pytest.mark.parametrize(
    ("here", "arguments", "expected"),
    [
        (lambda: "here\n", {}, ["here"]),
        (lambda: "here\n", {"_su_user": "root"}, ["shell"]),
        (lambda: _raise(PermissionError()), {}, ["shell"]),
    ],
    ids=["without a shell", "as somebody else", "what cannot be read"],
)
def test_when_the_shell_is_asked(
    shell: Shell, here: Callable[[], str], arguments: dict[str, str], expected: list[str]
) -> None:
    connector = Engine("here", shell, plan=False)._connector
    if arguments and os.geteuid():
        pytest.skip("only root becomes somebody else")
    good, output = connector.run_shell_command(Question("echo shell", here), **arguments)  # type: ignore[arg-type]
    assert (good, output.stdout_lines) == (True, expected)


def _same(shell: Shell, question: StringCommand) -> None:
    assert isinstance(question, Question)
    outcome = shell.run(question.get_raw_value())
    assert (outcome.code, outcome.stderr, outcome.stdout) == (0, "", question.here())


def _raise(error: Exception) -> str:
    raise error
