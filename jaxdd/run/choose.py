"""Looks up presets by name, and fits one to images that no preset was written for."""

from __future__ import annotations

import dataclasses
import math

from jaxdd import presets
from jaxdd.presets.fitting import SIDES, fit_networks
from jaxdd.records import (
    ConvNet,
    DataSpec,
    KernelSpec,
    NetworkKernel,
    Preset,
    Protocol,
    RandomFeatures,
    Recipe,
    Sgd,
)

__all__ = ["adapt", "on_data", "preset", "smoke", "smoke_protocol"]

_TINY = ConvNet(width=(8, 16), norm="batch")


def preset(method: str, name: str = "", data: str = "") -> tuple[str, Preset]:
    """A preset of a method: the named one, else one for the data, else the default.

    Data that no preset is for gets the preset `folder`, where the method has it.
    Presets that reproduce a paper cost hours, so they are only taken by name.

    Args:
      method: the method's name.
      name: the preset's name, or "".
      data: the name of the data set the run is on, or "".

    Returns:
      Its name and its settings.

    Raises:
      InputError: the method or the preset is unknown.
    """
    known, default = presets.get(method), presets.default(method)
    if name and name not in known:
        return name, presets.pick(method, name)
    light = [n for n in (default, *known) if known[n].scale == "small"]
    on_data = [n for n in light if data and known[n].data.name == data]
    general = ["folder"] if data and "folder" in known else []
    chosen = name or next(iter((*on_data, *general)), default)
    return chosen, known[chosen]


def adapt(method: str, image_shape: tuple[int, ...]) -> tuple[str, Preset]:
    """The preset whose images are nearest in size, fitted to `image_shape`.

    A ConvNet loses the blocks that would pool the image away, and the data is used
    whole. Presets that reproduce a paper are not candidates, since they cost hours.

    Args:
      method: the method's name.
      image_shape: (h, w) or (h, w, c).

    Returns:
      A name, `<preset>_fitted`, and the settings.
    """
    known, default = presets.get(method), presets.default(method)
    side = min(image_shape[:2])

    def distance(name: str) -> tuple[float, bool]:
        usual = SIDES.get(known[name].data.name, math.inf)
        return abs(math.log(usual / side)), name != default

    light = [n for n in known if known[n].scale == "small"] or [default]
    name = min(light, key=distance)
    chosen = known[name]
    data = dataclasses.replace(
        chosen.data, train_limit=None, test_limit=None, resize=None
    )
    if SIDES.get(chosen.data.name) != side:
        data = dataclasses.replace(data, pad=0, pool=1)
    return f"{name}_fitted", dataclasses.replace(
        chosen,
        distill=fit_networks(chosen.distill, _side(data, side)),
        evaluate=fit_networks(chosen.evaluate, _side(data, side)),
        data=data,
    )


def on_data(chosen: Preset, name: str, side: int | None) -> Preset:
    """The preset for a data set that it was not written for.

    Args:
      chosen: the preset.
      name: of the data set.
      side: to which images are resized, if that is asked for; the networks are cut to
        fit it.
    """
    data = dataclasses.replace(chosen.data, name=name)
    general = chosen.data.name == "folder"
    if general and name != "folder" and not name.startswith("tfds:"):
        data = dataclasses.replace(data, resize=None)  # images of one size as it is
    if side is None or side < 1 or not general:
        return dataclasses.replace(chosen, data=data)
    return dataclasses.replace(
        chosen,
        distill=fit_networks(chosen.distill, side),
        evaluate=fit_networks(chosen.evaluate, side),
        data=data,
    )


def smoke(method: str, chosen: Preset) -> Preset:
    """A tiny version of a preset: the method's smoke settings, little of everything."""
    return dataclasses.replace(
        chosen,
        distill=presets.smoke(method),
        data=dataclasses.replace(chosen.data, train_limit=200, test_limit=100),
        steps=min(chosen.steps, 8),
        evaluate=smoke_protocol(chosen.evaluate),
        ipc=None if chosen.ipc is None else min(chosen.ipc, 2),
        size=None if chosen.size is None else min(chosen.size, 10),
    )


def smoke_protocol(protocol: Protocol) -> Protocol:
    """A tiny version of a protocol: a small student, a few steps of everything."""
    recipe = Recipe(steps=5, batch=16, optimiser=Sgd(0.01, 0.9))
    return dataclasses.replace(
        protocol,
        name=f"{protocol.name}_smoke",
        network=_TINY,
        train=_small(
            protocol.train,
            dataclasses.replace(recipe, batch=0, loss=protocol.train.loss, steps=10),
        ),
        probe=_small(protocol.probe, recipe),
        fine_tune=_small(protocol.fine_tune, recipe),
        labelled=dataclasses.replace(
            protocol.labelled,
            full=_small(protocol.labelled.full, recipe),
            check_every=0,
        ),
        transfer=dataclasses.replace(
            protocol.transfer, train_limit=200, test_limit=100
        ),
        regression=dataclasses.replace(
            protocol.regression,
            kernels=tuple(map(_small_kernel, protocol.regression.kernels)),
            full=min(protocol.regression.full, 100),
        ),
    )


def _small_kernel(spec: KernelSpec) -> KernelSpec:
    if isinstance(spec, RandomFeatures):
        return RandomFeatures(_TINY)
    if isinstance(spec, NetworkKernel):
        return NetworkKernel(spec.name, _TINY)
    return spec


def _small(asked: Recipe, small: Recipe) -> Recipe:
    """Little of what is asked for; what is left out stays left out."""
    return small if asked.steps or asked.epochs else asked


def _side(data: DataSpec, side: int) -> int:
    return (side + 2 * data.pad) // data.pool
