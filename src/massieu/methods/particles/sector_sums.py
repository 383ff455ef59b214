"""Products of determinants with a Jastrow factor, with and without H, summed over direct samples of a sector.

    S_ab = <J D_a|J D_b>,   H_ab = <J D_a|H|J D_b>

x from the mixture of the |D_a|^2, weights J^2.  With two spins every determinant is there twice, with J and with one
whose hole between opposite spins is shallower; both have the exact cusps (another slope, as in a triplet, makes an
energy whose variance diverges, and with it ghosts below the ground state).
H is the regression of H J D_b on the J D_a: its noise comes from what leads out of the sector's determinants only
(Nightingale and Melik-Alaverdian, Phys. Rev. Lett. 87, 043401 (2001)).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import Array

from massieu.principle import trainable
from massieu.states.correlated import CorrelatedStates
from massieu.states.sectors import Family, Sectors

LEAST_WEIGHT = 1e-6  # of the ideal gas, of families that are measured
CHUNK = 32


class Sums(NamedTuple):
    """Weighted sums over points of the products of two determinants (m, m), with E_loc, and with the potential.

    observed: sums of the observables, each point by what it counts in rho; count: that of 1.
    """

    overlap: Any
    energy: Any
    potential: Any
    observed: Any
    count: Any


class Sector(NamedTuple):
    """The first sector of a family, padded: sets (m, N), chances (m,) of each in the mixture, basis (m, r) or None."""

    sets: Any
    chances: Any
    basis: Any

    @classmethod
    def of(cls, sectors: Sectors, family: Family, most: int) -> Sector:
        """With as many rows as the largest sector has, and `most` columns of the basis."""
        rest = sectors.members.shape[1] - family.size
        sets = sectors.sets[sectors.members[family.sectors[0]][: family.size]]
        chances = np.full(family.size, 1 / family.size) if family.chances is None else family.chances
        basis = family.basis
        if basis is not None:
            basis = np.pad(basis, ((0, rest), (0, most - family.states)))
        return cls(np.pad(sets, ((0, rest), (0, 0)), mode="edge"), np.pad(chances, (0, rest)), basis)

    def combined(self, values: Array) -> Array:
        """Values (m,) of determinants in the basis (r,)."""
        return values if self.basis is None else values @ self.basis


def measured_families(sectors: Sectors) -> list[tuple[int, Family]]:
    """The families of sectors with a weight in the ideal gas, by their number."""
    return [(number, family) for number, family in enumerate(sectors.families) if family.weight > LEAST_WEIGHT]


def sums_of(system: Any, psi: CorrelatedStates, sectors: Sectors) -> Any:
    """A function (psi, family, C, p, points, key) -> Sums of one sector; one compiled program for all of them.

    C (copies r, r): columns of states in the family's basis; p (r,).
    """
    most, copies = max(family.states for family in sectors.families), len(psi.jastrow.factors())
    fixed = trainable(psi.jastrow)[1]

    def one(jastrow: Any, at: Sector, states: Array, weights: Array, key: Array) -> tuple[Any, ...]:
        """J D_a/sqrt(q) and H J D_a/sqrt(q) in the basis at a point of q = sum_a c_a |D_a|^2; V; observables."""
        choose, place, centre = jax.random.split(key, 3)
        x = psi.sample_set(place, at.sets[jax.random.categorical(choose, jnp.log(at.chances))])
        of_sets, real = psi.bare(at.sets, x), at.chances > 0
        top = jnp.max(jnp.where(real, of_sets.log_abs, -jnp.inf))
        bare = jnp.where(real, of_sets.phase * jnp.exp(of_sets.log_abs - top), 0.0)
        bare = bare / jnp.sqrt(jnp.sum(at.chances * jnp.abs(bare) ** 2))
        potential, values, with_h = system.potential(x), [], []
        for factor in jastrow.factors():
            jet = factor.jet(x)
            slope = jnp.einsum("aid,id->a", of_sets.gradient, jet.gradient)
            laplacian = jet.laplacian + jnp.sum(jet.gradient**2) + 2 * slope + of_sets.laplacian
            energy = potential - system.kinetic_scale * laplacian
            values.append(at.combined(bare * jnp.exp(jet.log)))
            with_h.append(at.combined(bare * jnp.exp(jet.log) * jnp.where(real, energy, 0.0)))
        value, energy = (jnp.stack(v, axis=1).reshape(-1) for v in (values, with_h))  # copies side by side
        share = jnp.sum(weights * jnp.abs(value @ states) ** 2)
        seen = system.observables(jnp.zeros(1 + len(x), int), psi.thermal(centre, x))
        return _parts(value), _parts(energy), potential, jax.tree.map(lambda v: share * v, seen), share

    @jax.jit
    def total(params: Any, at: Sector, states: Array, weights: Array, chunks: Array, key: Array) -> Sums:
        jastrow = eqx.combine(params, fixed)

        def of_chunk(i: Array) -> Sums:
            keys = jax.random.split(jax.random.fold_in(key, i), CHUNK)
            points = jax.vmap(lambda key: one(jastrow, at, states, weights, key))(keys)
            value, with_h = (v.reshape(-1, copies * most) for v in points[:2])
            potential = jnp.repeat(points[2], 2)[:, None]
            observed, share = jax.tree.map(lambda v: jnp.sum(v, axis=0), points[3:])
            return Sums(value.T @ value, value.T @ with_h, value.T @ (potential * value), observed, share)

        shapes = jax.eval_shape(of_chunk, jnp.asarray(0))
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return jax.lax.fori_loop(0, chunks, lambda i, sums: jax.tree.map(jnp.add, sums, of_chunk(i)), zero)

    def sums(psi: CorrelatedStates, family: Family, states: np.ndarray, weights: np.ndarray, points: int, key: Array):
        at, rest = Sector.of(sectors, family, most), most - family.states
        states = np.pad(states, ((0, copies * rest), (0, rest)))
        own = slice(copies * family.states)
        chunks = math.ceil(points / CHUNK)
        found = total(trainable(psi.jastrow)[0], at, states, np.pad(weights, (0, rest)), chunks, key)
        found = jax.tree.map(lambda v: np.asarray(v) / (chunks * CHUNK), found)
        return found._replace(**{name: getattr(found, name)[own, own] for name in ("overlap", "energy", "potential")})

    return sums


def _parts(z: Array) -> Array:
    """Real and imaginary parts (2, m): Re sum z^* w is a product of real matrices."""
    return jnp.stack([z.real, z.imag])


def of_determinants(states: np.ndarray, family: Family, copies: int) -> np.ndarray:
    """Columns (copies r, k) in the basis of a family as columns (copies m, k) in its determinants."""
    if family.basis is None:
        return states
    return np.einsum("mr,rck->mck", family.basis, states.reshape(family.states, copies, -1)).reshape(
        copies * family.size, -1
    )


def in_basis(states: np.ndarray, family: Family, copies: int) -> np.ndarray:
    """The reverse: the basis is orthonormal."""
    if family.basis is None:
        return states
    return np.einsum("mr,mck->rck", family.basis, states.reshape(family.size, copies, -1)).reshape(
        copies * family.states, -1
    )


def hermitian(sums: Sums, family: Family) -> tuple[np.ndarray, np.ndarray]:
    """S and H (m, m), averaged over the symmetries of the sector; H is not symmetric as measured."""
    found, copies = [], len(sums.overlap) // family.states
    for matrix in (sums.overlap, sums.energy):
        images = []
        for place, sign in family.kept:
            at, signs = (place[:, None] * copies + np.arange(copies)).reshape(-1), np.repeat(sign, copies)
            images.append(matrix[at[:, None], at] * signs[:, None] * signs)
        found.append(np.mean(images, axis=0))
    return 0.5 * (found[0] + found[0].T), found[1]


def eigenstates(overlap: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """C (m, m) as columns, C^T S C = 1, from H in an orthonormal basis that keeps the order of the determinants.

    Column b of H has the noise of H J D_b, which grows with the energy: of the two elements between two states that of
    the lower one is taken, the lower triangle.
    """
    lower = scipy.linalg.cholesky(overlap, lower=True)
    half = scipy.linalg.solve_triangular(lower, energy, lower=True)
    h = scipy.linalg.solve_triangular(lower, half.T, lower=True).T
    return scipy.linalg.solve_triangular(lower.T, np.linalg.eigh(h, UPLO="L")[1])


def levels(sums: tuple[np.ndarray, np.ndarray], states: np.ndarray) -> np.ndarray:
    """<k|H|k>/<k|k> (m,) of states as columns."""
    return diagonal(sums[1], states) / diagonal(sums[0], states)


def spectrum(halves: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Energies (m,) and states of two independent measurements: of a noisy matrix the lowest level would be too low."""
    crossed = [levels(halves[1 - i], eigenstates(*halves[i])) for i in (0, 1)]
    overlap, energy = (0.5 * (a + b) for a, b in zip(*halves, strict=True))
    return np.mean(crossed, axis=0), eigenstates(overlap, energy)


def diagonal(matrix: np.ndarray, c: np.ndarray) -> np.ndarray:
    """<k|matrix|k> (m,) of the columns of c."""
    return np.einsum("ak,ab,bk->k", c, matrix, c)
