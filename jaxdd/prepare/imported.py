"""A teacher from a checkpoint in place of one that is trained here."""

import dataclasses
from typing import Any

from jaxdd import files, foreign
from jaxdd.base import Corpus, Variables
from jaxdd.errors import InputError
from jaxdd.networks.imported import from_torch
from jaxdd.records import Teacher

__all__ = ["import_teacher", "teacher_identity"]


def import_teacher(teacher: Teacher, corpus: Corpus) -> Variables:
    """The weights in `teacher.checkpoint`, as `represent` reads them.

    Args:
      teacher: its network says what the checkpoint must hold.
      corpus: the training split; its image shape is read.

    Returns:
      The body's variables.

    Raises:
      InputError: the file cannot be read, or holds another architecture.
    """
    path = teacher.checkpoint
    if path is None:
        raise InputError("teacher.checkpoint: no file is given")
    outputs = 0 if teacher.represent == "features" else teacher.outputs
    return from_torch(
        foreign.read_tensors(path.expanduser()),
        teacher.network,
        corpus.image_shape,
        outputs,
        where=str(path),
    )


def teacher_identity(teacher: Teacher) -> Any:
    """What decides a teacher's outputs: a checkpoint counts by content, not by path.

    Raises:
      InputError: the checkpoint cannot be read.
    """
    if teacher.checkpoint is None:
        return teacher
    content = files.hash_file(teacher.checkpoint.expanduser())
    return [dataclasses.replace(teacher, checkpoint=None), content]
