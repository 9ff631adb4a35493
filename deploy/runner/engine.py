"""Performs pyinfra operations one by one on this machine: one process, one State, one host.

Our own loop instead of pyinfra's `run_ops`: it knows why an operation failed, what it would do, and can be stopped.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from deploy.journal import OperationError
from deploy.runner.operations.script import Reason, Script
from deploy.runner.pyinfra_api import (
    CONNECTOR_ARGUMENT_KEYS,
    CommandOutput,
    Config,
    FunctionCommand,
    Host,
    Inventory,
    PyinfraCommand,
    State,
    StateOperationHostData,
    StateStage,
    StringCommand,
    ctx_config,
    ctx_host,
    ctx_inventory,
    ctx_state,
)
from deploy.runner.shell import Outcome, Shell, ShellConnector
from deploy.runner.system_errors import reason_in

_OUTPUT_LINES = 40
_LONGEST_COMMAND = 2000
"""Characters of a command in the journal."""


@dataclass(frozen=True)
class Performed:
    """What one operation came to."""

    name: str
    status: Literal["unchanged", "changed", "would_change", "failed"]
    commands: tuple[str, ...]
    diff: str
    seconds: float
    error: OperationError | None = None


class Engine:
    """pyinfra for this machine. Operations are registered inside `contexts()`, then performed one after the other."""

    def __init__(
        self, machine: str, shell: Shell, *, plan: bool, before_change: Callable[[], None] = lambda: None
    ) -> None:
        """`before_change` is called before each command that may change the machine; what it raises stops that."""
        _silence_pyinfra()
        self._plan = plan
        self._before_change = before_change
        inventory = _OneHost(machine, shell)
        self._state = State(check_for_changes=False)
        self._state.init(inventory, Config())
        self._host: Host = inventory.get_host(machine)
        self._state.activate_host(self._host)
        self._host.connect()
        # In Prepare a fact whose program is not installed yet has its default value; in Execute that is an error.
        self._state.set_stage(StateStage.Prepare)

    @contextmanager
    def contexts(self) -> Iterator[None]:
        """pyinfra's global contexts, set to this machine; reset whatever happens."""
        managers = ((ctx_state, self._state), (ctx_inventory, self._state.inventory), (ctx_host, self._host))
        try:
            for manager, value in managers:
                manager.set(value)
            ctx_config.set(self._state.config.copy())
            yield
        finally:
            for manager in (ctx_state, ctx_inventory, ctx_host, ctx_config):
                manager.reset()

    def operations(self) -> tuple[str, ...]:
        """What is registered, in the order of performing."""
        return tuple(self._state.get_op_order())

    def perform(self, operation: str) -> Performed:
        """Apply or plan one operation, by its hash. Call it inside `contexts()`, in order."""
        if not self._state.is_executing:
            self._state.is_executing = True
            self._state.set_stage(StateStage.Prepare if self._plan else StateStage.Execute)
        data = self._state.get_op_data_for_host(self._host, operation)
        name = _name(self._state, operation)
        begun = time.monotonic()
        self._host.executing_op_hash = operation
        try:
            attempt = self._planned(data) if self._plan else self._applied(data)
        finally:
            self._host.executing_op_hash = None
        data.operation_meta.set_complete(attempt.good, attempt.commands, CommandOutput([]))
        return Performed(
            name=name,
            status=_status(attempt, plan=self._plan),
            commands=tuple(_words(command) for command in attempt.commands),
            diff="".join(command.diff for command in attempt.commands if isinstance(command, Script)),
            seconds=time.monotonic() - begun,
            error=attempt.error,
        )

    def _planned(self, data: StateOperationHostData) -> _Attempt:
        attempt = _Attempt()
        try:
            attempt.commands.extend(data.command_generator())
        except Exception as error:  # noqa: BLE001 (an operation may raise anything on a machine that is not ready for it)
            # Something it asks for does not exist yet: an earlier operation of this run would bring it.
            attempt.commands.append(StringCommand(f"# cannot be told before it is done: {_cause(error)}"))
        return attempt

    def _applied(self, data: StateOperationHostData) -> _Attempt:
        arguments = data.global_arguments
        retries = arguments.get("_retries") or 0
        attempt = self._tried(data)
        while not attempt.good and retries > 0:
            retries -= 1
            time.sleep(arguments.get("_retry_delay") or 0)
            attempt = self._tried(data)
        attempt.is_ignored = not attempt.good and bool(arguments.get("_ignore_errors"))
        return attempt

    def _tried(self, data: StateOperationHostData) -> _Attempt:
        attempt = _Attempt()
        connector = self._connector
        connector.last = None
        command: PyinfraCommand | None = None
        try:
            with closing(_generator(data)) as commands:
                for command in commands:
                    attempt.commands.append(command)
                    if not self._executed(command, data):
                        attempt.fail(_failure(command, connector.last))
                        break
                    command = None
        except Exception as error:  # noqa: BLE001 (an operation may raise anything; all of it has to be reported)
            attempt.fail(_exception(error, command, connector.last))
        return attempt

    def _executed(self, command: PyinfraCommand, data: StateOperationHostData) -> bool:
        arguments: dict[str, Any] = {
            key: value for key, value in data.global_arguments.items() if key in CONNECTOR_ARGUMENT_KEYS
        }
        arguments.update(command.connector_arguments)
        self._before_change()
        with self._connector.changing():
            result: Any = command.execute(self._state, self._host, arguments)  # type: ignore[arg-type]
        # A shell command gives (good, output), a file transfer a bool, a Python function whatever it likes.
        return (result[0] if isinstance(result, tuple) else result) is not False

    @property
    def _connector(self) -> ShellConnector:
        connector = self._host.connector
        assert isinstance(connector, ShellConnector)
        return connector


