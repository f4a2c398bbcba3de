"""A learned linear map of all synthetic images, a preconditioner of their learning."""

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Assets, Corpus, Decoder, Key, PyTree, Synthetic

__all__ = ["transformed"]


def transformed(decoder: Decoder) -> Decoder:
    """A decoder whose flattened images are multiplied by a learned matrix.

    x -> x T with T [d,d], the identity at step 0 (Loo et al., NeurIPS 2022, arXiv
    2210.12067, appendix). The finished set holds the products, so that the matrix is
    not stored.

    Args:
      decoder: of the images; its parameters are a dict.

    Returns:
      The decoder, with the parameter `"transform": [d,d]`.
    """

    def init(key: Key, corpus: Corpus, assets: Assets) -> PyTree:
        params = decoder.init(key, corpus, assets)
        image = jax.eval_shape(lambda p: decoder.decode(p, assets, key), params).image
        size = image.size // image.shape[0]
        return {**params, "transform": jnp.eye(size, dtype=image.dtype)}

    def decode(
        params: PyTree, assets: Assets, key: Key, rows: Array | None = None
    ) -> Synthetic:
        return _mapped(decoder.decode(_rest(params), assets, key, rows), params)

    def export(params: PyTree, assets: Assets, key: Key) -> Synthetic:
        made = (decoder.export or decoder.decode)(_rest(params), assets, key)
        return _mapped(made, params)

    def project(params: PyTree) -> PyTree:
        return {**decoder.project(_rest(params)), "transform": params["transform"]}

    def floats(params: PyTree) -> int:
        return decoder.floats(_rest(params))

    return Decoder(init, decode, project, floats, export)


def _mapped(synthetic: Synthetic, params: PyTree) -> Synthetic:
    image = synthetic.image
    flat = image.reshape(image.shape[0], -1)
    flat = jnp.matmul(flat, params["transform"], precision=jax.lax.Precision.HIGHEST)
    return synthetic._replace(image=flat.reshape(image.shape))


def _rest(params: PyTree) -> PyTree:
    return {name: part for name, part in params.items() if name != "transform"}
