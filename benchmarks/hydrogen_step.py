"""One training step of hydrogen: massieu against the published approach, in one run.

    python benchmarks/hydrogen_step.py [n [samples]]

The published approach (Phys. Rev. Lett. 131, 126501): protons by 10 Metropolis moves in |det dz/dS|, a full Jacobian
for every value; electrons by 100 Metropolis moves; kinetic energy by a loop over 3N directions of the second derivative
of ln Psi; Ewald sum by pairs for every Fourier vector; dense Fisher matrices.  Here the same wavefunction (massieu's)
stands in for theirs wherever a value is needed, so that only the method differs.  CPU seconds of one core's work.
"""

import sys
import time

import jax
import jax.numpy as jnp
from ewald import pair_form
from hydrogen_reference import dense_update, map_jacobian, metropolis

from massieu.methods.method import method_of
from massieu.physics.kinetic import local_kinetic
from massieu.systems import Hydrogen

PROTON_MOVES, ELECTRON_MOVES = 10, 100


def cpu_seconds(f, *args, repeats=1):
    jax.block_until_ready(f(*args))
    began = time.process_time()
    for _ in range(repeats):
        jax.block_until_ready(f(*args))
    return (time.process_time() - began) / repeats


def published(system, rho, walkers):
    """CPU seconds of the parts of a step, by name; walkers as massieu has them."""
    per_group = walkers.x.shape[1]
    x = walkers.x.reshape(-1, system.n, 3)
    protons = jnp.repeat(walkers.protons, per_group, axis=0)
    twist = jnp.zeros(len(x), int)

    def log_density(protons, x):
        return rho.psi.log_density(rho.psi.around(jnp.asarray(0), protons), x)

    def kinetic(protons, x):
        at = rho.psi.around(jnp.asarray(0), protons)
        return local_kinetic(lambda x: rho.psi.log_psi(at, x)[0], x)

    ewald = pair_form(system.n, 15.0)

    def scores(twist, protons, x):
        found = rho.psi.scores(twist, protons, x)[0]
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(found) if isinstance(leaf, jax.Array)])

    energies = jax.jit(lambda p, x: jax.lax.map(lambda a: kinetic(*a), (p, x), batch_size=8))
    rows = jax.jit(lambda t, p, x: jax.lax.map(lambda a: scores(*a), (t, p, x), batch_size=8))
    electron = jax.jit(lambda k, x: metropolis(k, lambda x: jax.vmap(log_density)(protons, x), x, 0.02, 2))
    proton = jax.jit(lambda k, s: metropolis(k, jax.vmap(map_jacobian), s, 0.02, 2))
    key = jax.random.key(0)
    parts = {
        "electron moves": ELECTRON_MOVES / 2 * cpu_seconds(electron, key, x),
        "proton moves": PROTON_MOVES / 2 * cpu_seconds(proton, key, walkers.protons),
        "kinetic energy": cpu_seconds(energies, protons, x),
        "Coulomb energy": cpu_seconds(jax.jit(jax.vmap(ewald)), jnp.concatenate([protons, x], axis=1)),
        "scores": cpu_seconds(rows, twist, protons, x),
    }
    parts["Fisher matrix"] = cpu_seconds(jax.jit(dense_update), rows(twist, protons, x))
    return parts


def main(n=14, samples=128):
    jax.config.update("jax_enable_x64", True)
    system = Hydrogen(n=n, rs=1.25, temperature=6000.0)
    common = {"batch": samples, "walkers": 8, "tune": False, "steps": 100}
    totals = {}
    for name, options in {
        "as by default (10 moves of MALA)": {},
        "100 moves of Metropolis": {"sampler": "metropolis", "moves": ELECTRON_MOVES},
    }.items():
        config = method_of(system).configure(system, **common, **options)
        problem = method_of(system).problem(system, method_of(system).ansatz(system, config), system.beta, config)
        state, _ = problem.step(problem.start)
        totals[name] = cpu_seconds(problem.step, state, repeats=3)
    parameters = [sum(leaf.size for leaf in jax.tree.leaves(p)) for p in state.params]
    theirs = published(system, problem.density(state), state.walkers)
    print(f"N = {n}, {samples} samples, {parameters[0]} + {parameters[1]} parameters; CPU seconds")
    for name, value in theirs.items():
        print(f"  published approach, {name:16s} {value:8.3f}")
    slow = sum(theirs.values())
    print(f"  published approach, step             {slow:8.3f}")
    for name, value in totals.items():
        print(f"  massieu, step, {name:32s} {value:8.3f}   {slow / value:.1f} times faster")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
