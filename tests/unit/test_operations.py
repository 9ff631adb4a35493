"""Our operations as data: what the machine says, and what is done about it."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.runner.operations import Script, apt, files, systemd
from deploy.runner.operations.apt import PackageFact, PackageStates
from deploy.runner.operations.systemd import UnitFact, UnitState, UnitStates
from deploy.runner.pyinfra_api import OperationMeta

RUNNING = UnitState(
    known=True,
    active="active",
    enabled="enabled",
    needs_daemon_reload=False,
    stays=True,
    simple=False,
    started=100.0,
    reloaded=200.0,
)
MISSING = dataclasses.replace(RUNNING, known=False, active="inactive", enabled="", started=0.0, reloaded=0.0)


def _summaries(commands: Iterator[Any]) -> list[str]:
    return [command.summary if isinstance(command, Script) else str(command) for command in commands]


def _of_unit(*, changed: tuple[OperationMeta, ...] = (), reload: bool = False) -> list[str]:
    names = ("x.service",)
    return _summaries(
        systemd._unit._inner(unit_name=names[0], siblings=names, files=(), changed=changed, reload=reload)
    )


@pytest.mark.parametrize(
    ("changes", "newest", "reload", "expected"),
    [
        ({}, 99.0, False, []),
        ({}, 101.0, False, ["systemctl restart x.service"]),
        ({}, 101.0, True, []),
        ({}, 201.0, True, ["systemctl reload-or-restart x.service"]),
        ({"enabled": "disabled"}, 0.0, False, ["systemctl enable x.service"]),
        ({"enabled": "static"}, 0.0, False, []),
        (
            {"enabled": "masked", "active": "inactive"},
            0.0,
            False,
            ["systemctl unmask -- x.service", "systemctl enable x.service", "systemctl start x.service"],
        ),
        ({"active": "failed"}, 0.0, False, ["systemctl start x.service"]),
        ({"active": "inactive", "stays": False}, 0.0, False, []),
        ({"needs_daemon_reload": True}, 0.0, False, ["systemctl daemon-reload"]),
    ],
)
def test_unit(
    said: dict[type, Any], changes: dict[str, Any], newest: float, reload: bool, expected: list[str]
) -> None:
    said[UnitFact] = UnitStates({"x.service": dataclasses.replace(RUNNING, **changes)}, newest)
    assert _of_unit(reload=reload) == expected


def test_what_systemd_does_not_see_by_itself_is_loaded(said: dict[type, Any]) -> None:
    said[UnitFact] = UnitStates({"x.service": RUNNING}, 101.0, stale=True)
    assert _of_unit() == ["systemctl daemon-reload", "systemctl restart x.service"]


@pytest.mark.parametrize(
    ("written", "stale"),
    [("1795558684.2", True), ("1795558684.0", False), ("1795999999.0", False)],
    ids=["since", "before", "in the future"],
)
def test_a_file_of_systemd_s_that_was_written_since_it_read_them(written: str, stale: bool) -> None:
    lines = ["unit=a.service", "##files", "1795558690.0", written, "##loaded", "Tue 2026-11-24 22:18:04.123456 UTC"]
    assert UnitFact().process([*lines, written]).stale is stale
    assert UnitFact().process(lines).stale is False


def test_systemd_is_asked_what_it_has_read_only_where_a_file_is_for_it() -> None:
    assert "UnitsLoadTimestamp" in UnitFact().command(("a",), ("/etc/a", "/etc/systemd/system/a.service.d/b.conf"))
    assert "UnitsLoadTimestamp" not in UnitFact().command(("a",), ("/etc/a",))


def test_a_unit_whose_package_is_not_there_yet_can_be_planned(said: dict[type, Any]) -> None:
    said[UnitFact] = UnitStates({"x.service": MISSING}, 0.0)
    assert _of_unit() == ["systemctl enable x.service", "systemctl start x.service"]


@pytest.mark.parametrize(("did", "expected"), [(True, ["systemctl restart x.service"]), (False, [])])
def test_a_unit_is_restarted_for_what_changed_in_this_run(
    said: dict[type, Any], did: bool, expected: list[str]
) -> None:
    said[UnitFact] = UnitStates({"x.service": RUNNING}, 0.0)
    meta = OperationMeta("0", None)  # type: ignore[no-untyped-call]
    meta.set_complete(True, ["something"] if did else [], None)  # type: ignore[arg-type]
    assert _of_unit(changed=(meta,)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["systemctl disable --now -- x.service"]),
        ({"active": "inactive", "enabled": "disabled"}, []),
        ({"active": "inactive"}, ["systemctl disable --now -- x.service"]),
        ({"enabled": "disabled"}, ["systemctl disable --now -- x.service"]),
    ],
)
def test_retired_unit(said: dict[type, Any], changes: dict[str, Any], expected: list[str]) -> None:
    said[UnitFact] = UnitStates({"x.service": dataclasses.replace(RUNNING, **changes)}, 0.0)
    assert _summaries(systemd._retired._inner(unit_name="x.service", siblings=("x.service",))) == expected


def test_what_systemd_says_is_understood() -> None:
    states = UnitFact().process(
        [
            "unit=a.service",
            "Type=notify",
            "RemainAfterExit=no",
            "LoadState=loaded",
            "ActiveState=active",
            "UnitFileState=enabled",
            "NeedDaemonReload=no",
            "ActiveEnterTimestamp=Tue 2026-11-24 22:18:04.123456 UTC",
            "StateChangeTimestamp=Tue 2026-11-24 22:18:05.000000 UTC",
            "unit=b.service",
            "Type=oneshot",
            "RemainAfterExit=no",
            "LoadState=not-found",
            "ActiveState=inactive",
            "UnitFileState=",
            "NeedDaemonReload=yes",
            "ActiveEnterTimestamp=",
            "##files",
            "1795558690.000000",
            "1795558684.123457",
            "1795999999.000000",
        ]
    )
    assert states.newest == 1795558684.123457
    first, second = states.units["a.service"], states.units["b.service"]
    assert (first.started, first.reloaded) == (1795558684.123456, 1795558685.0)
    assert (first.known, first.stays, first.needs_daemon_reload) == (True, True, False)
    assert (second.known, second.stays, second.needs_daemon_reload, second.started) == (False, False, True, 0.0)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (PackageStates(frozenset({"a", "b"}), fresh=False, interrupted=False, guarded=False), []),
        (
            PackageStates(frozenset({"a"}), fresh=False, interrupted=False, guarded=False),
            ["apt-get update; apt-get install b"],
        ),
        (PackageStates(frozenset({"a"}), fresh=True, interrupted=False, guarded=False), ["apt-get install b"]),
        (
            PackageStates(frozenset({"a", "b"}), fresh=True, interrupted=True, guarded=False),
            ["dpkg --configure -a"],
        ),
        (
            PackageStates(frozenset({"a", "b"}), fresh=True, interrupted=False, guarded=True),
            ["rm -f -- /usr/sbin/policy-rc.d"],
        ),
    ],
)
def test_packages(said: dict[type, Any], state: PackageStates, expected: list[str]) -> None:
    said[PackageFact] = state
    assert _summaries(apt._packages._inner(names=("a", "b"), cache="")) == expected


def test_what_dpkg_says_is_understood() -> None:
    assert PackageFact().process(
        ["package a ii ", "package b:amd64 ii ", "package c rc ", "package d hi ", "fresh"]
    ) == (PackageStates(frozenset({"a", "b", "d"}), fresh=True, interrupted=False, guarded=False))


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        ("E: Unable to locate package khong-co", "a package is not in the machine's sources: Unable to locate"),
        ("Err:1 http://x  Temporary failure resolving 'x'\nE: Failed to fetch", "cannot reach its package source"),
        ("E: Release file for x is not valid yet (invalid for another 3d)", "do not fit the machine's clock"),
        ("E: You don't have enough free space in /var/cache/apt/archives/.", "no room on the disk"),
        ("dpkg: error processing package x (--configure):", "APT could not install the packages: error processing"),
    ],
)
def test_what_apt_says_is_explained(output: str, cause: str) -> None:
    reason = apt._why_not_installed(output)
    assert cause in reason.message
    assert reason.next_step


@pytest.mark.parametrize("path", ["etc/x", "/etc/../x"])
def test_a_path_that_is_none_of_the_machine_is_refused(said: dict[type, Any], path: str) -> None:
    said[files.PathFact] = None
    with pytest.raises(ValueError, match="absolute"):
        list(
            files._place._inner(
                path=path, content=b"", mode="0644", owner="root", group="root", validate=None, secret=False
            )
        )


@pytest.mark.parametrize(
    "script",
    [
        apt._INSTALL.format(
            stamp="/x/y", stamp_folder="/x", guard="/g", mark="'# m'", cache="''",
            install=apt._GET.format(update=apt._UPDATE, names="a b"),
        ),
        apt._KEEP.format(cache="10.0.0.1:3128", mark=apt._KEPT),
        systemd._START.format(unit="x", verb="start", settle="sleep 0.3\n", otherwise="failed"),
        systemd._START.format(unit="x", verb="start", settle="", otherwise='[ "$state" = inactive ] || failed'),
        files._WRITE.format(
            path="/a/b", folder="/a", name="b", owner="o", group="g", mode="0644",
            validate=files._validation("true {}"),
        ),
    ],
)  # fmt: skip
def test_scripts_are_posix_shell(script: str) -> None:
    done = subprocess.run(["dash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
