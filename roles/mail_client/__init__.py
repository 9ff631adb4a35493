"""Mail on an official's desk: Thunderbird in Vietnamese that knows the commune.

Who types an address and a password has an account: where the servers are is on the machine, so that nobody outside
is asked, and it works while the line is down. The commune's authority is trusted, nothing is reported to anybody,
every letter is signed in the form of Decree 30/2020 from the person's entry in the inventory, and everybody of the
commune is in the address book. What people change in a signature stays as they want it.
"""

from __future__ import annotations

from deploy.inventory.role import Role
from roles.mail_client.options import Options

ROLE = Role(
    name="mail_client",
    summary="Thunderbird in Vietnamese that finds the account, signs letters and knows the commune's people.",
    options=Options,
    packages=("fonts-liberation", "fonts-noto-core", "thunderbird", "thunderbird-l10n-vi"),
    needs=("base",),
)
