"""All that we use of pyinfra's API, in one place: version 4 will look different, and then this is where to look."""

from __future__ import annotations

from functools import cache

from pyinfra.api import arguments, facts
from pyinfra.api.arguments import CONNECTOR_ARGUMENT_KEYS, AllArguments, ConnectorArguments
from pyinfra.api.command import FunctionCommand, PyinfraCommand, StringCommand
from pyinfra.api.config import Config
from pyinfra.api.facts import FactBase
from pyinfra.api.host import Host
from pyinfra.api.inventory import Inventory
from pyinfra.api.operation import OperationMeta, operation
from pyinfra.api.state import State, StateOperationHostData, StateStage
from pyinfra.connectors.base import BaseConnector
from pyinfra.connectors.util import CommandOutput, OutputLine, make_unix_command_for_host
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state, host

__all__ = [
    "CONNECTOR_ARGUMENT_KEYS",
    "AllArguments",
    "BaseConnector",
    "CommandOutput",
    "Config",
    "ConnectorArguments",
    "FactBase",
    "FunctionCommand",
    "Host",
    "Inventory",
    "OperationMeta",
    "OutputLine",
    "PyinfraCommand",
    "State",
    "StateOperationHostData",
    "StateStage",
    "StringCommand",
    "ctx_config",
    "ctx_host",
    "ctx_inventory",
    "ctx_state",
    "host",
    "make_unix_command_for_host",
    "operation",
]

# pyinfra works these type hints out anew for every operation and fact: a tenth of a run that changes nothing.
arguments.all_global_arguments = facts.all_global_arguments = cache(arguments.all_global_arguments)  # type: ignore[attr-defined]
