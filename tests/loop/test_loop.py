"""The loop: same numbers as plain steps, one compilation, resume, guards, signals."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.devices.mesh import make_mesh
from jaxdd.errors import InputError
from jaxdd.loop import loop as loop_module
from jaxdd.loop.chunk import HostTransferError
from jaxdd.loop.hooks import Interrupted, NonFiniteError, signals
from jaxdd.loop.log import read_metrics
from jaxdd.loop.loop import Loop, chunk_length
from tests.loop.toy import assert_same, make_step, toy_data, toy_state

STEPS = 23  # no multiple of any chunk


def quiet(workdir: Path | None = None, **options) -> Loop:
    settings = {"chunk": 5, "save_every": 5, "config_hash": "a", "progress": False}
    return Loop(workdir, **(settings | options))


def chunk_of(options: dict) -> int:
    return chunk_length(STEPS, options.get("chunk", 5))


class At:
    """A hook that does something when a stage has done so many steps."""

    def __init__(self, step: int, action) -> None:
        self.step, self.action, self.seen = step, action, []

    def on_chunk(self, stage, step, state, metrics) -> None:
        self.seen.append((stage, step, len(metrics["loss"])))
        if step >= self.step:
            self.action()


class Killed(BaseException):
    pass


def die() -> None:
    raise Killed


@pytest.fixture(scope="module")
def expected():
    """The result of plain jitted steps."""
    step, _ = make_step()
    jitted, state, data, rows = jax.jit(step), toy_state(), toy_data(), []
    for _ in range(STEPS):
        state, metrics = jitted(state, data)
        rows.append(metrics)
    return state, {n: np.stack([row[n] for row in rows]) for n in rows[0]}


@pytest.mark.parametrize("chunk", [1, 2, 50])
def test_same_numbers_as_plain_steps(expected, chunk: int) -> None:
    step, traces = make_step()
    start = toy_state()
    state, metrics = quiet(chunk=chunk)(step, start, STEPS, toy_data(), stage="s")
    assert_same((state, metrics), expected)
    assert_same(start, toy_state())  # what was given is not consumed
    assert len(traces) == 1  # the shorter last chunk shares the compilation


def test_chunks_share_the_grid_and_hooks_see_them() -> None:
    assert [chunk_length(n, 50) for n in (1, 20, 21, 400, 5000)] == [1, 1, 2, 20, 50]
    first, second = At(99, die), At(99, die)
    step, _ = make_step()
    quiet(hooks=[first, second])(step, toy_state(), 5, toy_data(), stage="s")
    assert first.seen == [("s", n, 1) for n in range(1, 6)] == second.seen


def test_one_compilation_for_all_calls_of_the_same_shape() -> None:
    step, traces = make_step()
    drive = quiet()
    one, _ = drive(step, toy_state(0), STEPS, toy_data(0), stage="a")
    two, _ = drive(step, toy_state(1), STEPS, toy_data(1), stage="b")
    assert len(traces) == 1
    assert drive.timings["b"].steps == STEPS
    # Had the first data been captured, the second run would have used it.
    fresh, _ = quiet()(make_step()[0], toy_state(1), STEPS, toy_data(1), stage="b")
    assert_same(two, fresh)
    assert not np.array_equal(one.weight, two.weight)


@pytest.mark.parametrize("save_every", [5, 0])
def test_goes_on_after_a_kill_bit_for_bit(tmp_path, expected, save_every: int) -> None:
    data = toy_data()
    for at in (6, 13, 22):
        drive = quiet(tmp_path, hooks=[At(at, die)], save_every=save_every)
        with pytest.raises(Killed):
            drive(make_step()[0], toy_state(), STEPS, data, stage="s")
    hook = At(99, die)
    state, metrics = quiet(tmp_path, hooks=[hook])(
        make_step()[0], toy_state(), STEPS, data, stage="s"
    )
    assert_same((state, metrics), expected)
    assert hook.seen[0][1] == (20 if save_every else 2)  # saved at 6, 12, 18
    rows = read_metrics(tmp_path / "metrics.jsonl")["s"]
    assert rows["step"].tolist() == list(range(STEPS))
    assert rows["loss"].astype(np.float32).tolist() == metrics["loss"].tolist()


def test_finished_stage_is_skipped(tmp_path, expected) -> None:
    step, traces = make_step()
    quiet(tmp_path)(step, toy_state(), STEPS, toy_data(), stage="s")
    before = (tmp_path / "metrics.jsonl").read_bytes()
    drive = quiet(tmp_path)
    again = drive(step, toy_state(), STEPS, toy_data(), stage="s")
    assert_same(again, expected)
    assert len(traces) == 1
    assert "s" not in drive.timings
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_stages_do_not_mix(tmp_path) -> None:
    step, _ = make_step()
    drive = quiet(tmp_path)
    one, _ = drive(step, toy_state(0), 4, toy_data(), stage="target")
    two, _ = drive(step, toy_state(1), 4, toy_data(), stage="evaluate/seed0")
    assert not np.array_equal(one.weight, two.weight)
    again, _ = quiet(tmp_path)(step, toy_state(0), 4, toy_data(), stage="target")
    assert_same(one, again)
    assert list(read_metrics(tmp_path / "metrics.jsonl")) == [
        "target",
        "evaluate/seed0",
    ]


def test_another_configuration_is_refused(tmp_path) -> None:
    step, _ = make_step()
    quiet(tmp_path)(step, toy_state(), 4, toy_data(), stage="s")
    with pytest.raises(InputError, match="config_hash is 'a' there and 'b' now"):
        quiet(tmp_path, config_hash="b")(step, toy_state(), 4, toy_data(), stage="s")
    with pytest.raises(InputError, match="num_steps is 4 there and 5 now"):
        quiet(tmp_path)(step, toy_state(), 5, toy_data(), stage="s")


def test_no_steps() -> None:
    step, _ = make_step()
    state, metrics = quiet()(step, toy_state(), 0, toy_data(), stage="s")
    assert_same(state, toy_state())
    assert metrics["loss"].shape == (0,)


def test_stage_without_metrics(tmp_path) -> None:
    def step(state, data):
        return state + data, {}

    for _ in range(2):
        state, metrics = quiet(tmp_path)(step, 1.0, 7, np.float32(2), stage="warm")
        assert (float(state), metrics) == (15.0, {})
    assert not (tmp_path / "metrics.jsonl").exists()


def test_double_precision_stays(tmp_path, x64) -> None:
    def step(state, data):
        return state * data, {"value": state.sum()}

    start = jnp.full(2, 1 / 3, jnp.float64)
    for _ in range(2):
        state, metrics = quiet(tmp_path)(step, start, 3, jnp.asarray(1.1), stage="s")
        assert state.dtype == metrics["value"].dtype == np.float64
    assert metrics["value"][0] == 2 / 3


def test_metric_that_is_not_finite(tmp_path, expected) -> None:
    drive = quiet(tmp_path, save_every=4)
    step, _ = make_step(poison=9)
    with pytest.raises(NonFiniteError, match=r"stage 's': loss is nan at step 9") as e:
        drive(step, toy_state(), STEPS, toy_data(), stage="s")
    assert (e.value.stage, e.value.steps) == ("s", (8, 9))
    assert read_metrics(tmp_path / "metrics.jsonl")["s"]["step"].tolist() == [*range(9)]
    hook = At(99, die)  # the checkpoint before it is good: a mended program goes on
    result = quiet(tmp_path, hooks=[hook])(
        make_step()[0], toy_state(), STEPS, toy_data(), stage="s"
    )
    assert_same(result, expected)
    assert hook.seen[0][1] == 10


def test_state_that_is_not_a_number(tmp_path) -> None:
    def step(state, data):
        return jnp.where(data == 0, 0 / state, state), {"loss": jnp.ones(())}

    with pytest.raises(NonFiniteError, match="the state holds a NaN after step 0"):
        quiet(tmp_path)(step, jnp.zeros(3), 9, np.float32(0), stage="s")
    assert not any(p.name.isdigit() for p in (tmp_path / "checkpoints/s").iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_finishes_the_chunk_and_saves(tmp_path, expected, number) -> None:
    def ask() -> None:
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    hook = At(6, ask)
    drive = quiet(tmp_path, save_every=0, hooks=[hook])
    with pytest.raises(Interrupted, match=r"stopped after step 6 of 23.*goes on"):
        drive(make_step()[0], toy_state(), STEPS, toy_data(), stage="s")
    assert signal.getsignal(number) is before
    assert hook.seen[-1][1] == 6
    hook = At(99, die)
    result = quiet(tmp_path, hooks=[hook])(
        make_step()[0], toy_state(), STEPS, toy_data(), stage="s"
    )
    assert_same(result, expected)
    assert hook.seen[0][1] == 8
    with pytest.raises(Interrupted, match="not saved"):
        quiet(hooks=[At(6, ask)])(
            make_step()[0], toy_state(), STEPS, toy_data(), stage="s"
        )


@pytest.fixture
def heeds_interrupts() -> Iterator[None]:
    """A process started in the background may have been told to ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_interrupts")
