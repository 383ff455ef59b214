"""Neural renormalisation group: a field from independent normal variables, scale by scale.

At each scale bijections act on blocks, the same one on all blocks of a layer: first disentanglers on blocks that are
shifted by half a block, then decimators on unshifted ones.  Of each block one variable is kept, the renormalised field
of the next scale; the others are latent variables of this scale.

Li and Wang, Phys. Rev. Lett. 121, 260601 (2018); blocks and layers as in the multi-scale entanglement renormalisation
ansatz (Vidal 2007).

    x = x_0 -> (z_0, x_1) -> (z_0, z_1, x_2) -> .. ,    ln p(x) = sum over scales of ln N(z_k) + ln |det dz/dx|
"""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import AbstractDistribution
from jax import Array

from massieu.densities.block_bijector import BlockBijector
from massieu.densities.lattice import convolved
from massieu.densities.symmetric import Translated
from massieu.errors import at_least, require
from massieu.geometry import lattice_orbits

SHIFTS = 16  # translations of the evaluation
LARGEST_TOP = 36  # variables of the last lattice, which one bijection takes as a whole


class Scale(eqx.Module):
    """What leads from the field of one scale to its latent variables and to the field of the next one.

    Each layer is a linear map over the whole lattice, diagonal in momentum space, and a bijection of blocks, shifted
    and unshifted ones in turn; the last is the decimator.  Every array but `orbit` has a leading axis for the layers.
    """

    orbit: np.ndarray  # (*sides): class of every momentum
    log_amplitude: Array | None  # (layers, orbits), of latent -> field
    blocks: BlockBijector

    def smeared(self, log_amplitude: Array | None, x: Array, sign: int) -> tuple[Array, Array]:
        """Latent -> field for sign = 1, field -> latent for -1, by one layer's amplitudes, with ln |det|."""
        if log_amplitude is None:
            return x, jnp.zeros((), x.dtype)
        members = np.eye(len(log_amplitude), dtype=x.dtype)[:, self.orbit]  # a product: gathers are slow backwards
        by_momentum = jnp.tensordot(sign * log_amplitude, members, 1)
        return convolved(jnp.exp(by_momentum), x), jnp.sum(by_momentum)


