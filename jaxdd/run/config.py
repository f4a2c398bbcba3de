"""What a run is: one frozen record, its identity, and changes to it by dotted name.

Nothing here parses a command line (`jaxdd.run.cli` does, with tyro).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from jaxdd import augment
from jaxdd.errors import InputError, nearest
from jaxdd.kernels.spelling import parse_kernel
from jaxdd.records import (
    AugmentSpec,
    DataSpec,
    DistributedConfig,
    KernelSpec,
    LoopConfig,
    Preset,
    Protocol,
    digest,
    kinds_at,
    switched,
    to_dict,
)

__all__ = [
    "JudgeConfig",
    "Options",
    "RunConfig",
    "cache_folder",
    "differences",
    "from_preset",
    "identity",
    "override",
    "replaced",
    "run_hash",
    "workdir_of",
]

Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options that every run has, whatever its method."""

    method: str = ""
    """Which method (--list shows them all)."""
    preset: str = ""
    """A named set of settings of the method; default: the method's own choice."""
    ipc: int | None = None
    """Images per class. Exactly one of ipc and size."""
    size: int | None = None
    """Number of images in all."""
    seed: int = 0
    seeds: int = 1
    """Repeat the distillation under this many seeds: mean and std in the report."""
    students: int = 1
    """Fresh students per set at evaluation (with several seeds: one each)."""
    protocol: str = ""
    """Judge by a protocol of the field, by name: dc, vico, mtt, datm, frepo, idc, ncfm,
    krr_st, dcbench, ddranking ...; it is fitted to the data, and options of evaluate
    change it."""
    workdir: Path | None = None
    """Where everything of the run goes. Default: runs/<method>-<preset>-<hash>."""
    stage: Literal["prepare", "distill", "evaluate", "all"] = "all"
    """Stop after a stage, or (evaluate) go on from what is there."""
    overwrite: bool = False
    """Start anew in a work directory that has been used."""
    smoke: bool = False
    """A tiny version of the run, well under a minute: does everything work?"""
    dry_run: bool = False
    """Print the resolved settings and what the run will cost; write nothing."""
    list: bool = False
    """Show the methods, their parts and presets."""
    set: Path | None = None
    """Evaluate or export this set instead of making one: saved by jaxdd, or anybody's
    .npz, .pt, .safetensors, Parquet, or folder of images."""
    export: Literal["", "npz", "folder", "parquet", "tfds"] = ""
    """Also write the set in this form, for other programs."""
    export_dir: Path | None = None
    """Where; default: export-<form> in the work directory."""
    verify: Path | None = None
    """Re-measure a saved set against the figures it was saved with."""
    debug: bool = False
    """Show the traceback of a failure."""
    run: LoopConfig = LoopConfig()
    distributed: DistributedConfig = DistributedConfig()

    def numbered(self, count: int) -> list[int]:
        """Consecutive seeds, from the run's own on."""
        return [self.seed + i for i in range(count)]


@dataclass(frozen=True, kw_only=True)
class RunConfig(Options, Generic[Config]):
    """Everything that decides the outcome of a run; `distill` is the method's own."""

    distill: Config
    data: DataSpec = DataSpec()
    evaluate: Protocol = Protocol()


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(Options):
    """Options of a run on a set that is there already (--set)."""

    data: DataSpec = DataSpec()
    evaluate: Protocol = Protocol()
    set_whitening: str = ""
    """Space of its images, where neither the file nor the numbers say it: none, raw,
    standard, vico, zca_kornia, zca_kip, zca_frepo, zca_rfad or zca_rfad_l2."""
    set_labels: Literal["auto", "hard", "soft"] = "auto"
    """Take its labels as classes, or as soft labels."""
    set_layout: Literal["", "nhwc", "nchw"] = ""
    """Where the channels stand, if that cannot be seen."""
    set_index: int = -1
    """Which set of a file that holds several; -1 = the last."""


# What may change without making it another run: where things lie, what is shown and
# how far it goes.
_INCIDENTAL = {
    *("workdir", "stage", "overwrite", "smoke", "dry_run", "list", "verify", "debug"),
    *("set", "export", "export_dir"),
    *("run.cache", "run.progress", "run.memory_budget"),
    *(f"distributed.{field.name}" for field in dataclasses.fields(DistributedConfig)),
}


def from_preset(method: str, name: str, preset: Preset, **changes: Any) -> RunConfig:
    """The configuration that a preset stands for.

    Args:
      method: the method's name.
      name: the preset's name.
      preset: its settings.
      **changes: fields of `RunConfig` set differently.
    """
    fields = {
        "method": method,
        "preset": name,
        "distill": preset.distill,
        "data": preset.data,
        "evaluate": preset.evaluate,
        "ipc": preset.ipc,
        "size": preset.size,
        "run": LoopConfig(steps=preset.steps),
    }
    return RunConfig(**(fields | changes))


