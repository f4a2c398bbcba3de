"""Which kind of set lies at a path; a look at it without drawing conclusions."""

from pathlib import Path
from typing import NamedTuple

from jaxdd import files
from jaxdd.data.readers.archive import holds_images, holds_parquet, is_archive
from jaxdd.data.source import Progress, silent
from jaxdd.errors import InputError
from jaxdd.exchange import arrays, own, pictures, torch_sets
from jaxdd.exchange.raw import Raw
from jaxdd.records import DataSpec

__all__ = ["Peek", "Place", "find", "peek", "read_raw"]

_TORCH = (".pt", ".pth", ".ckpt")
_SINGLE = ("images_best.pt", "data.pt", "data_best.pt", "distill_data.pt")
_KNOWN = (
    "a set that jaxdd saved or exported, a work directory, .npz, .npy, .pt, .pth, "
    ".safetensors, .parquet, an archive or a folder of class folders with images, or a "
    "prepared TFDS data set"
)


class Place(NamedTuple):
    """A kind of set and where it lies.

    `kind` is artefact, own (our .npz), npz, npy, torch, safetensors, tfds, parquet or
    folder (archives too).
    """

    kind: str
    path: Path


class Peek(NamedTuple):
    """What a file looks like, for messages; unknown parts are "" or ()."""

    kind: str
    layout: str
    image: tuple[int, ...]
    label: tuple[int, ...]
    space: str
    text: str


def find(path: str | Path) -> Place:
    """Finds out what lies at a path, by names and the first bytes.

    Raises:
      InputError: it does not exist, is of no kind that is known, or holds several sets.
    """
    path = Path(path)
    if path.is_dir():
        return _in_folder(path)
    if not path.is_file():
        raise InputError(f"set={str(path)!r} does not exist; give {_KNOWN}")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        return Place("own" if own.is_own(path) else "npz", path)
    kinds = {".npy": "npy", ".safetensors": "safetensors", ".parquet": "parquet"}
    kinds |= dict.fromkeys(_TORCH, "torch")
    if suffix in kinds:
        return Place(kinds[suffix], path)
    if is_archive(path):
        return Place("folder", path)
    raise InputError(f"set={str(path)!r} is of no known kind; give {_KNOWN}")


def _in_folder(path: Path) -> Place:
    if (path / "meta.json").is_file():
        return Place("artefact", path)
    if (path / own.NAME).is_file() and own.is_own(path / own.NAME):
        return Place("own", path / own.NAME)
    sets = sorted(p.parent for p in path.glob("set*/meta.json"))
    if len(sets) == 1:
        return Place("artefact", sets[0])
    if sets:
        raise _several(path, sets)
    if (path / "features.json").is_file():
        return Place("tfds", path)
    if holds_parquet(path):
        return Place("parquet", path)
    for name in _SINGLE:
        if (path / name).is_file():
            return Place("torch", path / name)
    endings = (*_TORCH, ".npz")
    single = sorted(f for f in path.iterdir() if f.suffix in endings and f.is_file())
    if len(single) == 1:
        return find(single[0])
    if single:
        raise _several(path, single)
    if holds_images(path):
        return Place("folder", path)
    raise InputError(f"set={str(path)!r} holds no set that is known; give {_KNOWN}")


def _several(path: Path, found: list[Path]) -> InputError:
    names = ", ".join(place.name for place in found[:6])
    return InputError(
        f"set={str(path)!r} holds several sets: {names}; give one of them"
    )


def read_raw(
    place: Place, spec: DataSpec, progress: Progress = silent, index: int = -1
) -> Raw:
    """Reads the arrays of any kind of file but our own.

    Args:
      place: as `find` returned it.
      spec: how images that must be decoded are resized.
      progress: told of decoding.
      index: which of several sets in a file.

    Raises:
      InputError: what the reader of that kind finds wrong.
    """
    kind, path = place
    if kind == "torch":
        return torch_sets.read(path, index)
    plain = {
        "npz": arrays.read_npz,
        "npy": arrays.read_npy,
        "safetensors": arrays.read_safetensors,
    }
    if kind in plain:
        return plain[kind](path)
    decoded = {
        "tfds": pictures.read_tfds,
        "parquet": pictures.read_parquet,
        "folder": pictures.read_folder,
    }
    return decoded[kind](path, spec, progress)


def peek(path: str | Path) -> Peek:
    """Looks at a set without decoding images: kind, layout, shapes, suspected space.

    Raises:
      InputError: as `find`, and as the readers of files of arrays.
    """
    place = find(path)
    if place.kind in ("npz", "npy", "torch", "safetensors"):
        raw = read_raw(place, DataSpec())
        image = tuple(raw.image.shape)
        label = () if raw.label is None else tuple(raw.label.shape)
        known = raw.space or "not said"
        text = (
            f"{raw.layout}: images {raw.image.dtype}{list(image)}, labels "
            f"{list(label) or 'none'}, whitening {known}"
        )
        return Peek(place.kind, raw.layout, image, label, raw.space, text)
    if place.kind in ("artefact", "own"):
        return _peek_own(place)
    text = f"{place.kind}: images in files, which are pixels"
    return Peek(place.kind, place.kind, (), (), "none", text)


def _peek_own(place: Place) -> Peek:
    if place.kind == "own":
        found = files.read_npz(place.path, ("image", "whitening"))
        shape, space = found["image"].shape, str(found["whitening"])
    else:
        about = files.read_json(place.path / "meta.json")
        about = about if isinstance(about, dict) else {}
        shape, space = (), str(about.get("whitening", ""))
    text = f"a set of jaxdd: images {list(shape) or 'in arrays.npz'}, whitening {space}"
    return Peek(place.kind, "jaxdd", tuple(shape), (), space, text)
