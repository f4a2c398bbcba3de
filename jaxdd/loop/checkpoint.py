"""Checkpoints of a stage: its state, and the metrics of all steps that led to it.

Orbax writes them in the background and renames them into place, so that a kill leaves
the one before. One is kept: the latest, which for a finished stage is its result.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding

from jaxdd.base import PyTree
from jaxdd.errors import InputError

__all__ = ["Checkpoints", "Saved"]

_SYSTEM_ERROR = re.compile(r"([^:]+) \[os_error_code=")  # as tensorstore reports it


class Saved(NamedTuple):
    """What a checkpoint holds."""

    step: int  # steps done
    state: PyTree
    metrics: dict[str, np.ndarray]  # each [step, ...]


class Checkpoints:
    """The checkpoints of one stage; a context manager.

    Args:
      folder: of all checkpoints of the run; the stage gets a folder in it.
      stage: name of the stage.
      num_steps: how many steps the stage has.
      config_hash: of the configuration; a checkpoint of another one is refused.
    """

    def __init__(
        self, folder: Path, stage: str, num_steps: int, config_hash: str
    ) -> None:
        # Orbax needs an absolute path, and "/" in a stage must not nest folders.
        self.folder = Path(folder).absolute() / stage.replace("/", "__")
        self._meta = {
            "stage": stage,
            "num_steps": num_steps,
            "config_hash": config_hash,
        }
        self._manager: Any = None
        self._silence = contextlib.ExitStack()

    def __enter__(self) -> Checkpoints:
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import preservation_policy

        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.LatestN(1),
            cleanup_tmp_directories=True,
        )
        with contextlib.ExitStack() as stack:
            stack.enter_context(_silenced())
            try:
                self._manager = ocp.CheckpointManager(self.folder, options=options)
            except Exception as error:
                raise self._explained(error) from error
            self._silence = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        # A failed save has been reported; closing must not hide what was raised.
        try:
            self._manager.close()
        except Exception as failure:
            if error[0] is None:
                raise self._explained(failure) from failure
        finally:
            if error[0] is not None:
                gc.collect()  # what a failed save has left speaks up now, unheard
            self._silence.close()

    def restore(self, like: PyTree) -> Saved | None:
        """The latest checkpoint, placed on devices as `like` is; None if there is none.

        Args:
          like: a state with the structure, shapes and shardings to restore.

        Raises:
          InputError: the checkpoint was written by another configuration or program,
            or is damaged.
        """
        import orbax.checkpoint as ocp

        step = self._manager.latest_step()
        if step is None:
            return None
        try:
            meta = self._read(step, meta=ocp.args.JsonRestore())["meta"]
            self._check(meta, like)
            metrics = {
                name: np.zeros(shape, kind)
                for name, (shape, kind) in meta["metrics"].items()
            }
            want = _packed((like, metrics), _template)
            arrays = self._read(step, arrays=ocp.args.StandardRestore(want))["arrays"]
        except (InputError, jax.errors.JaxRuntimeError):  # or a process has gone
            raise
        except Exception as error:
            raise InputError(
                f"the checkpoint {self.folder / str(step)} cannot be read, it may be"
                f" damaged: {_first_line(error)}. Remove {self.folder} to begin its"
                " stage anew"
            ) from error
        state, metrics = _unpacked(arrays, (like, metrics))
        return Saved(step, state, metrics)

    def save(self, step: int, state: PyTree, metrics: dict[str, np.ndarray]) -> None:
        """Starts a save; the state may be donated as soon as this returns.

        Raises:
          InputError: this or the previous save failed for lack of space or permission;
            the checkpoint before it is intact.
        """
        import orbax.checkpoint as ocp

        meta = self._meta | {
            "step": step,
            "state": _describe(state),
            "metrics": {n: [a.shape, str(a.dtype)] for n, a in metrics.items()},
        }
        items = ocp.args.Composite(
            arrays=ocp.args.StandardSave(_packed((state, metrics))),
            meta=ocp.args.JsonSave(meta),
        )
        try:
            self._manager.save(step, args=items, force=True)
        except Exception as error:
            raise self._explained(error) from error

    def wait(self) -> None:
        """Returns when everything is on disk.

        Raises:
          InputError: as `save`.
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._explained(error) from error

    def _read(self, step: int, **items: Any) -> Any:
        import orbax.checkpoint as ocp

        return self._manager.restore(step, args=ocp.args.Composite(**items))

    def _check(self, meta: dict[str, Any], like: PyTree) -> None:
        """Refuses what another configuration or another program has written."""
        for name, value in self._meta.items():
            if meta[name] != value:
                raise InputError(
                    f"{self.folder} was written with another configuration: {name} is"
                    f" {meta[name]!r} there and {value!r} now. Use another work"
                    " directory, or --overwrite to begin anew"
                )
        there, now = meta["state"], _describe(like)
        for name in sorted(there.keys() | now.keys()):
            if there.get(name) != now.get(name):
                raise InputError(
                    f"{self.folder} was written by another version: state{name} is"
                    f" {there.get(name, 'absent')} there and {now.get(name, 'absent')}"
                    " now. Use another work directory, or --overwrite to begin anew"
                )

    def _explained(self, error: Exception) -> Exception:
        """A clear message where the system refused to write; else the error itself."""
        reason = _system_error(error)
        if reason is None:
            return error
        steps = [int(p.name) for p in self.folder.glob("*") if p.name.isdigit()]
        kept = f"the checkpoint of step {max(steps)}" if steps else "what was there"
        return InputError(
            f"cannot save stage {self._meta['stage']!r} in {self.folder}: {reason}."
            f" Nothing is lost but the last steps: {kept} is intact. Make room (or"
            " choose a --workdir that can be written) and run the same command again"
        )


