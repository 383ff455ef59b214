"""Bring your own Hamiltonian: the frustrated antiferromagnet on a triangular lattice.

No arrangement satisfies all three bonds of a triangle, and the ground state keeps an extensive entropy
(Wannier 1950).  The whole system is one class with one method.
"""

import jax.numpy as jnp
import numpy as np

import massieu as ms
from massieu.exact.enumeration import enumerate_energy


class TriangularAntiferromagnet(ms.ClassicalSystem):
    side: int = 4

    def energy(self, s):
        s = s.reshape(self.side, self.side)
        bonds = sum(s * jnp.roll(s, shift, (0, 1)) for shift in ((1, 0), (0, 1), (1, -1)))
        return jnp.sum(bonds)


system, beta = TriangularAntiferromagnet(), 1.0
density = ms.densities.Symmetrised(ms.densities.MADE(n=16, width=8), *ms.densities.spin_flip(16))
run = ms.minimize(system, density, beta=beta, steps=600, batch=512, seed=0)
exact = enumerate_energy(system.energy, 16, beta)
print(f"F = {run.F}   exact {exact.F}")
print(f"E = {run.E}   exact {exact.E}")
print(f"S = {run.S}   exact {exact.S}")
print(f"ESS = {run.result.importance['ess']:.3f}")
assert np.abs(run.F.value - exact.F.value) < 0.02 * np.abs(exact.F.value)
