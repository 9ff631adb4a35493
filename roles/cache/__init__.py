"""What the commune's machines fetch comes over the line once: a cache of packages (squid), and of lienxa's own kit.

It serves Debian repositories and nothing else, to every zone but guests'. Packages keep being right under their name,
so they are kept as long as there is room; lists are asked for again each time. While a run is on, the laptop's cache
is asked first, so that a commune without a line can be set up; otherwise the mirrors. A disk that is full or broken
costs the cache its disk, not its service; after a power cut it rebuilds its index and looks at what it holds.
"""

from __future__ import annotations

from deploy.inventory.role import INSIDE, Port, Role, Unit
from deploy.inventory.site import KIT, PACKAGES
from roles.cache.options import Options

ROLE = Role(
    name="cache",
    summary="What the commune's machines fetch comes over the line once: packages, and lienxa's kit.",
    options=Options,
    packages=("squid",),
    units=(
        Unit("squid", "the package cache"),
        Unit("lienxa-kit.socket", "hands out lienxa's kit"),
    ),
    ports=(
        Port(3128, "tcp", INSIDE, PACKAGES, unit="squid"),
        Port(3142, "tcp", INSIDE, KIT, unit="lienxa-kit.socket"),
    ),
)
