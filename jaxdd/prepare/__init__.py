"""Prepares what a method needs before its first step: a teacher, or experts.

Results are kept under a hash of all settings and of the data, so that a second run
starts at once and runs of different settings never mix.
"""

from jaxdd.prepare.needs import (
    Assembly,
    check,
    prepare,
    prepare_all,
    pretend_all,
    runs,
)
from jaxdd.prepare.site import Prepared, Site

__all__ = [
    "Assembly",
    "Prepared",
    "Site",
    "check",
    "prepare",
    "prepare_all",
    "pretend_all",
    "runs",
]
