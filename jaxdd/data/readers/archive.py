"""Walks the files of a folder or of a packed archive, without ever unpacking to disk.

Archives are hostile until shown otherwise: absolute paths, paths that climb, links,
devices and decompression bombs are refused.
"""

import bz2
import contextlib
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from jaxdd import files
from jaxdd.errors import InputError

__all__ = [
    "SUFFIXES",
    "Tree",
    "fingerprint",
    "holds_images",
    "holds_parquet",
    "is_archive",
    "open_tree",
]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
"""Of the image files that are read."""

_MEMBER = 1 << 29  # bytes of one file
_RATIO = 200  # unpacked bytes for each packed one; pixels pack by far less
_LOOKED_AT = 5000
_FREE = 1 << 26  # bytes below which the ratio does not matter


class Tree(NamedTuple):
    """Files by relative path with forward slashes.

    `total` is the number of those that `wanted` picks, 0 where only reading tells.
    """

    total: int
    files: Iterator[tuple[str, bytes]]


def open_tree(path: Path, wanted: Callable[[str], bool]) -> Tree:
    """The wanted files of a folder, or of a tar (gz, bz2, xz, zst) or zip archive.

    Folders are walked in order of their paths, archives in their own. Hidden files and
    what systems add to archives are left out.

    Args:
      path: a folder or an archive.
      wanted: picks files by their relative path.

    Raises:
      InputError: missing, no archive, damaged, or unsafe; also while it is read.
    """

    def pick(name: str) -> bool:
        parts = name.split("/")
        hidden = any(p.startswith(".") or p == "__MACOSX" for p in parts)
        return not hidden and wanted(name)

    if path.is_dir():
        names = [name for name in _walk(path) if pick(name)]
        return Tree(len(names), _read_folder(path, names))
    if not path.is_file():
        raise InputError(f"{path} does not exist")
    if zipfile.is_zipfile(path):
        with _damage(path), zipfile.ZipFile(path) as archive:
            entries = [e for e in _check_zip(path, archive) if pick(e.filename)]
        return Tree(len(entries), _read_zip(path, entries))
    return Tree(0, _read_tar(path, pick))


def is_archive(path: Path) -> bool:
    """Whether the name of a file is that of an archive that `open_tree` reads."""
    name = path.name.lower()
    packed = (".gz", ".bz2", ".xz", ".zst")
    return name.endswith((".zip", ".tar", ".tgz", ".txz", ".tbz2", ".tzst")) or any(
        name.endswith(f".tar{ending}") for ending in packed
    )


def holds_images(path: Path) -> bool:
    """Whether a path looks like somebody's images: an archive, or a folder with some.

    Parquet files and prepared data sets of TFDS count as images. Only the first few
    thousand entries of a folder are looked at.
    """
    prepared = (path / "features.json").is_file()
    if is_archive(path) or prepared or holds_parquet(path):
        return True
    seen = 0
    for _, _, names in os.walk(path):
        if any(name.lower().endswith(SUFFIXES) for name in names):
            return True
        seen += len(names)
        if seen > _LOOKED_AT:
            return False
    return False


def holds_parquet(path: Path) -> bool:
    """Whether this is a Parquet file, or a folder that holds some, or its `data`."""
    if path.suffix == ".parquet":
        return path.is_file()
    globs = ("*.parquet", "data/*.parquet", "default/*.parquet")
    return path.is_dir() and any(True for g in globs for _ in path.glob(g))


def fingerprint(path: Path) -> str:
    """Identifies a source without decoding it.

    The SHA-256 of a file; of a folder, that of its sorted paths, sizes and times.

    Raises:
      InputError: it cannot be read.
    """
    if not path.is_dir():
        return files.hash_file(path)
    lines = []
    for name in _walk(path):
        with _damage(path / name):
            status = os.stat(path / name)
        lines.append(f"{name}\0{status.st_size}\0{status.st_mtime_ns}")
    return files.sha256("\n".join(lines))


def _walk(path: Path) -> list[str]:
    """Relative paths of all files, sorted; folders reached twice count once."""
    found, seen = [], set()
    for folder, inside, names in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inside.clear()
            continue
        seen.add(real)
        base = os.path.relpath(folder, path).replace(os.sep, "/")
        found += names if base == "." else [f"{base}/{name}" for name in names]
    return sorted(found)


