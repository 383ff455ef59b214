"""The published way to move and to update hydrogen, written anew for benchmarks/hydrogen_step.py."""

import jax
import jax.numpy as jnp

WIDTH = 16


def metropolis(key, log_density, x, width, moves):
    """All-particle Gaussian moves with a fixed width."""

    def move(state, key):
        x, value = state
        k1, k2 = jax.random.split(key)
        trial = x + width * jax.random.normal(k1, x.shape)
        new = log_density(trial)
        keep = jnp.log(jax.random.uniform(k2, value.shape)) < new - value
        return (jnp.where(keep[:, None, None], trial, x), jnp.where(keep, new, value)), None

    return jax.lax.scan(move, (x, log_density(x)), jax.random.split(key, moves))[0][0]


def residual_map(protons):
    """z = S + W h(S): two layers of means over pairs, FermiNet style, of width WIDTH."""
    keys = jax.random.split(jax.random.key(0), 4)
    n = len(protons)
    d = protons[:, None] - protons + jnp.eye(n)[:, :, None] * 0.25
    two = jnp.concatenate([jnp.cos(2 * jnp.pi * d), jnp.sin(2 * jnp.pi * d),
                           jnp.linalg.norm(jnp.sin(jnp.pi * d), axis=-1, keepdims=True)], axis=-1)  # fmt: skip
    one = jnp.zeros((n, 1))
    for k in keys[:2]:
        a, b = jax.random.split(k)
        mean = jnp.concatenate([one, jnp.broadcast_to(one.mean(0), one.shape), two.mean(1)], axis=-1)
        one = jnp.tanh(mean @ jax.random.normal(a, (mean.shape[-1], WIDTH)) / jnp.sqrt(mean.shape[-1]))
        two = jnp.tanh(two @ jax.random.normal(b, (two.shape[-1], WIDTH)) / jnp.sqrt(two.shape[-1]))
    return protons + 0.01 * one @ jax.random.normal(keys[2], (WIDTH, 3))


def map_jacobian(protons):
    """ln|det dz/dS| from the full Jacobian."""
    flat = protons.reshape(-1)
    jacobian = jax.jacfwd(lambda s: residual_map(s.reshape(protons.shape)).reshape(-1))(flat)
    return jnp.linalg.slogdet(jacobian)[1]


def dense_update(rows):
    """A step on the dense Fisher matrix of scores (B, P)."""
    fisher = rows.T @ rows / len(rows)
    ridge = 1e-3 * jnp.eye(len(fisher))
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(fisher + ridge), rows.mean(0))
