"""Where the networks of a distillation step come from."""

from jaxdd.pools.fixed import one_start, trained
from jaxdd.pools.many import many
from jaxdd.pools.matched import matched
from jaxdd.pools.online import Life, online
from jaxdd.pools.static import drawn, fresh, none

__all__ = [
    "Life",
    "drawn",
    "fresh",
    "many",
    "matched",
    "none",
    "one_start",
    "online",
    "trained",
]