class _Attempt:
    def __init__(self) -> None:
        self.commands: list[PyinfraCommand] = []
        self.error: OperationError | None = None
        self.is_ignored = False

    @property
    def good(self) -> bool:
        return self.error is None

    def fail(self, error: OperationError) -> None:
        self.error = error


class _OneHost(Inventory):
    """An inventory of this machine alone.

    pyinfra's own looks through all installed packages for connectors and imports them, with the whole of SSH.
    """

    def __init__(self, name: str, shell: Shell) -> None:
        self._shell = shell
        super().__init__(([name], {}))  # type: ignore[no-untyped-call]

    def make_hosts_and_groups(self, names: list[str], groups: object) -> None:
        connector: Any = partial(ShellConnector, shell=self._shell)
        self.hosts = {name: Host(name, inventory=self, groups=[], connector_cls=connector) for name in names}
        for one in self.hosts.values():
            one.data = _NoData()  # type: ignore[assignment]


class _NoData:
    """A host's data: none, since roles are given the site. pyinfra looks 60 times for each operation and fact."""

    def get(self, key: str, default: object = None) -> object:
        """The default, unless an operation has set it."""
        return getattr(self, key, default)


def _generator(data: StateOperationHostData) -> Any:  # noqa: ANN401 (a generator that pyinfra types as an iterator)
    return data.command_generator()


def _status(attempt: _Attempt, *, plan: bool) -> Literal["unchanged", "changed", "would_change", "failed"]:
    if not attempt.good:
        return "unchanged" if attempt.is_ignored else "failed"
    if not attempt.commands:
        return "unchanged"
    return "would_change" if plan else "changed"


def _name(state: State, operation: str) -> str:
    """As the role named it, without the role, which pyinfra puts before it."""
    meta = state.get_op_meta(operation)
    name = next(iter(meta.names))
    short = name.partition(" | ")[2] or name
    return f"{short} ({', '.join(meta.args)})" if meta.args else short


def _words(command: PyinfraCommand) -> str:
    if isinstance(command, Script):
        return command.summary
    if isinstance(command, FunctionCommand):
        return f"call {command.function.__name__}"
    text = str(command) if isinstance(command, StringCommand) else repr(command)
    return text if len(text) <= _LONGEST_COMMAND else f"{text[:_LONGEST_COMMAND]}…"


def _failure(command: PyinfraCommand, outcome: Outcome | None) -> OperationError:
    output = _tail(outcome)
    reason = command.explain(output) if isinstance(command, Script) else None
    system = reason_in(output)
    if system and (reason is None or not reason.next_step):
        what = reason.message if reason else f"`{_words(command)}`"
        reason = Reason(f"{system.message}: {what}", system.next_step)
    if reason is None:
        code = f" (exit code {outcome.code})" if outcome else ""
        reason = Reason(
            f"`{_words(command)}` failed{code}", "Read what it printed; try the command on the machine by hand."
        )
    return OperationError(message=reason.message, output=output, next_step=reason.next_step)


def _exception(error: Exception, command: PyinfraCommand | None, outcome: Outcome | None) -> OperationError:
    if command is not None:
        return OperationError(
            message=f"`{_words(command)}`: {_cause(error)}",
            next_step="Try the command on the machine by hand; look at its load, memory and disk.",
        )
    return OperationError(
        message=f"the machine's present state cannot be found out: {_cause(error)}",
        output=_tail(outcome),
        next_step="Read what the machine printed; if it says nothing, this is a mistake in the role: report it.",
    )


def _cause(error: Exception) -> str:
    if str(error) == "No hosts remaining!":
        # pyinfra's words for: the one host there is could not answer.
        return "a question to the machine failed"
    return f"{type(error).__name__}: {error}"


def _tail(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    lines = [*outcome.stdout.splitlines(), *outcome.stderr.splitlines()]
    return "\n".join(lines[-_OUTPUT_LINES:])


def _silence_pyinfra() -> None:
    """What pyinfra would print goes nowhere: it would bypass the masking, and the journal says it better."""
    logger = logging.getLogger("pyinfra")
    logger.propagate = False
    logger.handlers = [logging.NullHandler()]
