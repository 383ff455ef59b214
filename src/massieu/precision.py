"""The numbers that massieu computes with, whatever the program around it has chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def double_precision() -> Iterator[None]:
    """float64; and real numbers may meet complex ones, which `jax_numpy_dtype_promotion = strict` forbids."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield
