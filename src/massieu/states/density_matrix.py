"""rho = sum_n p(n) |Psi_n><Psi_n|: a classical density over labels and an orthonormal family of states."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
from jax import Array


class Draw(NamedTuple):
    """Labels n (B, ...), ln p(n) (B,), and samples z (B, N, dim) of the base states |D_n|^2."""

    label: Array
    log_prob: Array
    z: Array


class DensityMatrix(eqx.Module):
    """p: `sample_and_log_prob(key)`, `log_prob(label)`; psi: `sample(key, labels)`, `local(label, z)`, `scores`."""

    p: Any
    psi: Any

    def draw(self, key: Array, batch: int) -> Draw:
        """Direct sampling of n ~ p(n) and x ~ |Psi_n(x)|^2: independent samples, no Markov chain."""
        of_label, of_state = jax.random.split(key)
        label, log_prob = jax.vmap(self.p.sample_and_log_prob)(jax.random.split(of_label, batch))
        return Draw(label, log_prob, self.psi.sample(of_state, label))
