"""Fetches the files that a data set's owners publish.

What has arrived is kept in `NAME.part` and continued by the next call; the file appears
under its name only when its size and checksum are right.
"""

import contextlib
import functools
import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from jaxdd.data.source import Progress, Remote, Source
from jaxdd.errors import InputError

__all__ = ["fetch", "fetch_all", "is_whole"]

_TIMEOUT = 20  # seconds to connect, and to wait for more
_CHUNK = 1 << 18
_BREAKS = 5  # interruptions after which an address is given up
_NETWORK = (OSError, http.client.HTTPException, ValueError)


def fetch_all(source: Source, name: str, folder: Path, progress: Progress) -> None:
    """Fetches all files of a data set that are not in the folder yet.

    Args:
      source: says what there is and where.
      name: of the data set, for messages.
      folder: gets the files.
      progress: told of the bytes of every file.

    Raises:
      InputError: nothing is published, or a file cannot be had; the message says which
        addresses were tried, where a person finds it and where to put it.
    """
    home = f"Its page is {source.home}" if source.home else "Ask its owners"
    if not source.remotes:
        raise InputError(
            f"data set {name!r} is not published for download. {home}; give the folder "
            "you put it in with --data.dir"
        )
    for remote in source.remotes:
        try:
            fetch(remote, folder, progress)
        except InputError as error:
            raise InputError(f"data set {name!r}: {error}. {home}") from error


def fetch(remote: Remote, folder: Path, progress: Progress) -> Path:
    """Fetches one file, unless it is there and whole.

    Of several processes one fetches, the others wait for it.

    Args:
      remote: the file, its addresses and its checksum.
      folder: gets the file; it is made if need be.
      progress: told of the bytes.

    Returns:
      The path of the file.

    Raises:
      InputError: no address gave the right file, or the folder cannot be written.
        Whatever was at the path before is still there.
    """
    path = Path(folder).absolute() / remote.name
    with _disk(path):
        if is_whole(path, remote):
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        return path if is_whole(path, remote) else _from_any(remote, path, progress)


def is_whole(path: Path, remote: Remote) -> bool:
    """Whether a file is there with the size and the checksum of the published one."""
    if not path.is_file() or (remote.size and path.stat().st_size != remote.size):
        return False
    return _checksum(path, remote) == remote.checksum


def _from_any(remote: Remote, path: Path, progress: Progress) -> Path:
    """The file from the first address that has it."""
    part = path.with_name(f"{path.name}.part")
    failures = []
    for url in remote.urls:
        try:
            _fetch_whole(url, part, remote, progress)
        except InputError:
            raise
        except _NETWORK as error:
            failures.append(f"{url} ({_reason(error)})")
            continue
        with _disk(path):
            os.replace(part, path)
        return path
    kept = "; what has arrived is kept and will be continued" if _size(part) else ""
    raise InputError(
        f"{remote.name} cannot be downloaded, tried: {', '.join(failures)}{kept}. Try "
        f"again with a network, or put the file into {path.parent} by hand"
    )


def _fetch_whole(url: str, part: Path, remote: Remote, progress: Progress) -> None:
    """Completes the part from one address and checks it.

    A continued part that turns out wrong may stem from another version of the file, so
    it is fetched once more from its beginning.
    """
    continued = _size(part) > 0
    _fetch_part(url, part, remote, progress)
    if continued and not is_whole(part, remote):
        part.unlink()
        _fetch_part(url, part, remote, progress)
    found = _checksum(part, remote)
    if found != remote.checksum:
        part.unlink()
        raise OSError(
            f"wrong checksum {found}, published is {remote.checksum}; what arrived was "
            "removed"
        )


def _fetch_part(url: str, part: Path, remote: Remote, progress: Progress) -> None:
    """Completes the part; as long as it grows, interruptions are survived."""
    for left in reversed(range(_BREAKS)):
        before = _size(part)
        try:
            return _stream(url, part, remote, progress)
        except InputError:
            raise
        except _NETWORK:
            if _size(part) <= before or not left:
                raise


def _stream(url: str, part: Path, remote: Remote, progress: Progress) -> None:
    """One request; adds what it brings to the part."""
    have = _size(part)
    if remote.size and have == remote.size:
        return
    if remote.size and have > remote.size:
        have = 0
    response = _open(url, have)
    if response is None:
        return
    with response:
        have = _start(response, have)
        total = _total(response) or remote.size
        if remote.size and total != remote.size:
            raise OSError(
                f"it has {total:,} bytes there, published are {remote.size:,}"
            )
        with progress(f"download {remote.name}", total, "B") as advance:
            advance(have)
            for count in _append(response, part, have, total):
                advance(count)


def _open(url: str, have: int) -> http.client.HTTPResponse | None:
    """The answer, from byte `have` on if the server can; None where nothing follows."""
    headers = {"User-Agent": "jaxdd"} | ({"Range": f"bytes={have}-"} if have else {})
    request = urllib.request.Request(url, headers=headers)
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None  # the checksum tells whether it was the end
        raise


def _start(response: http.client.HTTPResponse, have: int) -> int:
    """The byte at which an answer begins; servers may ignore the wish for a range."""
    if response.status != http.client.PARTIAL_CONTENT:
        return 0
    span = response.headers.get("Content-Range", "")
    if not have or not span.startswith(f"bytes {have}-"):
        raise OSError(f"asked for the bytes from {have}, the answer is {span!r}")
    return have


def _total(response: http.client.HTTPResponse) -> int:
    """The size of the whole file, 0 if the answer does not say."""
    if response.status == http.client.PARTIAL_CONTENT:
        text = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        text = response.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def _append(
    response: http.client.HTTPResponse, part: Path, have: int, total: int
) -> Iterator[int]:
    """Writes the answer behind the first `have` bytes; yields the bytes written."""
    with _disk(part):
        handle = part.open("r+b" if have else "wb", buffering=0)
    with handle:
        handle.seek(have)
        while chunk := response.read1(_CHUNK):
            have += len(chunk)
            if total and have > total:
                raise OSError(f"more than the {total:,} bytes that there should be")
            with _disk(part):
                _write(handle, chunk)
            yield len(chunk)
    if have < total:
        raise OSError(f"the connection ended after {have:,} of {total:,} bytes")


def _write(handle: IO[bytes], chunk: bytes) -> None:
    """Writes all of it: a disk that fills up takes a part first."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[handle.write(rest) :]


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Tells errors of the disk from those of the network: no other address helps."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}. Free some space, or "
            "choose a folder that is writable; the same command continues"
        ) from error


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits while another process fetches into the folder, where the system can."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with contextlib.suppress(OSError):  # some network drives know no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _checksum(path: Path, remote: Remote) -> str:
    kind = remote.checksum.partition(":")[0]
    make = functools.partial(hashlib.new, kind, usedforsecurity=False)
    with path.open("rb") as handle:
        return f"{kind}:{hashlib.file_digest(handle, make).hexdigest()}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(getattr(inner, "strerror", None) or inner) or type(error).__name__
