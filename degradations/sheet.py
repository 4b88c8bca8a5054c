"""One photo under every type at three strengths, on one page."""

import textwrap

from PIL import Image, ImageDraw, ImageFont, ImageOps

from degradations.apply import degrade
from degradations.registry import REGISTRY, STAGES

INTENSITIES = (0.25, 0.5, 0.9)

WORKING_SIDE = 320
"""The photo is fitted inside a square of this side before it is degraded, as a model would see it, in pixels."""

SIDE, LABEL, GAP, MARGIN, HEADING = 184, 148, 8, 32, 58
"""Pixels: longest side of a small picture, width of the labels, gaps, borders, height of a stage's heading."""

INK, GREY, RULE = "#1f2430", "#6b7280", "#d6d9e0"


def contact_sheet(photo: Image.Image, seed: int = 0) -> Image.Image:
    """Every entry of the registry on one photo, a row each, by stage, in two columns; the photo itself on the right."""
    photo = photo.convert("RGB")
    photo.thumbnail((WORKING_SIDE, WORKING_SIDE), Image.Resampling.LANCZOS)
    width, height = ImageOps.contain(photo, (SIDE, SIDE)).size
    row = max(height, 72) + GAP
    stages = {stage: [entry for entry in REGISTRY.values() if entry.stage == stage] for stage in STAGES}
    half = len(STAGES) // 2
    columns = [dict(list(stages.items())[:half]), dict(list(stages.items())[half:])]
    rows = [sum(map(len, column.values())) for column in columns]
    original = max(2, rows[0] - rows[1])  # rows that the photo takes on the right

    column_width = LABEL + len(INTENSITIES) * (SIDE + GAP)
    page_height = half * HEADING + max(rows[0], rows[1] + original) * row
    sheet = Image.new("RGB", (2 * column_width + 3 * MARGIN - 2 * GAP, page_height + 2 * MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for number, column in enumerate(columns):
        left, top = MARGIN + number * (column_width + MARGIN - GAP), MARGIN
        if number == 1:
            _text(draw, (left, top), "Original", f"seed {seed}")
            sheet.paste(ImageOps.contain(photo, (3 * (SIDE + GAP) - GAP, original * row - GAP)), (left + LABEL, top))
            top += original * row
        for stage, entries in column.items():
            _heading(draw, left, top, column_width - GAP, stage)
            top += HEADING
            for entry in entries:
                _text(draw, (left, top), entry.label, entry.name)
                for place, intensity in enumerate(INTENSITIES):
                    small = degrade(photo, {entry.name: intensity}, seed).resize(
                        (width, height), Image.Resampling.LANCZOS
                    )
                    sheet.paste(small, (left + LABEL + place * (SIDE + GAP) + (SIDE - width) // 2, top))
                top += row
    return sheet


def _heading(draw: ImageDraw.ImageDraw, left: int, top: int, width: int, stage: str) -> None:
    """The stage's name and the intensities, above a line."""
    base = top + HEADING - 14
    draw.text((left, base - 8), stage.capitalize(), INK, ImageFont.load_default(22), anchor="ls")
    for place, intensity in enumerate(INTENSITIES):
        middle = left + LABEL + place * (SIDE + GAP) + SIDE // 2
        draw.text((middle, base - 8), str(intensity), GREY, ImageFont.load_default(17), anchor="ms")
    draw.line((left, base, left + width, base), RULE, 2)


def _text(draw: ImageDraw.ImageDraw, corner: tuple[int, int], label: str, name: str) -> None:
    lines = textwrap.fill(label, 15)
    draw.multiline_text(corner, lines, INK, ImageFont.load_default(18), spacing=4)
    below = draw.multiline_textbbox(corner, lines, ImageFont.load_default(18), spacing=4)[3]
    draw.multiline_text((corner[0], below + 8), textwrap.fill(name, 19), GREY, ImageFont.load_default(14), spacing=3)
