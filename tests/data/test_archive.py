"""Folders and archives: the same files from all, and nothing unsafe from any."""

import io
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxdd.data.readers.archive import fingerprint, holds_images, is_archive, open_tree
from jaxdd.errors import InputError
from tests.data.pictures import class_files, pack, write_folder, write_tar, write_zip

FILES = {"a/1.png": b"one", "a/2.txt": b"no", "b/c/3.png": b"three", "b/4.PNG": b"4"}
HIDDEN = {".git/5.png": b"x", "__MACOSX/a/._1.png": b"x", "a/.DS_Store": b"x"}
WANTED = {n: d for n, d in FILES.items() if n.lower().endswith(".png")}
ENDINGS = (".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tar.zst", ".zip")


def images(path):
    return dict(open_tree(path, lambda name: name.lower().endswith(".png")).files)


def packed(path, files):
    return write_zip(path, files) if path.suffix == ".zip" else write_tar(path, files)


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_archive_holds_what_its_folder_holds(tmp_path, ending):
    folder = write_folder(tmp_path / "f", FILES | HIDDEN)
    archive = packed(tmp_path / f"f{ending}", FILES | HIDDEN)
    assert is_archive(archive)
    assert images(folder) == images(archive) == WANTED


def test_totals_are_known_where_they_can_be(tmp_path):
    folder = write_folder(tmp_path / "f", FILES)
    total = {
        path.name: open_tree(path, lambda name: True).total
        for path in (folder, packed(tmp_path / "f.zip", FILES))
    }
    assert total == {"f": 4, "f.zip": 4}
    assert open_tree(packed(tmp_path / "f.tar", FILES), lambda name: True).total == 0


def test_a_folder_is_walked_in_order_and_links_do_not_loop(tmp_path):
    folder = write_folder(tmp_path / "f", FILES)
    (folder / "a" / "again").symlink_to(folder)
    assert list(images(folder)) == sorted(WANTED)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/1.png", "an absolute path"),
        ("C:/1.png", "an absolute path"),
        ("../1.png", "a path that leaves its folder"),
        ("a/../../1.png", "a path that leaves its folder"),
        ("a\\..\\1.png", "a path that leaves its folder"),
    ],
)
@pytest.mark.parametrize("ending", [".tar.gz", ".zip"])
def test_unsafe_paths_are_refused(tmp_path, name, reason, ending):
    path = packed(tmp_path / f"f{ending}", {"a/0.png": b"0", name: b"1"})
    with pytest.raises(InputError, match=reason) as caught:
        images(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "f.tar", "w") as archive:
        info = tarfile.TarInfo("a/1.png")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(InputError, match=r"member 'a/1.png' is (a link|no plain file)"):
        images(tmp_path / "f.tar")


def test_links_in_a_zip_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        entry = zipfile.ZipInfo("a/1.png")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(InputError, match=r"member 'a/1.png' is a link"):
        images(tmp_path / "f.zip")


@pytest.mark.parametrize("ending", [".tar.gz", ".tar.xz", ".tar.zst", ".zip"])
def test_bombs_are_refused_while_they_are_small(tmp_path, ending):
    path = packed(tmp_path / f"f{ending}", {"a/1.png": bytes(300 << 20)})
    with pytest.raises(InputError, match="decompression bombs"):
        images(path)


def test_a_gzip_bomb_behind_the_archive_is_refused(tmp_path):
    good = io.BytesIO()
    tarfile.open(fileobj=good, mode="w").close()
    (tmp_path / "f.tar.gz").write_bytes(pack(good.getvalue() + bytes(300 << 20), ".gz"))
    with pytest.raises(InputError, match="decompression bombs"):
        images(tmp_path / "f.tar.gz")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_cut_archive_is_noticed_wherever_it_is_cut(tmp_path, ending):
    whole = packed(tmp_path / f"f{ending}", class_files(2, 3)).read_bytes()
    path = tmp_path / f"cut{ending}"
    for part in (0.0, 0.2, 0.5, 0.8, 0.95):
        path.write_bytes(whole[: int(part * len(whole))])
        if ending == ".tar" and part > 0.5:  # nothing but padding is missing
            assert images(path) == class_files(2, 3)
            continue
        with pytest.raises(InputError, match="cannot be read"):
            images(path)


def test_what_is_no_archive_is_refused(tmp_path):
    for content in (b"", b"hello", b"\x1f\x8b" + bytes(50)):
        (tmp_path / "f.tar.gz").write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            images(tmp_path / "f.tar.gz")
    with pytest.raises(InputError, match="does not exist"):
        images(tmp_path / "nowhere.zip")


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".zip"])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_damage_is_an_input_error_or_harmless(tmp_path, ending, data):
    whole = bytearray(packed(tmp_path / f"w{ending}", WANTED).read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(1, 40))
    whole[place : place + length] = data.draw(st.binary(max_size=40))
    path = tmp_path / f"broken{ending}"
    path.write_bytes(whole)
    try:
        found = images(path)
    except InputError:
        return
    assert all(isinstance(content, bytes) for content in found.values())


def test_a_fingerprint_follows_the_content(tmp_path):
    folder = write_folder(tmp_path / "f", FILES)
    archive = packed(tmp_path / "f.zip", FILES)
    first = fingerprint(folder), fingerprint(archive)
    assert first == (fingerprint(folder), fingerprint(archive))
    (folder / "a" / "1.png").write_bytes(b"ones")
    packed(archive, FILES | {"a/1.png": b"ones"})
    assert not set(first) & {fingerprint(folder), fingerprint(archive)}


def test_images_are_recognised(tmp_path):
    assert holds_images(write_folder(tmp_path / "f", FILES))
    assert holds_images(tmp_path / "any.tar.xz")
    assert not holds_images(write_folder(tmp_path / "g", {"a/1.txt": b""}))
    assert not holds_images(tmp_path / "nowhere")
