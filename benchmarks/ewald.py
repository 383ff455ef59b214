"""Ewald energy of N protons and N electrons: sum over structure factors against the sum over pairs for every vector.

    python benchmarks/ewald.py [N [walkers]]

The pair form is how published code for hydrogen computes it: screening 10/L, nearest images in real space, a loop over
all vectors |G| <= 15 (2 pi/L), with the cosines of all pairs for each.  That cut-off leaves 1e-9; the two are
compared with |G| <= 18 in the pair form, and timed with 15.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from massieu.geometry import integer_vectors, minimum_image
from massieu.physics.ewald import Ewald


def pair_form(n, radius):
    """Energy (e^2/L) of n positive and n negative charges by pairs."""
    kappa, charges = 10.0, jnp.concatenate([jnp.ones(n), -jnp.ones(n)])
    vectors = jnp.asarray(integer_vectors(3, radius)[1:], float)
    k2 = (2 * jnp.pi) ** 2 * jnp.sum(vectors**2, axis=1)
    weights = 4 * jnp.pi / k2 * jnp.exp(-k2 / (4 * kappa**2))
    i, j = np.triu_indices(2 * n, 1)

    def energy(x):
        r = minimum_image(x[i] - x[j])
        q = charges[i] * charges[j]
        distance = jnp.linalg.norm(r, axis=1)
        real = jnp.sum(q * jax.scipy.special.erfc(kappa * distance) / distance)

        def add(g, total):
            return total + weights[g] * jnp.cos(2 * jnp.pi * r @ vectors[g])

        of_pairs = jax.lax.fori_loop(0, len(vectors), add, jnp.zeros(len(q)))
        own = n * jnp.sum(weights) - 2 * n * kappa / jnp.sqrt(jnp.pi)
        return real + jnp.sum(q * of_pairs) + own

    return energy


def cpu_seconds(f, x, repeats):
    f(x).block_until_ready()
    began = time.process_time()
    for _ in range(repeats):
        f(x).block_until_ready()
    return (time.process_time() - began) / repeats


def main(n=14, walkers=64):
    jax.config.update("jax_enable_x64", True)
    x = jax.random.uniform(jax.random.key(0), (walkers, 2 * n, 3))
    charges = jnp.concatenate([jnp.ones(n), -jnp.ones(n)])
    ewald = Ewald(3)
    ours = jax.jit(lambda x: jax.lax.map(lambda x: ewald.energy(x, charges), x))
    pairs = jax.jit(jax.vmap(pair_form(n, 15.0)))
    converged = jax.jit(jax.vmap(pair_form(n, 18.0)))
    error = float(jnp.max(jnp.abs(ours(x) / converged(x) - 1)))
    slow, fast = cpu_seconds(pairs, x, 2), cpu_seconds(ours, x, 10)
    print(f"N = {n}, {walkers} walkers: pair form {slow:.3f} CPU-s, structure factors {fast:.3f} CPU-s")
    print(f"ratio {slow / fast:.1f}; largest relative difference {error:.1e}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
