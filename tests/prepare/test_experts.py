"""Experts as an asset: trained, recorded, resumed, found, and refused."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxdd.base import ExpertsAsset, Segments
from jaxdd.data.feeds import check_epochs, draw_segments, sample, target_epochs
from jaxdd.devices.mesh import make_mesh, replicate, split_lead, spread
from jaxdd.errors import InputError
from jaxdd.loop.loop import Loop
from jaxdd.prepare import expert_training
from jaxdd.prepare.expert_course import course_of, expert_network
from jaxdd.prepare.experts import _folder, open_store
from jaxdd.records import ConvNet, ExpertsNeed, Mlp, Recipe, Sgd, Steps
from jaxdd.training import scan_drive
from jaxdd.training.examples import examples_of_corpus
from jaxdd.training.together import Group
from tests.prepare.cases import EXPERTS, prepare, replaced, toy_dataset

NEED = ExpertsNeed(EXPERTS)


def _never(step, state, num_steps, data, *, stage):
    raise AssertionError("trained again")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The asset, its quality, what was announced, the stages, and the cache."""
    cache, lines, stages = tmp_path_factory.mktemp("cache"), [], []

    def drive(step, state, num_steps, data, *, stage):
        stages.append((stage, num_steps))
        return scan_drive(step, state, num_steps, data, stage=stage)

    asset, quality = prepare(
        NEED, toy_dataset(), drive=drive, cache=cache, say=lines.append
    )
    return asset, quality, lines, stages, cache


@pytest.fixture
def short_stages(monkeypatch):
    """One epoch a stage."""
    monkeypatch.setattr(expert_training, "_STAGE_STEPS", 3)


def test_the_asset_holds_every_snapshot(prepared):
    asset, quality, lines, stages, _ = prepared
    assert isinstance(asset, ExpertsAsset)
    assert asset.snapshots.shape == (3, 5, 64 * 5 + 5 + 5 * 4 + 4)
    np.testing.assert_array_equal(asset.last, asset.snapshots[:, -1])
    assert stages == [(f"experts/{n}-{n}/to4", 12) for n in range(3)]
    moved = jnp.linalg.norm(jnp.diff(asset.snapshots, axis=1), axis=2)
    assert (moved > 1e-3).all()
    assert set(quality) == {"expert_loss", "expert_accuracy"}
    assert quality["expert_accuracy"] > 0.3
    assert any("training 3 mlp-5" in line for line in lines)
    assert "experts: 2 of 3 recorded" in lines


def test_a_trajectory_is_that_of_the_training_loop(prepared):
    """Epochs of three steps, the last of them with the eight rows that are left."""
    snapshots = prepared[0].snapshots
    course = course_of(EXPERTS, toy_dataset().train)
    assert course.epoch_steps == 3
    key = jax.random.fold_in(jax.random.key(EXPERTS.seed), 1)
    state = jax.jit(course.run.init)(key)
    step = jax.jit(course.run.step)
    for epoch in range(5):
        flat = ravel_pytree(state.variables.params)[0]
        np.testing.assert_allclose(snapshots[1, epoch], flat, rtol=1e-5, atol=1e-6)
        for _ in range(3):
            state, _ = step(state, course.data)


def test_every_row_is_used_in_an_epoch():
    """Twice twenty rows and the eight that are left."""
    corpus = toy_dataset().train
    recipe = replaced(EXPERTS.recipe, epochs=4)
    source, data, recipe = examples_of_corpus(corpus, corpus.label, recipe)
    assert recipe.steps // 4 == course_of(EXPERTS, corpus).epoch_steps == 3
    weights = [
        source(jax.random.key(0), jnp.int32(step), data)[1].weight for step in range(3)
    ]
    assert [float(weight.sum()) for weight in weights] == [20, 20, 8]


def test_a_second_run_finds_the_experts(prepared):
    asset, quality, _, _, cache = prepared
    again, same = prepare(NEED, toy_dataset(), drive=_never, cache=cache)
    np.testing.assert_array_equal(again.snapshots, asset.snapshots)
    assert same == quality


def test_settings_that_are_not_read_share_the_experts(prepared):
    asset, *_, cache = prepared
    recipe = replaced(EXPERTS.recipe, steps=7, epochs=9)
    experts = replaced(EXPERTS, radius=0.5, penalty=1.0, recipe=recipe)
    again, _ = prepare(ExpertsNeed(experts), toy_dataset(), drive=_never, cache=cache)
    np.testing.assert_array_equal(again.last, asset.last)


def test_what_decides_the_trajectories_decides_their_folder(tmp_path):
    corpus = toy_dataset().train
    place = lambda **changes: _folder(replaced(EXPERTS, **changes), corpus, tmp_path)
    flat = {"kind": "flat", "radius": 0.5}
    asked = [{}, {"seed": 1}, {"epochs": 3}, {"kind": "flat"}, flat]
    assert len({place(**changes) for changes in asked}) == len(asked)
    other = replaced(corpus, hash="other")
    assert _folder(EXPERTS, other, tmp_path) != place()
    assert place(radius=0.5) == place()


