"""Augmentations of published methods by name."""

from jaxdd.errors import one_of
from jaxdd.records import AugmentSpec

__all__ = ["NAMED", "named"]

NAMED: dict[str, AugmentSpec] = {
    "none": AugmentSpec(),
    "crop_flip": AugmentSpec(crop=4, flip=True),
    # Zhao and Bilen 2021, arXiv 2102.08259; digits are not mirrored.
    "dsa": AugmentSpec(policy="dsa"),
    "dsa_digits": AugmentSpec(policy="dsa", strategy="color_crop_cutout_scale_rotate"),
    # Son et al. 2024, arXiv 2407.08113.
    "fyi": AugmentSpec(policy="fyi"),
    "fyi_digits": AugmentSpec(policy="fyi", strategy="color_crop_cutout_scale_rotate"),
    # Kim et al. 2022, arXiv 2205.14959: students, and the matching of gradients.
    "idc": AugmentSpec(
        policy="idc", strategy="color_crop_flip_scale_rotate", cutmix=0.5
    ),
    "idc_digits": AugmentSpec(
        policy="idc", strategy="color_crop_scale_rotate", cutmix=0.5
    ),
    "idc_match": AugmentSpec(policy="idc", strategy="color_crop_cutout"),
    # Zhou et al. 2022, arXiv 2206.00719.
    "frepo": AugmentSpec(policy="frepo"),
    "frepo_digits": AugmentSpec(
        policy="frepo", strategy="color_crop_rotate_translate_cutout"
    ),
    # Nguyen et al. 2021, arXiv 2107.13034: real images of KIP.
    "kip": AugmentSpec(policy="kip"),
    "kip_digits": AugmentSpec(policy="kip", strategy="rotate_shift"),
    # Zhao et al. 2021, arXiv 2006.05929: MNIST, and students with batch norm.
    "dc_mnist": AugmentSpec(policy="dc", strategy="crop_scale_rotate"),
    "dc_bn": AugmentSpec(policy="dc", strategy="crop_noise"),
}
"""Settings by name, for `augment="dsa"` in place of a record."""


def named(name: str) -> AugmentSpec:
    """The settings of a published augmentation.

    Raises:
      InputError: there is none of that name; the message suggests the nearest.
    """
    one_of("augment", name, NAMED)
    return NAMED[name]
