"""Prepared assets on disk."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import whiten
from jaxdd.base import Variables
from jaxdd.errors import InputError
from jaxdd.prepare.prepared_cache import asset_key, cached_tree
from jaxdd.records import Views
from tests.helpers import toy_corpus
from tests.prepare.cases import RECIPE, TINY

TREE = (
    Variables({"layer": {"kernel": jnp.arange(6.0).reshape(2, 3)}}, {}),
    jnp.asarray([1.5, 2.5], jnp.bfloat16),
    jnp.float32(0.25),
)
LIKE = jax.eval_shape(lambda: TREE)


def _assert_same(tree):
    assert jax.tree.structure(tree) == jax.tree.structure(TREE)
    jax.tree.map(np.testing.assert_array_equal, tree, TREE)
    assert [a.dtype for a in jax.tree.leaves(tree)] == [
        a.dtype for a in jax.tree.leaves(TREE)
    ]


def _never():
    raise AssertionError("built again")


def test_an_entry_is_built_once_and_comes_back_whole(tmp_path):
    _assert_same(cached_tree(tmp_path, "entry", LIKE, lambda: TREE))
    _assert_same(cached_tree(tmp_path, "entry", LIKE, _never))
    _assert_same(cached_tree(None, "entry", LIKE, lambda: TREE))


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "other"])
def test_a_damaged_entry_is_rebuilt(tmp_path, damage):
    cached_tree(tmp_path, "entry", LIKE, lambda: TREE)
    (path,) = tmp_path.iterdir()
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        place = content.index(np.float32(5).tobytes())  # inside the kernel's numbers
        content[place + 2] ^= 0xFF
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        np.savez(path, something=np.zeros(3))
    calls = []
    _assert_same(cached_tree(tmp_path, "entry", LIKE, lambda: calls.append(1) or TREE))
    assert calls
    _assert_same(cached_tree(tmp_path, "entry", LIKE, _never))


def test_an_entry_of_another_shape_is_rebuilt(tmp_path):
    cached_tree(tmp_path, "entry", LIKE, lambda: TREE)
    wide = (*TREE[:2], jnp.zeros(7))
    like = jax.eval_shape(lambda: wide)
    assert cached_tree(tmp_path, "entry", like, lambda: wide)[2].shape == (7,)
    assert cached_tree(tmp_path, "entry", like, _never)[2].shape == (7,)


def test_builders_at_the_same_time_leave_one_whole_entry(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        trees = list(
            pool.map(
                lambda _: cached_tree(tmp_path, "entry", LIKE, lambda: TREE), range(32)
            )
        )
    for tree in trees:
        _assert_same(tree)
    assert len(list(tmp_path.iterdir())) == 1
    _assert_same(cached_tree(tmp_path, "entry", LIKE, _never))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match="file"):
        cached_tree(blocked / "cache", "entry", LIKE, lambda: TREE)


def test_every_setting_and_the_data_change_the_key():
    corpus = toy_corpus()
    recipe = dataclasses.replace(RECIPE, steps=13)
    fitted = whiten.fit("standard", np.asarray(corpus.image))
    keys = [
        asset_key(corpus, TINY),
        asset_key(corpus, dataclasses.replace(TINY, seed=1)),
        asset_key(corpus, dataclasses.replace(TINY, redundancy=0.01)),
        asset_key(corpus, dataclasses.replace(TINY, recipe=recipe)),
        asset_key(dataclasses.replace(corpus, hash="else"), TINY),
        asset_key(dataclasses.replace(corpus, whitening=fitted), TINY),
        asset_key(corpus, TINY, Views(crop=1)),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == asset_key(toy_corpus(), dataclasses.replace(TINY))
