"""Seconds of a `frepo` step against the authors' program on the same jax, in turns.

A step is everything between two real batches: features of the real images, gradient by
the set, LAMB, one step of the drawn network. Theirs is called as their loop calls it,
on the host, a jitted function at a time (see reference/kernel/frepo_jax.py); ours is
the whole step inside the compiled chunk that runs it. Both get the same arrays; images
have three channels, which both programs pad alike.

  small: the CPU recipe, 16x16 pixels, widths 16-32, no norm, m = 10, 256 real images
  full: the authors' network for CIFAR-10 at m = 10, with mirror images

Appends a row for each to experiments/results/bench_frepo.jsonl.

  git clone https://github.com/yongchao97/FRePo DIR
  python experiments/bench_frepo.py --checkout DIR
"""

import argparse
import sys
import time
import types
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from benchmark import append, origin, summary

from jaxdd import whiten
from jaxdd.base import Batch, Task
from jaxdd.data import corpus
from jaxdd.loop.chunk import compiled_chunk
from jaxdd.methods.kernel.frepo import FrepoConfig, frepo
from jaxdd.records import (
    BatchNorm,
    ConvNet,
    OptimiserSpec,
)

CLASSES, STEPS, RATE, INNER_RATE, SEED = 10, 1000, 3e-3, 9e-4, 0


class Case(NamedTuple):
    """What is timed."""

    side: int
    width: int
    depth: int
    norm: str  # theirs
    flip: bool
    batch: int
    steps: int  # of a round


CASES = {
    "small": Case(16, 16, 2, "identity", False, 256, 30),
    "full": Case(32, 128, 3, "batch", True, 256, 1),
}


def main() -> None:
    """Times both programs and appends the rows."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkout", type=Path, help="a copy of FRePo")
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument("--batch", type=int, default=0, help="real images of full")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name, case in CASES.items():
        if options.case in (name, "all"):
            if name == "full" and options.batch:
                case = case._replace(batch=options.batch)
            append("bench_frepo", measured(name, case, options) | {"origin": origin()})


def measured(name: str, case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """A row: seconds a step of both, and their ratio."""
    arrays = random_arrays(case)
    programs: dict[str, Any] = {"ours": Ours(case, arrays)}
    if options.checkout is not None:
        programs["theirs"] = Theirs(case, arrays, options.checkout)
    seconds: dict[str, list[float]] = {who: [] for who in programs}
    for turn in range(options.rounds + 1):
        for who, program in programs.items():
            began = time.perf_counter()
            program.run(case.steps)
            taken = (time.perf_counter() - began) / case.steps
            seconds[who] += [taken] if turn else []
    found = {who: summary(taken) for who, taken in seconds.items()}
    row = {"benchmark": f"frepo step, {name}", "settings": case._asdict(), **found}
    if "theirs" in found:
        for which in ("best", "median"):
            speed = found["theirs"][which] / found["ours"][which]
            row[f"speed, {which}"] = round(speed, 2)
    return row


def random_arrays(case: Case) -> dict[str, np.ndarray]:
    """The arrays both programs get."""
    rng = np.random.default_rng(SEED)
    shape = case.side, case.side, 3
    draw = lambda count: rng.standard_normal((count, *shape), np.float32)
    label = rng.integers(0, CLASSES, case.batch)
    centred = lambda rows: (np.eye(CLASSES)[rows] - 1 / CLASSES).astype(np.float32)
    return {
        "x_s": draw(CLASSES),
        "y_s": centred(np.arange(CLASSES)),
        "x_b": draw(case.batch),
        "y_b": centred(label),
    }


class Ours:
    """Our steps in the chunk that the runner compiles."""

    def __init__(self, case: Case, arrays: dict[str, np.ndarray]) -> None:
        spec = ConvNet(
            width=tuple(case.width * 2**block for block in range(case.depth)),
            norm="batch" if case.norm == "batch" else "none",
            initialiser="flax",
            norm_place="before",
            batch_norm=BatchNorm(0.1, "biased"),
        )
        config = FrepoConfig(
            network=spec,
            network_optimiser=OptimiserSpec("adam", INNER_RATE),
            optimiser=OptimiserSpec("lamb", RATE, schedule="cosine", final=0.1),
            batch=case.batch,
            mirror=case.flip,
        )
        shape = arrays["x_s"].shape[1:]
        method = frepo(Task(shape, CLASSES, CLASSES, 1, STEPS, 50_000), config)
        noise = np.random.default_rng(SEED).integers(0, 256, (100, *shape))
        label = np.arange(100) % CLASSES
        pixels = noise.astype(np.uint8)
        real = corpus.build(pixels, label, whiten.fit("standard", pixels), name="noise")
        state = method.init(jax.random.key(SEED), real, {})
        x_s, y_s, x_b, y_b = map(jnp.asarray, arrays.values())
        self._state = state._replace(params={"image": x_s, "target": y_s})
        rows = jnp.arange(case.batch)
        self._data = Batch(x_b, y_b, rows, jnp.ones(case.batch))
        step = lambda state, batch: method.step(state, batch, {})
        self._chunk = compiled_chunk(step, case.steps, self._state, self._data)

    def run(self, steps: int) -> None:
        """Makes the steps and waits for them."""
        result = self._chunk(self._state, self._data, np.int32(steps))
        self._state = jax.block_until_ready(result[0])


class Theirs:
    """Their steps, as their loop makes them."""

    def __init__(
        self, case: Case, arrays: dict[str, np.ndarray], checkout: Path
    ) -> None:
        sys.path.insert(0, str(Path(__file__).resolve().parent / "reference"))
        import frepo_jax

        self._arrays = arrays
        program = _program(frepo_jax, checkout)
        has_norm = case.norm == "batch"
        self._step = frepo_jax.functions(program, case.flip, has_norm)
        self._state, network = frepo_jax.states(
            *(program, jnp.asarray(arrays["x_s"]), jnp.asarray(arrays["y_s"])),
            width=case.width,
            depth=case.depth,
            norm=case.norm,
            steps=STEPS,
            rate=RATE,
            inner_rate=INNER_RATE,
        )
        self._fresh = jax.jit(network)
        self._random = np.random.default_rng(SEED)
        self._key = jax.random.PRNGKey(SEED)
        size = FrepoConfig().pool
        self._nets = [
            self._fresh(self._split()).replace(step=FrepoConfig().max_age // size * j)
            for j in range(size)
        ]

    def _split(self) -> jax.Array:
        self._key, key = jax.random.split(self._key)
        return key

    def run(self, steps: int) -> None:
        """Makes the steps and waits for them."""
        step, real = self._step, self._arrays
        for _ in range(steps):
            place = int(self._random.integers(len(self._nets)))
            net = self._nets[place]
            feature = step.feat(jnp.asarray(real["x_b"]), net)
            batch = {"image": feature, "label": jnp.asarray(real["y_b"])}
            self._state, _ = step.outer(self._state, net, batch)
            if net.step > FrepoConfig().max_age:
                self._nets[place] = self._fresh(self._split())
                continue
            key = self._split()
            image, label = step.sample(self._state, key)
            given = {"image": image, "label": label}
            self._nets[place], _ = step.inner(net, given, key)
        jax.block_until_ready((self._state.params, self._nets[place].params))


_LOADED: dict[Path, types.SimpleNamespace] = {}


def _program(frepo_jax: Any, checkout: Path) -> types.SimpleNamespace:
    """Their modules, loaded once."""
    if checkout not in _LOADED:
        _LOADED[checkout] = frepo_jax.load_program(checkout)
    return _LOADED[checkout]


if __name__ == "__main__":
    main()
