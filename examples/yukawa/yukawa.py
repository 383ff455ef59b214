"""Screened electrons: a quantum system of one's own is a class with one method, `potential`; the ansatz is inherited.

Installed (`pip install ./examples/yukawa`) the classes are on the command line: `massieu run yukawa-gas --screening 2`.
"""

import jax.numpy as jnp

import massieu as ms


class YukawaGas(ms.PeriodicElectrons):
    """H = -sum lap + sum_{i<j} 2 exp(-r/screening)/r in a periodic box, nearest images (Ry, a0)."""

    screening: float = ms.parameter(2.0, "screening length in a0")

    def potential(self, x):
        r = self.pair_distances(x)
        return jnp.sum(2 * jnp.exp(-r / self.screening) / r)


class YukawaDot(ms.TrappedElectrons):
    """H = sum (-lap + r^2)/2 + sum_{i<j} exp(-r/screening)/r in a trap."""

    screening: float = ms.parameter(1.0, "screening length in oscillator lengths")

    def potential(self, x):
        r = self.pair_distances(x)
        return 0.5 * jnp.sum(x**2) + jnp.sum(jnp.exp(-r / self.screening) / r)


if __name__ == "__main__":
    for system in (YukawaGas(n=3, theta=0.25, twist="0.25"), YukawaDot(n=2, beta=2.0)):
        run = ms.minimize(system, steps=30, batch=64, samples=1000)
        assert run.reference is None  # what is known of the Coulomb gas says nothing about this one
        print(f"{type(system).__name__}: F = {run.F} {system.units['energy']}, S = {run.S}")
