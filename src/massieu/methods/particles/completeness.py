"""The entropy that a Jastrow factor on orthonormal states costs, without their overlaps: the bound for hot gases.

    S(p) - S(rho) <= ln E_{K~p} E_{x~|Phi_K|^2}[ e^{2J} ] - E_{K~p}[ ln N_K ],     N_K = <U D_K|e^{2J}|U D_K>

(principle.py: the sum over partners is done by completeness).  To second order 4 (<J^2> - <J>^2), however many partners
there are; those that are not in rho count too, so that for cold gases the overlaps themselves (overlaps.py) lose less.
N_K comes from direct samples of the determinants; that the mean of a logarithm is below the logarithm of the mean makes
the bound weaker, never wrong.  The other logarithm is below its tangent at a value from half of the sets.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from massieu import statistics
from massieu.methods.particles import chains
from massieu.principle import Estimate, log_tangent
from massieu.states.correlated import CorrelatedStates

SAMPLES = 128  # of each determinant


class Complete(NamedTuple):
    """S(p) - S(rho) at most, with its error; the mean variance of J in a state K.

    of_sets: what the second half of the sets says of it, each; ess: effective fraction of the samples of e^{2J}.
    """

    value: Estimate
    variance: float
    of_sets: np.ndarray
    ess: float

    def as_dict(self) -> dict[str, Any]:
        """For summary.json."""
        return {"entropy_loss": self.value.as_dict(), "variance_of_jastrow": self.variance, "ess_of_jastrow": self.ess}

    def covariance(self, of_sets: np.ndarray) -> float:
        """Of the value with the mean of a quantity of all sets (G,)."""
        half = of_sets[-len(self.of_sets) :]
        return float(np.cov(half, self.of_sets)[0, 1]) / len(of_sets)


def applies(psi: CorrelatedStates) -> bool:
    """Whether the states without J are orthonormal: with backflow they are not."""
    return psi.backflow is None


def bound(psi: CorrelatedStates, label: np.ndarray, log_jastrow: np.ndarray, key: Any) -> Complete:
    """The bound from sets (G, 1 + N) and ln J (G, T) of their chains; x64 must be on."""
    middle = float(log_jastrow.mean())
    weights = np.exp(2 * (log_jastrow - middle))
    of_chains, ess = weights.mean(axis=1), float(weights.sum() ** 2 / (weights**2).sum() / weights.size)
    log_norm = np.log(np.mean(np.exp(2 * (_direct(psi, label, key) - middle)), axis=1))
    half = len(label) // 2
    cost = log_tangent(of_chains[half:], of_chains[:half].mean()) - log_norm[half:]
    return Complete(statistics.mean(cost), float(log_jastrow.var(axis=1, ddof=1).mean()), cost, ess)


def _direct(psi: CorrelatedStates, label: np.ndarray, key: Any) -> np.ndarray:
    """ln J (G, SAMPLES) of samples from |U D_K|^2."""

    @jax.jit
    def of_one(args: tuple[Any, Any]) -> Any:
        label, key = args
        points = psi.sample_determinants(key, jnp.repeat(label[None], SAMPLES, axis=0))
        return jax.lax.map(lambda z: psi.jastrow.log(psi.positions(z)), points, batch_size=chains.at_once(psi, SAMPLES))

    return np.asarray(jax.lax.map(of_one, (jnp.asarray(label), jax.random.split(key, len(label)))))
