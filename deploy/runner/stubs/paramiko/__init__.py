"""Stands in for paramiko on the machine, where nothing speaks SSH: pyinfra's API imports these names and no more.

The real one and what it needs (cryptography, PyNaCl, bcrypt) would make the runtime four times as large.
"""


class SSHException(Exception):  # noqa: N818 (paramiko's name)
    """Never raised here."""


class PKey:
    """Never made here."""
