"""metrics.jsonl: what a row is, and cutting back."""

import json

import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.loop.log import MetricsLog, read_metrics


def rows(first: int, last: int) -> dict[str, np.ndarray]:
    steps = np.arange(first, last)
    return {"loss": (steps / 10).astype(np.float32), "retries": steps.astype(np.int32)}


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def path(tmp_path):
    """A log of two stages."""
    path = tmp_path / "run" / "metrics.jsonl"
    log = MetricsLog(path)
    log.append("target", 0, rows(0, 3))
    log.append("distill", 0, rows(0, 2))
    log.append("distill", 2, rows(2, 5))
    return path


def test_rows_are_short_and_exact(path) -> None:
    first, *_, last = lines(path)
    assert list(first) == ["stage", "step", "loss", "retries", "time"]
    assert last | {"time": 0} == {
        **{"stage": "distill", "step": 4, "loss": 0.4, "retries": 4, "time": 0}
    }
    columns = read_metrics(path)["distill"]
    np.testing.assert_array_equal(columns["loss"].astype("f4"), rows(0, 5)["loss"])
    assert (np.diff(columns["time"]) >= 0).all()


def test_float32_survives_the_file(tmp_path) -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 3000, dtype=np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    log = MetricsLog(tmp_path / "m.jsonl")
    log.append("s", 0, {"x": values, "wide": values[:, None] * np.ones(2, "f4")})
    back = read_metrics(tmp_path / "m.jsonl")["s"]
    np.testing.assert_array_equal(back["x"].astype("f4"), values)
    np.testing.assert_array_equal(back["wide"].astype("f4")[:, 1], values)


@pytest.mark.parametrize("step", [0, 3])
def test_cut_back_to_the_restored_step(path, step: int) -> None:
    MetricsLog(path).align("distill", step, rows(0, step))
    found = [(row["stage"], row["step"]) for row in lines(path)]
    assert found == [("target", n) for n in range(3)] + [
        ("distill", n) for n in range(step)
    ]


def test_nothing_is_rewritten_without_need(path) -> None:
    before = path.stat().st_mtime_ns, path.read_bytes()
    MetricsLog(path).align("distill", 5, rows(0, 5))
    MetricsLog(path).align("evaluate", 0, {})
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before


def test_lost_rows_come_back_from_the_checkpoint(path) -> None:
    path.unlink()
    MetricsLog(path).align("distill", 4, rows(0, 4))
    columns = read_metrics(path)["distill"]
    assert columns["step"].tolist() == [0, 1, 2, 3]
    assert columns["retries"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("torn", [b'{"stage": "distill", "st', b'{"stage": "x"}', b"7"])
def test_torn_last_line(path, torn: bytes) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert len(read_metrics(path)["distill"]["step"]) == 5
    log = MetricsLog(path)
    assert path.read_bytes() == whole
    log.append("distill", 5, rows(5, 6))
    assert len(lines(path)) == 9


def test_file_that_cannot_be_written(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    log = MetricsLog(tmp_path / "file" / "metrics.jsonl")
    with pytest.raises(InputError, match=r"cannot write .*metrics.jsonl: "):
        log.append("s", 0, rows(0, 1))
