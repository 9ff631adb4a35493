"""The kit: named by what is in it, the same bytes every time, and only what a machine needs."""

from __future__ import annotations

import ast
import os
import sys
import tarfile
import time
from pathlib import Path

import pytest

from deploy.fleet import kit
from deploy.fleet.kit import CONTENT, LOCK, ROOT, UNNEEDED, KitError, Kits, content, needed, runtime


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    for name in (
        "deploy/__init__.py",
        "deploy/runner/a.py",
        "deploy/fleet/b.py",
        "roles/x/tasks.py",
        "templates/x/etc/y.j2",
    ):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(name)
    return made


def test_content_holds_what_runs_on_the_machine_and_nothing_of_the_laptops(root: Path, tmp_path: Path) -> None:
    cached = root / "deploy/runner/__pycache__"
    cached.mkdir()
    (cached / "a.pyc").touch()
    with tarfile.open(content(root, tmp_path / "cache").path) as tar:
        assert tar.getnames() == [
            "deploy/__init__.py",
            "deploy/runner/a.py",
            "roles/x/tasks.py",
            "templates/x/etc/y.j2",
        ]


def test_the_same_content_gives_the_same_bytes_whenever_and_wherever_it_is_made(root: Path, tmp_path: Path) -> None:
    first = content(root, tmp_path / "one")
    os.utime(root / "deploy/runner/a.py", (1, 1))
    (root / "deploy/runner/a.py").chmod(0o755)
    second = content(root, tmp_path / "two")
    assert (first.name, first.sha256, first.size) == (second.name, second.sha256, second.size)


def test_other_content_has_another_name(root: Path, tmp_path: Path) -> None:
    before = content(root, tmp_path / "cache")
    (root / "roles/x/tasks.py").write_text("changed")
    assert content(root, tmp_path / "cache").name != before.name


def test_a_machine_with_an_earlier_content_is_sent_what_changed(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (root / "roles/x/data").write_bytes(os.urandom(100_000))
    earlier = content(root, cache)
    (root / "roles/x/tasks.py").write_text("changed")
    (root / "deploy/runner/a.py").unlink()
    (root / "roles/x/new.py").write_text("new")
    kits = Kits(cache=cache, root=root)
    sent = kits.content_for(["runtime-3.13-x", "content-unknown", earlier.name])
    assert (sent.name, sent.base, sent.gone) == (kits.content().name, earlier.name, ("deploy/runner/a.py",))
    with tarfile.open(sent.path) as tar:
        assert tar.getnames() == ["roles/x/new.py", "roles/x/tasks.py"]
    assert sent.size < 1000 < 100_000 < kits.content().size
    assert kits.content_for(["content-unknown"]) == kits.content()


def test_a_runtime_is_named_before_it_is_made() -> None:
    names = Kits().runtime_names()
    assert names.keys() == {f"{python} {arch}" for python in kit.PYTHONS for arch in kit.PLATFORMS}
    assert len(set(names.values())) == len(names)
    assert all(name.startswith(f"runtime-{python.split()[0]}-") for python, name in names.items())


def test_what_the_runner_imports_of_ours_is_in_the_content() -> None:
    """Every `deploy.…` module that a module of the content imports is itself in the content."""
    missing = set()
    for module in _modules():
        for name in _imported(module):
            path = name.replace(".", "/")
            inside = any(path == part.removesuffix(".py") or path.startswith(f"{part}/") for part in CONTENT)
            if not inside and path != "deploy":
                missing.add(f"{module.relative_to(ROOT)} imports {name}")
    assert not missing


def test_the_lock_loses_whole_entries_and_keeps_hashes() -> None:
    kept = "click==8 \\\n    --hash=sha256:bb \\\n    --hash=sha256:cc\n"
    assert needed("bcrypt==5.0.0 \\\n    --hash=sha256:aa\n    # via paramiko\n" + kept) == kept


def test_the_lock_names_no_address_and_everything_left_out_is_in_it() -> None:
    text = LOCK.read_text(encoding="utf-8")
    assert "://" not in text
    names = {line.partition("==")[0] for line in text.splitlines() if "==" in line}
    assert names >= UNNEEDED


@pytest.mark.parametrize(("python", "arch"), [("3.9", "x86_64"), ("3.13", "riscv64")])
def test_a_machine_for_which_there_is_no_kit_is_told_what_to_do(tmp_path: Path, python: str, arch: str) -> None:
    with pytest.raises(KitError, match=r"no kit for Python .* Debian 13"):
        runtime(python, arch, tmp_path)


@pytest.mark.parametrize(
    ("path", "is_needed"),
    [
        ("pydantic_core/core.c", False),
        ("pluggy/tests/test_x.py", False),
        ("pydantic/main.pyi", False),
        ("pygments/lexers/cobol.py", False),
        ("pygments/lexers/python.py", True),
        ("pyinfra-3.dist-info/METADATA", True),
        ("pyinfra-3.dist-info/RECORD", False),
        ("pytest-9.dist-info/licenses/LICENSE", True),
        ("_pytest/main.py", True),
    ],
)
def test_what_is_left_out_of_a_runtime(tmp_path: Path, path: str, is_needed: bool) -> None:
    assert kit._is_needed(tmp_path / path, tmp_path) is is_needed


def _modules() -> list[Path]:
    parts = [ROOT / part for part in CONTENT if part != "templates"]
    return [file for part in parts for file in ([part] if part.is_file() else part.rglob("*.py"))]


def _imported(module: Path) -> set[str]:
    """Names of the modules of `deploy` that a module imports, on whatever line."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            is_package = (ROOT / node.module.replace(".", "/")).is_dir()
            found |= {f"{node.module}.{alias.name}" if is_package else node.module for alias in node.names}
    return {name for name in found if name.split(".")[0] == "deploy" and name not in sys.builtin_module_names}


def test_contents_that_nobody_asked_for_in_a_month_are_forgotten(root: Path, tmp_path: Path) -> None:
    unused, used = (tmp_path / f"content-{name}.tar.xz" for name in ("unused", "used"))
    for file in (unused, used):
        file.write_bytes(b"old")
    month = time.time() - 31 * 24 * 3600
    os.utime(unused, (month, month))
    content(root, tmp_path)
    assert not unused.exists()
    assert used.exists()
