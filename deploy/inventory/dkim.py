"""The public halves of the commune's DKIM keys, which are secrets. The laptop's alone: no machine needs them."""

from __future__ import annotations

from deploy.inventory.certificates import dkim_public_key
from deploy.inventory.role import Secret
from deploy.inventory.secrets import SecretsFor
from deploy.inventory.site import Site


def dkim_keys(site: Site, secrets_for: SecretsFor) -> dict[str, str]:
    """What stands after `p=` in the DNS, by selector; {} where the commune serves no mail.

    Raises UserError for a secret that is missing or sealed for others.
    """
    mail = site.mail
    if mail is None or mail.server is None:
        return {}
    found = {}
    for one in mail.selectors:
        secret = Secret(f"dkim_{one}", f"DKIM key of the selector {one}", form="dkim")
        found[one] = dkim_public_key(secrets_for(mail.server, "mail", secret))
    return found
