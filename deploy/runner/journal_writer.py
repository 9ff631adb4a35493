"""Writes the journal: one JSON line per event, numbered, timed, without secrets, on disk as soon as it happened."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from deploy.journal import (
    Call,
    CallEnded,
    CheckEnded,
    Event,
    Finding,
    GuardEvent,
    OperationEnded,
    OperationError,
    RoleStarted,
    RunEnded,
    RunStarted,
    Verdict,
    Words,
)
from deploy.order import Request
from deploy.runner.masking import Masking

_FREE_TEXT = frozenset(
    {
        "name",
        "commands",
        "diff",
        "message",
        "output",
        "next_step",
        "sentence",
        "detail",
        "what",
        "reason",
        "left",
        "why",
        "do",
    }
)
"""The fields in which a secret could turn up. The others are ours: masking them could break the format."""


class JournalError(Exception):
    """The journal cannot be written (disk full, read-only); the run must end, and can only say so on stderr."""


@dataclass(frozen=True)
class Counts:
    """What a run came to, for its last line."""

    operations: int = 0
    changed: int = 0
    checks: int = 0
    failed: int = 0
    skipped: int = 0
    topics: tuple[str, ...] = ()
    findings: int = 0


def utc_now() -> str:
    """The time now: UTC, RFC 3339, with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class JournalWriter:
    """Appends events to one run's journal. A line is either there as a whole or not at all."""

    def __init__(self, path: Path, masking: Masking | None = None, now: Callable[[], str] = utc_now) -> None:
        self._masking = masking or Masking()
        self._now = now
        self._seq = 0
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # O_EXCL: a run's name is used once; two runners never write to the same journal.
            self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise JournalError(f"cannot create the journal {path}: {error.strerror}") from error

    @property
    def is_empty(self) -> bool:
        """Whether nothing was written yet."""
        return self._seq == 0

    def run_started(self, request: Request, total: int | None = None) -> None:
        """The first line. `total`: operations or checks to come, where known."""
        self._append(
            RunStarted(
                **self._stamp(),
                run=request.run,
                machine=request.order.machine,
                action=request.action,
                by=request.by,
                commit=request.commit,
                clean=request.clean,
                order=request.order.digest,
                debian=_debian(),
                python=platform.python_version(),
                total=total,
            )
        )

    def role_started(
        self,
        role: str,
        stage: Literal["apply", "retire", "check", "diagnose"],
        total: int | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        """The run turns to a role."""
        self._append(RoleStarted(**self._stamp(), role=role, stage=stage, total=total, warnings=warnings))

    def operation(
        self,
        role: str,
        name: str,
        status: Literal["unchanged", "changed", "would_change", "failed"],
        *,
        seconds: float,
        commands: tuple[str, ...] = (),
        diff: str = "",
        error: OperationError | None = None,
    ) -> None:
        """One operation was applied or planned."""
        self._append(
            OperationEnded(
                **self._stamp(),
                role=role,
                name=name,
                status=status,
                commands=commands,
                diff=diff,
                seconds=round(seconds, 4),
                error=error,
            )
        )

    def check(
        self,
        role: str,
        check: str,
        sentence: str,
        status: Literal["passed", "failed", "skipped", "error"],
        *,
        seconds: float,
        detail: str = "",
        next_step: str = "",
    ) -> None:
        """One check was made. `check` is its stable id."""
        self._append(
            CheckEnded(
                **self._stamp(),
                role=role,
                id=check,
                sentence=sentence,
                status=status,
                detail=detail,
                next_step=next_step,
                seconds=round(seconds, 4),
            )
        )

    def finding(
        self,
        topic: str,
        cause: str,
        severity: Literal["problem", "warning"],
        english: Words,
        vietnamese: Words,
        command: str,
    ) -> None:
        """Something is wrong. `cause` is its stable id."""
        self._append(
            Finding(
                **self._stamp(),
                topic=topic,
                cause=cause,
                severity=severity,
                english=english,
                vietnamese=vietnamese,
                command=command,
            )
        )

    def call(self, call: Call, verdict: Verdict) -> None:
        """What a call was like."""
        self._append(CallEnded(**self._stamp(), **dict(call), verdict=verdict))

    def guard(
        self,
        status: Literal["armed", "released", "waiting", "confirmed", "rolled_back"],
        guard: str,
        *,
        seconds: float = 0.0,
        what: tuple[str, ...] = (),
        witness: str | None = None,
        reason: str = "",
        left: tuple[str, ...] = (),
        verified: bool | None = None,
    ) -> None:
        """Where a guard stands; see GuardEvent."""
        self._append(
            GuardEvent(
                **self._stamp(),
                status=status,
                guard=guard,
                seconds=seconds,
                what=what,
                witness=witness,
                reason=reason,
                left=left,
                verified=verified,
            )
        )

    def run_ended(
        self,
        status: Literal["done", "failed", "stopped"],
        counts: Counts,
        *,
        seconds: float,
        error: OperationError | None = None,
    ) -> None:
        """The last line; it is on the disk, not only in the kernel's memory, when this returns."""
        self._append(
            RunEnded(
                **self._stamp(),
                status=status,
                operations=counts.operations,
                changed=counts.changed,
                checks=counts.checks,
                failed=counts.failed,
                skipped=counts.skipped,
                topics=counts.topics,
                findings=counts.findings,
                seconds=round(seconds, 4),
                error=error,
            )
        )
        try:
            os.fsync(self._fd)
        except OSError as error_:
            raise JournalError(f"cannot write the journal {self.path}: {error_.strerror}") from error_

    def close(self) -> None:
        """Nothing is written after this."""
        os.close(self._fd)

    def _stamp(self) -> dict[str, Any]:
        return {"seq": self._seq, "at": self._now()}

    def _append(self, event: Event) -> None:
        fields = {key: self._mask(key, value) for key, value in event.model_dump(mode="json").items()}
        line = json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"
        # A lone surrogate (a file name that is no UTF-8) must not end the run.
        self._write(line.encode("utf-8", errors="replace"))
        self._seq += 1

    def _write(self, line: bytes) -> None:
        size = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, line)
        except OSError as error:
            raise JournalError(f"cannot write the journal {self.path}: {error.strerror}") from error
        if written < len(line):
            os.ftruncate(self._fd, size)
            raise JournalError(f"cannot write the journal {self.path}: the disk is full")

    def _mask(self, key: str, value: object) -> object:
        if isinstance(value, dict):
            return {inner: self._mask(inner, item) for inner, item in value.items()}
        if key not in _FREE_TEXT:
            return value
        if isinstance(value, str):
            return self._masking(value)
        return [self._masking(item) for item in value] if isinstance(value, list) else value


def _debian() -> str:
    """`13.1`, or the distribution's name where it is no Debian."""
    release = platform.freedesktop_os_release()
    if release.get("ID") != "debian":
        return release.get("PRETTY_NAME", "unknown")
    try:
        return Path("/etc/debian_version").read_text(encoding="utf-8").strip()
    except OSError:
        return release.get("VERSION_ID", "unknown")
