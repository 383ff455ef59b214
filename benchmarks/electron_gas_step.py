"""One training step of the electron gas, part by part, beside the nested-autodiff approach of the literature.

The reference follows Xie, Zhang and Wang, SciPost Phys. 14, 154 (2023), written anew: a residual FermiNet-like flow of
depth 2 and width 16 with ln|det| of a jacfwd Jacobian inside ln Psi, its Laplacian by a loop over directions of
jvp(grad), 50 Metropolis steps of all electrons, the reciprocal Ewald sum over pairs, momenta drawn by evaluating the
whole causal transformer for each electron, and a dense solve with the full Fisher matrix.  Where there was a choice
the reference has the faster: tanh for softplus, Cholesky for LU, array sweeps for the determinants.

Times are CPU-milliseconds per walker (process time, the best of a few runs), so that other work on the machine
disturbs them little.  For one thread: OMP_NUM_THREADS=1 XLA_FLAGS=--xla_cpu_multi_thread_eigen=false.
"""

import argparse
import math
import resource
import subprocess
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import massieu as ms
from massieu import optimize
from massieu.config import Config
from massieu.densities.occupation import Attention, Occupation
from massieu.geometry import integer_vectors, minimum_image
from massieu.linear_algebra import inverse_and_log_det
from massieu.physics.ewald import Ewald
from massieu.principle import trainable
from massieu.statistics import autocorrelation_time
from massieu.train_quantum import problem, weigh

MOVES, WIDTH, DEPTH = 50, 16, 2
KAPPA, REACH = 10.0, 15.0  # screening and cut-off of the pair form: terms of the real sum reach one image only
AT_LEAST = 1.0  # CPU-seconds of measuring each part
GROWTH = ((5, 256), (13, 256), (29, 64), (57, 64))  # electrons and batch


# ---- the reference


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


def dense_step(scores: jax.Array, residual: jax.Array) -> jax.Array:
    """Natural gradient (P,) from the full Fisher matrix of scores (R, P)."""
    fisher = scores.T @ scores / len(scores) + 1e-3 * jnp.eye(scores.shape[1])
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(fisher), residual @ scores / len(scores))


# ---- measuring


class Stopwatch:
    """CPU-seconds of compiled functions, and of their compilation."""

    def __init__(self):
        self.compiling = 0.0

    def __call__(self, function, *args):
        """Seconds of one call of jit(function), the best of at least two and of AT_LEAST seconds, and its result."""
        began = time.process_time()
        compiled = jax.jit(lambda *args: function(*args)).lower(*args).compile()
        self.compiling += time.process_time() - began
        jax.block_until_ready(compiled(*args))
        taken = []
        while len(taken) < 2 or sum(taken) < AT_LEAST:
            began = time.process_time()
            result = jax.block_until_ready(compiled(*args))
            taken.append(time.process_time() - began)
        return min(taken), result


def parameters(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(trainable(tree)[0]))


def flat_scores(function, model):
    """Derivatives by all parameters of the model as one row each; function(model, ..) -> (..,)."""
    params, static = trainable(model)

    def rows(*args):
        tree = jax.jacrev(lambda p: jnp.atleast_1d(function(eqx.combine(p, static), *args)))(params)
        return jnp.concatenate([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(tree)], axis=1)

    return jax.vmap(rows)


def reference_parts(args, rho, draw) -> tuple[dict[str, float], float, list[int]]:
    """CPU-seconds per walker of the parts of the reference, of compilation, and parameters of flow and p(K)."""
    watch, b, key = Stopwatch(), args.reference_batch, jax.random.key(1)
    flow = ResidualFlow(args.dim, key)
    momenta = first_momenta(rho, draw, b)
    x, orbitals = draw.z[:b], (rho.psi.orbitals + rho.psi.twist[0])[None]
    attention = Attention(orbitals, args.n, width=WIDTH, depth=DEPTH, key=key)

    def value(x):
        return 2 * jax.vmap(lambda k, x: log_psi(flow, k, x)[0])(momenta, x)

    found = {"sampling 50 moves": watch(lambda x: metropolis(value, key, x, 0.02, MOVES)[0], x)[0] / b}
    found["local energy"] = watch(jax.vmap(lambda k, x: nested_kinetic(flow, k, x)), momenta, x)[0] / b
    for dim, n in {args.dim: args.n, 3: 7}.items():
        points = jax.random.uniform(key, (b, n, dim))
        found[f"Ewald {dim}D"] = watch(lambda x: jax.lax.map(pair_ewald, x), points)[0] / b
    keys = jax.random.split(key, args.batch)
    seconds, occupied = watch(jax.vmap(lambda key: naive_momenta(attention, args.n, key)), keys)
    found["momenta"] = seconds / args.batch
    found["scores"] = watch(flat_scores(log_psi, flow), momenta, x)[0] / b

    def log_prob(attention, occupied):
        return jnp.sum(jnp.take_along_axis(conditionals(attention, occupied), occupied[:, None], axis=1))

    found["scores"] += watch(flat_scores(log_prob, attention), occupied)[0] / args.batch
    sizes = [parameters(flow), parameters(attention)]
    for name, rows, size in (("flow", 2 * args.batch, sizes[0]), ("p", args.batch, args.parameters)):
        scores = jax.random.normal(key, (rows, size))
        found[f"optimiser of {name}"] = watch(dense_step, scores, scores[:, 0])[0] / args.batch
    return found, watch.compiling, sizes


