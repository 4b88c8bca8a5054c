"""OpenCV's ``pyrMeanShiftFiltering`` with its default of one pyramid level, about thirty times faster.

The algorithm is OpenCV's, step by step: every pixel walks to the mean of the near pixels of a near colour, at most five
times, first in the picture at half size; enlarged, that is the result except around its colour edges, where the walk is
repeated at full size. There, wide windows of a large picture are sampled: every second to fourth row stands for its
neighbours. That is the one liberty taken; without it the result is OpenCV's bit for bit.

One window's sums are written out for the vector units as LLVM code: 16 bits a channel hold every difference, square and
sum, so a few instructions judge 16 or 32 pixels, which no compiler finds in a loop. Numba compiles this and the walk
around it when they are first called.
"""

import cv2
import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import int16, types
from numba.core import cgutils
from numba.extending import intrinsic

from degradations.kernels import compiled
from degradations.pixels import in_strips

WALK = 5
"""Steps after which a pixel stops where it is (OpenCV's default criterion)."""

EXACT_PIXELS = 300_000
"""Pictures of so many pixels are fast enough as they are; larger ones are sampled."""

LANES = 32 if llvm.get_host_cpu_features().get("avx512bw") else 16
"""Pixels of one row that are judged at once; the result does not depend on it."""


def mean_shift_filter(image: np.ndarray, radius: int) -> np.ndarray:
    """``cv2.pyrMeanShiftFiltering(image, radius, radius)``, up to the sampling of rows in large pictures.

    Args:
        image: uint8 (height, width, 3).
        radius: 0..40, of the window in pixels and of the ball of colours in levels.

    Returns:
        A new picture like `image`.
    """
    smooth = _at_half_size(image, radius, step=1)
    result = cv2.pyrUp(smooth, dstsize=image.shape[1::-1])
    edges = np.zeros(image.shape[:2], np.uint8)
    _mark_edges(smooth, max(radius**2, 16), edges)
    step = 1 if edges.size <= EXACT_PIXELS else _sampled(radius)
    _walk_all(image, cv2.dilate(edges, None).view(np.bool_), result, max(radius, 1), radius, step)
    return result


def rough_mean_shift_filter(image: np.ndarray, radius: int) -> np.ndarray:
    """`mean_shift_filter` in a quarter of the time: at half size only, from fewer rows, so that edges are soft."""
    return cv2.pyrUp(_at_half_size(image, radius, _sampled(radius)), dstsize=image.shape[1::-1])


