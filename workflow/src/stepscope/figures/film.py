"""Films: what a step predicts and where a method's map lies, step by step, as animated WebP."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import binary_dilation, binary_erosion

from stepscope.figures import overlays, plotting, text

PANEL, MARGIN = 192, 8  # pixels: side of a picture, and space around it
LETTERS, LINE = 12, 16  # pixels: height of letters and of lines
LETTERS_A_LINE = 54
MILLISECONDS = 350  # of a frame
LAST = 2000  # of the last one
PAPER, INK = (255, 255, 255), (30, 30, 30)


def film(samples: Sequence[xr.Dataset], method: str) -> list[Image.Image]:
    """Draw a frame a step of samples (see `samples.load_samples`), a row each.

    A row has the guided prediction, and at its right the method's map over it with the objects'
    outline, as in the figure of maps over time; without a map at a step, the outline alone. Of
    schedules with different steps, the longest counts; a shorter one stands at its end.
    """
    if not samples:
        return [_titled("the study has no maps of these samples", PANEL)]
    count = max(sample.sizes["step"] for sample in samples)
    return [_frame(samples, method, number) for number in range(count)]


def save(path: str, frames: Sequence[Image.Image]) -> None:
    """Write frames as one animated WebP without loss, the same bytes in every run."""
    first, *others = frames
    durations = [*[MILLISECONDS] * len(others), LAST]
    first.save(
        path, "WEBP", save_all=True, append_images=others, duration=durations, loop=0, lossless=True
    )


def _frame(samples: Sequence[xr.Dataset], method: str, number: int) -> Image.Image:
    """Draw all samples at the step with this place in their schedules."""
    rows = [_row(sample, samples, min(number, sample.sizes["step"] - 1)) for sample in samples]
    name = plotting.METHODS.get(method, method)
    head = _titled(f"guided prediction, and {name} map over it", rows[0].width)
    heights = [head.height, *(row.height for row in rows)]
    frame = Image.new("RGB", (rows[0].width, sum(heights)), PAPER)
    for part, top in zip([head, *rows], np.cumsum([0, *heights]), strict=False):
        frame.paste(part, (0, int(top)))
    return frame


def _row(sample: xr.Dataset, samples: Sequence[xr.Dataset], index: int) -> Image.Image:
    """Draw one sample at a step under its prompt."""
    at_step = sample.isel(step=index)
    image = at_step["preview"].sel(prediction="guided").to_numpy()
    panels = [
        Image.fromarray(image).resize((PANEL, PANEL), Image.Resampling.NEAREST),
        overlaid(image, at_step["map"].to_numpy(), sample["mask"].to_numpy()),
    ]
    when = f"step {int(at_step['step'])}, log-SNR {float(at_step['log_snr']):+.1f}"
    width = len(panels) * (PANEL + MARGIN) + MARGIN
    head = _titled(f"{when}\n{text.wrapped(text.caption(sample, samples), LETTERS_A_LINE)}", width)
    row = Image.new("RGB", (width, head.height + PANEL), PAPER)
    row.paste(head)
    for place, panel in enumerate(panels):
        row.paste(panel, (MARGIN + place * (PANEL + MARGIN), head.height))
    return row


def overlaid(image: np.ndarray, saliency: np.ndarray, mask: np.ndarray) -> Image.Image:
    """Draw a picture in grey, over it a map (y, x) divided by its magnitude, and an outline."""
    size = (PANEL, PANEL)
    grey = Image.fromarray((255 * overlays.greyed(image)).round().astype(np.uint8))
    panel = grey.resize(size, Image.Resampling.NEAREST).convert("RGBA")
    if np.isfinite(saliency).all():
        scaled = overlays.SIGNED(saliency / overlays.magnitude(saliency))
        colours = Image.fromarray(overlays.OVERLAY(scaled, bytes=True))
        panel = Image.alpha_composite(panel, colours.resize(size, Image.Resampling.BILINEAR))
    drawn = np.array(panel.convert("RGB"))
    inside = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size)) >= 0.5
    drawn[binary_dilation(inside) & ~inside] = INK
    drawn[inside & ~binary_erosion(inside, border_value=1)] = PAPER
    return Image.fromarray(drawn)


def _titled(words: str, width: int) -> Image.Image:
    """Write lines of text from the left on paper of this width."""
    lines = words.split("\n")
    head = Image.new("RGB", (width, LINE * len(lines) + MARGIN), PAPER)
    font = ImageFont.truetype(findfont("DejaVu Sans"), LETTERS)
    pen = ImageDraw.Draw(head)
    for number, line in enumerate(lines):
        pen.text((MARGIN, MARGIN // 2 + LINE * number), line, INK, font)
    return head
