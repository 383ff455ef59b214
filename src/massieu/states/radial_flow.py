"""A unitary flow of particles in free space: x = T(z), with Psi_n(x) = D_n(z) / sqrt(det dx/dz).

T is a stack of layers, each the gradient of a convex function of all coordinates,

    z -> z + grad [ sum_{i<j} u(|z_i - z_j|) + sum_i w(|z_i - Z|) ],     Z the centre of mass,

the steps of a continuous flow with backflow velocity eta(r_ij) r_ij + mu(r_i) r_i.  T commutes with permutations,
rotations and translations, so that in a harmonic trap the centre of mass stays exact.  If the curvatures of u and w are
nowhere below -b_u and -b_w with N b_u + b_w <= b < 1, the Jacobian is positive definite wherever the particles are and
each layer is a bijection; `projected` enforces it.  What commutes with T (angular momentum in the plane, parity) may
choose potentials of its own beside the common ones: states of different sectors stay orthogonal.  All derivatives that
the local energy needs are closed forms, linear in the coefficients, and are propagated layer by layer from x back to z.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.linear_algebra import inverse_and_log_det_spd
from massieu.physics.radial import Basis, tensors
from massieu.states.inversion import carried
from massieu.states.pair_flow import FlowJet

BOUND = 0.9  # b above
PROBES = np.concatenate([[1e-4], np.geomspace(1e-2, 60.0, 300)])  # separations at which curvatures are bounded


class RadialFlow(eqx.Module):
    """Layers for particles of one or two spins; kinds: equal pairs, opposite pairs where there are any, centre.

    coefficients (layers, 1 + sectors, kinds, size): common, then each sector's own; common only for one sector.
    """

    spins: tuple[int, ...] = eqx.field(static=True)
    dim: int = eqx.field(static=True)
    basis: Basis
    differences: np.ndarray  # (P, N): rows of z_i - z_j, then of z_i - Z
    kinds: np.ndarray  # (P,): which coefficients each row has
    coefficients: Array

    def __init__(self, spins: tuple[int, ...], dim: int, *, layers: int, sectors: int, spacing: float):
        n = sum(spins)
        self.spins, self.dim = spins, dim
        self.basis = Basis(spacing * np.geomspace(0.25, 4.0, 7), spacing * np.array([0.3, 0.7, 1.6]))
        i, j = np.triu_indices(n, 1)
        label = np.repeat(np.arange(len(spins)), spins)
        pairs = np.eye(n)[i] - np.eye(n)[j]
        self.differences = np.concatenate([pairs, np.eye(n) - 1 / n])
        opposite = label[i] != label[j]
        of_pairs = opposite.astype(int)
        self.kinds = np.concatenate([of_pairs, np.full(n, 1 + of_pairs.max(initial=0))])
        own = sectors if sectors > 1 else 0
        self.coefficients = jnp.zeros((layers, 1 + own, int(self.kinds.max()) + 1, self.basis.size))

    def of_sector(self, sector: Array) -> Array:
        """Coefficients (layers, kinds, size) of one sector."""
        common = self.coefficients[:, 0]
        return common if self.coefficients.shape[1] == 1 else common + self.coefficients[:, 1 + sector]

    def derivatives(self, c: Array, y: Array, orders: tuple[int, ...]) -> list[Array]:
        """Derivative tensors (P, dim, ..) of u and w at all differences y (P, dim), with coefficients (kinds, size)."""
        table = self.basis.derivatives(jnp.sum(y**2, axis=1))
        return tensors(jnp.einsum("pk,dkp->dp", c[self.kinds], table), y, orders)

    def _difference(self, z: Array) -> Array:
        return jnp.asarray(self.differences) @ z

    def _jacobian(self, stretch: Array) -> Array:
        """1 + B^T H B (Nd, Nd) from the second derivatives H (P, dim, dim)."""
        n, dim = self.differences.shape[1], self.dim
        blocks = jnp.einsum("pi,pab,pj->iajb", self.differences, stretch, self.differences)
        return jnp.eye(n * dim) + blocks.reshape(n * dim, n * dim)

    def _between(self, m: Array) -> Array:
        """B m B^T at each difference (P, dim, dim), of m (Nd, Nd)."""
        n, dim = self.differences.shape[1], self.dim
        return jnp.einsum("pi,iajb,pj->pab", self.differences, m.reshape(n, dim, n, dim), self.differences)

    def layer(self, c: Array, z: Array) -> tuple[Array, Array]:
        """One layer with coefficients (kinds, size): new positions and Jacobian (Nd, Nd)."""
        push, stretch = self.derivatives(c, self._difference(z), (1, 2))
        return z + jnp.asarray(self.differences).T @ push, self._jacobian(stretch)

    def __call__(self, c: Array, z: Array) -> tuple[Array, Array]:
        """x = T(z) and ln det dx/dz, for the coefficients c (layers, kinds, size) of one sector."""
        return carried(self, c, z)

    def jet(self, c: Array, z: Array) -> FlowJet:
        """x = T(z) with everything for the local energy, from the last layer back to the first."""
        b = jnp.asarray(self.differences)

        def forwards(z: Array, of_layer: Array) -> tuple[Array, list[Array]]:
            push, *rest = self.derivatives(of_layer, self._difference(z), (1, 2, 3, 4))
            return z + b.T @ push, rest

        def backwards(state: FlowJet, derivatives: list[Array]) -> tuple[FlowJet, None]:
            x, log_det, jacobian, laplacian, gradient, half, least = state
            stretch, third, fourth = derivatives
            inverse, of_layer, pivot = inverse_and_log_det_spd(self._jacobian(stretch))
            log_det, least = log_det + of_layer, jnp.minimum(least, pivot)
            jacobian = inverse @ jacobian
            metric, response = self._between(jacobian @ jacobian.T), self._between(inverse)
            curved = b.T @ jnp.einsum("pabc,pbc->pa", third, metric)
            laplacian = inverse @ (laplacian - curved.reshape(-1))
            slope = -0.5 * (b.T @ jnp.einsum("pabc,pbc->pa", third, response)).reshape(-1)
            gradient = gradient + jacobian.T @ slope
            bend = -0.5 * jnp.einsum("pabcd,pab,pcd->", fourth, response, metric)
            half = half + slope @ laplacian + bend + 0.5 * self._squared_change(third, inverse, jacobian)
            return FlowJet(x, log_det, jacobian, laplacian, gradient, half, least), None

        x, stack = jax.lax.scan(forwards, z, c)
        return jax.lax.scan(backwards, FlowJet.of_identity(x), stack, reverse=True)[0]

    def _squared_change(self, third: Array, inverse: Array, jacobian: Array) -> Array:
        """sum_x tr (A^-1 dA_x)^2 over the Cartesian directions of x, with dA_x the change of a layer's Jacobian."""
        n, dim = self.differences.shape[1], self.dim
        moved = jnp.einsum("pi,icx->pcx", self.differences, jacobian.reshape(n, dim, n * dim))
        change = jnp.einsum("pabc,pcx->xpab", third, moved)
        left = jnp.einsum("yia,pi->yap", inverse.reshape(n * dim, n, dim), self.differences)
        relative = jnp.einsum("yap,xpab,pj->xyjb", left, change, self.differences)
        relative = relative.reshape(n * dim, n * dim, n * dim)
        return jnp.sum(relative * relative.transpose(0, 2, 1))

    def projected(self) -> RadialFlow:
        """The same flow with its coefficients inside the bound that makes it a bijection in every sector."""
        common, own = self.coefficients[:, :1], self.coefficients[:, 1:]
        if own.shape[1] == 0:
            safe = self._bound_scale(common) * common
        else:
            scale = self._bound_scale(common + own)
            safe = jnp.concatenate([common, scale * own + (scale - 1) * common], axis=1)
        return eqx.tree_at(lambda flow: flow.coefficients, self, safe)

    def _bound_scale(self, c: Array) -> Array:
        """Factors (..., 1, 1) <= 1 after which the potentials c (..., kinds, size) are inside the bound."""
        f = jnp.einsum("...ks,dsr->d...kr", c, self.basis.derivatives(jnp.asarray(PROBES**2)))
        lowest = jnp.min(
            jnp.minimum(2 * f[0], 2 * f[0] + 4 * jnp.expand_dims(PROBES**2, range(f.ndim - 2)) * f[1]), axis=-1
        )
        falls = -jnp.minimum(lowest, 0.0)
        worst = sum(self.spins) * jnp.max(falls[..., :-1], axis=-1) + falls[..., -1]
        return jnp.minimum(1.0, BOUND / jnp.maximum(worst, 1e-12))[..., None, None]