def test_beyond_the_budget_pieces_are_read(prepared):
    asset, *_, cache = prepared
    lines = []
    less, _ = prepare(
        NEED,
        toy_dataset(),
        drive=_never,
        cache=cache,
        expert_budget=asset.snapshots.nbytes - 1,
        say=lines.append,
    )
    assert less.snapshots is None
    assert "over the budget" in lines[-1]
    np.testing.assert_array_equal(less.last, asset.last)
    store = open_store(EXPERTS, toy_dataset().train, cache)
    np.testing.assert_array_equal(store.everything(), asset.snapshots)


def test_without_a_cache_nothing_is_kept(prepared):
    asset, quality = prepare(NEED, toy_dataset())
    np.testing.assert_array_equal(asset.snapshots, prepared[0].snapshots)
    assert quality == prepared[1]
    with pytest.raises(InputError, match="give a cache folder"):
        prepare(NEED, toy_dataset(), expert_budget=100)


# Interruptions -----------------------------------------------------------------------


def _stopping(at):
    """A drive that is killed in its stage number `at`."""
    stages = []

    def drive(step, state, num_steps, data, *, stage):
        stages.append(stage)
        if len(stages) == at:
            raise KeyboardInterrupt
        return scan_drive(step, state, num_steps, data, stage=stage)

    return drive, stages


def test_a_killed_recording_goes_on_bit_for_bit(tmp_path, short_stages):
    whole, _ = prepare(NEED, toy_dataset(), cache=tmp_path / "whole")
    drive, _ = _stopping(7)  # in the third epoch of the second expert
    with pytest.raises(KeyboardInterrupt):
        prepare(NEED, toy_dataset(), drive=drive, cache=tmp_path / "killed")
    with pytest.raises(InputError, match="1 of 3 experts"):
        open_store(EXPERTS, toy_dataset().train, tmp_path / "killed")
    drive, stages = _stopping(None)
    asset, _ = prepare(NEED, toy_dataset(), drive=drive, cache=tmp_path / "killed")
    left = [f"experts/1-1/to{n}" for n in (3, 4)]
    fresh = [f"experts/2-2/to{n}" for n in (1, 2, 3, 4)]
    assert sorted(stages) == sorted(left + fresh)
    np.testing.assert_array_equal(asset.snapshots, whole.snapshots)


def test_experts_trained_together_go_on_together(tmp_path, short_stages, monkeypatch):
    monkeypatch.setattr(expert_training, "_GROUP_BYTES", 0)
    pair = Group(
        size=2, lift=lambda step, shared: spread(None, "map", step, shared=shared)
    )
    record = partial(prepare, NEED, toy_dataset(), group=lambda count: pair)
    whole, _ = record(cache=tmp_path / "whole")
    drive, seen = _stopping(3)
    with pytest.raises(KeyboardInterrupt):
        record(drive=drive, cache=tmp_path / "killed")
    assert seen[0] == "experts/0-1/to1"
    drive, stages = _stopping(None)
    asset, _ = record(drive=drive, cache=tmp_path / "killed")
    assert stages[:2] == ["experts/0-1/to3", "experts/0-1/to4"]
    np.testing.assert_array_equal(asset.snapshots, whole.snapshots)


def test_short_stages_record_the_same(tmp_path, short_stages, prepared):
    asset, _ = prepare(NEED, toy_dataset(), cache=tmp_path)
    np.testing.assert_allclose(asset.snapshots, prepared[0].snapshots, atol=1e-6)


def test_momentum_goes_on_too(tmp_path, short_stages):
    sgd = Sgd(0.05, 0.9, schedule=Steps(restart=True))
    experts = replaced(EXPERTS, recipe=Recipe(batch=20, optimiser=sgd), count=1)
    whole, _ = prepare(ExpertsNeed(experts), toy_dataset(), cache=tmp_path / "whole")
    drive, _ = _stopping(3)
    with pytest.raises(KeyboardInterrupt):
        prepare(ExpertsNeed(experts), toy_dataset(), drive=drive, cache=tmp_path / "a")
    again, _ = prepare(ExpertsNeed(experts), toy_dataset(), cache=tmp_path / "a")
    np.testing.assert_array_equal(again.snapshots, whole.snapshots)


def test_a_loss_that_is_not_finite_names_the_step(tmp_path, short_stages):
    def drive(step, state, num_steps, data, *, stage):
        state, metrics = scan_drive(step, state, num_steps, data, stage=stage)
        if stage == "experts/1-1/to3":
            metrics = {"loss": np.array([1.0, np.nan, 1.0])}
        return state, metrics

    with pytest.raises(
        InputError, match="loss of expert 1 is nan at step 7, in epoch 2"
    ):
        prepare(NEED, toy_dataset(), drive=drive, cache=tmp_path)
    calm, stages = _stopping(None)
    asset, _ = prepare(NEED, toy_dataset(), drive=calm, cache=tmp_path)
    assert "experts/0-0/to4" not in stages
    assert jnp.isfinite(asset.snapshots).all()


