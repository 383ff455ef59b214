"""Kinetic local energy of thermal electrons: derivatives propagated by hand against a loop over 3N directions.

    python benchmarks/hydrogen_thermal.py [n [walkers]]

The loop is how published code does it (arXiv:2507.18540): the second derivative of ln Psi along one direction after
another by automatic differentiation, here through the same state.
"""

import sys
import time

import equinox as eqx
import jax
import numpy as np

from massieu.methods.atoms import chains as electron_chains
from massieu.methods.method import method_of
from massieu.physics.kinetic import local_kinetic
from massieu.systems import Hydrogen


def seconds(f, *args, repeats=3):
    """CPU-seconds of a call, and of the first one, which compiles."""
    began = time.process_time()
    out = jax.block_until_ready(f(*args))
    compiled = time.process_time()
    for _ in range(repeats):
        jax.block_until_ready(f(*args))
    return out, (time.process_time() - compiled) / repeats, compiled - began


def main(n=4, walkers=64):
    jax.config.update("jax_enable_x64", True)
    system = Hydrogen(n=n, rs=1.9, temperature=35000.0, electrons="thermal")
    rho = method_of(system).ansatz(system, method_of(system).configure(system, states="flow"))
    moved = jax.tree.map(lambda leaf: leaf + 0.02 if isinstance(leaf, jax.Array) else leaf, rho.psi.flow)
    rho = eqx.tree_at(lambda rho: rho.psi.flow, rho, moved.projected())
    groups, per_group = electron_chains.groups_of(system, walkers, 8)
    state = electron_chains.start(system, rho, groups, per_group, jax.random.key(0))
    at, x = electron_chains.surroundings(rho, state), electron_chains.expanded(state)[2]
    each = electron_chains.walker_bytes(system, rho)

    def by_loop(at, x):
        def log_psi(x):
            size, phase = rho.psi.log_psi(at, x)
            return size + 1j * phase

        return local_kinetic(log_psi, x)

    hand = jax.jit(lambda at, x: electron_chains.chunked(lambda at, x: rho.psi.local(at, x).kinetic, each, (at, x)))
    loop = jax.jit(lambda at, x: electron_chains.chunked(by_loop, each, (at, x)))
    ours, quick, first = seconds(hand, at, x)
    theirs, slow, first_loop = seconds(loop, at, x)
    error = np.max(np.abs(ours - theirs) / np.abs(theirs))
    print(f"N = {n}, {len(x)} walkers; CPU seconds (first call, with compilation)")
    print(f"  loop over 3N directions  {slow:8.3f} ({first_loop:.1f})")
    print(f"  by hand                  {quick:8.3f} ({first:.1f})   {slow / quick:.1f} times faster")
    print(f"  largest relative difference {error:.1e}")
    assert error < 1e-6


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