def _read_folder(path: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        with _damage(path / name):
            data = (path / name).read_bytes()
        yield name, data


def _check_zip(path: Path, archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    total, packed = 0, path.stat().st_size
    for entry in entries:
        link = (entry.external_attr >> 16) & 0o170000 == 0o120000
        _check_member(path, entry.filename, "a link" if link else "", entry.file_size)
        total += entry.file_size
        _check_total(path, total, packed)
    return entries


def _read_zip(
    path: Path, entries: list[zipfile.ZipInfo]
) -> Iterator[tuple[str, bytes]]:
    with _damage(path), zipfile.ZipFile(path) as archive:
        for entry in entries:
            with _damage(path, entry.filename):
                data = archive.read(entry)
            yield entry.filename, data


def _read_tar(path: Path, pick: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with contextlib.ExitStack() as stack:
        with _damage(path):
            stream = stack.enter_context(_Bounded(path, _unpacked(path)))
            archive = stack.enter_context(tarfile.open(fileobj=stream, mode="r|"))
        while True:
            with _damage(path):
                member = archive.next()
                if member is None:
                    break
                data = _read_member(path, archive, member, pick)
            if data is not None:
                yield _plain(member.name), data
        with _damage(path):
            stream.finish()


def _read_member(
    path: Path,
    archive: tarfile.TarFile,
    member: tarfile.TarInfo,
    pick: Callable[[str], bool],
) -> bytes | None:
    """The bytes of a wanted file, None for what is none."""
    archive.members.clear()  # pyright: ignore  # tarfile keeps every header
    if member.isdir():
        return None
    kind = "" if member.isreg() else "a link" if member.islnk() else "no plain file"
    kind = "a link" if member.issym() else kind
    _check_member(path, member.name, kind, member.size)
    if not pick(_plain(member.name)):
        return None
    handle = archive.extractfile(member)
    assert handle is not None
    data = handle.read()
    if len(data) != member.size:
        raise EOFError(f"{member.name} is cut off")
    return data


def _plain(name: str) -> str:
    return name.removeprefix("./")


def _check_member(path: Path, name: str, kind: str, size: int) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ":" in parts[0]:
        kind = "an absolute path"
    elif ".." in parts:
        kind = "a path that leaves its folder"
    elif size > _MEMBER:
        kind = f"{size:,} bytes long (allowed: {_MEMBER:,})"
    if kind:
        raise InputError(
            f"{path}: member {name!r} is {kind}; such archives are not read. Pack the"
            " images as plain files, or give the unpacked folder"
        )


def _check_total(path: Path, total: int, packed: int) -> None:
    if total > _FREE + _RATIO * packed:
        raise InputError(
            f"{path}: unpacks to more than {_RATIO} times its {packed:,} bytes, as only"
            " decompression bombs do; such archives are not read. If it is yours, give"
            " the unpacked folder"
        )


class _Bounded(io.RawIOBase):
    """A stream that refuses to grow beyond what its archive may unpack to."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self._path, self._stream = path, stream
        self._packed, self._total, self._tail = path.stat().st_size, 0, b""

    def readable(self) -> bool:
        """True, as `io` asks."""
        return True

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._stream.read(min(size, 1 << 20) if size >= 0 else 1 << 20)
        self._total += len(data)
        _check_total(self._path, self._total, self._packed)
        self._tail = (self._tail + data[-1024:])[-1024:]
        return data

    def finish(self) -> None:
        """Reads to the end: checksums stand there, and the empty blocks of a tar."""
        while self.read(1 << 20):
            pass
        if self._tail.strip(b"\0") or len(self._tail) < 1024:
            raise EOFError("the end of the archive is missing")

    def close(self) -> None:
        """Closes the file too."""
        self._stream.close()
        super().close()


def _unpacked(path: Path) -> IO[bytes]:
    """The tar stream inside whatever it is packed with, by content."""
    with path.open("rb") as handle:
        head = handle.read(6)
    if head.startswith(b"\x1f\x8b"):
        return gzip.open(path)  # type: ignore[return-value]
    if head.startswith(b"\xfd7zXZ\0"):
        return lzma.open(path)
    if head.startswith(b"BZh"):
        return bz2.open(path)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstd(path)
    return path.open("rb")


def _zstd(path: Path) -> IO[bytes]:
    import zstandard

    return zstandard.open(path, "rb")


@contextlib.contextmanager
def _damage(path: Path, member: str = "") -> Iterator[Any]:
    """Turns whatever the reading of a damaged file raises into one message."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # each packer has its own kinds
        where = f"{path} ({member})" if member else str(path)
        raise InputError(
            f"{where} cannot be read, it may be damaged or no archive of a known kind"
            f" (tar, tar.gz, tar.bz2, tar.xz, tar.zst, zip): {error}"
        ) from error
