"""The pairing matrix of plane waves among protons at S: occupied levels of a mean field h(S), and some of the others.

    F = e^{-tau (h(S) - mu)/2} diag(amplitude) e^{-tau (h(S) - mu)/2} - shift
    h_kk'(S) = |k + theta|^2 delta_kk' - strength rho_S(k - k') / (|k - k'|^2 + screening^2)
    rho_S(q) = mean over I of e^{-i q.S_I}

in units of (2 pi/L)^2, mu the highest occupied level of free electrons.  For large tau and amplitudes of 1 the
determinant of pairs is the Slater determinants of the lowest orbitals of both spins.  A positive shift mixes in pairs
of higher orbitals with the opposite sign, as repulsion does (natural orbitals of a pair: Lowdin and Shull, Phys. Rev.
101, 1730 (1956)).  In a shell that symmetry leaves open (fixed protons on a lattice) pairs share its orbitals with
amplitudes of both signs: those of one sign are the highest singlet of the shell, not the lowest.  A smooth function of
S and of the parameters: no eigenvalue problem has to be differentiated.
"""

from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import half_space, plane_waves
from massieu.linear_algebra import exponential

TAU = 6.0  # in units of (L/2 pi)^2: the next shell of plane waves starts with e^-6


class Pairing(eqx.Module):
    """Plane waves with integer momenta `vectors` (k, 3) at twists (Q, 3), in a box of side `length` (a0)."""

    kinetic: np.ndarray  # (Q, k)
    differences: np.ndarray  # (D, 3): half of those of all vectors
    place: np.ndarray  # (k, k): which difference
    sign: np.ndarray  # (k, k): 1 or -1, 0 for none
    turn: np.ndarray | None  # (k, k): from plane waves to cosines and sines where all is real
    log_tau: Array
    log_field: Array  # ln of strength and of screening^2
    fermi: np.ndarray  # (Q,): mu
    alike: np.ndarray  # (k,): which level each plane wave has
    level: Array  # corrections of the kinetic energy, one for each |k|, or for each +-k where symmetry is broken
    amplitude: Array | np.ndarray  # of the same levels
    shift: Array | np.ndarray

    def __init__(self, vectors: np.ndarray, twist: np.ndarray, n: int, length: float, rs: float, broken: bool = False):
        self.kinetic = np.sum((vectors + twist[:, None]) ** 2, axis=-1)
        apart = vectors[:, None] - vectors[None]
        flat = apart.reshape(-1, 3)
        self.differences = half_space(np.unique(flat[np.any(flat != 0, axis=1)], axis=0)) if len(vectors) > 1 else flat
        index = {tuple(s * v): (i, s) for i, v in enumerate(self.differences) for s in (1, -1)}
        found = np.array([index.get(tuple(v), (0, 0)) if np.any(v) else (0, 0) for v in flat])
        self.place, self.sign = (part.reshape(apart.shape[:2]) for part in found.T)
        self.turn = None if np.any(twist) else _to_real(vectors)
        unit = (2 * math.pi / length) ** 2
        thomas_fermi = 4 / math.pi * (9 * math.pi / 4) ** (1 / 3) / rs / unit
        strength = n * length / (2 * math.pi**3)
        self.log_tau = jnp.log(jnp.asarray(TAU, float))
        self.log_field = jnp.log(jnp.asarray([strength, thomas_fermi], float))
        self.fermi = np.sort(self.kinetic, axis=1)[:, (n + 1) // 2 - 1]
        squares = np.sum(vectors**2, axis=1)
        same = np.sort(np.stack([vectors @ [1, 100, 10000], -vectors @ [1, 100, 10000]]), axis=0)[0]
        _, self.alike = np.unique(same if broken else squares, return_inverse=True)
        first = np.ones(self.alike.max() + 1)
        if broken and self.turn is not None:  # a twist parts the plane waves of a shell
            first = _signs_of_open_shell(first, self.alike, squares, (n + 1) // 2)
        free = np if n == 1 else jnp  # one electron has no node: its amplitudes stay positive
        self.amplitude, self.level, self.shift = free.asarray(first), jnp.zeros(len(first)), free.zeros(())

    def field(self, twist: Array, protons: Array) -> Array:
        """h(S) (k, k), Hermitian, without the correction of the levels."""
        rho = jnp.mean(plane_waves(protons, self.differences), axis=0)
        rho = rho[self.place]
        rho = jnp.where(jnp.asarray(self.sign) > 0, rho.conj(), rho) * np.abs(self.sign)
        strength, screening = jnp.exp(self.log_field)
        squared = np.sum(self.differences**2, axis=1)[self.place]
        return jnp.diag(jnp.asarray(self.kinetic)[twist]) - strength * rho / (squared + screening)

    def matrix(self, twist: Array, protons: Array) -> Array:
        """F (k, k); real, between cosines and sines, without a twist."""
        h = self.field(twist, protons) + jnp.diag(self.level[self.alike] - jnp.asarray(self.fermi)[twist])
        amplitude = jnp.diag(jnp.asarray(self.amplitude)[self.alike])
        if self.turn is not None:
            h, amplitude = ((self.turn.conj().T @ part @ self.turn).real for part in (h, amplitude))
        root = exponential(-0.5 * jnp.exp(self.log_tau) * h)
        return root @ amplitude @ root - self.shift * jnp.eye(len(h))


def _signs_of_open_shell(amplitude: np.ndarray, alike: np.ndarray, squares: np.ndarray, pairs: int) -> np.ndarray:
    """Amplitudes with those from 1 to -1 in the shell |k|^2 that `pairs` of electrons do not fill, if there is one."""
    highest = np.sort(squares)[pairs - 1]
    if pairs == np.sum(squares <= highest):
        return amplitude
    members, signed = np.unique(alike[squares == highest]), amplitude.copy()
    signed[members] = np.linspace(1, -1, len(members))
    return signed


def _to_real(vectors: np.ndarray) -> np.ndarray:
    """Unitary (k, k): columns are 1, then sqrt2 cos and sqrt2 sin of each pair +-k, as amplitudes of plane waves."""
    index = {tuple(v): i for i, v in enumerate(vectors)}
    turn = np.zeros((len(vectors), len(vectors)), complex)
    turn[index[(0, 0, 0)], 0] = 1
    half = half_space(vectors[np.any(vectors != 0, axis=1)]) if len(vectors) > 1 else np.zeros((0, 3), int)
    for c, v in enumerate(half):
        plus, minus = index[tuple(v)], index[tuple(-v)]
        turn[[plus, minus], 1 + c] = math.sqrt(0.5)
        turn[[plus, minus], 1 + len(half) + c] = -1j * math.sqrt(0.5), 1j * math.sqrt(0.5)
    return turn
