"""Students trained together are the students trained alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Variables
from jaxdd.devices.mesh import make_mesh, replicate, shard_rows, split_lead, spread
from jaxdd.evaluation import evaluate
from jaxdd.evaluation.students import seed_key
from jaxdd.records import AugmentSpec, Recipe
from jaxdd.training import scan_drive
from jaxdd.training.examples import examples_of_set, student_network
from jaxdd.training.together import Group, fit_students
from tests.evaluation.cases import (
    MLP,
    SGD,
    Recorder,
    labelled_set,
    protocol,
    standard_dataset,
)

RECIPE = Recipe(epochs=6, batch=5, optimiser=SGD, augment=AugmentSpec(crop=1))


def on(seed: int, data: int, how: str = "map", size: int = 4) -> Group:
    mesh = make_mesh(seed, data) if seed * data > 1 else None
    return Group(
        size,
        partial(spread, mesh, how),
        partial(split_lead, mesh),
        partial(replicate, mesh),
        split=partial(shard_rows, mesh) if data > 1 else None,
    )


def leaves(variables: Variables) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(variables)])


def students(keys, sets, group: Group, **options):
    network = student_network(MLP, (8, 8, 1), 4)
    examples = [examples_of_set(one.synthetic, RECIPE) for one in sets]
    return fit_students(
        keys,
        network,
        examples,
        group=group,
        drive=scan_drive,
        stage="students",
        **options,
    )


@pytest.fixture(scope="module")
def alone():
    data = standard_dataset()
    sets = [labelled_set(data, ipc=2, shift=shift) for shift in (0, 2, 4, 6)]
    keys = [seed_key(seed, "student") for seed in range(4)]
    found = [students([k], [s], Group())[0] for k, s in zip(keys, sets, strict=True)]
    return keys, sets, found


@pytest.mark.slow_cases("map")
@pytest.mark.parametrize(
    "group",
    [on(1, 1), on(1, 1, "vmap"), on(4, 1), on(2, 1), on(2, 1, "vmap"), on(4, 2)],
    ids=["map", "vmap", "four", "two", "two-vmap", "both-axes"],
)
def test_together_is_alone(alone, group: Group) -> None:
    keys, sets, expected = alone
    found = students(keys, sets, group)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            leaves(one.variables), leaves(other.variables), rtol=2e-5, atol=1e-6
        )
    assert not np.allclose(leaves(found[0].variables), leaves(found[1].variables))


def test_one_set_for_all_is_not_stacked(alone) -> None:
    keys, sets, expected = alone
    drive = Recorder()
    network = student_network(MLP, (8, 8, 1), 4)
    shared = [examples_of_set(sets[0].synthetic, RECIPE)] * 4
    found = fit_students(
        keys, network, shared, group=on(4, 1), drive=drive, stage="students"
    )
    assert drive.calls["students"]["data"][0].shape == (8, 8, 8, 1)
    np.testing.assert_allclose(
        leaves(found[0].variables), leaves(expected[0].variables), rtol=2e-5, atol=1e-6
    )


@pytest.mark.slow
def test_checks_on_the_way_do_not_change_the_end(alone) -> None:
    keys, sets, expected = alone
    seen: list[float] = []

    def check(variables: Variables) -> float:
        seen.append(float(jnp.abs(leaves(variables)).sum()))
        return seen[-1]

    found = students(keys[:2], sets[:2], on(2, 1), check=check, every=5)
    for one, other in zip(found, expected[:2], strict=True):
        assert list(one.checked) == [5, 10, 12]
        np.testing.assert_allclose(
            leaves(one.variables), leaves(other.variables), rtol=2e-5, atol=1e-6
        )
    assert sorted(seen) == sorted(v for one in found for v in one.checked.values())


def test_an_evaluation_is_the_same_in_groups() -> None:
    data = standard_dataset()
    small = labelled_set(data, ipc=1, protocol=protocol(train=Recipe(8, optimiser=SGD)))
    seeds = [0, 3, 4, 7, 9]
    expected = evaluate([small], data, seeds=seeds)
    store, drive = {}, Recorder()
    found = evaluate(
        [small], data, seeds=seeds, group=on(2, 2, size=2), store=store, drive=drive
    )
    assert set(drive.calls) == {
        f"evaluate/{name}/{part}/student"
        for name in ("dm", "random", "class_mean")
        for part in ("seeds0+3", "seeds4+7", "seed9")
    }
    for row, other in zip(found.rows, expected.rows, strict=True):
        np.testing.assert_allclose(row.values, other.values, atol=1e-4)
    again = Recorder()
    more = [*seeds, 11]
    evaluate(
        [small], data, seeds=more, group=on(2, 2, size=2), store=store, drive=again
    )
    assert all("seed11" in stage for stage in again.calls)


def test_students_that_cannot_be_lifted_come_one_at_a_time(alone) -> None:
    keys, sets, _ = alone
    with pytest.raises(ValueError, match="one student at a time"):
        students(keys[:2], sets[:2], Group())
