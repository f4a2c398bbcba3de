"""jaxdd."""
