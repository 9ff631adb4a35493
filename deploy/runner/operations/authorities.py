"""The province's authorities: in the system's store, where programs look that do not bring one of their own."""

from __future__ import annotations

from collections.abc import Iterable

from deploy.inventory.site import SiteAuthority
from deploy.inventory.token_policies import AUTHORITY_FILES, AUTHORITY_FOLDER, authority_file
from deploy.runner.context import Context
from deploy.runner.operations.files import no_others, place
from deploy.runner.operations.system import trust_anchors

CHECK_CERTIFICATE = "openssl x509 -noout -in {}"


def authorities(ctx: Context, wanted: Iterable[SiteAuthority]) -> None:
    """Make the machine believe in exactly these, beside those that Debian brings and the commune's own."""
    believed = {authority_file(one): one for one in wanted}
    for file, authority in believed.items():
        place(ctx, file, content=authority.pem, validate=CHECK_CERTIFICATE, name=f"Authority {authority.name}")
    no_others(AUTHORITY_FOLDER, AUTHORITY_FILES, list(believed))
    trust_anchors()
