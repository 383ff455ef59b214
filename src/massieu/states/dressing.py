"""The Hamiltonian between determinants as the flow dresses them, h_ab = <D_a| T^+ H T |D_b>, measured and diagonalised.

Mixing starts from the bare Hamiltonian, which repeats what the flow does: with a trained flow the determinants of a
block couple through h.  At points z from the mixture q = sum_a |D_a|^2 / m the local energy gives T^+ H T D_b; in an
invariant block that would be sum_a D_a h_ab exactly, so h is the regression of the one on the other with weights 1/q.
Its noise comes from what leads out of the block only, as in the linear method (Nightingale and Melik-Alaverdian, Phys.
Rev. Lett. 87, 043401 (2001)).  h is real, because T commutes with inversion; its average over the symmetries of the
total momentum is taken, and blocks that a symmetry of the box turns into each other share one measurement.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import point_group
from massieu.states.fermion_flow import FermionFlow
from massieu.states.mixing import Dressed, Mixing, eigenstates
from massieu.states.sectors import turned
from massieu.states.slater import product_jet, sample_product

SAMPLES = 32  # points for each determinant of a block
CHUNK = 64


class Family(NamedTuple):
    """Blocks of momenta that symmetries of the box turn into each other.

    sets (m, N) occupied orbitals of the one that is measured, ranks (m,) theirs; total (dim,) its momentum; images
    [(ranks, signs), ..]: what the symmetries make of it, one for each momentum; kept: those that keep its momentum.
    """

    sets: np.ndarray
    ranks: np.ndarray
    total: np.ndarray
    images: list[tuple[np.ndarray, np.ndarray]]
    kept: list[tuple[np.ndarray, np.ndarray]]


def families(mixing: Mixing, vectors: np.ndarray) -> list[Family]:
    """The blocks of a mixing, sorted into families."""
    index = {tuple(v): i for i, v in enumerate(vectors.tolist())}
    images_of = [(vectors @ g.T).tolist() for g in point_group(vectors.shape[1])]
    turns = [np.array([index[tuple(v)] for v in of]) for of in images_of if all(tuple(v) in index for v in of)]
    found: dict[tuple[int, ...], Family] = {}
    for start, end in itertools.pairwise(mixing.starts):
        ranks, sets = mixing.of_slot[start:end], mixing.partners[start, : end - start].astype(int)
        momenta = [tuple(vectors[turn[sets[0]]].sum(axis=0).tolist()) for turn in turns]
        if any(momentum in found for momentum in momenta):
            continue
        total = vectors[sets[0]].sum(axis=0)
        images = [_turned(mixing, turn, sets) for turn in turns]
        kept = [image for momentum, image in zip(momenta, images, strict=True) if momentum == tuple(total.tolist())]
        different = dict(zip(momenta, images, strict=True))
        found[tuple(total.tolist())] = Family(sets, ranks, total, list(different.values()), kept)
    return list(found.values())


def tables(mixing: Mixing, of: list[Family]) -> Dressed:
    """The tables of all families with the states that the mixing has."""
    count, m = mixing.amplitudes.shape
    block, index = np.zeros(count, int), np.zeros(count, int)
    place, sign = np.zeros((count, m), np.int16), np.zeros((count, m), np.int8)
    states = np.tile(np.eye(m, dtype=complex), (len(of), 1, 1))
    for number, family in enumerate(of):
        size = len(family.sets)
        for ranks, signs in family.images:
            start = mixing.starts[np.searchsorted(mixing.starts, mixing.slot[ranks[0]], side="right") - 1]
            own = slice(start, start + size)
            where = {rank: a for a, rank in enumerate(ranks.tolist())}
            at = np.array([where[rank] for rank in mixing.of_slot[own].tolist()])
            block[own], index[own] = number, np.arange(size)
            place[own, :size], sign[own, :size] = at, signs[at]
        states[number, :size, :size] = mixing.amplitudes[mixing.slot[family.ranks], :size].T
    return Dressed(block, index, place, sign, states)


def _turned(mixing: Mixing, turn: np.ndarray, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks (m,) of determinants (m, N) with every orbital turned, and the signs of sorting them within each spin."""
    images, signs = turned(sets, turn, mixing.spins)
    return mixing.ranks(images), signs