def identity(config: Options) -> dict[str, Any]:
    """The settings that decide the outcome, by dotted name."""
    from jaxdd import __version__

    flat = _flatten(to_dict(config)) | {"version": __version__}
    return {name: flat[name] for name in sorted(flat) if name not in _INCIDENTAL}


def run_hash(config: Options) -> str:
    """Eight hex digits that name the run."""
    return digest(identity(config))[:8]


def workdir_of(config: RunConfig | JudgeConfig) -> Path:
    """Where the run's files go: as asked, or a folder named by its settings."""
    if config.workdir is not None:
        return config.workdir.expanduser()
    name = [config.method, config.preset]
    if config.set is not None:
        name = ["judge", config.set.stem, config.protocol]
    parts = [*name, "smoke" if config.smoke else ""]
    return Path("runs") / "-".join([*filter(None, parts), run_hash(config)])


def cache_folder(config: Options) -> Path:
    """Where decoded data and trained teachers are kept between runs."""
    named = config.run.cache or os.environ.get("JAXDD_CACHE")
    return Path(named or Path.home() / ".cache" / "jaxdd").expanduser()


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One line for each setting that differs between two identities."""
    lines = []
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name, "(absent)"), new.get(name, "(absent)")
        if before != after:
            lines.append(f"{name}: {before!r} there, {after!r} now")
    return lines


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for name, entry in value.items():
        flat |= _flatten(entry, f"{prefix}.{name}" if prefix else name)
    return flat


def override(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """The configuration with settings changed by dotted name.

    Args:
      config: where to start.
      changes: values by name. `run.`, `data.`, `evaluate.` and `distill.` name the
        part; anything else is looked for in the method's settings, then in `run`.
        Records may be given as dicts of the fields that change, and records of one
        kind among several by the name of another (`network="resnet18"`), whose fields
        follow; augmentations by name (`augment="dsa"`, see `jaxdd.augment.NAMED`),
        kernels as the command line spells them.

    Raises:
      InputError: there is no such setting or no augmentation of that name; the
        message suggests the nearest.
    """
    for name, value in changes.items():
        config = replaced(config, _full_name(config, name).split("."), value, name)
    return config


def _full_name(config: RunConfig, name: str) -> str:
    first = name.split(".")[0]
    if first in _fields(config.distill):
        return f"distill.{name}"
    if first in _fields(config.run):
        return f"run.{name}"
    return name if first in _fields(config) else f"distill.{name}"


def _fields(record: Any) -> dict[str, Any]:
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}


def replaced(record: Any, path: list[str], value: Any, name: str) -> Any:
    """The record with the field at a path of names changed, as `override` does.

    Args:
      record: of settings.
      path: names of fields, from the record's own on.
      value: the new value, in any of the forms that `override` takes.
      name: what messages call the field.

    Raises:
      InputError: there is no such setting or kind; the message suggests the nearest.
    """
    known = _fields(record) if dataclasses.is_dataclass(record) else {}
    if path[0] not in known:
        hint = nearest(path[0], known)
        raise InputError(
            f"there is no setting {name!r}.{hint} {type(record).__name__} has"
            f" {', '.join(known) or 'no settings'}"
        )
    if path[1:] == ["name"] and kinds_at(record, path[:1]):
        path = path[:1]
    old = known[path[0]]
    if len(path) > 1:
        new = replaced(old, path[1:], value, name)
    else:
        new = _converted(record, path[0], value, name)
    return dataclasses.replace(record, **{path[0]: new})  # type: ignore[type-var]


def _converted(record: Any, field: str, value: Any, name: str) -> Any:
    """The value of a field in the form that its record has."""
    old, known = getattr(record, field), kinds_at(record, [field])
    if isinstance(value, Mapping) and dataclasses.is_dataclass(old):
        if known and "name" in value:
            record = replaced(record, [field], value["name"], name)
        for part, entry in value.items():
            if not (known and part == "name"):
                path = [field, str(part)]
                record = replaced(record, path, entry, f"{name}.{part}")
        return getattr(record, field)
    if isinstance(value, str) and isinstance(old, AugmentSpec):
        return augment.named(value)
    if isinstance(value, str) and known:
        return switched(old, known, value, name)
    if isinstance(old, tuple) and name.split(".")[-1] == "kernels":
        return tuple(v if isinstance(v, KernelSpec) else parse_kernel(v) for v in value)
    return tuple(value) if isinstance(value, list) else value
