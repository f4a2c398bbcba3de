"""DC: dataset condensation by gradient matching.

A network gets a gradient from real images of a class and one from the synthetic images
of that class; the synthetic images move so that the two point the same way. Between
such matchings the network trains on the synthetic set, so that gradients are matched
along a training path, and after a while a fresh network takes its place. Training is
not unrolled: there is one second derivative, and no chain of them.

Objective:
  L(S) = E_theta sum_c D(grad CE(theta; S_c), grad CE(theta; T_c))
with T_c a batch of real images of class c, S_c all synthetic images of it, CE the mean
cross-entropy, D the sum over all output channels of one minus the cosine of their
gradients (`distance`), and theta on a path of training on S that does not depend on S.

Reference: B. Zhao, K. R. Mopuri, H. Bilen, "Dataset Condensation with Gradient
Matching", ICLR 2021, arXiv 2006.05929. Authors' code: VICO-UoE/DatasetCondensation
(MIT). Mirror images: B. Son et al., ECCV 2024, arXiv 2407.08113 (`flip`).

Parts: pixels x class-wise gradient distance x one network in training x no adjoint,
batches of every class.

Differences from the paper: a step is one matching, so that a run of n networks takes
n times `matchings` steps. `meta_batch` above 1 averages over networks.

Differences from the authors' code: classes smaller than the batch use the images they
have. With batch norm, statistics come from the first 16 of the step's real images of
each class, not from 16 of their own. Loops for images per class that their table lacks
must be given.

Expected: on digits and MNIST test accuracy above random real images by at least 15
points at one image per class.
"""

from dataclasses import dataclass

from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.decoders.initial import Start
from jaxdd.methods.matching._gradients import MatchingConfig, matching
from jaxdd.records import AugmentSpec

__all__ = ["METHOD", "DcConfig", "dc"]


@dataclass(frozen=True)
class DcConfig(MatchingConfig):
    """Settings of DC: those of DSA without augmentation, and a start from noise."""

    init: Start = "noise"


def dc(task: Task, config: DcConfig = DcConfig()) -> Distiller:
    """DC for a task with images per class.

    Raises:
      InputError: besides `base.Method.build`, loops that are not published.
    """
    return matching(task, config, AugmentSpec())


METHOD = Method(
    build=dc,
    config=DcConfig,
    parts=Parts("pixels", "gradient distance", "matched", "none", "per class"),
)
