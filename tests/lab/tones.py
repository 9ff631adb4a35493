"""Steady tones: devices that PipeWire makes up, what is played into them, and how much of a tone is heard."""

from __future__ import annotations

import math
import statistics
import struct

RATE = 48000
"""Samples a second."""
GENERATED_DEVICES = f"""\
context.objects = [
    {{ factory = adapter
        args = {{ factory.name = support.null-audio-sink node.name = test.hall media.class = Audio/Sink
                 audio.rate = {RATE} object.linger = true }} }}
    {{ factory = adapter
        args = {{ factory.name = support.null-audio-sink node.name = test.speaker media.class = Audio/Sink
                 audio.rate = {RATE} object.linger = true }} }}
]
context.modules = [
    {{ name = libpipewire-module-loopback
        args = {{ capture.props = {{ node.name = test.ear stream.capture.sink = true target.object = test.hall }}
                 playback.props = {{ node.name = test.microphone media.class = Audio/Source }} }} }}
]
"""
"""A microphone (`test.microphone`) that hears what is played in `test.hall`, and a loudspeaker (`test.speaker`)."""


def second_of(tone: int) -> bytes:
    """A second of it, to be played again and again: 16 bits, one channel, RATE."""
    samples = (round(9000 * math.sin(2 * math.pi * tone * at / RATE)) for at in range(RATE))
    return struct.pack(f"<{RATE}h", *samples)


def share_of(tone: int, samples: tuple[int, ...], rate: int) -> float:
    """How much of what is heard is that tone, from 0 to 1: the middle one of all fiftieths of a second.

    A busy machine leaves out a few; what comes after is the same tone, a little earlier.
    """
    long = rate // 50
    found = [_share(tone, samples[at : at + long], rate) for at in range(0, len(samples) - long + 1, long)]
    return statistics.median(found) if found else 0.0


def _share(tone: int, samples: tuple[int, ...], rate: int) -> float:
    """Goertzel."""
    turn = 2 * math.cos(2 * math.pi * tone / rate)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + turn * last - before
    power = last * last + before * before - turn * last * before
    energy = sum(sample * sample for sample in samples)
    return 2 * power / (len(samples) * energy) if energy else 0.0


def last_second(raw: bytes, rate: int, channels: int = 1) -> tuple[int, ...]:
    """Of one channel of 16 bits."""
    whole = raw[: len(raw) // (2 * channels) * 2 * channels]
    return struct.unpack(f"<{len(whole) // 2}h", whole)[::channels][-rate:]
