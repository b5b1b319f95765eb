"""Pictures and masks as viewers show them, whatever way they are saved."""

import zlib

import numpy as np
import pytest
from PIL import Image

from stepscope.models.words import Word
from stepscope.pictures.files import read_mask, read_picture
from stepscope.pictures.ground import by_boxes, by_files

INSIDE = np.zeros((4, 6), dtype=bool)
INSIDE[:2, 1:3] = True
SHOWN = np.where(INSIDE[..., None], (250, 10, 20), (30, 200, 40)).astype(np.uint8)
GREY = np.where(INSIDE, 51, 204).astype(np.uint8)
WORDS = (Word(0, "Cafe\u0301", "subject", (1,)), Word(1, "cat", "object", (2,)))


def orientated(number):
    """A picture and EXIF data by which viewers show it as SHOWN."""
    turned = {
        3: np.rot90(SHOWN, 2),
        6: np.rot90(SHOWN, 1),
        8: np.rot90(SHOWN, 3),
        5: SHOWN.transpose(1, 0, 2),
    }
    picture = Image.fromarray(np.ascontiguousarray(turned[number]))
    exif = picture.getexif()
    exif[0x0112] = number
    return picture, {"exif": exif}


def transparent(mode):
    """SHOWN or GREY, with red or black hidden where alpha is 0."""
    alpha = (INSIDE * 255).astype(np.uint8)
    hidden = np.where(INSIDE[..., None], SHOWN, (255, 0, 0)).astype(np.uint8)
    if mode == "RGBA":
        return Image.fromarray(np.dstack([hidden, alpha]))
    if mode == "LA":
        return Image.fromarray(np.dstack([GREY * INSIDE, alpha]))
    picture = Image.fromarray(np.where(INSIDE, 1, 0).astype(np.uint8)).convert("L")
    picture.putpalette([255, 0, 0, 250, 10, 20])
    picture.info["transparency"] = 0
    return picture


@pytest.mark.parametrize("number", [3, 5, 6, 8])
@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_pictures_are_upright(tmp_path, number, ending):
    picture, options = orientated(number)
    picture.save(tmp_path / f"a.{ending}", **options)
    np.testing.assert_array_equal(read_picture(str(tmp_path / f"a.{ending}")), SHOWN)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white_in_pictures(tmp_path, mode):
    transparent(mode).save(tmp_path / "a.png")
    inside = np.repeat(GREY[..., None], 3, -1) if mode == "LA" else SHOWN
    expected = np.where(INSIDE[..., None], inside, 255)
    np.testing.assert_array_equal(read_picture(str(tmp_path / "a.png")), expected)


@pytest.mark.parametrize(
    ("saved", "ending"),
    [
        (GREY, "png"),
        (GREY.astype(np.uint16) * 257, "png"),
        ((GREY.astype(np.uint16) * 257).astype(">u2"), "tiff"),
    ],
)
def test_greys_keep_their_range(tmp_path, saved, ending):
    Image.fromarray(saved).save(tmp_path / f"a.{ending}")
    expected = np.repeat(GREY[..., None], 3, -1)
    np.testing.assert_array_equal(read_picture(str(tmp_path / f"a.{ending}")), expected)


@pytest.mark.parametrize("mode", ["1", "CMYK"])
def test_other_modes_are_what_the_library_makes_of_them(tmp_path, mode):
    picture = Image.fromarray(SHOWN).convert(mode)
    picture.save(tmp_path / "a.tiff")
    np.testing.assert_array_equal(read_picture(str(tmp_path / "a.tiff")), picture.convert("RGB"))


@pytest.mark.parametrize("read", [read_picture, read_mask])
@pytest.mark.parametrize("kind", ["float32", "int32"])
def test_modes_without_a_range_are_refused_by_name(tmp_path, read, kind):
    Image.fromarray(GREY.astype(kind)).save(tmp_path / "a.tiff")
    with pytest.raises(ValueError, match=r"a.tiff: a picture of mode [FI] has no known range"):
        read(str(tmp_path / "a.tiff"))


