"""One training step of the electron gas, part by part, beside the nested-autodiff approach of the literature.

The reference (nested_reference.py) follows Xie, Zhang and Wang, SciPost Phys. 14, 154 (2023): 50 Metropolis steps,
depth 2, width 16.  Where there was a choice it has the faster: tanh for softplus, Cholesky for LU, walkers one by one
where that beats a batch of them.

Times are CPU-milliseconds per walker (process time, the best of a few runs), so that other work on the machine
disturbs them little; ratios repeat to about 20 %.  For one thread: OMP_NUM_THREADS=1
XLA_FLAGS=--xla_cpu_multi_thread_eigen=false.
"""

import argparse
import math
import subprocess
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from nested_reference import (
    DEPTH,
    WIDTH,
    ResidualFlow,
    all_conditionals,
    dense_step,
    log_psi,
    metropolis,
    naive_momenta,
    nested_kinetic,
    pair_ewald,
)

import massieu as ms
from massieu import optimize
from massieu.densities.occupation import Attention
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.particles.train import chunk_size, problem, weigh
from massieu.physics.ewald import Ewald
from massieu.principle import trainable
from massieu.statistics import autocorrelation_time

MOVES = 50
AT_LEAST = 1.0  # CPU-seconds of measuring each part
GROWTH = ((5, 256), (13, 256), (29, 64), (57, 64))  # electrons and batch


class Stopwatch:
    """CPU-seconds of compiled functions, and of their compilation."""

    def __init__(self):
        self.compiling = 0.0

    def __call__(self, function, *args) -> float:
        """Seconds of one call of jit(function): the best of at least two, and of AT_LEAST seconds."""
        began = time.process_time()
        compiled = jax.jit(lambda *args: function(*args)).lower(*args).compile()
        self.compiling += time.process_time() - began
        jax.block_until_ready(compiled(*args))
        taken = []
        while len(taken) < 2 or sum(taken) < AT_LEAST:
            began = time.process_time()
            jax.block_until_ready(compiled(*args))
            taken.append(time.process_time() - began)
        return min(taken)

    def parts(self, tasks: dict[str, list]) -> dict[str, float]:
        """Seconds per walker of each part, the sum of its tasks (function, arguments, walkers)."""
        return {name: sum(self(f, *xs) / walkers for f, xs, walkers in todo) for name, todo in tasks.items()}


def mapped(function, size: int = 1):
    """A function of one walker over all of them, `size` at a time."""
    return lambda *batch: jax.lax.map(lambda args: function(*args), batch, batch_size=size if size > 1 else None)


def parameters(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(trainable(tree)[0]))


def scores(function, model):
    """Derivatives of function(model, ..) by all parameters, one row each, as a function of the rest."""
    params, static = trainable(model)

    def rows(*args):
        tree = jax.jacrev(lambda p: jnp.atleast_1d(function(eqx.combine(p, static), *args)))(params)
        return jnp.concatenate([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(tree)], axis=1)

    return rows


def reference_tasks(args, rho, draw) -> tuple[dict[str, list], list[int]]:
    """The parts of the reference, and the parameters of its flow and p(K)."""
    few, b, key = args.reference_batch, args.batch, jax.random.key(1)
    flow, orbitals = ResidualFlow(args.dim, key), (rho.psi.orbitals + rho.psi.twist[0])[None]
    attention = Attention(orbitals, args.n, width=WIDTH, depth=DEPTH, key=key)
    momenta, x = jnp.asarray(orbitals[0])[draw.label[:few, 1:]], draw.z[:few]

    def density(x):
        return 2 * jax.vmap(lambda k, x: log_psi(flow, k, x)[0])(momenta, x)

    def dense(rows, size):
        o = jax.random.normal(key, (rows, size))
        return dense_step, (o, o[:, 0]), b

    sizes = [parameters(flow), parameters(attention)]
    found = {
        "local energy": [(mapped(lambda k, x: nested_kinetic(flow, k, x)), (momenta, x), few)],
        "sampling": [(lambda x: metropolis(density, key, x, 0.02, MOVES)[0], (x,), few)],
        "momenta": [(jax.vmap(lambda key: naive_momenta(attention, args.n, key)), (jax.random.split(key, b),), b)],
        "scores of flow": [(mapped(scores(log_psi, flow)), (momenta, x), few)],
        "scores of p": [(jax.vmap(scores(all_conditionals, attention)), (draw.label[:, 1:],), b)],
        "optimiser of flow": [dense(2 * b, sizes[0])],
        "optimiser of p": [dense(b, args.parameters)],
    }
    for dim, n in {3: 7, args.dim: args.n}.items():
        found[f"Ewald {dim}D, N = {n}"] = [(mapped(pair_ewald), (jax.random.uniform(key, (few, n, dim)),), few)]
    return found, sizes


