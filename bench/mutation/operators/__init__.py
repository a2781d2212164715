"""The mutation operators: each looks at one node of a syntax tree and proposes what could be written there instead."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from bench.mutation.operators.calls import argument_dropped, arguments_swapped, keyword_removed
from bench.mutation.operators.expressions import (
    arithmetic,
    boolean,
    comparison,
    condition_negated,
    constant,
    sign_dropped,
)
from bench.mutation.operators.places import bound_moved, default_changed, dimension_changed
from bench.mutation.operators.statements import statement_deleted
from bench.mutation.operators.tensors import dtype_changed, gradient_kept

if TYPE_CHECKING:
    import ast

    from bench.mutation.change import Edit
    from bench.mutation.source import Source

Operator = Callable[["Source", "ast.AST"], Iterator["Edit"]]

# Where two propose the same change, it counts as the first one's.
OPERATORS: tuple[Operator, ...] = (
    dimension_changed,
    dtype_changed,
    gradient_kept,
    bound_moved,
    default_changed,
    arithmetic,
    comparison,
    boolean,
    condition_negated,
    sign_dropped,
    constant,
    keyword_removed,
    argument_dropped,
    arguments_swapped,
    statement_deleted,
)
