"""Where a mail machine keeps mailboxes: known to the role that makes them, and to the verb that ends one."""

from __future__ import annotations

FOLDER = "/var/lib/lienxa-mail"
"""One folder per login."""
LOCKED = ".lienxa-locked"
"""In a mailbox's folder: nobody in the inventory has it any more, and its mail is kept."""