def test_second_signal_stops_at_once() -> None:
    with signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.name == "SIGINT"
        signal.raise_signal(signal.SIGINT)  # the same one, passed on by somebody else
        time.sleep(0.6)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_runs_in_a_thread_too(expected) -> None:
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(
            quiet(), make_step()[0], toy_state(), STEPS, toy_data(), stage="s"
        ).result()
    assert_same(result, expected)


@pytest.mark.parametrize("call", ["pure_callback", "debug_print"])
def test_step_that_calls_the_host_is_caught(call: str) -> None:
    def step(state, data):
        if call == "debug_print":
            jax.debug.print("{}", state)
            return state, {}
        shape = jax.ShapeDtypeStruct((), jnp.float32)
        return jax.pure_callback(np.sin, shape, state), {}

    with pytest.raises(HostTransferError, match=r"callback|debug_print"):
        quiet()(step, jnp.ones(()), 3, (), stage="s")


def test_transfer_during_a_chunk_is_caught(monkeypatch) -> None:
    made = loop_module.compiled_chunk

    def leaky(step, length, state, data, rows):
        program = made(step, length, state, data, rows)
        return lambda state, data, count: program(state, data, int(count))

    monkeypatch.setattr(loop_module, "compiled_chunk", leaky)
    with pytest.raises(RuntimeError, match="Disallowed host-to-device transfer"):
        quiet()(make_step()[0], toy_state(), 3, toy_data(), stage="s")