def our_tasks(args, gas, rho, draw) -> dict[str, list]:
    """The same parts of massieu; p(K) with attention layers of the reference's size."""
    b, key, chunk = args.batch, jax.random.key(2), chunk_size(rho.psi.walker_bytes, args.batch)
    p = system(args, args.n).default_ansatz(ParticleOptions(depth=DEPTH, attention=DEPTH)).p
    slope = draw.z + 0j

    def sample_space(rows, size):
        o = jax.random.normal(key, (rows, size))
        method = optimize.stochastic_reconfiguration(0.1, optax.constant_schedule(1.0), "minsr")
        theta = jnp.zeros(size)
        start = method.init(theta)
        return lambda o, f: method.update(theta, start, theta, scores=o, residual=f)[0], (o, o[:, 0]), b

    by_hand = mapped(lambda *walker: trainable(rho.psi.scores(*walker))[0], chunk_size(rho.psi.score_bytes, b))
    found = {
        "local energy": [(mapped(rho.psi.local, chunk), (draw.label, draw.z), b)],
        "sampling": [(rho.psi.sample, (key, draw.label), b)],
        "momenta": [(jax.vmap(p.sample_and_log_prob), (jax.random.split(key, b),), b)],
        "scores of flow": [(by_hand, (draw.label, draw.z, slope), b)],
        "scores of p": [(jax.vmap(scores(lambda p, label: p.log_prob(label), p)), (draw.label,), b)],
        "optimiser of flow": [sample_space(2 * b, parameters(rho.psi))],
        "optimiser of p": [sample_space(b, args.parameters)],
    }
    for dim, n in {3: 7, args.dim: args.n}.items():
        points = jax.random.uniform(key, (b, n, dim))
        found[f"Ewald {dim}D, N = {n}"] = [(mapped(Ewald(dim).energy, chunk), (points,), b)]
    return found


def whole_step(args, gas, attention: int = 0) -> tuple[float, float, list[int]]:
    """CPU-seconds per walker of one step, those of its compilation, and the parameters of flow and p(K)."""
    config = ParticleOptions(batch=args.batch, depth=DEPTH, attention=attention)
    rho, watch = gas.default_ansatz(config), Stopwatch()
    built = problem(gas, rho, gas.beta, config)
    return watch(built.step, built.start) / args.batch, watch.compiling, [parameters(rho.psi), parameters(rho.p)]


def decorrelation(rho, gas, label, moves: int = 3000, chains: int = 32) -> tuple[float, float]:
    """Autocorrelation time, in Metropolis moves, of the potential energy under |D_K|^2 of one K, and the acceptance."""
    x = rho.psi.sample(jax.random.key(3), jnp.broadcast_to(label, (chains, len(label))))
    density, energy = jax.vmap(lambda z: rho.psi.log_base_density(label, z)), jax.vmap(gas.ewald.energy)
    width = 0.1 * gas.n ** (-1 / gas.dim)
    short = jax.jit(lambda key, x, width: metropolis(density, key, x, width, 50)[::2])
    for i in range(20):
        x, acceptance = short(jax.random.key(i), x, width)
        width *= math.exp(float(acceptance) - 0.5)
    run = jax.jit(lambda key, x, width: metropolis(density, key, x, width, moves, energy)[1:])
    energies, acceptance = run(jax.random.key(99), x, width)
    return autocorrelation_time(np.asarray(energies).T), float(acceptance)


