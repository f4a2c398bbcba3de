"""Rows read on the host: the same steps as with rows on the device, in any chunks."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Streamed
from jaxdd.loop.loop import Loop
from jaxdd.loop.stream import StreamReader
from jaxdd.training import scan_drive

ROWS = np.random.default_rng(0).normal(size=(23, 3)).astype("f4")
TWO = np.float32(2)


def step(state, data):
    factor, row = data
    state = 0.9 * state + factor * row["x"]
    return state, {"loss": state.sum()}


def on_device(state, data):
    number, state = state
    state, metrics = step(state, (data[0], {"x": data[1][number]}))
    return (number + 1, state), metrics


class Reader:
    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __call__(self, first: int, end: int) -> dict:
        self.asked.append((first, end))
        return {"x": ROWS[first:end]}


def run(reader, workdir=None, hooks=(), chunk: int = 5):
    loop = Loop(workdir, chunk=chunk, save_every=1, hooks=hooks, progress=False)
    return loop(step, jnp.zeros(3), 23, Streamed((TWO,), reader), stage="s")


@pytest.mark.parametrize("chunk", [1, 2, 7])
def test_rows_from_the_host_equal_rows_on_the_device(chunk: int) -> None:
    reader = Reader()
    state, metrics = run(reader, chunk=chunk)
    loop = Loop(None, chunk=chunk, progress=False)
    start = jnp.int32(0), jnp.zeros(3)
    data = TWO, jnp.asarray(ROWS)
    (_, want), rows = loop(on_device, start, 23, data, stage="s")
    np.testing.assert_array_equal(state, want)
    np.testing.assert_array_equal(metrics["loss"], rows["loss"])
    firsts = [first for first, _ in reader.asked]
    assert sorted(set(firsts)) == list(range(0, 23, min(chunk, 2)))


def test_every_drive_takes_a_stream() -> None:
    want, rows = run(Reader())
    data = Streamed((TWO,), Reader())
    state, metrics = scan_drive(step, jnp.zeros(3), 23, data, stage="s")
    np.testing.assert_allclose(state, want, rtol=1e-6)
    np.testing.assert_allclose(metrics["loss"], rows["loss"], rtol=1e-5)


def test_a_killed_run_goes_on_with_the_same_rows(tmp_path) -> None:
    class Stop:
        def on_chunk(self, stage, step, state, metrics) -> None:
            if step >= 10:
                raise KeyboardInterrupt

    want, rows = run(Reader())
    with pytest.raises(KeyboardInterrupt):
        run(Reader(), tmp_path, (Stop(),))
    reader = Reader()
    state, metrics = run(reader, tmp_path)
    assert reader.asked[0][0] >= 8
    np.testing.assert_array_equal(state, want)
    np.testing.assert_array_equal(metrics["loss"], rows["loss"])


def test_next_rows_are_read_while_these_are_used() -> None:
    reader = Reader()
    with StreamReader(reader, 4) as ahead:
        ahead.rows((0, 4))
        ahead.prefetch((4, 7))
        got = ahead.rows((4, 7))
    assert reader.asked == [(0, 4), (4, 7)]
    np.testing.assert_array_equal(got["x"], ROWS[[4, 5, 6, 6]])  # filled up


def test_what_fails_while_reading_ahead_is_raised() -> None:
    def broken(first: int, end: int) -> dict:
        if first:
            raise OSError("the store has gone")
        return {"x": ROWS[first:end]}

    with pytest.raises(OSError, match="the store has gone"):
        run(broken)
