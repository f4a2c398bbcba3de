"""Parts joined into a method, and wrappers of one."""

from jaxdd.composition.compose import compose, from_selector, one_shot

__all__ = ["compose", "from_selector", "one_shot"]