def peak_memory(args) -> str:
    """Peak resident memory of our step in a process of its own (Linux)."""
    command = [sys.executable, __file__, "--memory"]
    for name in ("n", "dim", "batch"):
        command += [f"--{name}", str(getattr(args, name))]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def resident() -> int:
    """Peak so far (MB), from /proc: ru_maxrss would include that of the parent process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) // 1024


# ---- what is printed


def row(name: str, slow: float, fast: float) -> None:
    print(f"{name:42s} {1e3 * slow:10.4f} {1e3 * fast:10.4f} {slow / fast:7.1f}", flush=True)


def compare(args, gas) -> None:
    """The table of parts, the whole step, compilation and memory."""
    rho = gas.default_ansatz(ParticleOptions(batch=args.batch, depth=DEPTH))
    draw = jax.jit(lambda key: rho.draw(key, args.batch))(jax.random.key(0))
    far = float(jnp.ptp(jax.vmap(lambda x: pair_ewald(x) - gas.ewald.energy(x))(draw.z[:8])))
    tasks, sizes = reference_tasks(args, rho, draw)
    ours = our_tasks(args, gas, rho, draw)
    if args.local_energy:
        tasks, ours = ({"local energy": of["local energy"]} for of in (tasks, ours))
    print(f"N = {args.n}, {args.dim}D, batch {args.batch} (reference {args.reference_batch})")
    print(f"{'CPU-ms per walker':42s} {'reference':>10s} {'ours':>10s} {'ratio':>7s}")
    watch, our_watch, nested = Stopwatch(), Stopwatch(), 0.0
    for name in tasks:
        slow, fast = watch.parts({name: tasks[name]})[name], our_watch.parts({name: ours[name]})[name]
        row(f"{name}: {MOVES} moves | one direct sample" if name == "sampling" else name, slow, fast)
        nested += 0.0 if name.startswith("Ewald 3") and args.dim == 2 else slow
        if name == "sampling":
            tau, acceptance = decorrelation(rho, gas, draw.label[0])
            row(f"{name}: {tau:.0f} moves | one direct sample", slow * tau / MOVES, fast)
    if args.local_energy:
        return
    steps = [whole_step(args, gas), whole_step(args, gas, attention=DEPTH)]
    row("whole step, default p(K)", nested, steps[0][0])
    row("whole step, attention in p(K)", nested, steps[1][0])
    print(f"autocorrelation time of the potential: {tau:.0f} moves at acceptance {acceptance:.2f}")
    print(f"Ewald energies agree to {far:.0e} e^2/L")
    print("parameters of flow, p(K): reference {}, ours {}, with attention {}".format(sizes, *(s[2] for s in steps)))
    seconds = f"reference {watch.compiling:.1f}, ours {our_watch.compiling:.1f}, our step {steps[0][1]:.1f}"
    print(f"compilation of all parts (CPU-s): {seconds}\n{peak_memory(args)}")


def growth(args) -> None:
    """CPU-seconds of our step and its parts against N."""
    print("  N batch   s/step  ms/walker   momenta  sampling  local energy  rest")
    found, key = [], jax.random.key(0)
    for n, batch in GROWTH:
        gas, watch = system(args, n), Stopwatch()
        config = ParticleOptions(batch=batch, depth=DEPTH)
        rho = gas.default_ansatz(config)
        built = problem(gas, rho, gas.beta, config)
        whole, keys = watch(built.step, built.start), jax.random.split(key, batch)
        draw = rho.draw(key, batch)
        momenta, sampling = watch(jax.vmap(rho.p.sample_and_log_prob), keys), watch(rho.psi.sample, key, draw.label)
        local = watch(lambda draw, rho=rho, gas=gas: weigh(rho, gas, draw), draw)
        parts = [momenta, sampling, local, max(whole - momenta - sampling - local, 0.0)]
        shares = "  ".join(f"{100 * part / whole:6.1f} %" for part in parts)
        print(f"{n:3d} {batch:5d} {whole:8.3f} {1e3 * whole / batch:10.3f}  {shares}", flush=True)
        found.append((math.log(n), math.log(whole / batch)))
    for start in (0, 1):
        slope = np.polyfit(*np.array(found[start:]).T, 1)[0]
        print(f"time per walker ~ N^{slope:.2f} from N = {GROWTH[start][0]} to {GROWTH[-1][0]}")


def system(args, n: int) -> ms.ElectronGas:
    """The gas at rs = 5, theta = 0.15 and twist 1/4."""
    return ms.ElectronGas(n=n, dim=args.dim, rs=5.0, theta=0.15, twist="0.25")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=13)
    parser.add_argument("--dim", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--reference-batch", type=int, default=16, help="walkers of the slow reference")
    parser.add_argument("--parameters", type=int, default=5800, help="parameters of p(K) in the optimiser's test")
    parser.add_argument("--growth", action="store_true", help="our step against N instead")
    parser.add_argument("--local-energy", action="store_true", help="the local energies alone")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.memory:
        before = resident()
        whole_step(args, system(args, args.n))
        print(f"peak memory of our step {resident()} MB, {before} MB of it before; with compilation")
    elif args.growth:
        growth(args)
    else:
        compare(args, system(args, args.n))


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
