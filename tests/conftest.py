"""Settings every test runs under; they must be in place before jax starts."""

import os
import sys

from tests.flags import QUICK_TO_COMPILE

# Eight fake devices, so that sharding is tested everywhere.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "")
    + f" --xla_force_host_platform_device_count=8 {QUICK_TO_COMPILE}"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["JAXDD_OFFLINE"] = "1"  # a missing file is an error, never a download

# Many tests start the command anew: its source is parsed once, whatever this process
# was told.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import gc
import shutil
import tempfile
import time
from pathlib import Path

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
gc.set_threshold(50_000, 20, 50)  # traces make many objects, and few of them garbage

_MOST_BYTES = 2 << 30  # of compiled programs kept for the next run
_BEGAN = time.monotonic()
_PROGRAMS = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Programs are compiled once, for all workers and for later runs.

    They are kept in pytest's cache (`.pytest_cache/d/programs`, may be deleted); their
    names tell compiler, flags and content. JAX can bound the size itself, but then
    reads the whole folder under a lock at every write.
    """
    if hasattr(config, "workerinput"):
        folder = Path(os.environ["JAXDD_TEST_PROGRAMS"])
    elif (cache := getattr(config, "cache", None)) is not None:
        folder = cache.mkdir("programs")
        _remove_oldest(folder, _MOST_BYTES)
    else:
        folder = Path(tempfile.mkdtemp(prefix="jaxdd-tests-"))
        config.stash[_PROGRAMS] = str(folder)
    os.environ["JAXDD_TEST_PROGRAMS"] = str(folder)  # the workers inherit it
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leaves nothing behind outside pytest's cache."""
    if folder := config.stash.get(_PROGRAMS, None):
        shutil.rmtree(folder, ignore_errors=True)


def _remove_oldest(folder: Path, most: int) -> None:
    """Removes the files written longest ago, until `most` bytes are left."""
    files = sorted((f.stat().st_mtime, f) for f in folder.iterdir() if f.is_file())
    size = sum(f.stat().st_size for _, f in files)
    for _, file in files:
        if size <= most:
            return
        size -= file.stat().st_size
        file.unlink()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Groups the tests for the workers, marks slow cases, and picks a part of them."""
    groups = {item: _group(item) for item in items}
    order = {name: number for number, name in enumerate(dict.fromkeys(groups.values()))}
    for item, name in groups.items():
        item.add_marker(pytest.mark.xdist_group(name))
    items.sort(key=lambda item: order[groups[item]])
    _mark_slow_cases(config, items)
    if part := config.getoption("--part"):
        chosen, of = map(int, part.split("/"))
        names = sorted(item.nodeid for item in items if item.get_closest_marker("slow"))
        left = {name for n, name in enumerate(names) if n % of != chosen % of}
        items[:] = [item for item in items if item.nodeid not in left]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--part", metavar="K/N", help="of the slow tests, every Nth from the Kth on"
    )
    parser.addoption(
        "--minutes", type=float, help="skip slow tests not begun after so many minutes"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    minutes, slow = item.config.getoption("--minutes"), item.get_closest_marker("slow")
    if minutes and slow and time.monotonic() - _BEGAN > 60 * minutes:
        pytest.skip(f"not begun within {minutes:g} minutes")


def _group(item: pytest.Item) -> str:
    """A worker gets whole files, or all contract tests of a method: they share much."""
    file = item.nodeid.partition("::")[0]
    callspec = getattr(item, "callspec", None)
    if file.endswith("contract/test_methods.py") and callspec is not None:
        return f"contract {callspec.params['name']}"
    return file


def _mark_slow_cases(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the cases that `slow_cases` at a test names; quicker ones hold the same.

    Raises:
      pytest.UsageError: a name is no case of its test.
    """
    unknown: dict[str, set[str]] = {}
    for item in items:
        for mark in item.iter_markers("slow_cases"):
            case = item.callspec.id  # pyright: ignore[reportAttributeAccessIssue]
            test = item.nodeid.partition("[")[0]
            unknown.setdefault(test, set(mark.args)).discard(case)
            if case in mark.args:
                item.add_marker("slow")
    wrong = {test: names for test, names in unknown.items() if names}
    if wrong and not any("::" in argument for argument in config.args):
        raise pytest.UsageError(f"slow_cases names no cases: {wrong}")


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
