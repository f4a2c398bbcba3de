"""The best set on held images: what is drawn, kept, and when a run stops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd.base import Batch, Decoder, Synthetic, Uniform
from jaxdd.composition import compose
from jaxdd.composition.held_out import held_rows, keep_best
from jaxdd.errors import InputError
from jaxdd.pools import none
from tests.helpers import toy_corpus

# What the judge says of the set after so many steps of learning rate one.
LOSSES = jnp.asarray([5.0, 9.0, 4.0, 3.0, 8.0, 7.0, 6.0, 1.0, 0.5])


def _counter() -> Decoder:
    """One pixel that every step lowers by one."""

    def decode(params, assets, key, rows=None):
        image = params["image"]
        return Synthetic(image, jnp.zeros(1, jnp.int32), jnp.ones(1))

    return Decoder(
        lambda key, corpus, assets: {"image": jnp.zeros((1, 1, 1, 1))},
        decode,
        lambda params: params,
        lambda params: 1,
    )


def _method(patience: int, every: int = 1):
    def objective(synthetic, batch, variables, assets, key):
        loss = jnp.sum(synthetic.image)
        return loss, {"loss": loss}

    def judge(params, held, assets, key):
        return LOSSES[(-params["image"]).astype(int).reshape(())]

    decoder = _counter()
    plain = compose(decoder, objective, none(), optax.sgd(1.0), Uniform(4))
    return keep_best(
        plain, judge, decoder.decode, per_class=2, every=every, patience=patience
    )


def _run(method, steps):
    state = method.init(jax.random.key(0), toy_corpus(), {})
    batch = Batch(jnp.zeros((4, 8, 8, 1)), jnp.zeros(4, int), jnp.zeros(4, int), 0.0)
    return jax.lax.scan(
        lambda s, _: method.step(s, batch, {}), state, length=steps
    ), method


@pytest.mark.parametrize(
    ("patience", "every", "best", "last"),
    [
        (0, 1, 8, 8),  # never stops, and finds the last and least
        (2, 1, 3, 6),  # 4 at step 2, 3 at step 3, nothing at 4, 5, 6: stops there
        (0, 2, 8, 8),  # 5, 4, 8, 6, 0.5
    ],
)
def test_best_set_is_kept_and_a_run_stops(patience, every, best, last):
    ((state, metrics), method) = _run(_method(patience, every), 8)
    assert int(state.step) == 8
    assert float(method.export(state, {}).image.sum()) == -best
    assert float(state.params["image"].sum()) == -last
    assert int(state.memory.step) == best
    seen = np.asarray(LOSSES)[: 9 if last == 8 else 7]
    np.testing.assert_array_equal(
        metrics["held_out"][-1], seen[[*range(0, len(seen), every)]].min()
    )
    # After the stop the metrics of the last step are repeated.
    np.testing.assert_array_equal(metrics["loss"][last - 1 :], 1 - last)


def test_held_rows_are_of_every_class(key):
    corpus = toy_corpus(per_class=5)
    held = held_rows(key, corpus, 30)
    np.testing.assert_array_equal(held.target, np.repeat(np.arange(4), 30))
    np.testing.assert_array_equal(corpus.label[held.index], held.target)
    np.testing.assert_allclose(held.image, corpus.image[held.index] / 255, atol=1e-6)
    assert len(np.unique(held.index)) == corpus.size  # with replacement: all come


def test_numbers_out_of_range_are_refused():
    for wrong in ({"patience": -1}, {"patience": 1, "every": 0}):
        with pytest.raises(InputError, match=r"distill\.check_every"):
            _method(**wrong)