def test_bar_on_standard_error_or_silence(capsys) -> None:
    step, _ = make_step()
    quiet()(step, toy_state(), 4, toy_data(), stage="s")
    assert capsys.readouterr() == ("", "")
    quiet(progress=True)(step, toy_state(), 4, toy_data(), stage="target")
    out, err = capsys.readouterr()
    assert out == ""
    assert "target" in err
    assert "4/4" in err
    assert "loss" in err


def test_rows_split_over_devices_give_the_same_result(tmp_path, expected) -> None:
    mesh = make_mesh()
    assert mesh.devices.shape == (1, 8)
    rows = jax.sharding.NamedSharding(mesh, jax.P("data"))
    data = jax.device_put(toy_data(), rows)
    with pytest.raises(Killed):
        quiet(tmp_path, hooks=[At(10, die)])(
            make_step()[0], toy_state(), STEPS, data, stage="s"
        )
    state, metrics = quiet(tmp_path)(
        make_step()[0], toy_state(), STEPS, data, stage="s"
    )
    whole, _ = quiet()(make_step()[0], toy_state(), STEPS, data, stage="s")
    assert_same(state, whole)
    assert state.weight.sharding.device_set == set(mesh.devices.flat)
    np.testing.assert_allclose(state.weight, expected[0].weight, atol=1e-5)
    np.testing.assert_allclose(metrics["loss"], expected[1]["loss"], atol=1e-5)
