"""KIP: images that make kernel regression with an infinitely wide network predict well.

The network is replaced by the exact kernel of its infinitely wide limit, so there is no
inner training at all: the regression on the synthetic set is solved in closed form, its
predictions for real images are differentiated, and the problem is deterministic but for
the choice of real images of a step.

Objective:
  P = K(X_t, X_s) (K(X_s, X_s) + ridge tr(K_ss)/m I)^-1 Y_s
  L(X_s, Y_s) = 1/2 mean over rows and classes of (P - Y_t)^2
with Y centred one-hot rows, those of the synthetic set fixed or learned with its
images, as many real images of every class in each step, and the ridge differentiated.

Reference: T. Nguyen, Z. Chen, J. Lee, "Dataset Meta-Learning from Kernel
Ridge-Regression", ICLR 2021, arXiv 2011.00050; T. Nguyen, R. Novak, L. Xiao, J. Lee,
"Dataset Distillation with Infinitely Wide Convolutional Networks", NeurIPS 2021, arXiv
2107.13034. Authors' code: google-research/google-research, kip/KIP.ipynb (Apache-2.0).

Parts: pixels (and labels) x kernel regression x no network x closed form, batches with
as many images of every class.

Differences from the paper: at images that are both synthetic and real the kernel's
derivative, which has a jump there, is that of the term without it. Augmentation draws
each image's rotation (up to 10 degrees), shift (up to a tenth of a side) and mirroring;
the paper's ranges are not published with its sets.

Differences from the authors' code: float32 with a refined, retried solve where the
notebook enables float64. A share of the images is augmented by independent draws, not
as an exact count.

Expected: on MNIST at one image per class the figure of a prototype by kernel
regression, more than twice that of random images.
"""

from dataclasses import dataclass

import jax

from jaxdd import kernels
from jaxdd.augment import inner_augment
from jaxdd.base import Distiller, Method, Parts, PerClass, Pool, Task
from jaxdd.composition import compose
from jaxdd.decoders import centred, pixels
from jaxdd.decoders.initial import Start
from jaxdd.errors import InputError, check_numbers
from jaxdd.kernels.finite import Finite, finite_variables
from jaxdd.kernels.ridge import Ridge
from jaxdd.objectives.kernel_regression import kernel_blocks, kernel_regression
from jaxdd.pools import drawn, none
from jaxdd.records import (
    Adam,
    AugmentSpec,
    Fc,
    KernelSpec,
    OptimiserSpec,
    WideKernel,
)
from jaxdd.training import optimisers

__all__ = ["METHOD", "KipConfig", "kip"]


@dataclass(frozen=True)
class KipConfig:
    """Settings of KIP; the defaults are the notebook's for CIFAR-10 (m = 100)."""

    kernel: KernelSpec = WideKernel("ntk", Fc(1))
    """Any kernel; those of finite networks draw fresh ones at every step."""
    learn_labels: bool = False
    """Learn the labels with the images, from centred one-hot rows on."""
    ridge: float = 1e-6
    """Times the mean eigenvalue of the synthetic kernel, and differentiated."""
    refine: int = 1
    """Refinement steps of the solve."""
    optimiser: OptimiserSpec = Adam(4e-2)
    """Optimiser of images and labels."""
    batch: int = 5000
    """Real images a step, as many of each class."""
    augment: AugmentSpec = AugmentSpec()
    """Augmentation of the real images, before whitening."""
    augment_share: float = 1.0
    """Probability that a real image is augmented."""
    init: Start = "real"
    rows: int = 0
    """Real images of a block of the kernel, computed again for the gradient: memory
    of one block; 0 = all at once, or as many as the memory of the run allows."""


def kip(task: Task, config: KipConfig = KipConfig()) -> Distiller:
    """KIP for a task with images per class.

    Raises:
      InputError: besides `base.Method.build`, a batch that the classes do not divide,
        or an augmentation that mixes targets.
    """
    _check(task, config)
    kernel, notes = _within_memory(task, config)
    distiller = compose(
        decoder=pixels(
            task,
            init=config.init,
            targets=centred(task) if config.learn_labels else None,
        ),
        objective=kernel_regression(
            kernel_blocks(kernel, config.rows or None),
            Ridge(config.ridge, "mean_trace"),
            task.num_classes,
            refine=config.refine,
        ),
        pool=_pool(task, config.kernel),
        outer=optimisers.build(config.optimiser, task.num_steps),
        feed=PerClass(
            config.batch // task.num_classes, config.augment, config.augment_share
        ),
    )
    return distiller._replace(notes=notes)


def _within_memory(
    task: Task, config: KipConfig
) -> tuple[kernels.Kernel, tuple[str, ...]]:
    """The kernel, by itself or in blocks that fit the memory of the task."""
    spec, shape = config.kernel, task.image_shape
    kernel = kernels.named(spec, shape)
    if config.rows:
        return kernel, ()
    draw = lambda key: kernels.variables(spec, key, shape)
    return kernels.within(
        kernel,
        (config.batch, *shape),
        (task.size, *shape),
        task.memory,
        variables=jax.eval_shape(draw, jax.random.key(0)),
    )


def _pool(task: Task, spec: KernelSpec) -> Pool:
    """Networks of a finite kernel, drawn anew at every step; others have none."""
    if not isinstance(spec, Finite):
        return none()
    return drawn(lambda key: finite_variables(spec, key, task.image_shape))


def _check(task: Task, config: KipConfig) -> None:
    check_numbers(config, counts=("batch",), not_negative=("rows", "refine"))
    if not 0 <= config.augment_share <= 1:
        raise InputError(
            f"distill.augment_share={config.augment_share}: a probability, in [0, 1]"
        )
    if not task.num_classes or config.batch % task.num_classes:
        raise InputError(
            f"distill.batch={config.batch}: as many images of each of the "
            f"{task.num_classes} classes; give a multiple of their number"
        )
    inner_augment(config.augment, task.image_shape)


METHOD = Method(
    build=kip,
    config=KipConfig,
    parts=Parts(
        "pixels + labels", "kernel regression", "none", "closed form", "per class"
    ),
)
