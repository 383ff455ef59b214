"""Divergence of the equivariant velocity: one directional derivative against the trace of the autodiff Jacobian."""

import time

import jax
import jax.numpy as jnp

from massieu.densities import EquivariantFlow, Ginibre

BATCH, REPEATS = 256, 5

for n in (6, 20):
    flow = EquivariantFlow(Ginibre(n))
    x = jax.random.normal(jax.random.key(0), (BATCH, n, 2))

    def structured(x, flow=flow):
        return flow.velocity(x, 0.3)[1]

    def autodiff(x, flow=flow):
        jacobian = jax.jacfwd(lambda x: flow.velocity(x, 0.3)[0])(x)
        return jnp.trace(jacobian.reshape(x.size, x.size))

    times = []
    for function in (jax.jit(jax.vmap(structured)), jax.jit(jax.vmap(autodiff))):
        function(x).block_until_ready()
        began = time.perf_counter()
        for _ in range(REPEATS):
            function(x).block_until_ready()
        times.append((time.perf_counter() - began) / REPEATS)
    fast, slow = (1e3 * t for t in times)
    print(f"n = {n}: structured {fast:.1f} ms, autodiff {slow:.1f} ms, ratio {slow / fast:.1f}")
