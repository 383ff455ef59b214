"""What a trained hierarchy (`densities.NeuralRG`) says of a field: its scales, its latent variables, and moves in them.

Were the density exact, the latent variables of configurations from exp(-S) would be independent normal ones, and a
Markov chain that moves them, z' = HMC with the action S(g(z)) - ln |det dg/dz|, would see one round valley (Li and
Wang, Phys. Rev. Lett. 121, 260601 (2018)).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree

from massieu.densities.neural_rg import NeuralRG
from massieu.errors import at_least, require
from massieu.exact.annealed import hmc, new_key
from massieu.statistics import autocorrelation_time

LEAPFROG = 10  # steps a move
ACCEPTANCE = 0.8  # that the step is adapted to


class FieldScale(NamedTuple):
    """One scale: sides, <phi^2>, and by distance along the last axis (0 .. side/2) correlations and couplings.

    correlation: <phi(0) phi(r)>/<phi^2>; couplings: the inverse covariance at r, that is A in the Gaussian action
    sum phi A phi/2 with the same correlations (an estimate that knows nothing of the quartic and higher couplings).
    """

    sides: tuple[int, ...]
    variance: float
    correlation: np.ndarray
    couplings: np.ndarray


def scales(density: NeuralRG, x: Array) -> list[FieldScale]:
    """Every scale of the fields x (M, *sides), M >= 100 samples of the system or of the density, the finest first."""
    at_least("samples", len(x), 100)
    return [_scale(np.asarray(field)) for field in jax.jit(lambda x: jax.vmap(density.renormalised)(x))(x)]


def _scale(field: np.ndarray) -> FieldScale:
    axes = tuple(range(1, field.ndim))
    spectrum = np.mean(np.abs(np.fft.fftn(field, axes=axes)) ** 2, axis=0) / field[0].size
    reach = field.shape[-1] // 2 + 1
    along, inverse = (np.fft.ifftn(of).real[(0,) * (field.ndim - 2)][:reach] for of in (spectrum, 1 / spectrum))
    return FieldScale(field.shape[1:], float(along[0]), along / along[0], inverse)


class LatentInformation(NamedTuple):
    """Mutual information (nats) of pairs of latent variables of x, of Gaussians with the same correlation.

    -ln(1 - r^2)/2 bounds nothing unless the pair is jointly normal; noise is what M samples show where there is none.
    """

    pairs: np.ndarray  # (N, N), zero on the diagonal; variables in the order of `NeuralRG.latents`
    noise: float
    variance: np.ndarray  # (N,), 1 for the exact density

    @property
    def mean(self) -> float:
        """Over all pairs, less the noise."""
        n = len(self.pairs)
        return float(self.pairs.sum() / max(1, n * (n - 1))) - self.noise


def latent_information(density: NeuralRG, x: Array) -> LatentInformation:
    """Of samples x (M, *sides) of the *system*: those of the density itself have independent ones by construction."""
    at_least("samples", len(x), 100)
    z = np.asarray(jax.jit(jax.vmap(lambda x: ravel_pytree(density.latents(x))[0]))(x))
    variance = z.var(axis=0)
    r = np.corrcoef(z.T)
    np.fill_diagonal(r, 0.0)
    return LatentInformation(-0.5 * np.log1p(-np.clip(r**2, 0, 1 - 1e-12)), 0.5 / len(z), variance)


class Chains(NamedTuple):
    """Chains of Hamiltonian Monte Carlo: energies (C, T), mean fields (C, T), last fields (C, *sides), acceptance."""

    energy: np.ndarray
    m: np.ndarray
    x: np.ndarray
    acceptance: float

    @property
    def autocorrelation_times(self) -> dict[str, float]:
        """Integrated, in moves, of S, of m^2 and of the sign-carrying m."""
        return {
            "energy": autocorrelation_time(self.energy),
            "m2": autocorrelation_time(self.m**2),
            "m": autocorrelation_time(self.m),
        }


def chains_in_latents(density: NeuralRG, energy: Callable[[Array], Array], **options: int) -> Chains:
    """Chains for exp(-energy) that move the latent variables; options: chains (32), moves (1000), seed (0)."""
    to_vector = ravel_pytree(density.white(jax.random.key(0)))[1]

    def action(z: Array) -> tuple[Array, Array]:
        x, log_det = density.field(to_vector(z))
        return energy(x) - log_det, x

    return _chains(density, action, lambda key: ravel_pytree(density.white(key))[0], energy, **options)


def chains_in_fields(density: NeuralRG, energy: Callable[[Array], Array], **options: int) -> Chains:
    """The same from the same start with moves of the field itself."""

    def action(x: Array) -> tuple[Array, Array]:
        field = x.reshape(density.shape)
        return energy(field), field

    return _chains(density, action, lambda key: density._sample(key).reshape(-1), energy, **options)


def _chains(density, action, start, energy, chains: int = 32, moves: int = 1000, seed: int = 0) -> Chains:
    """`action` gives the action and the field of one vector; a fifth of the moves adapts the step and is left out."""
    at_least("chains", chains, 2)
    require(moves >= 50, "moves", moves, "at least 50")
    batched = jax.vmap(lambda v: action(v)[0], in_axes=-1)
    of_adaption, of_moves = jax.random.split(new_key(seed))

    def move(v: Array, step: Array, key: Array) -> tuple[Array, Array]:
        v, _, _, acceptance = hmc(lambda v, t, p: batched(v), None, v, 1.0, step, key, LEAPFROG)
        return v, acceptance

    def adapt(state: tuple[Array, Array], key: Array) -> tuple[tuple[Array, Array], None]:
        v, acceptance = move(*state, key)
        return (v, state[1] * jnp.exp(0.2 * (acceptance - ACCEPTANCE))), None

    @jax.jit
    def all_moves(v: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        (v, step), _ = jax.lax.scan(adapt, (v, jnp.asarray(0.1)), jax.random.split(of_adaption, moves // 5))

        def record(v: Array, key: Array) -> tuple[Array, tuple[Array, Array, Array]]:
            v, acceptance = move(v, step, key)
            x = jax.vmap(lambda v: action(v)[1], in_axes=-1)(v)
            return v, (jax.vmap(energy)(x), jnp.mean(x, axis=tuple(range(1, x.ndim))), acceptance)

        v, recorded = jax.lax.scan(record, v, jax.random.split(of_moves, moves - moves // 5))
        return jax.vmap(lambda v: action(v)[1], in_axes=-1)(v), recorded

    first = jax.vmap(start, out_axes=-1)(jax.random.split(jax.random.key(seed), chains))
    x, (energies, m, acceptance) = all_moves(first)
    return Chains(np.asarray(energies).T, np.asarray(m).T, np.asarray(x), float(jnp.mean(acceptance)))
