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

import shutil
import tempfile
from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config: pytest.Config) -> None:
    """Programs that several tests compile are compiled once, in this run only."""
    if not hasattr(config, "workerinput"):
        config.stash[_PROGRAMS] = folder = tempfile.mkdtemp(prefix="jaxdd-tests-")
        os.environ["JAXDD_TEST_PROGRAMS"] = folder  # the workers inherit it
    jax.config.update("jax_compilation_cache_dir", os.environ["JAXDD_TEST_PROGRAMS"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leaves nothing behind."""
    if folder := config.stash.get(_PROGRAMS, None):
        shutil.rmtree(folder, ignore_errors=True)


_PROGRAMS = pytest.StashKey[str]()
_LISTED = Path(__file__).with_name("slow.txt")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Marks the tests of slow.txt: what they hold, quicker ones hold in part.

    A name there that is no test any more is an error, once its whole file is collected.
    """
    listed = set(_LISTED.read_text().splitlines())
    here = {item.nodeid.removeprefix("tests/"): item for item in items}
    for name in listed & set(here):
        here[name].add_marker("slow")
    files = {name.partition("::")[0] for name in here}
    whole = not any("::" in argument for argument in config.args)
    gone = [n for n in listed - set(here) if n.partition("::")[0] in files]
    if whole and gone:
        raise pytest.UsageError(f"tests/slow.txt names no tests: {', '.join(gone)}")


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
