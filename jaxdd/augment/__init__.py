"""Random image operations as data, built from an `AugmentSpec`.

An `Augment` draws parameters and applies them, so that the same parameters can act on
two batches (siamese use). Each family of operations is one module of this package.
"""

from jaxdd.augment import dc, dsa, frepo, kip
from jaxdd.augment.blur import gaussian_blur
from jaxdd.augment.colour import colour_jitter, grayscale, solarize
from jaxdd.augment.geometry import crop, flip, resized_crop, shift_scale
from jaxdd.augment.mix import mixing
from jaxdd.augment.noise import additive_noise
from jaxdd.augment.policy import chain
from jaxdd.augment.published import NAMED, named
from jaxdd.augment.views import apply_view
from jaxdd.base import Augment
from jaxdd.errors import InputError, check_numbers, one_of
from jaxdd.records import AugmentSpec

__all__ = [
    "NAMED",
    "apply_view",
    "build",
    "chain",
    "inner_augment",
    "is_identity",
    "mixing",
    "named",
]

_POLICIES = {
    "dsa": dsa.dsa,
    "fyi": dsa.fyi,
    "idc": dsa.idc,
    "dc": dc.dc,
    "frepo": frepo.frepo,
    "kip": kip.kip,
}
_SWITCHES = (
    "crop",
    "flip",
    "shift",
    "scale",
    "noise",
    "min_area",
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "grayscale",
    "blur",
    "blur_second",
    "solarize",
    "solarize_first",
)
_PROBABILITIES = (
    "min_area",
    "grayscale",
    "blur",
    "blur_second",
    "solarize",
    "solarize_first",
    "jitter_probability",
)


def is_identity(spec: AugmentSpec) -> bool:
    """Whether `spec` leaves images as they are; `mixing` is not asked."""
    if spec.policy != "chain":
        return False
    return not any(getattr(spec, name) for name in _SWITCHES)


def build(
    spec: AugmentSpec, image_shape: tuple[int, int, int], *, second_view: bool = False
) -> Augment:
    """The operations of `spec`: those of its policy, or the chain it switches on.

    The chain runs in this order: resized crop, crop, flip, shift and scale, colour
    jitter, grayscale, blur, solarize, noise.

    Args:
      spec: what to do.
      image_shape: (h, w, c) of the images it will be applied to.
      second_view: take `blur_second` and `solarize`; one or a first view takes `blur`
        and `solarize_first`. The policies make no difference.

    Raises:
      InputError: an unknown policy or operation, a value out of range, an operation of
        the chain beside a policy, or a colour operation of the chain on images that do
        not have three channels.
    """
    if spec.policy != "chain":
        _check_policy(spec)
        return _POLICIES[spec.policy](spec.strategy, image_shape)
    _check(spec, image_shape)
    blurred = spec.blur_second if second_view else spec.blur
    solarized = spec.solarize if second_view else spec.solarize_first
    jitter = (spec.brightness, spec.contrast, spec.saturation, spec.hue)
    table = {
        "resized_crop": spec.min_area and resized_crop(spec.min_area, image_shape),
        "crop": spec.crop and crop(spec.crop),
        "flip": spec.flip and flip(),
        "shift_scale": (spec.shift or spec.scale)
        and shift_scale(spec.shift, spec.scale),
        "colour": any(jitter) and colour_jitter(*jitter, spec.jitter_probability),
        "grayscale": spec.grayscale and grayscale(spec.grayscale),
        "blur": blurred and gaussian_blur(blurred, image_shape),
        "solarize": solarized and solarize(solarized),
        "noise": spec.noise and additive_noise(spec.noise, image_shape),
    }
    return chain({name: op for name, op in table.items() if op})


def _check_policy(spec: AugmentSpec) -> None:
    """Refuses unknown policies, and settings of the chain beside one."""
    one_of("augment.policy", spec.policy, ("chain", *_POLICIES))
    for name in _SWITCHES:
        if getattr(spec, name):
            raise InputError(
                f"augment.{name}={getattr(spec, name)}: belongs to policy 'chain', and "
                f"the policy is {spec.policy!r}; name its operations in "
                "augment.strategy, or change the policy"
            )


def _check(spec: AugmentSpec, image_shape: tuple[int, int, int]) -> None:
    """Refuses values without meaning, naming the field."""
    if spec.strategy:
        raise InputError(
            f"augment.strategy={spec.strategy!r}: policy 'chain' has none; choose "
            f"augment.policy among {', '.join(_POLICIES)}"
        )
    height, width, channels = image_shape
    check_numbers(
        spec, not_negative=_SWITCHES, probabilities=_PROBABILITIES, name="augment"
    )
    if spec.hue > 0.5:
        raise InputError(f"augment.hue={spec.hue}: must be in [0, 0.5]")
    if spec.crop >= min(height, width):
        raise InputError(
            f"augment.crop={spec.crop}: must be smaller than the image "
            f"({height}x{width})"
        )
    for name in ("saturation", "hue", "grayscale"):
        if getattr(spec, name) and channels != 3:
            raise InputError(
                f"augment.{name}={getattr(spec, name)}: needs three colour channels, "
                f"the images have {channels}; set it to 0"
            )


def inner_augment(
    spec: AugmentSpec, image_shape: tuple[int, int, int]
) -> Augment | None:
    """What alters the images of inner steps and real batches; None where nothing does.

    Raises:
      InputError: as `augment.build`, and for mixing, which needs the targets.
    """
    for name in ("cutmix", "mixup"):
        if getattr(spec, name):
            raise InputError(
                f"distill.augment.{name}={getattr(spec, name)}: mixes the targets of "
                "students; set it to 0 here"
            )
    return None if is_identity(spec) else build(spec, image_shape)
