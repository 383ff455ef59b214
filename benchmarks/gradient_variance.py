"""Variance of every gradient estimator, and its cost, on small problems near the minimum of F and far from it.

variance: summed over the parameters, of the gradient of beta F from one sample (that of a batch times the batch);
time: of one gradient relative to that of the score, interleaved in one run; work: variance times time, relative to
the score.  Words on the command line choose problems by their titles.
"""

import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from flowjax.distributions import Normal

import massieu as ms
from massieu import estimators
from massieu.principle import trainable

BATCH, REPEATS, ROUNDS = 128, 40, 3
REALS = ("score", "pathwise", "pathwise-total", "measure", "score+pathwise")


class Well(ms.ClassicalSystem):
    """One particle in a quartic well in two dimensions."""

    def energy(self, x):
        return 0.5 * jnp.sum(x**2) + 0.25 * jnp.sum(x**2) ** 2


def problems():
    """Title, system, density far from the minimum, options of the training that leads near it, estimators."""
    spins, reals = {"gradient": "measure", "anneal": 0.2, "learning_rate": 0.3}, {"gradient": "pathwise", "anneal": 0.0}
    phi4, ising = ms.Phi4(l=4), ms.Ising(l=4, beta=0.35, h=0.1)
    yield (
        "ising 4 x 4, product",
        ising,
        0.35,
        ms.densities.ProductSpins(16),
        spins,
        ("score", "measure", "score+measure"),
    )
    yield "well, normal", Well(), 2.0, Normal(jnp.full((1, 2), 0.3), 1.0), reals | {"learning_rate": 0.1}, REALS
    yield "phi4 l = 4, normal", phi4, 1.0, Normal(jnp.full((4, 4), 0.2), 0.7), reals, REALS
    flow = ("score", "pathwise", "pathwise-total", "score+pathwise")
    yield "phi4 l = 4, flow", phi4, 1.0, phi4.default_density(0), reals | {"steps": 60, "precision": "float32"}, flow


def measured(density, energy, beta, names):
    """Variance of one sample's gradient of beta F and seconds of one gradient, for every name."""
    params, static = trainable(density)
    functions = {}
    for name in names:
        estimate = estimators.estimator(name)

        def one(key, estimate=estimate):
            gradient = estimate(params, static, energy, key, BATCH, beta)[1]
            return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradient)])

        functions[name] = jax.jit(lambda keys, one=one: jax.lax.map(one, keys))
    keys = jax.random.split(jax.random.key(1), REPEATS)
    found = {name: np.asarray(function(keys)) for name, function in functions.items()}
    seconds = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name, function in functions.items():
            began = time.perf_counter()
            function(keys).block_until_ready()
            seconds[name].append((time.perf_counter() - began) / REPEATS)
    return {n: (beta**2 * BATCH * found[n].var(axis=0, ddof=1).sum(), min(seconds[n])) for n in names}


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    print(f"{'problem':22s} {'where':5s} {'estimator':16s} {'variance':>10s} {'time':>6s} {'work':>9s}")
    for title, system, beta, density, options, names in problems():
        if not all(word in title for word in sys.argv[1:]):
            continue
        options = {"steps": 150, "batch": 128, "samples": 1000, "reference": False, "precision": "float64"} | options
        run = ms.minimize(system, density, beta=beta, **options)
        for where, at in (("far", density), ("near", run.density)):
            table = measured(at, system.energy, beta, names)
            variance, seconds = table["score"]
            for name, (v, s) in table.items():
                shown = f"{v:10.3g} {s / seconds:6.2f} {v * s / (variance * seconds):9.3g}"
                print(f"{title:22s} {where:5s} {name:16s} {shown}", flush=True)
