"""Label Solve: the labels that make given real images the best support of a regression.

Kernel regression on a few images is linear in their labels, so the labels with the
smallest squared error on all real images are a linear least-squares problem, solved
once. The images stay as they are.

Objective:
  Y_s = argmin_Y ||K_ts (K_ss + lam I)^-1 Y - Y_t||^2 = (K_ss + lam I) K_ts^+ Y_t
over all real images t, with centred one-hot Y_t: the Nystrom predictor with the chosen
images as landmarks and no ridge, written as labels of the regression with ridge lam.

Reference: T. Nguyen, Z. Chen, J. Lee, "Dataset Meta-Learning from Kernel
Ridge-Regression", ICLR 2021, arXiv 2011.00050. Authors' code:
google-research/google-research, kip/KIP.ipynb (Apache-2.0).

Parts: real images with solved labels x kernel regression x no network x closed form,
one shot over the whole training split.

Differences from the paper: none known.

Differences from the authors' code: theirs adds 1e-6 / m to the diagonals of the normal
equations and of the synthetic kernel, and squares the kernel's condition; ours is the
pseudo-inverse itself, from a streamed QR factorisation, and the ridge is that of KIP,
relative to the mean eigenvalue.

Expected: on MNIST at one image per class well above the same images with their own
labels, by kernel regression.
"""

from dataclasses import dataclass

import jax.numpy as jnp

from jaxdd import kernels
from jaxdd.base import Assets, Corpus, Distiller, Key, Method, Parts, Synthetic, Task
from jaxdd.composition import one_shot
from jaxdd.decoders import pixels
from jaxdd.decoders.initial import Start
from jaxdd.errors import InputError, check_numbers
from jaxdd.kernels.finite import Finite
from jaxdd.kernels.ridge import Ridge
from jaxdd.objectives.label_solve import solved_labels
from jaxdd.records import (
    Fc,
    KernelSpec,
    WideKernel,
)

__all__ = ["METHOD", "LabelSolveConfig", "label_solve"]


@dataclass(frozen=True)
class LabelSolveConfig:
    """Settings of Label Solve; the defaults are the notebook's for CIFAR-10."""

    kernel: KernelSpec = WideKernel("ntk", Fc(1))
    """Kernel of an infinitely wide network, or linear."""
    ridge: float = 1e-6
    """Ridge of the regression that uses the labels, times the mean eigenvalue."""
    rcond: float = 1e-7
    """Singular values below this share of the largest count as 0."""
    rows: int = 1000
    """Real images at a time."""
    init: Start = "real"
    """Which images."""


def label_solve(task: Task, config: LabelSolveConfig = LabelSolveConfig()) -> Distiller:
    """Label Solve for a task with images per class; all of it happens in `init`.

    Raises:
      InputError: besides `base.Method.build`, a kernel of finite networks.
    """
    check_numbers(config, counts=("rows",), not_negative=("rcond",))
    if isinstance(config.kernel, Finite):
        raise InputError(
            f"distill.kernel.name={config.kernel.name!r}: labels are solved for one"
            " kernel, not for networks drawn at random; choose ntk, nngp or linear"
        )
    kernel = kernels.named(config.kernel, task.image_shape)
    chosen, ridge = pixels(task, init=config.init), Ridge(config.ridge, "mean_trace")

    def make(key: Key, corpus: Corpus, assets: Assets) -> Synthetic:
        params = chosen.init(key, corpus, assets)
        synthetic = chosen.decode(params, assets, key)
        label = solved_labels(
            kernel,
            synthetic.image,
            corpus,
            ridge,
            rows=config.rows,
            rcond=config.rcond,
        )
        return synthetic._replace(target=jnp.asarray(label, synthetic.image.dtype))

    return one_shot(make)


METHOD = Method(
    build=label_solve,
    config=LabelSolveConfig,
    parts=Parts("pixels + labels", "kernel regression", "none", "closed form", "none"),
    one_shot=True,
)
