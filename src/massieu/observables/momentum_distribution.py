"""The momentum distribution n(k) = <a_k^+ a_k> of the electrons, spins summed, by moving one electron at a time.

    n_k = N E[ Re e^{-i k.s} Psi_K(.. x_i + s ..)/Psi_K(x) ],     s uniform in the box, i uniform, (K, x) from rho

(McMillan, Phys. Rev. 138, A442 (1965)).  Two exact changes make it less noisy.  Going back from x' = x + s has the same
density, so that r = Psi(x')/Psi(x) may be replaced by 2 r/(1 + |r|^2): no sample counts more than N.  And the same
number for the bare determinant, D_K(.. z_i + s ..)/D_K(z), has a known mean, the occupation of k in K: its deviation
from that is subtracted with the factor that lowers the variance most.

Psi at x' needs z' = T^{-1}(x').  Every layer is the gradient of a convex function, so that Newton's method with
backtracking converges from any guess; here z displaced by s, without a modulus: phases of twists stay right.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu import statistics
from massieu.errors import RunError
from massieu.geometry import integer_vectors
from massieu.linear_algebra import inverse_and_log_det_spd
from massieu.states.correlated import CorrelatedStates
from massieu.states.determinants import Determinants
from massieu.states.fermion_flow import FermionFlow
from massieu.states.inversion import CONVERGED, inverted
from massieu.states.slater import log_reference

CHUNK = 10
DISPLACEMENTS = 16  # of one configuration, where they cost little
RANGE = 3.0  # momenta up to this many k_F
MOST_SHELLS = 40


class Shells(NamedTuple):
    """Integer vectors (V, dim), their shell (Q, V) at each twist, that of the orbitals (Q, M); |k| (B,) in 2 pi/L.

    orbitals (B,): vectors in the shell, averaged over the twists.
    """

    vectors: np.ndarray
    of_vector: np.ndarray
    of_orbital: np.ndarray
    k: np.ndarray
    orbitals: np.ndarray


def momentum_distribution(psi: FermionFlow, label: Array, z: Array, key: Array, unit: float) -> dict[str, Any]:
    """n(k) by shells from samples of p(K) |D_K(z)|^2: label (S, 1 + N), z (S, N, dim), one displacement for each.

    k in the unit of `unit` = 2 pi/L, the mean over a shell where neighbours had to be joined; n(k) per orbital with its
    error; `covered`: fraction of the electrons in these shells; `residual`: largest error of T(z') (box units).
    RunError if any z' was not found.
    """
    n, shells = z.shape[1], shells_of(psi)
    keys = jax.random.split(key, len(z))

    @jax.jit
    def moved(label: Array, z: Array, keys: Array) -> tuple[Array, Array, Array, Array]:
        return jax.lax.map(lambda args: _one(psi, shells, *args), (label, z, keys), batch_size=CHUNK)

    flow, bare, expected, residual = (np.asarray(a) for a in moved(jnp.asarray(label), jnp.asarray(z), keys))
    worst = float(residual.max())
    if not worst < 10 * CONVERGED:
        raise RunError(f"momentum distribution: the flow was not inverted, residual {worst:.2g} of the box")
    return _table(shells, _controlled(n * flow, n * bare - expected), n, unit) | {"residual": worst}


def from_positions(psi: CorrelatedStates, label: Array, x: Array, key: Array, unit: float) -> dict[str, Any]:
    """The same of states known by ln Psi alone, at x (S, N, dim) from |Psi_K|^2: DISPLACEMENTS of each, no control."""
    shells = shells_of(psi)
    keys = jax.random.split(key, (len(x), DISPLACEMENTS))

    def one(label: Array, x: Array, key: Array) -> Array:
        s, step = _displacement(key, x)
        amplitude = _amplitude(psi.log_psi(label, x + step) - psi.log_psi(label, x))
        return _by_shell(psi, shells, label, s, [amplitude])[0]

    @jax.jit
    def moved(label: Array, x: Array, keys: Array) -> Array:
        each = jax.vmap(one, (None, None, 0))
        return jax.lax.map(lambda args: jnp.mean(each(*args), axis=0), (label, x, keys), batch_size=CHUNK)

    terms = moved(label, x, keys)
    return _table(shells, x.shape[1] * np.asarray(terms), x.shape[1], unit)


def _table(shells: Shells, electrons: np.ndarray, n: int, unit: float) -> dict[str, Any]:
    """Of the electrons (S, B) that each of S configurations gives the shells."""
    samples = electrons / shells.orbitals
    found = [statistics.mean(column) for column in samples.T]
    return {
        "k": (unit * shells.k).tolist(),
        "value": [e.value for e in found],
        "error": [e.error for e in found],
        "orbitals": shells.orbitals.tolist(),
        "covered": statistics.mean(samples @ shells.orbitals / n).as_dict(),
        "configurations": len(samples),
    }


def shells_of(psi: Determinants) -> Shells:
    """All momenta up to RANGE k_F of the majority spin, and to the last orbital of K, by rising |k|."""
    dim, twists = psi.orbitals.shape[1], np.asarray(psi.twist)
    volume = {1: 2.0, 2: np.pi, 3: 4 * np.pi / 3}[dim]
    orbital = np.linalg.norm(psi.orbitals + twists[:, None], axis=-1)
    radius = max(RANGE * (max(psi.spins) / volume) ** (1 / dim), float(orbital.max()))
    vectors = integer_vectors(dim, radius + float(np.linalg.norm(twists, axis=1).max()))
    length = np.round(np.linalg.norm(vectors + twists[:, None], axis=-1), 9)
    inside = length <= radius + 1e-9
    levels = np.unique(length[inside])
    if len(levels) > MOST_SHELLS:
        levels = np.arange(1, MOST_SHELLS + 1) * (radius + 1e-8) / MOST_SHELLS
    outside = len(levels)
    of_vector = np.where(inside, np.searchsorted(levels, length - 1e-9), outside)
    total = np.bincount(of_vector.ravel(), minlength=outside + 1)[:outside]
    k = np.bincount(of_vector.ravel(), length.ravel(), minlength=outside + 1)[:outside]
    used = total > 0
    place = np.append(np.where(used, np.cumsum(used) - 1, used.sum()), used.sum())
    of_orbital = place[np.searchsorted(levels, np.round(orbital, 9) - 1e-9)]
    return Shells(vectors, place[of_vector], of_orbital, (k / np.maximum(total, 1))[used], total[used] / len(twists))


def _one(psi: FermionFlow, shells: Shells, label: Array, z: Array, key: Array) -> tuple[Array, Array, Array, Array]:
    """For one displacement, summed over each shell (B,): the terms of Psi and of D, and the mean of D; the residual."""
    s, step = _displacement(key, z)
    reference, c = psi.reference(label), psi.coefficients(label)

    def forward(z: Array, of_layer: Array) -> tuple[Array, tuple[Array, Array]]:
        x, jacobian = psi.flow.layer(of_layer, z)
        return x, (z, inverse_and_log_det_spd(jacobian)[1])

    def backward(x: Array, layer: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        z, *rest = inverted(psi.flow, layer[0], x, layer[1] + step)
        return z, (rest[0], rest[1])

    x, (path, before) = jax.lax.scan(forward, z, c)
    back, (after, residual) = jax.lax.scan(backward, x + step, (c, path), reverse=True)
    places = jnp.stack([z, z + step, back])
    here, bare, full = jax.vmap(lambda z: log_reference(reference, z, psi.spins))(places)
    bare, full = _amplitude(bare - here), _amplitude(full - here - 0.5 * jnp.sum(after - before))
    flow, plain = _by_shell(psi, shells, label, s, [full, bare])
    return flow, plain, _expected(psi, shells, label), jnp.max(residual, initial=0.0)


def _displacement(key: Array, x: Array) -> tuple[Array, Array]:
    """s (dim,) uniform in the box, and the step (N, dim) that moves one electron by it."""
    of_electron, of_place = jax.random.split(key)
    s = jax.random.uniform(of_place, (x.shape[1],))
    return s, jnp.zeros_like(x).at[jax.random.randint(of_electron, (), 0, len(x))].set(s)


def _by_shell(psi: Determinants, shells: Shells, label: Array, s: Array, amplitudes: list[Array]) -> list[Array]:
    """Re e^{-ik.s} times each amplitude, summed over the momenta of every shell (B,)."""
    waves = jnp.exp(-2j * jnp.pi * ((jnp.asarray(shells.vectors) + jnp.asarray(psi.twist)[label[0]][None]) @ s))
    at = jnp.asarray(shells.of_vector)[label[0]]
    return [jnp.zeros(len(shells.k)).at[at].add((waves * a).real, mode="drop") for a in amplitudes]


def _amplitude(log_ratio: Array) -> Array:
    """2 r/(1 + |r|^2) from ln r."""
    return jnp.exp(1j * log_ratio.imag) / jnp.cosh(log_ratio.real)


def _expected(psi: FermionFlow, shells: Shells, label: Array) -> Array:
    """Electrons (B,) in each shell in the determinant of K, or in the mixture of determinants."""
    sets, weight = label[None, 1:], jnp.ones(1)
    if psi.mixing is not None:
        sets, coefficients = psi.mixing.expand(label[1:])
        weight = coefficients.real**2 + coefficients.imag**2
    at = jnp.asarray(shells.of_orbital)[label[0]][sets]
    return jnp.zeros(len(shells.k)).at[at].add(jnp.broadcast_to(weight[:, None], at.shape))


def _controlled(values: np.ndarray, control: np.ndarray) -> np.ndarray:
    """values (S, B) less the multiple of a control (S, B) of mean zero that leaves the least variance."""
    centred = control - control.mean(axis=0)
    power = np.sum(centred**2, axis=0)
    slope = np.sum(centred * values, axis=0) / np.where(power > 0, power, 1.0)
    return values - slope * control
