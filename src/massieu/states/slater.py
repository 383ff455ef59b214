"""Determinants of plane waves in the periodic unit box: derivatives, exact sampling, and small mixtures of them.

D_K(z) = det_ij exp(2 pi i k_i . z_j) / sqrt(N!) for one spin; the product of two for both.  |D_K|^2 is a determinantal
point process, drawn electron by electron without a Markov chain (Hough, Krishnapur, Peres and Virag, Probability
Surveys 3, 206 (2006)): given the electrons already placed, the next one has the density of what is left of the
occupied orbitals, 1 - sum |<e_m|phi(z)>|^2 / N.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.linear_algebra import inverse_and_log_det


class Reference(NamedTuple):
    """sum_a c_a D_{K_a}: momenta (m, N, dim) in units of 2 pi/L, twist included, and coefficients (m,)."""

    momenta: Array
    coefficients: Array


class Bare(NamedTuple):
    """Determinants of sets (m, ..): phases and ln|D| (m,), gradients (m, N, dim) of ln D, lap D / D (m,)."""

    phase: Array
    log_abs: Array
    gradient: Array
    laplacian: Array


class SlaterJet(NamedTuple):
    """ln|D|, its phase, gradient (N, dim) of ln D, and sum_bc M_bc d_b d_c ln D for a metric M."""

    log_abs: Array
    phase: Array
    gradient: Array
    curvature: Array


def determinant_jet(momenta: Array, z: Array, metric: Array) -> SlaterJet:
    """One determinant of momenta (N, dim) at z (N, dim); metric (N, dim, N, dim)."""
    ik = 2j * jnp.pi * momenta
    orbitals = jnp.exp(ik @ z.T)  # (orbital, electron)
    first = ik[:, None] * orbitals[..., None]
    return orbitals_jet(orbitals, first, ik[:, None, :, None] * first[:, :, None], metric)


def orbitals_jet(orbitals: Array, first: Array, second: Array, metric: Array) -> SlaterJet:
    """One determinant of orbitals (orbital, electron) with their derivatives (.., dim) and (.., dim, dim) by z."""
    inverse, phase, log_abs = inverse_and_log_det(orbitals)  # (electron, orbital)
    mixed = jnp.einsum("ji,ima->ajm", inverse, first)
    own = jnp.einsum("jajb,ji,ijab->", metric, inverse, second)
    crossed = jnp.einsum("jamb,amj,bjm->", metric, mixed, mixed)
    log_abs = log_abs - 0.5 * math.lgamma(len(orbitals) + 1)
    return SlaterJet(log_abs, phase, jnp.einsum("ajj->ja", mixed), own - crossed)


def product_jet(momenta: Array, z: Array, metric: Array, spins: tuple[int, ...]) -> SlaterJet:
    """The product of one determinant per spin; electrons are sorted by spin."""
    parts, start = [], 0
    for count in spins:
        of = slice(start, start + count)
        if count:
            parts.append(determinant_jet(momenta[of], z[of], metric[of, :, of, :]))
        start += count
    return joined(parts)


def joined(parts: list[SlaterJet]) -> SlaterJet:
    """The product of one determinant per spin."""
    gradient = jnp.concatenate([part.gradient for part in parts])
    phase = parts[0].phase * parts[1].phase if len(parts) > 1 else parts[0].phase
    zero = jnp.zeros(())
    log_abs = sum((part.log_abs for part in parts), start=zero)
    return SlaterJet(log_abs, phase, gradient, sum((part.curvature for part in parts), start=zero))


def reference_jet(reference: Reference, z: Array, metric: Array, spins: tuple[int, ...]) -> SlaterJet:
    """ln of sum_a c_a D_a: averages over the determinants with the weights c_a D_a / sum c D."""
    jets = jax.vmap(lambda k: product_jet(k, z, metric, spins))(reference.momenta)
    if len(reference.coefficients) == 1:
        one = jax.tree.map(lambda leaf: leaf[0], jets)
        c = reference.coefficients[0]
        return one._replace(log_abs=one.log_abs + jnp.log(jnp.abs(c)), phase=one.phase * c / jnp.abs(c))
    top = jnp.max(jnp.where(reference.coefficients == 0, -jnp.inf, jets.log_abs))
    terms = reference.coefficients * jets.phase * jnp.exp(jets.log_abs - top)
    total = jnp.sum(terms)
    weight = terms / total
    gradient = jnp.einsum("a,ajb->jb", weight, jets.gradient)

    def squared(v: Array) -> Array:
        return jnp.einsum("ja,jamb,mb->", v, metric, v)

    curvature = jnp.sum(weight * (jets.curvature + jax.vmap(squared)(jets.gradient))) - squared(gradient)
    size = jnp.abs(total)
    return SlaterJet(top + jnp.log(size), total / size, gradient, curvature)


def reference_slope(reference: Reference, z: Array, spins: tuple[int, ...]) -> SlaterJet:
    """`reference_jet` with the metric 1: Laplacians are those of plane waves, first derivatives are enough."""
    jets = jax.vmap(lambda k: joined([determinant_slope(k[of], z[of]) for of in each_spin(spins)]))(reference.momenta)
    top = jnp.max(jnp.where(reference.coefficients == 0, -jnp.inf, jets.log_abs))
    terms = reference.coefficients * jets.phase * jnp.exp(jets.log_abs - top)
    total = jnp.sum(terms)
    weight, size = terms / total, jnp.abs(total)
    gradient = jnp.einsum("a,ajb->jb", weight, jets.gradient)
    laplacian = -((2 * math.pi) ** 2) * jnp.sum(weight * jnp.sum(reference.momenta**2, axis=(1, 2)))
    return SlaterJet(top + jnp.log(size), total / size, gradient, laplacian - jnp.sum(gradient**2))


def determinant_slope(momenta: Array, z: Array) -> SlaterJet:
    """One determinant with its gradient, of momenta (N, dim) at z (N, dim); no curvature."""
    orbitals = jnp.exp(2j * jnp.pi * momenta @ z.T)  # (orbital, electron)
    inverse, phase, log_abs = inverse_and_log_det(orbitals)
    gradient = 2j * jnp.pi * (inverse * orbitals.T) @ momenta
    return SlaterJet(log_abs - 0.5 * math.lgamma(len(z) + 1), phase, gradient, jnp.zeros(()))


def each_spin(spins: tuple[int, ...]) -> list[slice]:
    """The electrons of each spin that has any."""
    ends = np.cumsum(spins)
    return [slice(end - count, end) for count, end in zip(spins, ends, strict=True) if count]


def log_determinants(momenta: Array, z: Array, spins: tuple[int, ...]) -> Array:
    """Complex ln of the product of one determinant per spin."""
    total, start = jnp.zeros((), complex), 0
    for count in spins:
        of = slice(start, start + count)
        start += count
        if count:
            _, phase, log_abs = inverse_and_log_det(jnp.exp(2j * jnp.pi * momenta[of] @ z[of].T))
            total = total + log_abs + jnp.log(phase) - 0.5 * math.lgamma(count + 1)
    return total


def log_reference(reference: Reference, z: Array, spins: tuple[int, ...]) -> Array:
    """Complex ln of sum_a c_a D_a(z)."""
    logs = jax.vmap(lambda k: log_determinants(k, z, spins))(reference.momenta)
    top = jax.lax.stop_gradient(jnp.max(jnp.where(reference.coefficients == 0, -jnp.inf, logs.real)))
    return top + jnp.log(jnp.sum(reference.coefficients * jnp.exp(logs - top)))


# ---- exact sampling


def sample_determinant(key: Array, momenta: Array) -> Array:
    """z (N, dim) in the unit box from |D_K|^2; momenta (N, dim) in units of 2 pi/L (a common twist changes nothing)."""
    n, dim = momenta.shape
    tries = max(4, n)

    def place(state: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        placed, key, basis, z = state
        key, at, coin = jax.random.split(key, 3)
        trial = jax.random.uniform(at, (tries, dim))
        phi = jnp.exp(2j * jnp.pi * (trial @ momenta.T))
        overlap = phi @ basis.conj().T
        left = n - jnp.sum(overlap.real**2 + overlap.imag**2, axis=1)
        accepted = jax.random.uniform(coin, (tries,)) * n < left
        first = jnp.argmax(accepted)
        good = accepted[first] & (placed < n)
        vector = phi[first] - overlap[first] @ basis
        vector = vector - (basis.conj() @ vector) @ basis  # twice is enough (Kahan)
        vector = vector / jnp.sqrt(jnp.sum(vector.real**2 + vector.imag**2) + 1e-300)
        here = (jnp.arange(n) == placed)[:, None] & good
        return placed + good, key, jnp.where(here, vector, basis), jnp.where(here, trial[first], z)

    start = (jnp.asarray(0), key, jnp.zeros((n, n), complex), jnp.zeros((n, dim)))
    return jax.lax.while_loop(lambda state: state[0] < n, place, start)[3]


def sample_product(key: Array, momenta: Array, spins: tuple[int, ...]) -> Array:
    """z (N, dim) from the product of one determinant per spin."""
    ends = np.cumsum(spins)
    keys = jax.random.split(key, len(spins))
    return jnp.concatenate(
        [sample_determinant(k, momenta[e - c : e]) for k, c, e in zip(keys, spins, ends, strict=True) if c]
    )


def sample_references(key: Array, references: Reference, spins: tuple[int, ...]) -> Array:
    """z (B, N, dim) from |sum c D|^2 of B references (leaves with a leading axis B).

    By rejection from the mixture sum |c| |D|^2, as |sum c D|^2 <= (sum |c|) sum |c| |D|^2; every round makes B
    proposals and deals them to the references that still wait for one.
    """
    batch, m = references.coefficients.shape
    if m == 1:
        keys = jax.random.split(key, batch)
        return jax.vmap(lambda k, momenta: sample_product(k, momenta[0], spins))(keys, references.momenta)

    def propose(key: Array, reference: Reference) -> tuple[Array, Array]:
        choose, place, coin = jax.random.split(key, 3)
        size = jnp.abs(reference.coefficients)
        which = jax.random.categorical(choose, jnp.log(size))
        z = sample_product(place, reference.momenta[which], spins)
        logs = jax.vmap(lambda k: log_determinants(k, z, spins))(reference.momenta)
        top = jnp.max(jnp.where(size == 0, -jnp.inf, logs.real))
        amplitude = jnp.abs(jnp.sum(reference.coefficients * jnp.exp(logs - top)))
        bound = jnp.sum(size) * jnp.sum(size * jnp.exp(2 * (logs.real - top)))
        return z, jax.random.uniform(coin) * bound < amplitude**2

    def a_round(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        key, z, done = state
        key, now = jax.random.split(key)
        waiting = jnp.argsort(done)  # those that wait come first
        lane = waiting[jnp.arange(batch) % jnp.maximum(1, jnp.sum(~done))]
        trial, accepted = jax.vmap(propose)(
            jax.random.split(now, batch), jax.tree.map(lambda leaf: leaf[lane], references)
        )
        to = jnp.where(accepted & ~done[lane], lane, batch)  # out of range: dropped
        return key, z.at[to].set(trial, mode="drop"), done.at[to].set(True, mode="drop")

    start = (key, jnp.zeros((batch, *references.momenta.shape[2:])), jnp.zeros(batch, bool))
    return jax.lax.while_loop(lambda state: ~jnp.all(state[2]), a_round, start)[1]
