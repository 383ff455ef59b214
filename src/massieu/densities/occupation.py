"""p(K): n fermions in M orbitals, an autoregressive density over sets without repetition.

A label is an integer array (1 + N,): the index q of the boundary condition (twist), then the occupied orbitals.

The orbitals of K are drawn in rising order.  The conditional of the next one is

    ln p(k | k_1 .. k_j) = l_k + ln e_{n-j-1}(orbitals above k) + sum_{i<=j} f(k_i, k) + attention(k_1 .. k_j)_k

for k above k_j, normalised.  With the last two terms zero this is exactly the canonical ideal gas of levels -l_k/beta
(e_r: elementary symmetric polynomials of exp(l)), so that training starts from the exact ideal gas, to machine
precision and without pretraining, and learns the quasi-particle energies (one shift of l per shell), Landau's
interaction f between them, and, with attention layers, the rest.  For bosons orbitals may come more than once, and e_r
are the complete homogeneous polynomials.
"""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities import ordered_sets
from massieu.densities.transformer import Reader
from massieu.physics.fermi_gas import log_homogeneous, log_symmetric

MOST_CLASSES = 300


class Attention(eqx.Module):
    """A causal transformer: token j carries the momentum of rank j - 1 and reads out one number per orbital."""

    momenta: np.ndarray  # (Q, M, features)
    reader: Reader
    readout: Array  # (M, width), zero at first

    def __init__(self, momenta: np.ndarray, n: int, *, width: int, depth: int, key: Array):
        scale = np.sqrt(np.mean(np.sum(momenta**2, axis=-1))) or 1.0
        square = np.sum(momenta**2, axis=-1, keepdims=True) / scale**2
        self.momenta = np.concatenate([momenta / scale, square, np.ones_like(square)], axis=-1)
        self.reader = Reader(n, self.momenta.shape[-1], width=width, depth=depth, key=key)
        self.readout = jnp.zeros((momenta.shape[1], width))

    def __call__(self, q: Array, before: Array) -> Array:
        """Readouts (N, M) of all ranks at once; before (N,): the orbital of rank j - 1, -1 for the first."""
        return self.reader(self._seen(q, before)) @ self.readout.T

    def step(self, cache: list, q: Array, before: Array, rank: Array) -> tuple[list, Array]:
        """Take in one token; return the cache and the readout (M,) of its rank."""
        cache, known = self.reader.step(cache, self._seen(q, before), rank)
        return cache, self.readout @ known

    def _seen(self, q: Array, before: Array) -> Array:
        return jnp.where(before[..., None] >= 0, jnp.asarray(self.momenta)[q, before], 0.0)


class Occupation(eqx.Module):
    """p(K|q) for each twist q: occupied orbitals (N,) of one or two spins, sorted by spin, rising within a spin.

    momenta (Q, M, dim) and log_weights (Q, M) are those of the orbitals for each of Q twists; `shell` (M,) and
    `pair_class` (2, M, M) say which orbitals and pairs are alike (default: by |k|, and by |k|, |k'| and |k - k'|).
    """

    spins: tuple[int, ...] = eqx.field(static=True)
    bosons: bool = eqx.field(static=True)
    pair_class: np.ndarray  # (2, M, M): class of a pair of orbitals, of equal or opposite spin
    log_weights: np.ndarray  # (Q, M): -beta times the levels of the ideal gas
    shell: np.ndarray  # (M,)
    shifts: Array  # (shells,): l = log_weights + shifts
    pairs: Array  # (classes,): f
    attention: Attention | None

    def __init__(
        self,
        momenta: np.ndarray,
        log_weights: np.ndarray,
        spins: tuple[int, ...],
        *,
        width: int = 16,
        depth: int = 0,
        bosons: bool = False,
        shell: np.ndarray | None = None,
        pair_class: np.ndarray | None = None,
        key: Array,
    ):
        self.spins, self.bosons = spins, bosons
        typical = momenta[0] if len(momenta) == 1 else np.round(momenta.mean(axis=0))
        self.pair_class = _pair_classes(typical, two_spins=len(spins) > 1) if pair_class is None else pair_class
        self.log_weights = log_weights - log_weights.max(axis=1, keepdims=True)
        by_length = np.unique(np.round(np.sum(typical**2, axis=1), 6), return_inverse=True)[1]
        self.shell = by_length if shell is None else shell
        self.shifts = jnp.zeros(int(self.shell.max()) + 1)
        self.pairs = jnp.zeros(int(self.pair_class.max()) + 1)
        made = Attention(momenta, sum(spins), width=width, depth=depth, key=key) if depth else None
        self.attention = made

    @property
    def n(self) -> int:
        """Number of fermions."""
        return sum(self.spins)

    def log_prob(self, label: Array) -> Array:
        """ln p(K|q) of one label (1 + N,)."""
        q, occupied = label[0], label[1:]
        levels, learned = self._levels(q), self._landau(occupied)
        if self.attention is not None:
            learned = learned + self.attention(q, ordered_sets.ranks(self.spins, occupied).before)
        table = self._table(levels)
        return ordered_sets.log_prob(occupied, levels, table, self.spins, learned, bosons=self.bosons)

    def sample_and_log_prob(self, key: Array) -> tuple[Array, Array]:
        """One label (1 + N,), its twist uniform, and ln p(K|q); from cached keys and values."""
        draw, choose = jax.random.split(key)
        q = jax.random.randint(choose, (), 0, len(self.log_weights))
        levels, attention = self._levels(q), self.attention
        spin_of = ordered_sets.ranks(self.spins).spin

        def learned(carry, rank):
            landau, cache = carry  # of the earlier electrons on each spin (spins, M)
            other = (jnp.arange(len(self.spins)) != spin_of[rank.number - 1]).astype(int)
            row = self.pairs[jnp.asarray(self.pair_class)[other, rank.before]]  # never the whole (2, M, M)
            landau = landau + jnp.where(rank.number > 0, row, 0.0)
            logits = landau[rank.spin]
            if attention is not None:
                cache, found = attention.step(cache, q, rank.before, rank.number)
                logits = logits + found
            return (landau, cache), logits

        start = (jnp.zeros((len(self.spins), len(levels))), [] if attention is None else attention.reader.start())
        table, spins = self._table(levels), self.spins
        uniform = jax.random.uniform(draw, (sum(spins),))
        drawn = ordered_sets.from_base(uniform, levels, table, spins, learned, start, bosons=self.bosons)
        return jnp.concatenate([q[None], drawn[0]]), drawn[1]

    def _levels(self, q: Array) -> Array:
        base = jnp.asarray(self.log_weights)
        return (base[q] if len(base) > 1 else base[0]) + self.shifts[self.shell]

    def _table(self, levels: Array) -> Array:
        """ln e_r of the levels above each, (M + 1, most + 1), for all spins."""
        return (log_homogeneous if self.bosons else log_symmetric)(levels, max(self.spins))

    def _landau(self, occupied: Array) -> Array:
        """sum over earlier electrons i of f(k_i, k), for every rank and orbital (N, M)."""
        spin = ordered_sets.ranks(self.spins).spin
        earlier = jnp.tril(jnp.ones((self.n, self.n)), -1)
        same = spin[:, None] == spin[None]
        rows = self.pairs[jnp.asarray(self.pair_class)[:, occupied]]
        return (earlier * same) @ rows[0] + (earlier * ~same) @ rows[1]