def _packed(tree: PyTree, prepare: Callable = lambda leaf: leaf) -> dict[str, Any]:
    """The leaves by number; Orbax cannot store those without elements."""
    leaves = enumerate(jax.tree.leaves(tree))
    return {f"{i:05d}": prepare(_raw(leaf)) for i, leaf in leaves if leaf.size}


def _unpacked(packed: dict[str, Any], like: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(like)
    restored = [
        _like(packed[f"{i:05d}"], leaf) if leaf.size else leaf
        for i, leaf in enumerate(leaves)
    ]
    return structure.unflatten(restored)


def _raw(leaf: Any) -> Any:
    """A key as the integers it is made of; anything else as it is."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _template(leaf: Any) -> Any:
    """How Orbax shall restore a leaf: on the devices it is spread over, or as NumPy.

    Arrays of one device come back through NumPy because Orbax would bind them to it,
    while those of a run that was never interrupted may still follow others.
    """
    if isinstance(leaf, jax.Array) and isinstance(leaf.sharding, NamedSharding):
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
    return np.zeros(leaf.shape, leaf.dtype)


def _like(value: Any, leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array):
        return value
    value = jnp.array(value)  # a copy: it will be donated
    if _is_key(leaf):
        return jax.random.wrap_key_data(value, impl=jax.random.key_impl(leaf))
    return value


def _describe(tree: PyTree) -> dict[str, str]:
    """Type and shape of each leaf by its path."""
    return {
        jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Stops Orbax from printing what it also raises, for as long as the block runs.

    It logs every save, and failures with their tracebacks. It also closes its event
    loop at the first failure, and what other arrays then tell the closed loop, from
    other threads, would be printed as a traceback too.
    """
    logger, before = logging.getLogger("absl"), sys.unraisablehook
    level = logger.level

    def hook(unraisable: Any) -> None:
        if str(unraisable.exc_value) != "Event loop is closed":
            before(unraisable)

    logger.setLevel(logging.CRITICAL)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        logger.setLevel(level)
        sys.unraisablehook = before


def _system_error(error: BaseException | None) -> str | None:
    """What the operating system said, if that is what went wrong."""
    while error is not None:
        if isinstance(error, OSError):
            return error.strerror or str(error)
        if found := _SYSTEM_ERROR.search(str(error)):
            return found[1].strip()
        error = error.__cause__
    return None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
