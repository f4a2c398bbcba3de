"""The decoder's processes: pixels as Pillow gives them, and every bad image named."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jaxdd.data.readers import decode
from jaxdd.data.readers.decode import decode_all
from jaxdd.data.readers.decode_worker import decode_one, main
from jaxdd.errors import InputError
from tests.data.pictures import FORMATS, encoded, picture


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_pixels_are_those_of_pillow(suffix):
    files = [(f"{i}", encoded(picture(i), suffix)) for i in range(600)]
    made = decode_all(iter(files), workers=2)
    assert made.bad == []
    assert made.names == [name for name, _ in files]
    for (_, data), pixels in zip(files, made.pixels, strict=True):
        expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        np.testing.assert_array_equal(pixels, expected)


def test_modes_become_grey_or_colour():
    image = picture(3)
    cases = {mode: image.convert(mode) for mode in ("L", "1", "P", "LA", "RGBA")}
    cases["I;16"] = Image.fromarray(np.full((8, 8), 65535, np.uint16))
    made = decode_all((mode, encoded(case)) for mode, case in cases.items())
    assert made.bad == []
    channels = {n: p.shape[2] for n, p in zip(made.names, made.pixels, strict=True)}
    assert channels == {"L": 1, "1": 1, "P": 3, "LA": 1, "RGBA": 3, "I;16": 1}
    assert made.pixels[5].min() == 255


def test_transparency_becomes_white():
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert np.asarray(decode_one(encoded(clear), None, "crop")).min() == 255


def test_photographs_are_turned_upright():
    image = picture(5, (6, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    data = encoded(image, ".png", exif=exif)
    np.testing.assert_array_equal(
        np.asarray(decode_one(data, None, "crop")), np.rot90(np.asarray(image), -1)
    )


def test_crop_keeps_the_aspect_and_stretch_does_not():
    wide = Image.new("RGB", (64, 32))
    wide.paste((255, 0, 0), (0, 0, 16, 32))  # the left quarter, outside the square
    for mode, red in (("crop", 0), ("stretch", 4)):
        pixels = np.asarray(decode_one(encoded(wide), 16, mode))
        assert pixels.shape == (16, 16, 3)
        assert (pixels[8, :, 0] > 128).sum() == red


def test_large_jpegs_are_reduced_while_decoding_without_a_visible_change():
    data = encoded(picture(1, (640, 480)), ".jpg", quality=95)
    fast = np.asarray(decode_one(data, 32, "crop"), np.float32)
    whole = Image.open(io.BytesIO(data)).crop((80, 0, 560, 480))
    slow = np.asarray(whole.resize((32, 32), Image.Resampling.BICUBIC), np.float32)
    assert np.abs(fast - slow).mean() < 2


def test_bad_images_are_named_and_the_others_kept():
    good = encoded(picture(0))
    files = [("a", good), ("b", b""), ("c", good[:40]), ("d", b"text"), ("e", good)]
    made = decode_all(iter(files))
    assert made.names == ["a", "e"]
    assert [name for name, _ in made.bad] == ["b", "c", "d"]
    assert all(reason for _, reason in made.bad)


def test_a_huge_canvas_is_a_bad_image():
    tiny = bytearray(encoded(Image.new("L", (1, 1))))
    tiny[16:24] = (60_000).to_bytes(4, "big") * 2  # the header's width and height
    made = decode_all([("bomb", bytes(tiny))])
    assert [name for name, _ in made.bad] == ["bomb"]


def test_a_limit_stops_early(monkeypatch):
    monkeypatch.setattr(decode, "_BATCH", 1)
    files = ((f"{i}", encoded(picture(i, (64, 64)))) for i in range(500))
    with pytest.raises(InputError, match=r"more than 100,000 bytes.*--data\.resize"):
        decode_all(files, limit=100_000, workers=1)


def test_a_refusal_of_the_source_stops_the_workers():
    def files():
        yield "a", encoded(picture(0))
        raise InputError("refused")

    with pytest.raises(InputError, match="refused"):
        decode_all(files())


def test_a_worker_that_dies_is_an_error(monkeypatch, tmp_path):
    script = tmp_path / "dies.py"
    script.write_text("import sys\nsys.stdin.buffer.read(10)\n")
    monkeypatch.setattr(decode.decode_worker, "__file__", str(script))
    files = ((f"{i}", encoded(picture(i))) for i in range(300))
    with pytest.raises(InputError, match="a process that decodes images died"):
        decode_all(files, workers=2)


def test_progress_counts_every_image():
    counted = []
    decode_all(
        ((f"{i}", encoded(picture(i))) for i in range(300)), advance=counted.append
    )
    assert sum(counted) == 300


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_images_never_stop_the_worker(data):
    suffix = data.draw(st.sampled_from(sorted(FORMATS)))
    whole = bytearray(encoded(picture(2, (16, 16)), suffix))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place : place + data.draw(st.integers(0, 30))] = data.draw(
        st.binary(max_size=30)
    )
    request = len(whole).to_bytes(8, "little")
    stream = io.BytesIO((1).to_bytes(4, "little") + request + bytes(whole))
    answer = io.BytesIO()
    limit = Image.MAX_IMAGE_PIXELS
    try:
        main(stream, answer, 8, "crop")
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    assert len(answer.getvalue()) > 4