def first_momenta(rho, draw, count: int) -> jax.Array:
    """Momenta (count, N, dim) in units of 2 pi/L of the first labels."""
    return jnp.asarray(rho.psi.orbitals)[draw.label[:count, 1:]] + jnp.asarray(rho.psi.twist)[0]


def potential(ewald: Ewald):
    """Energies (B,) of walkers (B, N, dim), as a function."""
    return lambda x: jax.lax.map(ewald.energy, x, batch_size=16)


def our_parts(args, gas, rho, draw) -> tuple[dict[str, float], float]:
    """The same parts of massieu, and of compilation."""
    watch, b, key = Stopwatch(), args.batch, jax.random.key(2)
    found = {"sampling": watch(rho.psi.sample, key, draw.label)[0] / b}
    seconds, weighed = watch(lambda draw: weigh(rho, gas, draw), draw)
    for dim, n in {args.dim: args.n, 3: 7}.items():
        points = jax.random.uniform(key, (b, n, dim))
        found[f"Ewald {dim}D"] = watch(potential(Ewald(dim)), points)[0] / b
    found["local energy"] = seconds / b - found[f"Ewald {args.dim}D"]
    orbitals = (rho.psi.orbitals + rho.psi.twist[0])[None]
    levels = -gas.beta * gas.kinetic_scale * (2 * np.pi) ** 2 * np.sum(orbitals**2, axis=-1)
    p = Occupation(orbitals, levels, gas.spins, width=WIDTH, depth=DEPTH, key=key)
    seconds, (labels, _) = watch(jax.vmap(p.sample_and_log_prob), jax.random.split(key, b))
    found["momenta"] = seconds / b
    surrogate = flat_scores(lambda psi, *rest: psi.surrogate(*rest), rho.psi)
    found["scores"] = watch(surrogate, weighed.label, weighed.z, weighed.gradient)[0] / b
    found["scores"] += watch(flat_scores(lambda p, label: p.log_prob(label), p), labels)[0] / b
    for name, rows, size in (("flow", 2 * b, parameters(rho.psi)), ("p", b, args.parameters)):
        opt = optimize.stochastic_reconfiguration(0.1, optax.constant_schedule(1.0), "minsr")
        theta, scores = jnp.zeros(size), jax.random.normal(key, (rows, size))
        state = opt.init(theta)

        def update(scores, residual, opt=opt, state=state, theta=theta):
            return opt.update(theta, state, theta, scores=scores, residual=residual)[0]

        found[f"optimiser of {name}"] = watch(update, scores, scores[:, 0])[0] / b
    return found, watch.compiling


def whole_step(args, gas, attention: int = 0) -> tuple[float, float, list[int]]:
    """CPU-seconds of one step and of its compilation, and parameters of flow and p(K)."""
    config = Config(batch=args.batch, depth=DEPTH, attention=attention)
    rho, watch = gas.default_ansatz(config), Stopwatch()
    built = problem(gas, rho, gas.beta, config)
    return watch(built.step, built.start)[0], watch.compiling, [parameters(rho.psi), parameters(rho.p)]


def decorrelation(rho, gas, draw, moves: int = 3000, chains: int = 32) -> tuple[float, float]:
    """Autocorrelation time, in Metropolis moves, of the potential energy under |D_K|^2 of one K, and the acceptance."""
    label = draw.label[0]
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


def peak_memory(args) -> tuple[int, int]:
    """Peak resident MB of our step in a process of its own, and of the same process before it."""
    command = [sys.executable, __file__, "--memory"]
    for name in ("n", "dim", "batch"):
        command += [f"--{name}", str(getattr(args, name))]
    before, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(before), int(peak)


def resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


# ---- what is printed


