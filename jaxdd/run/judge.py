"""`--set PATH`: judges a set that is there already, anybody's, or exports it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from jaxdd import exchange, files
from jaxdd.base import Dataset, Distilled
from jaxdd.data.catalogue import SOURCES
from jaxdd.devices import agreement
from jaxdd.errors import InputError
from jaxdd.exchange.torch_sets import of_name
from jaxdd.presets import protocols
from jaxdd.records import DataSpec, Protocol
from jaxdd.report import console
from jaxdd.report.publish import conclude, export, write_pages
from jaxdd.report.report import RunReport
from jaxdd.run import choose, summary
from jaxdd.run.arguments import Early, parse_as
from jaxdd.run.config import JudgeConfig, workdir_of
from jaxdd.run.context import RunContext, Say, make_context
from jaxdd.run.judging import check_students, fitted_protocol

__all__ = ["act", "judge", "parse"]

_OURS = ("artefact", "own")


def parse(early: Early, arguments: Sequence[str]) -> JudgeConfig:
    """The configuration that the arguments stand for.

    Args:
      early: what has been read of them.
      arguments: the command line without the program.

    A set of ours brings its data and its protocol as defaults; for others both must be
    said, where the name of the file does not say the data.

    Raises:
      InputError: there is no set, or something is missing that only the user knows.
      SystemExit: as the parser's.
    """
    path = Path(early.set or "")
    data, evaluate = _defaults(path, early)
    if early.smoke:
        evaluate = choose.smoke_protocol(evaluate)
        data = dataclasses.replace(data, train_limit=200, test_limit=100)
    config = parse_as(
        JudgeConfig,
        arguments,
        default=JudgeConfig(set=path, data=data, evaluate=evaluate),
        description="Judges a distilled set that is there already, or exports it.",
    )
    if config.dry_run:
        raise InputError("--dry-run estimates runs of a method, and --set has none")
    if config.students < 1:
        raise InputError(f"students={config.students}: must be at least 1")
    return config


def _defaults(path: Path, early: Early) -> tuple[DataSpec, Protocol]:
    name, data = early.protocol, DataSpec()
    only_export = early.export is not None and early.stage != "evaluate"
    place = _places(path)[0]
    if exchange.find(place).kind in _OURS:
        meta = exchange.read(place).meta
        there = meta.data.dir if meta.data.dir and meta.data.dir.exists() else None
        data = dataclasses.replace(meta.data, dir=there)
        return data, protocols.known(name) if name else meta.protocol
    _, guess = of_name(place)
    data = dataclasses.replace(data, name=guess if guess in SOURCES else data.name)
    asked = early.data_name or early.data_dir
    if guess not in SOURCES and not asked and not only_export:
        raise InputError(
            f"set={str(path)!r} does not say what it was distilled from: give the data"
            " it is to be judged on with --data.name (and --data.dir)"
        )
    if not name and not only_export:
        raise InputError(
            f"set={str(path)!r} does not say how it is to be judged: give --protocol"
            f" with one of {', '.join(protocols.PROTOCOLS)} (vico suits most sets with"
            " class labels, mtt those with a learned rate, datm soft labels)"
        )
    return data, protocols.known(name) if name else Protocol()


def _places(path: Path) -> list[Path]:
    """The sets at a path: several seeds of a work directory, or the one."""
    return sorted(place.parent for place in path.glob("set*/meta.json")) or [path]


def act(config: JudgeConfig, command: str) -> int:
    """Judges or exports, and shows the outcome.

    Returns:
      The exit code.
    """
    if config.export and config.stage != "evaluate":
        sets = _read(make_context(config), None)
        folder = config.export_dir or Path(f"{_stem(config)}-{config.export}")
        export(sets, config.export, folder, console.say)
        return 0
    report = judge(config, say=console.say, command=command)
    console.show_report(report, workdir_of(config))
    return 0


def judge(
    config: JudgeConfig, *, say: Say = lambda line: None, command: str = ""
) -> RunReport:
    """Judges the set, or goes on with it, or only reports.

    Raises:
      InputError: set, data and options do not fit together.
    """
    folder = workdir_of(config)
    context = make_context(config, say, folder)
    dataset = context.load(config.data)
    check_students(config.evaluate, dataset.train)
    sets = [_judged_by(config, one, dataset) for one in _read(context, dataset)]
    if finished := context.claim(dataset, set_content=_content(sets)):
        return finished
    meta = sets[0].meta
    for note in meta.config.get("notes", ()):
        say(f"note: {note}")
    measured = context.measure(sets, dataset, context.targets(meta, config.data))
    report = summary.judged(config, sets, dataset, measured, command)
    if agreement.is_first():
        write_pages(report, sets[0], (), folder)
        conclude(report, folder)
    if config.export and agreement.is_first():
        place = config.export_dir or folder / f"export-{config.export}"
        export(sets, config.export, place, say)
    agreement.barrier("finished")
    return report


def _read(context: RunContext, dataset: Dataset | None) -> list[Distilled]:
    config = context.config
    assert isinstance(config, JudgeConfig)
    assert config.set is not None
    judged = dataset is not None
    return [
        exchange.read(
            place,
            corpus=dataset.train if dataset else None,
            whitening=config.set_whitening or None,
            layout=config.set_layout or None,
            labels=config.set_labels,
            protocol=config.evaluate if judged else None,
            data=config.data,
            index=config.set_index,
            progress=context.bars,
        )
        for place in _places(config.set)
    ]


def _judged_by(
    config: JudgeConfig, distilled: Distilled, dataset: Dataset
) -> Distilled:
    """The set with the protocol fitted to it and to the data."""
    if not config.protocol:
        return distilled
    size = len(distilled.synthetic.image)
    protocol = fitted_protocol(config.protocol, config.evaluate, dataset.train, size)
    return distilled._replace(
        meta=dataclasses.replace(distilled.meta, protocol=protocol)
    )


def _content(sets: Sequence[Distilled]) -> str:
    arrays = jax.tree.leaves([distilled.synthetic for distilled in sets])
    return files.sha256(*map(np.asarray, arrays))[:16]


def _stem(config: JudgeConfig) -> str:
    assert config.set is not None
    return config.set.stem or "set"
