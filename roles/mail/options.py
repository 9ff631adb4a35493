"""Options of the role `mail`. Who has which mailbox stands in `people` and `services.mail`."""

from __future__ import annotations

from pydantic import Field

from deploy.inventory.role import Options as BaseOptions


class Options(BaseOptions):
    """Inputs of `mail`."""

    message_size: int = Field(
        default=50,
        ge=1,
        le=500,
        description="Largest mail that is taken and sent, in MiB. A file attached is a third larger in the mail.",
    )
    queue_days: int = Field(
        default=7,
        ge=1,
        le=30,
        description="Days for which mail waits when it cannot be delivered, the line being down for example, before "
        "the sender gets it back.",
    )
    warn_hours: int = Field(
        default=8,
        ge=0,
        le=720,
        description="Hours of waiting after which the sender is told that the mail still waits. 0: not told.",
    )
    sends_per_hour: int = Field(
        default=200,
        ge=10,
        le=100_000,
        description="Recipients that one account may write to in an hour: a stolen password does less harm.",
    )
    wrong_passwords: int = Field(
        default=10,
        ge=3,
        le=100,
        description="Wrong passwords from one address within ten minutes after which it is locked out.",
    )
    lockout_minutes: int = Field(
        default=15,
        ge=1,
        le=1440,
        description="Minutes for which an address stays locked out.",
    )
    spam_score: float = Field(
        default=15.0,
        ge=5.0,
        le=100.0,
        description="Score of Rspamd from which mail is refused. From six points on it goes to the folder Junk.",
    )
    greylisting: bool = Field(
        default=True,
        description="Whether a suspicious mail of a stranger is put off once; a proper server comes again.",
    )
    public_lists: bool = Field(
        default=False,
        description="Whether public lists on the Internet are asked about senders, links and fingerprints of mail. "
        "Less spam gets through, and those who keep the lists see who writes to the commune.",
    )
    antivirus: bool = Field(
        default=False,
        description="Whether ClamAV looks into attachments. It wants 2 GiB of memory for itself.",
    )