class TabulatedOccupation(eqx.Module):
    """p(K|q) of a small system as a table over all sets: a softmax of given energies plus one shift for each class.

    sets (n, N) and the classes (n,) are ordered by `rank`; log_weights (Q, n) is where training starts from.  `slope`
    scales a known part of the energies (n,), such as the first-order interaction.
    """

    rank: Callable[[Array], Array]
    sets: np.ndarray
    log_weights: np.ndarray
    classes: np.ndarray
    known: np.ndarray
    shifts: Array
    slope: Array

    def __init__(
        self,
        rank: Callable[[Array], Array],
        sets: np.ndarray,
        log_weights: np.ndarray,
        classes: np.ndarray,
        known: np.ndarray,
    ):
        self.rank, self.sets = rank, sets
        self.log_weights = log_weights - log_weights.max(axis=1, keepdims=True)
        self.classes, self.known = classes, known - known.min()
        self.shifts, self.slope = jnp.zeros(int(classes.max()) + 1), jnp.zeros(())

    @property
    def n(self) -> int:
        """Number of fermions."""
        return self.sets.shape[1]

    def log_prob(self, label: Array) -> Array:
        """ln p(K|q) of one label (1 + N,)."""
        q, at = label[0], self.rank(label[1:])
        learned = self.shifts[jnp.asarray(self.classes)[at]] - self.slope * jnp.asarray(self.known)[at]
        logit = jnp.asarray(self.log_weights)[q, at] + learned
        return logit - jax.scipy.special.logsumexp(self.logits(q))  # apart: its gradient is the same for all labels

    def sample_and_log_prob(self, key: Array) -> tuple[Array, Array]:
        """One label (1 + N,), its twist uniform, and ln p(K|q)."""
        choose, draw = jax.random.split(key)
        q = jax.random.randint(choose, (), 0, len(self.log_weights))
        table = jax.nn.log_softmax(self.logits(q))
        below = jnp.cumsum(jnp.exp(table))
        at = jnp.searchsorted(below, jax.random.uniform(draw) * below[-1])
        return jnp.concatenate([q[None], jnp.asarray(self.sets)[at]]), table[at]

    def logits(self, q: Array) -> Array:
        """ln p (n,) of all sets at the twist q, up to a constant."""
        base = jnp.asarray(self.log_weights)
        return (base[q] if len(base) > 1 else base[0]) + self.shifts[self.classes] - self.slope * self.known


class SingleOccupation(eqx.Module):
    """One set K for each twist with certainty, `occupied` (Q, N): the ground state."""

    occupied: np.ndarray

    @property
    def n(self) -> int:
        """Number of fermions."""
        return self.occupied.shape[1]

    def log_prob(self, label: Array) -> Array:
        """ln 1."""
        return jnp.zeros(())

    def sample_and_log_prob(self, key: Array) -> tuple[Array, Array]:
        """A label (1 + N,), its twist uniform, and ln 1."""
        q = jax.random.randint(key, (), 0, len(self.occupied))
        return jnp.concatenate([q[None], jnp.asarray(self.occupied)[q]]), jnp.zeros(())


def _pair_classes(momenta: np.ndarray, two_spins: bool) -> np.ndarray:
    """Pairs of orbitals alike in |k|, |k'| and |k - k'|; in |k - k'| only where these classes would be too many."""
    _, length = np.unique(np.round(np.sum(momenta**2, axis=1), 6), return_inverse=True)
    apart = np.round(np.sum((momenta[:, None] - momenta[None]) ** 2, axis=-1), 6)
    distances, distance = np.unique(apart.ravel(), return_inverse=True)
    low, high = np.minimum(length[:, None], length[None]), np.maximum(length[:, None], length[None])
    triples = (low * len(length) + high).ravel() * len(distances) + distance  # one integer for each: quick to sort
    _, classes = np.unique(triples, return_inverse=True)
    classes = (distance if classes.max() >= MOST_CLASSES else classes).reshape(apart.shape)
    return np.stack([classes, classes + (int(classes.max()) + 1 if two_spins else 0)])
