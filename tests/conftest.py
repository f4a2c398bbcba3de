"""Settings every test runs under; they must be in place before jax starts."""

import os

# Eight fake devices, so that sharding is tested everywhere; level 1 compiles in two
# thirds of the time and runs at full speed.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + " --xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["JAXDD_OFFLINE"] = "1"  # a missing file is an error, never a download

from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def key() -> jax.Array:
    """A typed key."""
    return jax.random.key(20261122)


@pytest.fixture
def x64():
    """Double precision, for derivative tests."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real data; the test is skipped where there is none."""
    here = Path(__file__).resolve().parents[1]
    for folder in (os.environ.get("JAXDD_DATA"), here.parent / "shared" / "data"):
        if folder and (Path(folder) / "mnist.npz").exists():
            return Path(folder)
    pytest.skip("needs real data: set JAXDD_DATA to a folder with mnist.npz")
