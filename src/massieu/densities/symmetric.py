"""Exact symmetrisation: the average of a density over a finite group of site permutations and spin flips."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.errors import InputError


class Symmetrised(AbstractDistribution):
    """p(x) = (1/|G|) sum_g p_0(g x) with (g x)_i = sign_g x_{perm_g(i)}; sampled by applying a random group element.

    permutations: (|G|, n) integers; signs: (|G|,) of +-1 (all +1 by default).  The elements must form a group.
    The base density has shape (n,).
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    base: AbstractDistribution
    permutations: np.ndarray
    signs: np.ndarray

    def __init__(self, base: AbstractDistribution, permutations: np.ndarray, signs: np.ndarray | None = None):
        self.base, self.shape, self.cond_shape = base, base.shape, base.cond_shape
        self.permutations = np.asarray(permutations, int)
        self.signs = np.ones(len(self.permutations)) if signs is None else np.asarray(signs, float)
        _require_group(self.permutations, self.signs)

    @property
    def discrete(self) -> bool:
        """Whether x is discrete, as in the base."""
        return getattr(self.base, "discrete", False)

    def _images(self, x: Array) -> Array:
        return jnp.asarray(self.signs[:, None], x.dtype) * x[self.permutations]

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        each = jax.vmap(lambda y: self.base._log_prob(y, condition))(self._images(x))
        return jax.nn.logsumexp(each) - np.log(len(self.signs))

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        k1, k2 = jax.random.split(key)
        g = jax.random.randint(k1, (), 0, len(self.signs))
        x = self.base._sample(k2, condition)
        return jnp.asarray(self.signs)[g].astype(x.dtype) * x[jnp.asarray(self.permutations)[g]]


class Translated(AbstractDistribution):
    """The mean of a density of periodic fields over shifts (T, d): its entropy is the larger, its F for any invariant
    energy the lower.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    base: AbstractDistribution
    shifts: np.ndarray  # (T, d)

    def __init__(self, base: AbstractDistribution, shifts: np.ndarray):
        self.base, self.shape, self.cond_shape, self.shifts = base, base.shape, base.cond_shape, np.asarray(shifts, int)

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        axes = tuple(range(x.ndim))

        def one(shift: Array) -> Array:
            return self.base._log_prob(jnp.roll(x, -shift, axes), condition)

        return jax.nn.logsumexp(jax.lax.map(one, jnp.asarray(self.shifts))) - np.log(len(self.shifts))

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        of_shift, of_base = jax.random.split(key)
        x = self.base._sample(of_base, condition)
        return jnp.roll(x, jax.random.choice(of_shift, jnp.asarray(self.shifts)), tuple(range(x.ndim)))


def spin_flip(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Z2: the identity and the reversal of all n spins, as (permutations, signs)."""
    return np.tile(np.arange(n), (2, 1)), np.array([1.0, -1.0])


def square_lattice(shape: tuple[int, int], translations: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Point group of an L x M lattice (8 elements if L = M, else 4), with all translations of the torus if asked."""
    rows, columns = shape
    sites = np.arange(rows * columns).reshape(shape)
    images = [flip for turned in ([sites, sites.T] if rows == columns else [sites]) for flip in _mirrors(turned)]
    if translations:
        shifts = [(a, b) for a in range(rows) for b in range(columns)]
        images = [np.roll(image, shift, (0, 1)) for image in images for shift in shifts]
    permutations = np.unique(np.stack([image.ravel() for image in images]), axis=0)
    return permutations, np.ones(len(permutations))


def _mirrors(sites: np.ndarray) -> list[np.ndarray]:
    return [sites, sites[::-1], sites[:, ::-1], sites[::-1, ::-1]]


def _require_group(permutations: np.ndarray, signs: np.ndarray) -> None:
    """Refuse a set that is not closed under composition: its average would not be the density of the sampler."""
    elements = {(*p, s) for p, s in zip(map(tuple, permutations), signs, strict=True)}
    closed = len(elements) == len(signs)
    for p, s in list(zip(permutations, signs, strict=True))[:128]:
        closed = closed and elements == {
            (*q, t) for q, t in zip(map(tuple, permutations[:, p]), s * signs, strict=True)
        }
    if not closed:
        raise InputError(f"permutations: {len(signs)} elements that do not form a group (closed, without repetition)")