def moments(psi: FermionFlow, system: Any, sets: Array, count: Array, total: Array, key: Array, samples: int):
    """sum over points of D_a^* T^+HT D_b / q and of D_a^* D_b / q (m, m) for the first `count` of the sets (m, N).

    In the units of the system, at zero twist; sets beyond `count` are padding.
    """
    momenta = jnp.asarray(psi.orbitals)[sets].astype(float)
    c = psi.flow.of_momentum(total)
    real = jnp.arange(len(sets)) < count

    def one(key: Array) -> tuple[Array, Array]:
        choose, place = jax.random.split(key)
        z = sample_product(place, momenta[jax.random.randint(choose, (), 0, count)], psi.spins)
        jet = psi.flow.jet(c, z)
        metric = (jet.jacobian @ jet.jacobian.T).reshape(*z.shape, *z.shape)
        of_sets = jax.vmap(lambda k: product_jet(k, z, metric, psi.spins))(momenta)
        slope = of_sets.gradient.reshape(len(sets), -1)
        gradient = slope @ jet.jacobian + jet.half_gradient[None]
        laplacian = of_sets.curvature + slope @ jet.laplacian + jet.half_laplacian
        energy = -system.kinetic_scale * (laplacian + jnp.sum(gradient**2, axis=1)) + system.potential(jet.x)
        top = jnp.max(jnp.where(real, of_sets.log_abs, -jnp.inf))
        value = jnp.where(real, of_sets.phase * jnp.exp(of_sets.log_abs - top), 0.0)
        overlap = value.conj()[:, None] * value[None] / (jnp.sum(jnp.abs(value) ** 2) / count)
        return (overlap * jnp.where(real, energy, 0.0)[None]).real, overlap.real

    def a_chunk(sums: Any, keys: Array) -> tuple[Any, None]:
        return jax.tree.map(lambda s, new: s + jnp.sum(new, axis=0), sums, jax.vmap(one)(keys)), None

    zero = jnp.zeros((len(sets), len(sets)))
    keys = jax.random.split(key, (-(-samples // CHUNK), CHUNK))
    return jax.lax.scan(a_chunk, (zero, zero), keys)[0]


def hamiltonian(sums: tuple[Array, Array], family: Family) -> np.ndarray:
    """h (m, m), symmetric, from the two moments."""
    count = len(family.sets)
    with_h, overlap = (np.asarray(s)[:count, :count] for s in sums)
    h = np.linalg.solve(overlap, with_h)
    place = {rank: a for a, rank in enumerate(family.ranks.tolist())}
    mean = np.zeros_like(h)
    for ranks, signs in family.kept:
        at = np.array([place[rank] for rank in ranks.tolist()])
        mean += h[at[:, None], at] * signs[:, None] * signs / len(family.kept)
    return 0.5 * (mean + mean.T)


def expectations(h: np.ndarray, states: np.ndarray) -> np.ndarray:
    """<v|h|v> (m,) of states as columns."""
    return np.einsum("aj,ab,bj->j", states.conj(), h, states).real


def spectrum(halves: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Energies (m,) and orthonormal states (m, m) as columns, from h measured in two independent halves.

    The states are those of the mean.  Each half's own states have the energies that the other half finds for them: the
    lowest eigenvalue of a noisy matrix would be too low.
    """
    crossed = [expectations(halves[1 - i], eigenstates(halves[i])[1]) for i in (0, 1)]
    return np.mean(crossed, axis=0), eigenstates(np.mean(halves, axis=0))[1]
