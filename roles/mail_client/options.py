"""Options of the role `mail_client`. Whose mail it is stands in `services.mail`, who is who in `people`."""

from __future__ import annotations

from pydantic import Field

from deploy.inventory.role import Options as BaseOptions


class Options(BaseOptions):
    """Inputs of `mail_client`."""

    remember_passwords: bool = Field(
        default=True,
        description="Whether Thunderbird offers to keep the mail password on the machine. A counter that several "
        "people share is better off without.",
    )
