"""One density for a range of a parameter: every weight of the network is a polynomial of the parameter.

    theta(c) = sum_a theta_a T_a(c),   c = beta, or a coupling in which H is linear: H(x; c) = H(x) + (c - c_0) dH/dc(x)

Training draws c from the arcsine distribution and lowers the mean of beta F(c).  A gradient or a score at c is one of
theta_a by multiplication with T_a(c), so that every density and every estimator serves as it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from massieu.densities.continuous import chebyshev
from massieu.errors import InputError, require
from massieu.principle import Energy
from massieu.systems.base import ClassicalSystem

Number = Array | float

ORDER = 4  # polynomials of the parameter


class Family(NamedTuple):
    """The range low..high of the parameter `name`, whose own value in the system is `own`."""

    name: str
    low: float
    high: float
    own: float

    def _weights(self, value: Number) -> Array:
        return chebyshev((jnp.asarray(value, float) - self.low) / (self.high - self.low), ORDER)

    def start(self, params: Any) -> Any:
        """Coefficients (.., ORDER) of parameters that are the same for all c."""
        return jax.tree.map(lambda leaf: jnp.pad(leaf[..., None], [(0, 0)] * leaf.ndim + [(0, ORDER - 1)]), params)

    def at(self, coefficients: Any, value: Number) -> Any:
        """theta(c)."""
        weights = self._weights(value)
        return jax.tree.map(lambda leaf: leaf @ weights.astype(leaf.dtype), coefficients)

    def spread(self, gradient: Any, value: Number) -> Any:
        """A derivative by theta(c) as one by the coefficients."""
        weights = self._weights(value)
        return jax.tree.map(lambda leaf: jnp.multiply.outer(leaf, weights.astype(leaf.dtype)), gradient)

    def draw(self, key: Array, place: Array, places: int) -> Array:
        """A value of c from part `place` of `places`: denser towards the ends, where a polynomial is held least."""
        angle = jnp.pi * (place + jax.random.uniform(key)) / places
        return self.low + (self.high - self.low) * 0.5 * (1 - jnp.cos(angle))

    def target(self, system: ClassicalSystem, beta: Number, value: Number) -> tuple[Energy, Number]:
        """H(.; c) and beta at c."""
        if self.name == "beta":
            return system.energy, value
        slope = system.conjugate(self.name)
        return lambda x: system.energy(x) + (value - self.own) * slope(x), beta


def parse(text: str, system: ClassicalSystem, beta: float) -> Family:
    """'lam:4:10' as a family of the system; InputError if it is none."""
    allowed = "NAME:LOW:HIGH, such as beta:0.2:0.6, with LOW < HIGH"
    words = str(text).split(":")
    require(len(words) == 3, "range", text, allowed)
    try:
        low, high = float(words[1]), float(words[2])
    except ValueError:
        raise InputError(f"range = {text}: must be {allowed}") from None
    require(-1e300 < low < high < 1e300, "range", text, allowed)
    own_beta = [] if system.action else ["beta"]
    names = [*own_beta, *system.linear_parameters]
    require(words[0] in names, "range", text, f"over one of {', '.join(names)} for {system.name}")
    own = beta if words[0] == "beta" and own_beta else float(system.parameters()[words[0]])
    require(low <= own <= high, "range", text, f"around the system's own {words[0]} = {own:g}")
    require(words[0] != "beta" or low > 0, "range", text, "of beta > 0")
    return Family(words[0], low, high, own)
