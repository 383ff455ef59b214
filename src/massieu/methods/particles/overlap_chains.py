"""|<Phi_K|Phi_K'>|^2 of all pairs of a few correlated states, by chains in the mixture sum_m |Phi_m|^2.

    <K|K'>/sum_m Z_m = <D_K^* D_K'/sum_m |D_m|^2>,      Z_K/sum_m Z_m = <|D_K|^2/sum_m |D_m|^2>

The averaged functions are bounded, and neither J nor a norm is in them; averages over one state alone have ratios
D_K'/D_K with the tails of its nodes.  One chain serves all pairs, each nearly as well as a chain of its own.  The two
factors of |<K|K'>|^2 come from different walkers, so that their noise does not add to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.methods.particles import chains
from massieu.states.correlated import CorrelatedStates, Slope
from massieu.states.slater import log_reference

WALKERS = 8  # of each mixture: half of them for each factor
APART = 5  # moves between measurements
AT_ONCE = 20  # measurements between looks


class Mixture(eqx.Module):
    """sum_m |Phi_m|^2 of labels (m, 1 + N): what the chains move in."""

    psi: CorrelatedStates

    @property
    def walker_bytes(self) -> int:
        """Memory for the derivatives of one walker."""
        return self.psi.walker_bytes

    def wrapped(self, points: Array) -> Array:
        """Points of the chains where they are kept."""
        return self.psi.wrapped(points)

    def slope(self, labels: Array, x: Array) -> Slope:
        """Logarithm and gradient at x (N, dim)."""
        return self.psi.slope_of_sum(labels, x)


def squared_overlaps(
    psi: CorrelatedStates, labels: np.ndarray, step: Any, settling: int, key: Array, most: int,
    enough: Callable[[np.ndarray], bool],
) -> np.ndarray:  # fmt: skip
    """|<K|K'>|^2 (G, m, m) of labels (G, m, 1 + N); looks every AT_ONCE of about `most` measurements of each walker.

    step: length of the moves to begin with; settling: moves before the first measurement; x64 must be on.
    """
    arrays, rest = eqx.partition(Mixture(psi), lambda leaf: isinstance(leaf, jax.Array))  # no large constants
    count, m = labels.shape[:2]

    @jax.jit
    def start(arrays: Any, key: Array) -> chains.Groups:
        of_x, of_moves = jax.random.split(key)
        either = jnp.asarray(labels)[:, jnp.arange(WALKERS) % m].reshape(-1, labels.shape[2])
        x = eqx.combine(arrays, rest).psi.sample_determinants(of_x, either)
        none, x = jnp.zeros(count), x.reshape(count, WALKERS, *x.shape[1:])
        groups = chains.Groups(jnp.asarray(labels), none, x, step, none)
        return chains.moved(eqx.combine(arrays, rest), groups, of_moves, settling)[0]

    @jax.jit
    def measured(arrays: Any, groups: chains.Groups, key: Array) -> tuple[chains.Groups, Array]:
        mixture = eqx.combine(arrays, rest)
        chunk = chains.at_once(psi, count * WALKERS)

        def one(groups: chains.Groups, key: Array) -> tuple[chains.Groups, Array]:
            groups, _ = chains.moved(mixture, groups, key, APART)
            values = jax.lax.map(
                lambda args: shares(mixture.psi, *args), (groups.each(), groups.flat()), batch_size=chunk
            )
            return groups, jnp.mean(values.reshape(count, 2, WALKERS // 2, m, m), axis=2)

        groups, values = jax.lax.scan(one, groups, jax.random.split(key, AT_ONCE))
        return groups, jnp.mean(values, axis=0)

    groups, total = start(arrays, jax.random.fold_in(key, 0)), np.zeros((count, 2, m, m), complex)
    for look in range(1, 1 + math.ceil(most / AT_ONCE)):
        groups, values = measured(arrays, groups, jax.random.fold_in(key, look))
        total += np.asarray(values)
        found = _squares(total / look)
        if enough(found):
            break
    return found


def shares(psi: CorrelatedStates, labels: Array, x: Array) -> Array:
    """D_a^* D_b/sum_m |D_m|^2 (m, m) at x (N, dim) for labels (m, 1 + N)."""
    zeta = x if psi.backflow is None else psi.backflow(x)
    log = jax.vmap(lambda label: log_reference(psi.reference(label), zeta, psi.spins))(labels)
    value = jnp.exp(log - jnp.max(log.real))
    return jnp.outer(value.conj(), value) / jnp.sum(jnp.abs(value) ** 2)


def _squares(halves: np.ndarray) -> np.ndarray:
    """Re of the product of two independent means (G, 2, m, m) over the norms."""
    norms = np.einsum("ghaa->ga", halves).real / 2
    return (halves[:, 0] * halves[:, 1].conj()).real / (norms[:, :, None] * norms[:, None, :])