def test_a_learning_rate_that_diverges(tmp_path):
    recipe = replaced(EXPERTS.recipe, optimiser=Sgd(1e30, 0.0))
    need = ExpertsNeed(replaced(EXPERTS, recipe=recipe))
    with pytest.raises(InputError, match=r"Lower experts\.recipe\.optimiser"):
        prepare(need, toy_dataset(), cache=tmp_path)


# Many at once ------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["map", "vmap"])
def test_experts_of_several_devices_are_those_of_one(how, prepared):
    mesh = make_mesh(2, 1)
    group = Group(
        size=2,
        lift=lambda step, shared: spread(mesh, how, step, shared=shared),
        place=lambda tree: split_lead(mesh, tree),
        place_shared=lambda tree: replicate(mesh, tree),
    )
    site = {"drive": Loop(progress=False), "group": lambda count: group}
    asset, quality = prepare(NEED, toy_dataset(), **site)
    np.testing.assert_allclose(asset.snapshots, prepared[0].snapshots, atol=1e-5)
    assert quality["expert_loss"] == pytest.approx(prepared[1]["expert_loss"], abs=1e-4)


def test_small_experts_share_a_program_and_large_ones_do_not():
    pair = Group(size=2, lift=lambda step, shared: step)
    assert expert_training._at_once(pair, (100, 51, 10_000)) == 8
    assert expert_training._at_once(pair, (100, 51, 320_010)) == 2
    assert expert_training._at_once(Group(), (100, 51, 10_000)) == 1


def test_stages_are_of_whole_epochs():
    assert expert_training._stage_epochs((9, 51, 320_010), 196) == 1
    assert expert_training._stage_epochs((9, 51, 320_010), 20) == 10
    assert expert_training._stage_epochs((9, 51, 4_000_000), 1) == 1
    assert expert_training._stage_epochs((9, 21, 9_000), 6) == 20


# What does not fit -------------------------------------------------------------------


def _of_store(cache, **changes):
    """The experts, read from the folder where others were recorded."""
    folder = next(cache.glob("experts-*"))
    return ExpertsNeed(replaced(EXPERTS, buffers=folder, **changes))


def test_a_recorded_folder_can_be_given(prepared):
    asset, _, _, _, cache = prepared
    again, _ = prepare(_of_store(cache), toy_dataset(), drive=_never, cache=cache)
    np.testing.assert_array_equal(again.snapshots, asset.snapshots)


def test_experts_of_other_data_are_refused_with_both_hashes(prepared):
    data = toy_dataset()
    other = data._replace(train=replaced(data.train, hash="f" * 64, name="shirts"))
    message = "'toy' with hash toy, while 'shirts' here has ffffffffffff"
    with pytest.raises(InputError, match=message):
        prepare(_of_store(prepared[-1]), other, drive=_never, cache=prepared[-1])


def test_experts_of_another_network_are_refused(prepared):
    need = _of_store(prepared[-1], network=Mlp(width=(6,)))
    message = r"another network: its width is \[5\], here network.width is \[6\]"
    with pytest.raises(InputError, match=message):
        prepare(need, toy_dataset(), drive=_never, cache=prepared[-1])


def test_fewer_experts_or_epochs_than_asked_for(prepared):
    for name, stored in (("count", 3), ("epochs", 4)):
        need = _of_store(prepared[-1], **{name: stored + 1})
        with pytest.raises(
            InputError, match=rf"experts\.{name}={stored + 1}.*{stored}"
        ):
            prepare(need, toy_dataset(), drive=_never, cache=prepared[-1])


def test_networks_with_statistics_and_data_without_labels_are_refused():
    corpus = toy_dataset().train
    with pytest.raises(InputError, match=r"norm='batch'.*statistics"):
        expert_network(
            replaced(EXPERTS, network=ConvNet(width=(2,), norm="batch")), corpus
        )
    with pytest.raises(InputError, match="no labels"):
        expert_network(EXPERTS, replaced(corpus, num_classes=0))


@pytest.mark.parametrize(
    ("last", "ahead", "message"),
    [
        (6, 1, "starts up to epoch 5 .* at most 4"),
        (4, 2, "epoch 3 ends at epoch 5.*at most 3"),
    ],
)
def test_pieces_beyond_the_last_snapshot(last, ahead, message):
    with pytest.raises(InputError, match=message):
        check_epochs(4, last=last, ahead=ahead)
    check_epochs(4, last=3, ahead=2)


def test_a_feed_reads_the_same_pieces_from_the_device_and_the_store(prepared):
    asset, *_, cache = prepared
    feed = Segments(epochs=2, last=3, every=True, meta_batch=2)
    store = open_store(EXPERTS, toy_dataset().train, cache)
    key = jax.random.key(3)
    for step in range(3):
        batch = sample(feed, toy_dataset().train, {"experts": asset}, key, step)
        expert, epoch = draw_segments(feed, key, step, store.num_experts)
        rows = store.read(expert, epoch, (0, *target_epochs(feed)))
        np.testing.assert_array_equal(rows[:, 0], batch.extra.start)
        np.testing.assert_array_equal(rows[:, 1:], batch.extra.target)
