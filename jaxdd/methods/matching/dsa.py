"""DSA: gradient matching under differentiable siamese augmentation.

Gradient matching as in DC, with one random operation (colour, crop, cutout, flip,
scale or rotation) drawn for each class and step and applied alike to its real and its
synthetic images. The gradient flows through the operation, so that the set carries what
augmentation teaches and may be augmented again when students train on it.

Objective:
  L(S) = E_{theta, omega} sum_c D(grad CE(theta; A(S_c, omega_c)),
                                  grad CE(theta; A(T_c, omega_c)))
with T_c a batch of real images of class c, S_c all synthetic images of it, A the
augmentation with one draw omega_c for both, D the sum over all output channels of one
minus the cosine of their gradients, and theta on a path of training on augmented S.

Reference: B. Zhao, H. Bilen, "Dataset Condensation with Differentiable Siamese
Augmentation", ICML 2021, arXiv 2102.08259. Authors' code: VICO-UoE/DatasetCondensation
(MIT). Mirror images: B. Son et al., ECCV 2024, arXiv 2407.08113 (`flip`; with their
augmentation, `augment="fyi"`).

Parts: pixels x class-wise gradient distance, siamese x one network in training x no
adjoint, batches of every class.

Differences from the paper: a step is one matching, so that a run of n networks takes
n times `matchings` steps. `meta_batch` above 1 averages over networks.

Differences from the authors' code: augmentation draws come from the step's key, not
from the clock, so that no two classes share one. Otherwise those of `dc`: classes
smaller than the batch, statistics of batch norm, loops that must be given.

Expected: on digits and MNIST test accuracy above random real images by at least 15
points at one image per class.
"""

from dataclasses import dataclass

from jaxdd import augment
from jaxdd.base import Distiller, Method, Parts, Task
from jaxdd.methods.matching._gradients import MatchingConfig, matching
from jaxdd.records import AugmentSpec

__all__ = ["METHOD", "DsaConfig", "dsa"]


@dataclass(frozen=True)
class DsaConfig(MatchingConfig):
    """Settings of DSA; the defaults are the authors' for natural images."""

    augment: AugmentSpec = augment.named("dsa")
    """One draw per class and step, shared by its real and synthetic images, and one for
    each batch that the network trains on, its images apart. By name "dsa", for digits
    "dsa_digits"; "none" is DC."""


def dsa(task: Task, config: DsaConfig = DsaConfig()) -> Distiller:
    """DSA for a task with images per class.

    Raises:
      InputError: besides `base.Method.build`, loops that are not published, or an
        augmentation that mixes targets.
    """
    return matching(task, config, config.augment)


METHOD = Method(
    build=dsa,
    config=DsaConfig,
    parts=Parts("pixels", "siamese gradient distance", "matched", "none", "per class"),
)
