"""Where the networks of a distillation step come from."""

from jaxdd.pools.online import online
from jaxdd.pools.static import fresh

__all__ = ["fresh", "online"]
