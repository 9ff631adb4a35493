"""`pyinfra @lienxa/<commune>[:lab] …`: a commune's managed machines for the stock pyinfra command.

Reached as lienxa reaches them: by the OpenSSH client with the commune's known_hosts, behind the gateway through it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from functools import cache
from io import IOBase
from pathlib import Path
from typing import IO, Any, TypedDict, cast

from pyinfra.api.command import StringCommand
from pyinfra.api.exceptions import ConnectError, InventoryError
from pyinfra.api.util import get_file_io
from pyinfra.connectors.base import BaseConnector, DataMeta
from pyinfra.connectors.util import CommandOutput, make_unix_command_for_host, run_local_process

from deploy.errors import UserError
from deploy.fleet.links import LinkError, Links
from deploy.target import Target, open_target


class LienxaData(TypedDict):
    """What a host knows of itself. No secrets: pyinfra prints it on request."""

    lienxa_commune: str
    lienxa_machine: str
    lienxa_lab: bool


class LienxaConnector(BaseConnector):
    """Runs pyinfra's commands on a commune's machines."""

    handles_execution = True
    data_cls = LienxaData
    data_meta = {  # noqa: RUF012 pyinfra's own form
        "lienxa_commune": DataMeta("Slug of the commune"),
        "lienxa_machine": DataMeta("Name of the machine in its inventory"),
        "lienxa_lab": DataMeta("Whether it is the lab's container"),
    }
    data: LienxaData

    @staticmethod
    def make_names_data(name: str | None = None) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        """Every managed machine, in groups by commune, kind, zone and role. `:lab` or LIENXA_LAB=1: the lab's."""
        commune, lab = split_name(name or "")
        target = cached_target(commune, lab)
        for machine in target.site.machines:
            if machine.managed:
                data = {"lienxa_commune": commune, "lienxa_machine": machine.name, "lienxa_lab": lab}
                groups = [commune, f"kind_{machine.kind}", f"zone_{machine.zone}"]
                yield machine.name, data, groups + [f"role_{role}" for role in machine.roles]

    def connect(self) -> None:
        """Log in once, so that what is wrong is said at the beginning."""
        try:
            self._links.reach(self.data["lienxa_machine"])
        except LinkError as error:
            raise ConnectError(str(error)) from error

    def run_shell_command(
        self,
        command: StringCommand,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,  # noqa: ANN401 pyinfra's own
    ) -> tuple[bool, CommandOutput]:
        """Run a command; whether it succeeded, and what it printed."""
        arguments.pop("_get_pty", None)
        timeout, stdin = arguments.pop("_timeout", None), arguments.pop("_stdin", None)
        good = arguments.pop("_success_exit_codes", None) or [0]
        remote = make_unix_command_for_host(self.state, self.host, command, **arguments)
        if print_input:
            print(f"{self.host.print_prefix}>>> {remote}")  # noqa: T201 as pyinfra's own connectors do
        code, output = run_local_process(
            self._ssh(remote.get_raw_value()),
            stdin=stdin,
            timeout=timeout,
            print_output=print_output,
            print_prefix=self.host.print_prefix,
        )
        return code in good, output

    def put_file(
        self,
        filename_or_io: str | IOBase,
        remote_filename: str,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,  # noqa: ANN401 pyinfra's own
    ) -> bool:
        """Write a file there, readable by nobody else until pyinfra's operation says otherwise."""
        with get_file_io(cast("str | IO[Any]", filename_or_io)) as source:
            content = source.read()
        body = content.encode() if isinstance(content, str) else content
        target = shlex.quote(remote_filename)
        script = f"umask 077; cat > {target}.new && mv {target}.new {target}"
        command = make_unix_command_for_host(
            self.state, self.host, StringCommand("sh", "-c", shlex.quote(script)), **arguments
        )
        done = self._links.run(self.data["lienxa_machine"], ["sh", "-c", command.get_raw_value()], body)
        return done.returncode == 0

    def get_file(
        self,
        remote_filename: str,
        filename_or_io: str | IOBase,
        remote_temp_filename: str | None = None,
        print_output: bool = False,
        print_input: bool = False,
        **arguments: Any,  # noqa: ANN401 pyinfra's own
    ) -> bool:
        """Read a file from there."""
        command = make_unix_command_for_host(
            self.state, self.host, StringCommand("cat", shlex.quote(remote_filename)), **arguments
        )
        done = self._links.run(self.data["lienxa_machine"], ["sh", "-c", command.get_raw_value()])
        if done.returncode == 0:
            with get_file_io(cast("str | IO[Any]", filename_or_io), "wb") as sink:
                sink.write(done.stdout)
        return done.returncode == 0

    @property
    def _links(self) -> Links:
        return _links(self.data["lienxa_commune"], self.data["lienxa_lab"])

    def _ssh(self, remote: str) -> str:
        """Facts are read from words and numbers as every machine writes them, whatever its language."""
        return shlex.join(self._links.command(self.data["lienxa_machine"], f"export LC_ALL=C.UTF-8; {remote}"))


def split_name(name: str) -> tuple[str, bool]:
    """`xa-mau:lab` as commune and whether the lab's machines are meant."""
    commune, _, suffix = name.partition(":")
    if not commune or suffix not in {"", "lab"}:
        raise InventoryError(f"@lienxa/{name}: write @lienxa/COMMUNE, or @lienxa/COMMUNE:lab for its lab")
    return commune, suffix == "lab" or os.environ.get("LIENXA_LAB", "") not in {"", "0"}


@cache
def cached_target(commune: str, lab: bool) -> Target:
    """The commune, read once per process."""
    inventories = Path(os.environ.get("LIENXA_INVENTORIES") or "inventories")
    try:
        return open_target(inventories, commune, lab=lab)
    except UserError as error:
        raise InventoryError(str(error)) from error


@cache
def _links(commune: str, lab: bool) -> Links:
    return Links(cached_target(commune, lab).access)
