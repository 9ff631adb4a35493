"""Options of the role `video_client`. The service itself stands in `upstream.meeting` of province.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, StrictBool, StrictInt

from deploy.inventory.role import Options as BaseOptions

NODE = r"^[A-Za-z0-9][A-Za-z0-9._:-]*$"
"""A name that PipeWire gives a device."""


class Options(BaseOptions):
    """Inputs of `video_client`."""

    microphone: str | None = Field(
        default=None,
        pattern=NODE,
        description="The microphone that meetings hear, by PipeWire's name for it (`pactl list short sources`): "
        "alsa_input.usb-Jabra_SPEAK_510-00.mono-fallback. Default: what PipeWire prefers.",
    )
    loudspeaker: str | None = Field(
        default=None,
        pattern=NODE,
        description="The loudspeaker, by PipeWire's name for it (`pactl list short sinks`). Default: what PipeWire "
        "prefers.",
    )
    microphone_percent: StrictInt = Field(
        default=80, ge=0, le=100, description="How loud the microphone is when somebody signs in, in percent."
    )
    loudspeaker_percent: StrictInt = Field(
        default=70, ge=0, le=100, description="How loud the loudspeaker is when somebody signs in, in percent."
    )
    echo_cancellation: StrictBool = Field(
        default=True,
        description="Whether what the loudspeaker says is taken out of what the microphone hears. Off for a room "
        "whose device does it itself.",
    )
    lobby: StrictBool = Field(
        default=True,
        description="Whether a machine of kind room starts into the lobby, without anybody signing in. Off: it has a "
        "greeter like any desk. A room with a SIP account has its lobby in any case: there it rings.",
    )
    night: str = Field(
        default="03:00",
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        description="When a room's lobby begins anew each night, in the machine's own time.",
    )
    sip_answer: Literal["ask", "auto"] = Field(
        default="ask",
        description="What a room with a SIP account does when it is called. ask: it rings, and somebody answers on "
        "its screen. auto: it takes every call at once, as where the province brings its rooms together itself; then "
        "whoever has an account at the registrar hears the room.",
    )
