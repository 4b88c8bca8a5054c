"""A network on a picture of any size: tiles that overlap and fade into each other, in bounded memory."""

from collections.abc import Callable, Iterator

import numpy as np

Tile = np.ndarray
"""float32 (h, w, 3) in [0, 1]."""


def places(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin along a side: as few as overlap by at least `overlap`, evenly spread.

    Raises:
        ValueError: the overlap leaves a tile nothing of its own.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"tiles of {tile} pixels cannot overlap by {overlap}")
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(number * (length - tile) / (count - 1)) for number in range(count)]


def tiled(
    picture: np.ndarray,
    network: Callable[[Tile], Tile],
    tile: int,
    overlap: int,
    progress: Callable[[float], None] = lambda done: None,
) -> np.ndarray:
    """A picture through a network, tile by tile.

    Where tiles overlap they are mixed, each the less the nearer its border is. Besides the picture and the result only
    one row of tiles is in memory.

    Args:
        picture: uint8 (h, w, 3).
        network: gives a tile of the same size; clipped here.
        tile: longest side of a tile, in pixels; a picture within it is one tile.
        progress: called with the share that is done, after every tile; may raise to end the work.

    Returns:
        uint8 (h, w, 3), rounded.
    """
    height, width = picture.shape[:2]
    tops, lefts = places(height, tile, overlap), places(width, tile, overlap)
    result = np.empty_like(picture)
    count, done = len(tops) * len(lefts), 0
    strip = np.zeros((min(tile, height), width, 3), np.float32)
    weights = np.zeros((*strip.shape[:2], 1), np.float32)
    for top, below in _with_next(tops, height):
        for left in lefts:
            part = picture[top : top + tile, left : left + tile]
            restored = np.clip(network(part.astype(np.float32) / 255), 0, 1)
            weight = _faded(part.shape[0], overlap)[:, None, None] * _faded(part.shape[1], overlap)[None, :, None]
            here = np.s_[: part.shape[0], left : left + part.shape[1]]
            strip[here] += restored * weight
            weights[here] += weight
            done += 1
            progress(done / count)
        # What no further tile reaches is finished; the rest moves up.
        final = below - top
        result[top:below] = np.rint(strip[:final] / weights[:final] * 255).astype(np.uint8)
        for array in (strip, weights):
            array[: len(array) - final] = array[final:].copy()
            array[len(array) - final :] = 0
    return result


def _with_next(tops: list[int], height: int) -> Iterator[tuple[int, int]]:
    return zip(tops, [*tops[1:], height], strict=True)


def _faded(length: int, overlap: int) -> np.ndarray:
    """Weights along a tile: 1 inside, falling towards both ends over the overlap."""
    from_end = np.minimum(np.arange(length), np.arange(length)[::-1]) + 1
    return np.minimum(1, from_end / (overlap + 1)).astype(np.float32)