class NeuralRG(AbstractDistribution):
    """A density of a periodic field of shape `sides`, by odd maps throughout: p(-x) = p(x).

    block: sides of a block; depth: pairs of layers at each scale; pairs: couplings in each bijection, of `width` tanh
    units each; smear: whether each layer begins with a linear map of the whole lattice, diagonal in momentum space;
    spectrum: standard deviations of the modes (*sides) of a free field to start from.  Sides are divided by `block` as
    long as all can be and one remains that is longer; what is left, of at most LARGEST_TOP sites, is one block.
    InputError for other sides.  Evaluation takes the mean over translations.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)
    block: int = eqx.field(static=True)
    scales: list[Scale]
    top: BlockBijector

    def __init__(
        self,
        sides: tuple[int, ...],
        *,
        block: int = 2,
        depth: int = 2,
        width: int = 8,
        pairs: int = 1,
        smear: bool = True,
        spectrum: np.ndarray | None = None,
        key: Array,
    ):
        for name, value, least in (("depth", depth, 1), ("width", width, 1), ("pairs", pairs, 1), ("block", block, 2)):
            at_least(name, value, least)
        self.shape, self.cond_shape, self.block = tuple(sides), None, block
        self.scales, (*finer, top) = [], _lattices(self.shape, block)
        turns = [_sites((block,) * len(sides))] * (2 * depth - 1) + [_waves((block,) * len(sides))]
        for lattice, of_scale in zip(finer, jax.random.split(key, len(finer)), strict=True):
            keys, orbit = jax.random.split(of_scale, 2 * depth), lattice_orbits(lattice)
            layers = [
                BlockBijector(turn, back=i < 2 * depth - 1, width=width, pairs=pairs, key=keys[i])
                for i, turn in enumerate(turns)
            ]
            amplitude = np.zeros((2 * depth, int(orbit.max()) + 1))
            if spectrum is not None and lattice == self.shape:
                amplitude[0] = np.bincount(orbit.ravel(), np.log(spectrum).ravel()) / np.bincount(orbit.ravel())
            self.scales.append(Scale(orbit, jnp.asarray(amplitude) if smear else None, _stacked(layers)))
        self.top = BlockBijector(
            _waves(top), back=False, width=width, pairs=2 * pairs, key=jax.random.fold_in(key, len(finer))
        )

    def latents(self, x: Array) -> tuple[Array, ...]:
        """Latent variables of x (*sides) by scale, (block^d - 1, *coarser sides) each; the last (*remaining sides)."""
        return self._analysed(x)[0]

    def renormalised(self, x: Array) -> list[Array]:
        """x (*sides) and the renormalised field of each coarser scale."""
        return self._analysed(x)[1]

    def field(self, latents: tuple[Array, ...]) -> tuple[Array, Array]:
        """The field (*sides) of latent variables as `latents` gives them, and ln |det dx/dz|: the inverse map."""
        z, total = self.top.to_field(latents[-1].reshape(-1, 1))
        x = z.reshape(latents[-1].shape)
        for details, scale in zip(latents[-2::-1], self.scales[::-1], strict=True):
            parts = jnp.concatenate([x[None], details]).reshape(len(details) + 1, -1)
            x, change = self._synthesised(scale, self._unblocked(parts, x.shape))
            total = total + change
        return x, total

    def _analysed(self, x: Array) -> tuple[tuple[Array, ...], list[Array], Array]:
        """Latent variables, fields by scale, and ln |det dz/dx|."""
        latents, fields, total = [], [x], jnp.zeros((), x.dtype)
        for scale in self.scales:
            x, change = self._separated(scale, x)
            parts, coarse = self._blocked(x)
            latents.append(parts[1:].reshape(-1, *coarse))
            x, total = parts[0].reshape(coarse), total + change
            fields.append(x)
        z, change = self.top.to_latent(x.reshape(-1, 1))
        return (*latents, z.reshape(x.shape)), fields, total + change

    def _separated(self, scale: Scale, x: Array) -> tuple[Array, Array]:
        """The field after all layers of one scale, renormalised and latent variables side by side, and ln |det|."""

        def layer(x: Array, one: tuple[Array | None, BlockBijector]) -> tuple[Array, Array]:
            x, first = scale.smeared(one[0], x, -1)
            parts, coarse = self._blocked(_rolled(x, -(self.block // 2)))
            parts, second = one[1].to_latent(parts)
            return self._unblocked(parts, coarse), first + second

        # each layer shifts on by half a block; the shift left at the end is part of where the blocks lie
        x, changes = jax.lax.scan(layer, x, (scale.log_amplitude, scale.blocks))
        return x, jnp.sum(changes)

    def _synthesised(self, scale: Scale, x: Array) -> tuple[Array, Array]:
        """The inverse of `_separated`."""

        def layer(x: Array, one: tuple[Array | None, BlockBijector]) -> tuple[Array, Array]:
            parts, coarse = self._blocked(x)
            parts, second = one[1].to_field(parts)
            x, first = scale.smeared(one[0], _rolled(self._unblocked(parts, coarse), self.block // 2), 1)
            return x, first + second

        x, changes = jax.lax.scan(layer, x, (scale.log_amplitude, scale.blocks), reverse=True)
        return x, jnp.sum(changes)

    def _blocked(self, x: Array) -> tuple[Array, tuple[int, ...]]:
        """(block^d, blocks) from a field, and the lattice of the blocks."""
        d, coarse = x.ndim, tuple(side // self.block for side in x.shape)
        split = x.reshape([n for c in coarse for n in (c, self.block)])
        order = [2 * a + 1 for a in range(d)] + [2 * a for a in range(d)]
        return split.transpose(order).reshape(self.block**d, -1), coarse

    def _unblocked(self, parts: Array, coarse: tuple[int, ...]) -> Array:
        """The inverse of `_blocked`."""
        d = len(coarse)
        split = parts.reshape((self.block,) * d + coarse)
        return split.transpose([n for a in range(d) for n in (d + a, a)]).reshape([c * self.block for c in coarse])

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        latents, _, log_det = self._analysed(x)
        return _normal(latents) + log_det

    def white(self, key: Array) -> tuple[Array, ...]:
        """Independent normal latent variables."""
        lattices, dtype = _lattices(self.shape, self.block), self.top.log_diagonal.dtype
        kept = self.block ** len(self.shape) - 1
        shapes = [(kept, *coarse) for coarse in lattices[1:]] + [lattices[-1]]
        return tuple(jax.random.normal(k, s, dtype) for k, s in zip(jax.random.split(key, len(shapes)), shapes))

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        latents = self.white(key)
        x, log_det = self.field(latents)
        return x, _normal(latents) - log_det

    def _sample(self, key: Array, condition: Array | None = None) -> Array:
        return self.field(self.white(key))[0]

    def for_evaluation(self) -> AbstractDistribution:
        """Its mean over SHIFTS translations, which lowers F: the blocks are the same everywhere, yet lie somewhere."""
        reach = round(SHIFTS ** (1 / len(self.shape)))
        return Translated(self, np.array(list(itertools.product(*(range(min(reach, side)) for side in self.shape)))))

    def sample_and_score(self, key: Array, condition: Array | None = None) -> tuple[Array, Array, Array]:
        """x, ln p(x) and d ln p/dx, of which x is differentiable in the parameters and the other two are not."""
        x = self._sample(key)
        fixed = jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if isinstance(leaf, Array) else leaf, self)
        log_prob, score = jax.value_and_grad(fixed._log_prob)(jax.lax.stop_gradient(x))
        return x, log_prob, score


def _stacked(layers: list[BlockBijector]) -> BlockBijector:
    """One module whose arrays hold those of all, constants as NumPy arrays."""
    return jax.tree.map(lambda *ones: (jnp if isinstance(ones[0], Array) else np).stack(ones), *layers)


def _rolled(x: Array, shift: int) -> Array:
    return jnp.roll(x, (shift,) * x.ndim, tuple(range(x.ndim)))


def _lattices(sides: tuple[int, ...], block: int) -> list[tuple[int, ...]]:
    """Sides of the lattice at each scale."""
    lattices = [sides]
    while all(side % block == 0 for side in lattices[-1]) and any(side > block for side in lattices[-1]):
        lattices.append(tuple(side // block for side in lattices[-1]))
    left = int(np.prod(lattices[-1]))
    shown = "x".join(map(str, sides))
    require(
        left <= LARGEST_TOP, "sides", shown, f"divisible by {block} down to at most {LARGEST_TOP} sites for neural-rg"
    )
    return lattices


def _normal(latents: tuple[Array, ...]) -> Array:
    """ln of the density of independent normal variables."""
    return sum(-0.5 * jnp.sum(z**2) - 0.5 * z.size * np.log(2 * np.pi) for z in latents)


def _checkerboard(sides: tuple[int, ...]) -> np.ndarray:
    """Sites (or modes) of a block in C order, those of even index sum first."""
    return np.argsort(np.indices(sides).sum(axis=0).ravel() % 2, kind="stable")


def _sites(sides: tuple[int, ...]) -> np.ndarray:
    """The sites of a block, neighbours in different halves: a permutation matrix (m, m)."""
    return np.eye(int(np.prod(sides)))[_checkerboard(sides)]


def _waves(sides: tuple[int, ...]) -> np.ndarray:
    """Cosine waves of a block, its mean first: an orthogonal matrix (m, m); Haar's for sides of 2."""
    matrix = np.ones((1, 1))
    for side in sides:
        k, x = np.indices((side, side))
        wave = np.sqrt(2 / side) * np.cos(np.pi * k * (x + 0.5) / side)
        wave[0] = 1 / np.sqrt(side)
        matrix = np.kron(matrix, wave)
    return matrix[_checkerboard(sides)]
