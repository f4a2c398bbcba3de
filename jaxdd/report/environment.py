"""Where a run happened: versions, hardware and the commit of the code."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["commit", "hardware", "spelled", "versions"]

_PACKAGES = ("jaxdd", "jax", "jaxlib", "flax", "optax", "numpy", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the figures."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:  # run from a bare clone
            continue
    return found


def hardware() -> dict[str, Any]:
    """The devices that JAX computes on, and the machine around them."""
    import jax

    return {
        "devices": [device.device_kind for device in jax.devices()],
        "platform": jax.default_backend(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def commit() -> str:
    """The commit of the code, with `+` where files were changed; "" outside git."""
    folder = Path(__file__).resolve().parent
    try:
        text = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--match", ""],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    return text.strip()


def spelled(arguments: Sequence[str]) -> str:
    """The command that repeats a run, as one line of shell."""
    return shlex.join(["python", "experiments/run.py", *arguments])
