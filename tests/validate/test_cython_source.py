"""Cython sources as Python: the same numbers as C's types give, or nothing."""

from typing import Any

import numpy as np
import pytest

from porter.validate.cython_source import as_python

SUMS = """
import cython
cimport cython
cimport numpy as np
from cython.parallel cimport prange
from libc.math cimport sqrt

@cython.boundscheck(False)
cdef inline float _one(const float[:, ::1] rows, int row, float start=0.1) nogil:
    cdef int place, last = rows.shape[1]
    cdef float total = start
    cdef double root
    for place in range(last):
        total += rows[row, place]
    root = sqrt(total)
    return root

cpdef void sums(float[:, ::1] rows, np.ndarray[np.float32_t, ndim=1] out,
                bint half = False) noexcept nogil:
    cdef int row
    with nogil:
        for row in prange(rows.shape[0], nogil=True, schedule="static"):
            out[row] = _one(rows, row) if not half else _one(rows, row, start=0.5)
"""


def ran(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    python = as_python(source)
    assert python is not None
    exec(python, names)
    return names


def test_loops_over_memoryviews_round_where_c_does() -> None:
    rows = np.random.default_rng(0).random((3, 50), dtype=np.float32)
    out, wanted = np.zeros(3, np.float32), np.zeros(3, np.float32)
    ran(SUMS)["sums"](rows, out)
    for row in range(3):
        total = np.float32(0.1)
        for value in rows[row]:
            total = np.float32(total + value)
        wanted[row] = np.float32(np.sqrt(np.float64(total)))
    assert (out == wanted).all() and out.all()
    ran(SUMS)["sums"](rows, out, True)
    assert (out > wanted).all()


def test_numbers_are_converted_where_they_are_set_and_returned() -> None:
    found = ran("""
def give(double x, int n=2, *rest, **named):
    cdef float narrow = x
    cdef bint some
    some = n
    narrow = narrow * 1
    x += 1
    return narrow, some, x, n, rest, named

cdef int whole(x):
    return x
""")
    narrow, some, x, n, rest, named = found["give"](1, 3, 4, k=5)
    assert (type(narrow), type(some), type(x), type(n)) == (np.float32, bool, float, int)
    assert (narrow, some, x, n, rest, named) == (1, True, 2.0, 3, (4,), {"k": 5})
    assert type(found["whole"](np.int32(4))) is int


@pytest.mark.parametrize(
    "source",
    [
        "cdef class Tree:\n    cdef int depth\n",
        "cdef struct pair:\n    int a\n",
        "cdef extern from 'x.h':\n    int f(int)\n",
        "ctypedef float real\n",
        "def f(int *p):\n    return p[0]\n",
        "def f(x):\n    return <int>x\n",
        "def f(x):\n    return &x\n",
        "cdef:\n    int a\n",
        "from libc.stdlib cimport malloc\n",
        "def f(:\n",
    ],
)
def test_more_than_types_is_not_translated(source: str) -> None:
    assert as_python(source) is None
