"""Repulsion that stays finite in the mean: r^-12 would make the energy of every smooth density infinite."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array


def tamed(u: Array, most: Array | float) -> Array:
    """u where it is below `most` > 0, and most (1 + ln(u/most)) beyond, with a continuous derivative."""
    return jnp.where(u > most, most * (1 + jnp.log(jnp.maximum(u, most) / most)), u)
