"""The nested-autodiff approach to the electron gas at finite temperature, to compare with (electron_gas_step.py).

Follows Xie, Zhang and Wang, SciPost Phys. 14, 154 (2023), written anew: a residual FermiNet-like flow with ln|det| of
a jacfwd Jacobian inside ln Psi, its Laplacian by a loop over directions of jvp(grad), Metropolis steps of all
electrons, the reciprocal Ewald sum over pairs, momenta drawn by evaluating the whole causal transformer for each
electron, and a dense solve with the full Fisher matrix.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from massieu.densities.occupation import Attention
from massieu.geometry import integer_vectors, minimum_image
from massieu.linear_algebra import inverse_and_log_det

WIDTH, DEPTH = 16, 2
KAPPA, REACH = 10.0, 15.0  # screening and cut-off of the Ewald sum: its real part reaches one image only


class ResidualFlow(eqx.Module):
    """zeta = x + net(x) from one- and two-electron streams, positions (N, dim) in units of the box."""

    single: list
    pair: list
    last: jax.Array

    def __init__(self, dim: int, key: jax.Array):
        keys = iter(jax.random.split(key, 2 * DEPTH))
        features, sizes = 2 * dim + 1, [2 * dim + 1] + [2 * WIDTH + WIDTH] * (DEPTH - 1)
        self.single = [0.01 * jax.random.normal(next(keys), (size + 1, WIDTH)) for size in sizes]
        self.pair = [0.01 * jax.random.normal(next(keys), (features + 1, WIDTH)) for _ in sizes[1:]]
        self.last = 0.01 * jax.random.normal(next(keys), (WIDTH, dim))

    def __call__(self, x: jax.Array) -> jax.Array:
        """zeta (N, dim)."""
        n = len(x)
        r, same = x[:, None] - x[None], jnp.eye(n)
        distance = jnp.sqrt(jnp.sum(jnp.sin(np.pi * r) ** 2, axis=-1) + same) * (1 - same)
        two = jnp.concatenate([jnp.cos(2 * np.pi * r), jnp.sin(2 * np.pi * r), distance[..., None]], axis=-1)
        one = jnp.zeros((n, 0))
        for i, weights in enumerate(self.single):
            mean = jnp.broadcast_to(jnp.mean(one, axis=0), one.shape)
            new = _layer(weights, jnp.concatenate([one, mean, jnp.mean(two, axis=1)], axis=-1))
            one = new + one if i else new
            if i < len(self.pair):
                two = _layer(self.pair[i], two)
        return x + one @ self.last


def _layer(weights: jax.Array, features: jax.Array) -> jax.Array:
    return jnp.tanh(features @ weights[:-1] + weights[-1])


def log_psi(flow: ResidualFlow, momenta: jax.Array, x: jax.Array) -> jax.Array:
    """Modulus and phase (2,) of ln Psi_K(x): ln det of plane waves at zeta, + 1/2 ln|det dzeta/dx|."""
    jacobian = jax.jacfwd(lambda v: flow(v.reshape(x.shape)).reshape(-1))(x.reshape(-1))
    _, phase, log_abs = inverse_and_log_det(jnp.exp(2j * np.pi * flow(x) @ momenta.T))
    stretch = inverse_and_log_det(jacobian)[2]
    return jnp.stack([log_abs + 0.5 * stretch, jnp.angle(phase)])


def nested_kinetic(flow: ResidualFlow, momenta: jax.Array, x: jax.Array) -> jax.Array:
    """-lap Psi / Psi (complex): the gradient by reverse mode, the Laplacian by one jvp of it for each coordinate."""
    flat = x.reshape(-1)
    slope = jax.jacrev(lambda v: log_psi(flow, momenta, v.reshape(x.shape)))

    def along(total, direction):
        return total + jax.jvp(slope, (flat,), (direction,))[1] @ direction, None

    laplacian = jax.lax.scan(along, jnp.zeros(2), jnp.eye(flat.size))[0]
    gradient = slope(flat)
    gradient, laplacian = gradient[0] + 1j * gradient[1], laplacian[0] + 1j * laplacian[1]
    return -(laplacian + jnp.sum(gradient**2))


def metropolis(log_density, key: jax.Array, x: jax.Array, width: float, moves: int, measure=lambda x: 0.0):
    """Moves of all electrons of walkers x (B, N, dim); the last x, what was measured after each, and the acceptance."""

    def move(state, key):
        x, value = state
        of_shift, of_coin = jax.random.split(key)
        trial = x + width * jax.random.normal(of_shift, x.shape)
        new = log_density(trial)
        accept = jnp.log(jax.random.uniform(of_coin, value.shape)) < new - value
        x = jnp.where(accept[:, None, None], trial, x)
        return (x, jnp.where(accept, new, value)), (measure(x), jnp.mean(accept))

    (x, _), (measured, accepted) = jax.lax.scan(move, (x, log_density(x)), jax.random.split(key, moves))
    return x, measured, jnp.mean(accepted)


def pair_ewald(x: jax.Array) -> jax.Array:
    """Ewald energy (e^2/L) with the reciprocal sum over all vectors for every pair, without the constant."""
    dim = x.shape[1]
    vectors = integer_vectors(dim, REACH)[1:]
    k = 2 * np.pi * np.linalg.norm(vectors, axis=1)
    if dim == 2:
        weights = 2 * np.pi * np.array([math.erfc(v / (2 * KAPPA)) / v for v in k])
    else:
        weights = 4 * np.pi * np.exp(-((k / (2 * KAPPA)) ** 2)) / k**2
    r = minimum_image(x[:, None] - x[None])[np.triu_indices(len(x), 1)]
    distance = jnp.linalg.norm(r, axis=-1)
    real = jnp.sum(jax.scipy.special.erfc(KAPPA * distance) / distance)
    return real + jnp.sum(weights * jnp.cos(2 * np.pi * r @ vectors.T))


def conditionals(attention: Attention, occupied: jax.Array) -> jax.Array:
    """ln p (N, M) of each momentum given those before it: above the last, with room for the rest."""
    n, count = len(occupied), attention.momenta.shape[1]
    before = jnp.concatenate([jnp.full(1, -1), occupied[:-1]])
    orbital, left = jnp.arange(count), jnp.arange(n)[::-1, None]
    allowed = (orbital > before[:, None]) & (orbital < count - left)
    return jax.nn.log_softmax(jnp.where(allowed, attention(jnp.zeros((), int), before), -1e9))


def naive_momenta(attention: Attention, n: int, key: jax.Array) -> jax.Array:
    """One set of momenta (N,), the whole network for each electron."""

    def place(occupied, step):
        rank, key = step
        return occupied.at[rank].set(jax.random.categorical(key, conditionals(attention, occupied)[rank])), None

    return jax.lax.scan(place, jnp.zeros(n, int), (jnp.arange(n), jax.random.split(key, n)))[0]


def all_conditionals(attention: Attention, occupied: jax.Array) -> jax.Array:
    """ln p(K)."""
    return jnp.sum(jnp.take_along_axis(conditionals(attention, occupied), occupied[:, None], axis=1))


def dense_step(scores: jax.Array, residual: jax.Array) -> jax.Array:
    """Natural gradient (P,) from the full Fisher matrix of scores (R, P)."""
    fisher = scores.T @ scores / len(scores) + 1e-3 * jnp.eye(scores.shape[1])
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(fisher), residual @ scores / len(scores))