@pytest.mark.parametrize("read", [read_picture, read_mask])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("no picture", "cannot identify"),
        ("torn", "truncated|broken"),
        ("large", "600000000 pixels"),
        ("absent", "No such file"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, read, kind, reason):
    path = tmp_path / "a.png"
    if kind != "absent":
        Image.fromarray(SHOWN).save(path)
    if kind == "no picture":
        path.write_text("cat")
    if kind == "torn":
        path.write_bytes(path.read_bytes()[:50])
    if kind == "large":  # 600 megapixels, in the header alone
        header = bytearray(path.read_bytes())
        header[16:24] = (30_000).to_bytes(4, "big") + (20_000).to_bytes(4, "big")
        header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
        path.write_bytes(header)
    with pytest.raises(ValueError, match=f"a.png: the file cannot be read .*({reason})"):
        read(str(path))


def painted(inside, outside=(0, 0, 0)):
    return Image.fromarray(np.where(INSIDE[..., None], inside, outside).astype(np.uint8))


def in_palette(*colours):
    picture = Image.fromarray(INSIDE.astype(np.uint8)).convert("L")
    picture.putpalette([value for colour in colours for value in colour])
    return picture


MASKS = {
    "8 bits": Image.fromarray((INSIDE * 255).astype(np.uint8)),
    "0 and 1": Image.fromarray(INSIDE.astype(np.uint8)),
    "one bit": Image.fromarray(INSIDE),
    "16 bits": Image.fromarray((INSIDE * 65535).astype(np.uint16)),
    "0 and 1 in 16 bits": Image.fromarray(INSIDE.astype(np.uint16)),
    "8 bits in 16": Image.fromarray((INSIDE * 255).astype(np.uint16)),
    "a colour": painted((128, 0, 0)),
    "a palette's colour": in_palette((0, 0, 0), (128, 0, 0)),
    "a palette's grey": in_palette((0, 0, 0), (1, 1, 1)),
    "a palette from white": in_palette((0, 0, 0), (255, 255, 255)),
    "cut out": Image.fromarray(
        np.dstack([np.full((4, 6, 3), 255, np.uint8), (INSIDE * 255).astype(np.uint8)])
    ),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS.keys())
def test_masks_are_what_their_file_means(tmp_path, mask):
    mask.save(tmp_path / "a.png")
    found = read_mask(str(tmp_path / "a.png"))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, INSIDE)


def test_soft_masks_keep_their_shares(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_mask(str(tmp_path / "a.png")), GREY / 255)


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (Image.new("L", (6, 4)), "the mask is black"),
        (Image.new("RGBA", (6, 4), (255, 255, 255, 0)), "the mask is black"),
        (Image.fromarray((INSIDE * 100).astype(np.uint8)), "its maximum is 100"),
        (Image.fromarray((INSIDE * 3000).astype(np.uint16)), "its maximum is 3000"),
        (painted((128, 0, 0), (0, 128, 0)), "the mask has 2 colours"),
        (Image.fromarray(np.dstack([GREY, GREY // 2, GREY])), "the mask has 2 colours"),
    ],
)
def test_masks_that_say_nothing_are_refused_by_name(tmp_path, mask, message):
    mask.save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=f"a.png: .*{message}"):
        read_mask(str(tmp_path / "a.png"))


def test_files_of_masks_are_named_as_words_are_compared(tmp_path):
    MASKS["8 bits"].save(tmp_path / "CAF\u00c9.PNG")
    assert list(by_files(WORDS, str(tmp_path), (4, 6))) == [0]
    MASKS["8 bits"].save(tmp_path / "cafe\u0301.png")
    with pytest.raises(ValueError, match="is a mask of the same word"):
        by_files(WORDS, str(tmp_path), (4, 6))


def test_boxes_and_masks_lie_where_the_upright_picture_has_them(tmp_path, capsys):
    for number in (5, 6):
        picture, options = orientated(number)
        picture.save(tmp_path / "a.png", **options)
        boxes = {"cat": [[1, 0, 2, 2]], "café": [[90, 0, 2, 2]]}
        found = by_boxes(WORDS, str(tmp_path / "a.png"), boxes, (4, 6))
        assert list(found) == [1]
        np.testing.assert_allclose(found[1], INSIDE, atol=1e-6)
        assert "a.png: no box of Cafe\u0301 covers anything" in capsys.readouterr().out
