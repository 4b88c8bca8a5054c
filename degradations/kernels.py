"""Inner loops that OpenCV does not have, compiled by Numba when they are first called.

They run without the interpreter's lock, on whole strips of rows; `degradations.pixels.in_strips` spreads them over
threads.
"""

from collections.abc import Callable

import numpy as np
from numba import njit, uint16, uint32


def compiled(function: Callable) -> Callable:
    """Compile a function; Numba keeps the result beside its file or in the user's cache, where it may write to one."""
    try:
        return njit(nogil=True, cache=True)(function)
    except RuntimeError:  # it may not: compiling takes a second in every process
        return njit(nogil=True)(function)


@compiled
def add_taps(padded: np.ndarray, taps: np.ndarray, out: np.ndarray) -> None:
    """Correlate rows with a sparse kernel of weights that sum to 1.

    Args:
        padded: uint16, 256 times the pixels, one line a row; all rows and columns that the taps reach.
        taps: uint32 rows of (row, column, weight in 65536ths).
        out: uint8 (rows, columns), written.
    """
    columns = out.shape[1]
    total = np.empty(columns, np.uint16)
    # Every product loses half a 256th on average; half a level rounds the sum.
    start = uint16(128 + len(taps) // 2)
    for y in range(len(out)):
        total[:] = start
        for tap in range(len(taps)):
            weight = taps[tap, 2]
            line = padded[y + taps[tap, 0], taps[tap, 1] : taps[tap, 1] + columns]
            for x in range(columns):
                total[x] = uint16(total[x] + uint16((uint32(line[x]) * weight) >> uint32(16)))
        for x in range(columns):
            out[y, x] = total[x] >> 8
