"""Correlated states of the electron gas: CPU-ms per walker of moves, local energies, mixtures of eight states; memory.

The local energy by hand beside the one by nested automatic differentiation of the same ln Psi, in one run; they agree.
"""

import resource
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from massieu import ElectronGas
from massieu.methods.method import method_of
from massieu.methods.particles import chains
from massieu.methods.particles.overlap_chains import Mixture
from massieu.physics.kinetic import local_kinetic

WALKERS, MOVES, MEMBERS = 64, 10, 8


def milliseconds(function, *args, walkers=WALKERS):
    """CPU-ms per walker, and the result; compiled before."""
    jax.block_until_ready(function(*args))
    began = time.process_time()
    result = jax.block_until_ready(function(*args))
    return 1e3 * (time.process_time() - began) / walkers, result


def measure(n):
    """One row of the table."""
    system = ElectronGas(n=n, rs=5.0, theta=0.15, twist="0.25")
    method = method_of(system)
    rho = method.ansatz(system, method.configure(system, states="correlated"))
    psi = rho.psi
    groups = jax.jit(lambda key: chains.started(rho, key, WALKERS // 8, 8))(jax.random.key(0))
    chunk = chains.at_once(psi, WALKERS)
    label, x = groups.each(), groups.flat()
    move, (groups, _) = milliseconds(jax.jit(lambda g: chains.moved(psi, g, jax.random.key(1), MOVES)), groups)

    def all_walkers(function, few=WALKERS):
        return jax.jit(lambda label, x: jax.lax.map(lambda a: function(*a), (label[:few], x[:few]), batch_size=chunk))

    local, found = milliseconds(all_walkers(lambda k, x: psi.local(k, x).kinetic), label, x)
    trained, _ = milliseconds(all_walkers(lambda k, x: jax.tree.leaves(psi.local_and_scores(k, x))), label, x)
    mixed, of_all = Mixture(psi), jnp.asarray(label[:: WALKERS // MEMBERS])
    mixture, _ = milliseconds(all_walkers(lambda k, x: mixed.slope(of_all, x)), label, x)
    nested_of = all_walkers(lambda k, x: local_kinetic(lambda x: psi.log_psi(k, x), x), 8)
    nested, slow = milliseconds(nested_of, label, x, walkers=8)
    worst = float(jnp.max(jnp.abs(slow - found[:8]) / jnp.abs(slow)))
    return move / MOVES, local, trained, mixture, nested, worst


with jax.enable_x64(True):
    sizes = [int(n) for n in sys.argv[1:]] or [13, 29, 57]
    print(f"{'N':>4} {'move':>8} {'local':>8} {'+ scores':>8} {'mixture':>8} {'nested':>8} {'ratio':>6}  agree to")
    rows = []
    for n in sizes:
        rows.append(measure(n))
        move, local, trained, mixture, nested, worst = rows[-1]
        numbers = " ".join(f"{value:8.3f}" for value in (move, local, trained, mixture))
        print(f"{n:4d} {numbers} {nested:8.1f} {nested / local:6.1f}  {worst:.0e}")
    if len(sizes) > 1:
        slopes = [np.polyfit(np.log(sizes), np.log([row[k] for row in rows]), 1)[0] for k in range(5)]
        print("exponents of N: " + " ".join(f"{slope:.1f}" for slope in slopes))
    print(f"peak memory of all: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GB")