def compare(args, gas) -> None:
    """The table of parts, the whole step, compilation and memory."""
    rho = gas.default_ansatz(Config(batch=args.batch, depth=DEPTH))
    draw = jax.jit(lambda key: rho.draw(key, args.batch))(jax.random.key(0))
    far = float(jnp.ptp(jax.vmap(lambda x: pair_ewald(x) - gas.ewald.energy(x))(draw.z[:8])))
    print(f"Ewald energies of both agree to {far:.0e} e^2/L")
    reference, compiling, sizes = reference_parts(args, rho, draw)
    ours, our_compiling = our_parts(args, gas, rho, draw)
    tau, acceptance = decorrelation(rho, gas, draw)
    print(f"Metropolis: autocorrelation time of the potential {tau:.0f} moves at acceptance {acceptance:.2f}")
    moves = reference["sampling 50 moves"]
    rows = {f"sampling: {MOVES} moves | one direct sample": (moves, ours["sampling"])}
    rows[f"sampling: {tau:.0f} moves | one direct sample"] = (moves * tau / MOVES, ours["sampling"])
    rows |= {name: (reference[name], ours[name]) for name in ours if name != "sampling"}
    other_dim = "Ewald 3D" if args.dim == 2 else None
    nested = sum(seconds for name, seconds in reference.items() if name != other_dim)
    steps = [whole_step(args, gas), whole_step(args, gas, attention=DEPTH)]
    for name, (seconds, _, _) in zip(("whole step, default p(K)", "whole step, attention in p(K)"), steps):
        rows[name] = (nested, seconds / args.batch)
    print(f"{'part':45s} {'reference':>10s} {'ours':>10s} {'ratio':>7s}   (CPU-ms per walker)")
    for name, (slow, fast) in rows.items():
        print(f"{name:45s} {1e3 * slow:10.4f} {1e3 * fast:10.4f} {slow / fast:7.1f}")
    print("parameters of flow, p(K): reference {}, ours {}, with attention {}".format(sizes, *(s[2] for s in steps)))
    print(f"compilation (CPU-s): reference parts {compiling:.1f}, our parts {our_compiling:.1f}, our step {steps[0][1]:.1f}")
    before, peak = peak_memory(args)
    print(f"peak memory of our step {peak} MB ({before} MB before it)")


def local_energy(args, gas) -> None:
    """The local energies of both alone, for sizes where the reference takes long."""
    rho, watch, b = gas.default_ansatz(Config(batch=args.batch, depth=DEPTH)), Stopwatch(), args.reference_batch
    draw = jax.jit(lambda key: rho.draw(key, args.batch))(jax.random.key(0))
    flow, momenta = ResidualFlow(args.dim, jax.random.key(1)), first_momenta(rho, draw, b)
    ours = watch(lambda draw: weigh(rho, gas, draw), draw)[0] / args.batch
    potential = watch(potential(gas.ewald), draw.z)[0] / args.batch
    kinetic = jax.vmap(lambda k, x: nested_kinetic(flow, k, x))
    slow, fast = 1e3 * watch(kinetic, momenta, draw.z[:b])[0] / b, 1e3 * (ours - potential)
    print(f"N = {args.n}, local energy: reference {slow:.2f}, ours {fast:.3f} CPU-ms per walker, ratio {slow / fast:.1f}")


def growth(args) -> None:
    """CPU-seconds of our step and its parts against N."""
    print(f"{'N':>3s} {'batch':>5s} {'s/step':>8s} {'ms/walker':>10s}   share of momenta, sampling, local energy, rest")
    found = []
    for n, batch in GROWTH:
        gas, watch = system(args, n), Stopwatch()
        config = Config(batch=batch, depth=DEPTH)
        rho = gas.default_ansatz(config)
        built = problem(gas, rho, gas.beta, config)
        whole = watch(built.step, built.start)[0]
        key = jax.random.key(0)
        momenta = watch(jax.vmap(rho.p.sample_and_log_prob), jax.random.split(key, batch))[0]
        both, draw = watch(lambda key, rho=rho, batch=batch: rho.draw(key, batch), key)
        local = watch(lambda draw, rho=rho, gas=gas: weigh(rho, gas, draw), draw)[0]
        parts = [momenta, max(both - momenta, 0.0), local, max(whole - both - local, 0.0)]
        shares = "  ".join(f"{100 * part / whole:5.1f} %" for part in parts)
        print(f"{n:3d} {batch:5d} {whole:8.3f} {1e3 * whole / batch:10.3f}   {shares}", flush=True)
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
    gas = system(args, args.n)
    if args.memory:
        before = resident()
        whole_step(args, gas)
        print(before, resident())
    elif args.growth:
        growth(args)
    elif args.local_energy:
        local_energy(args, gas)
    else:
        compare(args, gas)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
