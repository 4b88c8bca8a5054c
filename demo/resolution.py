"""The working resolution: the size of photo that a model sees without resizing it once more."""

from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from demo.texts import Text

RESAMPLING = Image.Resampling.LANCZOS


def is_sized_by_pixels(image_processor: object) -> bool:
    """Whether it takes any size within limits of the area, as Qwen2.5-VL's does, rather than one fixed size."""
    return hasattr(image_processor, "merge_size") and hasattr(image_processor, "patch_size")


def fit(photo: Image.Image, image_processor: object) -> Image.Image:
    """Scale a photo to the size at which an image processor leaves its pixels alone; the aspect is kept.

    A processor with a fixed size that it reaches by padding gets the photo inside that size, touching its edges. One
    that would stretch or crop the photo gets it padded with black. One with a pixel budget gets sides that are
    multiples of its patches, which shifts the aspect by less than a patch.

    Args:
        photo: mode RGB.

    Returns:
        The photo itself where it has that size already.

    Raises:
        ValueError: the photo is more than 200 times longer than wide, or the other way, and goes by a pixel budget.
    """
    if is_sized_by_pixels(image_processor):
        return _resized(photo, _within_budget(photo.size, image_processor))
    box = _fixed_size(image_processor)
    scale = min(box[0] / photo.width, box[1] / photo.height)
    photo = _resized(photo, (max(1, round(photo.width * scale)), max(1, round(photo.height * scale))))
    return _padded(photo, box) if image_processor.do_resize else photo


def _within_budget(size: tuple[int, int], image_processor: object) -> tuple[int, int]:
    width, height = size
    if max(size) > 200 * min(size):
        raise ValueError(Text("page.photo-too-long", width=width, height=height))
    limits, factor = image_processor.size, image_processor.patch_size * image_processor.merge_size
    # smart_resize would round a side shorter than half a patch to nothing.
    height, width = smart_resize(
        max(height, factor), max(width, factor), factor, limits["shortest_edge"], limits["longest_edge"]
    )
    return width, height


def _fixed_size(image_processor: object) -> tuple[int, int]:
    cropped = getattr(image_processor, "do_center_crop", False)
    size = image_processor.crop_size if cropped else image_processor.size
    edge = getattr(size, "shortest_edge", None)
    return (edge, edge) if edge else (size["width"], size["height"])


def _resized(photo: Image.Image, size: tuple[int, int]) -> Image.Image:
    return photo if photo.size == size else photo.resize(size, RESAMPLING)


def _padded(photo: Image.Image, box: tuple[int, int]) -> Image.Image:
    if photo.size == box:
        return photo
    canvas = Image.new("RGB", box)
    canvas.paste(photo, ((box[0] - photo.width) // 2, (box[1] - photo.height) // 2))
    return canvas
