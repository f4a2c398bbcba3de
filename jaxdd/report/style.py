"""The colours of pictures, the same on all pages."""

__all__ = ["ACCENT", "BIASED", "INK", "MUTED", "SOFT"]

INK, MUTED, SOFT = "#1f2430", "#6b7280", "#c3cad6"
ACCENT, BIASED = "#2f5fd0", "#d9822b"