def _sampled(radius: int) -> int:
    """Every how many rows a window is read; one of a radius below 12, with up to 23 rows, whole."""
    return min(max(radius // 6, 1), 4)


def _at_half_size(image: np.ndarray, radius: int, step: int) -> np.ndarray:
    half = cv2.pyrDown(image)
    smooth = np.empty_like(half)
    _walk_all(half, np.ones(half.shape[:2], np.bool_), smooth, max(radius / 2, 1), radius, step)
    return smooth


def _walk_all(image: np.ndarray, chosen: np.ndarray, result: np.ndarray, reach: float, radius: int, step: int) -> None:
    """Write into `result` where the chosen pixels of `image` arrive."""
    height, width = chosen.shape
    # The last window of a row is read past its end.
    stride = width + LANES
    planes = np.zeros((3, height, stride), np.int16)
    for plane, channel in zip(planes, cv2.split(image), strict=True):
        plane[:, :width] = channel
    planes = planes.reshape(-1)
    limit = np.int16(radius**2)

    def walk(strip: slice) -> None:
        _walk_rows(planes, stride, chosen, result, float(reach), limit, step, strip.start, strip.stop)

    in_strips(height, walk, least=8)


@compiled
def _mark_edges(smooth, limit, edges):
    """Mark in `edges` what lies at the inner pixels of `smooth` that differ from one of their eight neighbours."""
    height, width = smooth.shape[:2]
    for y in range(1, min(height - 1, len(edges) // 2)):
        for x in range(1, width - 1):
            far = False
            for v in range(y - 1, y + 2):
                for u in range(x - 1, x + 2):
                    square = 0
                    for channel in range(3):
                        difference = int(smooth[v, u, channel]) - int(smooth[y, x, channel])
                        square += difference * difference
                    far |= square >= limit
            if far:
                edges[2 * y + 1, 2 * x - 1] = 1


@compiled
def _round(value):
    """To the nearest integer, halves to the even one, as OpenCV does."""
    return int(np.rint(value))


@compiled
def _walk_rows(planes, stride, chosen, result, reach, limit, step, top, bottom):
    """The walk of the chosen pixels in rows top..bottom-1; `planes` holds the channels one after the other."""
    height, width = chosen.shape
    plane = height * stride
    for row in range(top, bottom):
        for column in range(width):
            if not chosen[row, column]:
                continue
            x, y, here = column, row, row * stride + column
            red, green, blue = planes[here], planes[here + plane], planes[here + 2 * plane]
            for _ in range(WALK):
                left, right = max(_round(x - reach), 0), min(_round(x + reach), width - 1)
                above, below = max(_round(y - reach), 0), min(_round(y + reach), height - 1)
                above += (y - above) % step  # its own row is among the sampled
                rows = (below - above) // step + 1
                count, reds, greens, blues, xs, ys = _window_sums(
                    planes, above * stride + left, step * stride, plane, rows, right - left + 1, red, green, blue, limit
                )
                if count == 0:
                    break
                # As whole sums, as in OpenCV: a mean that falls between two integers is rounded the same way.
                share = 1.0 / count
                new_x, new_y = _round((left * count + xs) * share), _round((above * count + step * ys) * share)
                new_red, new_green = _round((red * count + reds) * share), _round((green * count + greens) * share)
                new_blue = _round((blue * count + blues) * share)
                moved = abs(new_x - x) + abs(new_y - y)
                recoloured = (new_red - red) ** 2 + (new_green - green) ** 2 + (new_blue - blue) ** 2
                x, y, red, green, blue = new_x, new_y, int16(new_red), int16(new_green), int16(new_blue)
                if moved == 0 or moved + recoloured <= 1:
                    break
            result[row, column, 0], result[row, column, 1], result[row, column, 2] = red, green, blue


@intrinsic
def _window_sums(typingctx, planes, start, stride, plane, rows, columns, red, green, blue, limit):
    """Sums over the pixels of a window whose colour lies within the ball around (red, green, blue).

    Args:
        planes: int16, flat: three planes of values in 0..255, `plane` apart; rows are `stride` apart.
        start: index of the window's first pixel; LANES - 1 values past its last row's end must exist.
        rows, columns: of the window, at most 81 each.
        limit: square of the ball's radius, at most 1600.

    Returns:
        Six int32: how many there are, the sums of their differences to red, green and blue, and the sums of
        their columns and rows, counted from the window's first.
    """
    signature = types.UniTuple(types.int32, 6)(
        planes, types.int64, types.int64, types.int64, types.int64, types.int64, *[types.int16] * 4
    )
    return signature, _emit_window_sums


_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_VECTOR, _WIDE = ir.VectorType(_I16, LANES), ir.VectorType(_I32, LANES)


def _emit_window_sums(context, builder, signature, arguments):
    array, start, stride, plane, rows, columns, *centre, limit = arguments
    data = context.make_array(signature.args[0])(context, builder, array).data
    zero = ir.Constant(_VECTOR, [0] * LANES)
    add_saturated = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_VECTOR, [_VECTOR, _VECTOR]), f"llvm.uadd.sat.v{LANES}i16"
    )
    add_lanes = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_I32, [_WIDE]), f"llvm.vector.reduce.add.v{LANES}i32"
    )

    def number(value):
        return ir.Constant(_I64, value)

    def splat(value):
        first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(_I32, 0))
        lanes = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
        return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), lanes)

    def increase(variable, by):
        value = builder.add(builder.load(variable), by)
        builder.store(value, variable)
        return value

    centre, limit = [splat(value) for value in centre], splat(limit)
    # LLVM keeps these variables in registers.
    totals = [cgutils.alloca_once_value(builder, zero) for _ in range(6)]
    count, *differences, remaining = parts = [cgutils.alloca_once_value(builder, zero) for _ in range(5)]
    strips = builder.udiv(builder.add(columns, number(LANES - 1)), number(LANES))
    with cgutils.for_range(builder, strips) as strip:
        first = builder.mul(strip.index, number(LANES))
        for part in parts:
            builder.store(zero, part)
        with cgutils.for_range(builder, rows) as row:
            offset = builder.add(builder.add(start, first), builder.mul(row.index, stride))
            here, distance = [], zero
            for channel in range(3):
                index = builder.add(offset, builder.mul(plane, number(channel)))
                pixels = builder.load(builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer()))
                pixels.align = 2
                here.append(builder.sub(pixels, centre[channel]))
                # A square of up to 255² fills all 16 bits, unsigned; their sum stays at the highest value.
                distance = builder.call(add_saturated, [distance, builder.mul(here[-1], here[-1])])
            inside = builder.sext(builder.icmp_unsigned("<=", distance, limit), _VECTOR)  # all bits or none
            so_far = increase(count, builder.neg(inside))
            for part, difference in zip(differences, here, strict=True):
                increase(part, builder.and_(difference, inside))
            # Counting a pixel in its row and all later ones counts the rows from its own to the last.
            increase(remaining, so_far)
        column = builder.add(splat(builder.trunc(first, _I16)), ir.Constant(_VECTOR, list(range(LANES))))
        kept = builder.sext(builder.icmp_unsigned("<", column, splat(builder.trunc(columns, _I16))), _VECTOR)
        counted = builder.and_(builder.load(count), kept)
        sums = [counted, *(builder.and_(builder.load(part), kept) for part in differences)]
        in_rows = builder.sub(builder.mul(counted, splat(builder.trunc(rows, _I16))), builder.load(remaining))
        sums += [builder.mul(counted, column), builder.and_(in_rows, kept)]
        for total, part in zip(totals, sums, strict=True):
            increase(total, part)
    results = [builder.call(add_lanes, [builder.sext(builder.load(total), _WIDE)]) for total in totals]
    return cgutils.pack_array(builder, results)
