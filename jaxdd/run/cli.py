"""The command line: reads the method first, then everything else with its types.

Exit codes: 0 ok, 1 a failure, 2 a mistake in what was asked (one message on standard
error, no traceback).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdd.data.readers.archive import holds_images
from jaxdd.errors import InputError
from jaxdd.presets import protocols
from jaxdd.run import choose, judge
from jaxdd.run.arguments import Early, parse_as, read_early, spelled_out
from jaxdd.run.config import (
    JudgeConfig,
    Options,
    RunConfig,
    cache_folder,
    from_preset,
    workdir_of,
)

__all__ = ["main", "parse"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what the arguments ask for.

    Args:
      arguments: the command line without the program; default: the process's own.

    Returns:
      The exit code.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    config: Options | None = None
    try:
        config = parse(arguments)
        return _act(config, arguments)
    except InputError as error:
        _say(f"error: {error}")
        return 2
    except SystemExit as stop:  # the parser's own: --help and usage errors
        return stop.code if isinstance(stop.code, int) else 2
    except BrokenPipeError:  # the reader of our output has gone: `... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        _say("interrupted; the same command goes on from the last checkpoint")
        return 1
    except Exception as error:
        return _failed(error, config)


def parse(arguments: Sequence[str]) -> Options:
    """The configuration that the arguments stand for.

    The method and the preset are read first; their settings become the typed defaults
    of everything else, so that every dotted option is checked.

    Args:
      arguments: the command line without the program.

    Returns:
      A `RunConfig`, or, where no method is named, the general `Options`.

    Raises:
      InputError: unknown method or preset, or impossible combinations.
      SystemExit: --help (0) or options the parser does not understand (2).
    """
    arguments = spelled_out(arguments)
    early = read_early(arguments)
    if early.set is not None:
        if early.method is not None:
            raise InputError(
                f"--set with --method {early.method}: the set is there already; leave"
                " out one"
            )
        return judge.parse(early, arguments)
    if early.method is None:
        return _without_method(arguments)
    defaults = _defaults(early.method, early)
    config = parse_as(
        RunConfig[type(defaults.distill)],  # type: ignore[misc]
        arguments,
        default=defaults,
        description=_description(early.method, defaults.preset),
    )
    return _checked(config)


def _defaults(method: str, early: Early) -> RunConfig:
    """The configuration before the options: of the preset, or its tiny version."""
    data = early.data_name or _form_of(early)
    name, preset = choose.preset(method, early.preset, data)
    if data == "npz" and not early.preset:
        name, preset = _fitted(method, early.data_dir)
    if data:
        # The parser will refuse what is no number.
        resize = early.data_resize
        side = int(resize) if resize.isdecimal() else None
        preset = choose.on_data(preset, data, side)
    if early.protocol:
        preset = dataclasses.replace(preset, evaluate=protocols.known(early.protocol))
    if early.smoke:
        preset = choose.smoke(method, preset)
    # What is asked for explicitly replaces the preset's way of counting.
    counts = {}
    if early.ipc is not None and early.size is None:
        counts = {"size": None}
    if early.size is not None and early.ipc is None:
        counts = {"ipc": None}
    return from_preset(method, name, preset, **counts)


def _form_of(early: Early) -> str:
    """The data set's name, seen from what lies in --data.dir; a named preset says."""
    if early.preset or not early.data_dir:
        return ""
    if early.data_dir.endswith(".npz"):
        return "npz"
    return "folder" if holds_images(Path(early.data_dir)) else ""


def _fitted(method: str, path: str) -> tuple[str, Any]:
    """A preset fitted to the images of an .npz file, read from its header only."""
    import numpy as np

    shape: tuple[int, ...] = (28, 28)
    # A file that cannot be read is reported when it is loaded.
    with contextlib.suppress(Exception), np.load(path) as arrays:
        shape = arrays["x_train"].shape[1:]
    return choose.adapt(method, shape)


def _checked(config: RunConfig) -> RunConfig:
    if (config.ipc is None) == (config.size is None):
        given = "both" if config.ipc is not None else "neither"
        raise InputError(
            f"ipc={config.ipc}, size={config.size}: give exactly one of --ipc (images"
            f" per class) and --size (images in all); now it is {given}"
        )
    bounds = {"ipc": config.ipc, "size": config.size, "seeds": config.seeds}
    bounds |= {"students": config.students, "run.chunk": config.run.chunk}
    for name, value in bounds.items():
        if value is not None and value < 1:
            raise InputError(f"{name}={value}: must be at least 1")
    for name in ("steps", "save_every"):
        if getattr(config.run, name) < 0:
            raise InputError(
                f"run.{name}={getattr(config.run, name)}: must not be negative"
            )
    return config


def _without_method(arguments: list[str]) -> Options:
    from jaxdd import methods

    known = ", ".join(methods.names())
    options = parse_as(
        Options,
        arguments,
        default=Options(),
        description=(
            "Distils a data set into a few images and measures what they are worth.\n\n"
            f"Methods: {known}. The options of a method: --method NAME --help"
        ),
    )
    if not options.list and options.verify is None:
        raise InputError(f"--method is missing: choose one of {known}")
    return options


def _description(method: str, preset: str) -> str:
    from jaxdd import methods, presets

    known = presets.get(method)
    intro = methods.about(method).split("\n\n")[:2]
    return "\n\n".join([*intro, f"Presets: {', '.join(known)}. Shown: {preset}."])


def _act(config: Options, arguments: Sequence[str]) -> int:
    from jaxdd.devices import mesh
    from jaxdd.report import console
    from jaxdd.run import listing

    if config.list:
        listing.show_methods()
        return 0
    if config.seeds > 1 or config.students > 1 or not config.method:
        mesh.device_per_core()
    if not config.dry_run:
        mesh.compile_cache(cache_folder(config) / "programs")
    if config.verify is not None:
        from jaxdd.run import verify

        return 0 if verify.verify(config.verify, config) else 1
    assert isinstance(config, RunConfig | JudgeConfig)
    from jaxdd.devices import distributed, supervise
    from jaxdd.report import environment
    from jaxdd.run import workdir

    command = environment.spelled(arguments)
    if not config.dry_run and (how := distributed.launch(config.distributed)):
        if not supervise.is_child():
            workdir.is_unclaimed(workdir_of(config))
            return supervise.supervise(
                arguments, how, workdir_of(config) / workdir.HOSTS
            )
        supervise.meet(how)
    if isinstance(config, JudgeConfig):
        return judge.act(config, command)
    if config.dry_run:
        from jaxdd.run import dry_run

        dry_run.dry_run(config, say=console.say)
        return 0
    from jaxdd.run import pipeline

    report = pipeline.run(config, say=console.say, command=command)
    console.show_report(report, workdir_of(config))
    return 0


def _failed(error: Exception, config: Options | None) -> int:
    """Reports a failure that is not the user's mistake: one line, and where to look."""
    text = traceback.format_exc()
    _say(f"failed: {type(error).__name__}: {str(error).strip()}")
    runs = isinstance(config, RunConfig | JudgeConfig)
    folder = workdir_of(config) if runs else None
    if config is None or config.debug or folder is None or not folder.is_dir():
        _say(text)
        return 1
    with contextlib.suppress(OSError):
        (folder / "error.log").write_text(text)
        _say(f"the traceback is in {folder / 'error.log'}; --debug shows it here")
    return 1


def _say(text: str) -> None:
    sys.stderr.write(text.rstrip() + "\n")
