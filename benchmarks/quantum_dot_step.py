"""One training step of the quantum dot, part by part, beside the continuous flow with nested autodiff.

The reference follows Xie, Zhang and Wang, J. Mach. Learn. 1, 38 (2022), written anew in JAX: particles move with the
velocity eta(r_ij) r_ij + mu(r_i) r_i of two sigmoid networks of 50 units for a time 1, the Laplacian of ln p is one
backward pass through the solver for each coordinate, base points come from 100 Metropolis steps of width 0.1, and the
flow learns from ln p(x) (E_loc - mean).  Where there was a choice it has the faster: fixed Runge-Kutta steps and all
in one compiled function for an adaptive solver with adjoint in eager PyTorch.  "forward" in the table has jvps of the
gradient in place of the backward passes.

Equal on both sides: particles, orbitals, walkers, occupations, double precision, Adam; and by row the number of
evaluations of the velocity (4 in a Runge-Kutta step, 1 in a layer of ours) or the flows as they are used.  Not equal:
ours takes potentials linear in 10 coefficients for each kind of pair and each of 9 sets, and samples directly.

    OMP_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" \\
        python benchmarks/quantum_dot_step.py

Times are CPU-milliseconds per walker (process time, medians of interleaved repeats).
"""

import argparse
import time
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from nested_reference import metropolis

import massieu as ms
from massieu.linear_algebra import inverse_and_log_det
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.particles.train import chunk_size, problem, weigh
from massieu.principle import trainable
from massieu.states.oscillator import hermite_functions

WIDTH, MOVES, TAU = 50, 100, 0.1
FLOWS = ((8, 3), (1, 4))  # Runge-Kutta steps of the reference, layers of ours: as used, and equal in evaluations
GROUND_STATE = 14.0  # of six ideal electrons of one spin in the plane


class ContinuousFlow(eqx.Module):
    """x = z moved with the velocity for a time 1: two functions of a distance, each rows (w, b, v) of WIDTH."""

    eta: jax.Array
    mu: jax.Array
    steps: int = eqx.field(static=True)

    def __init__(self, steps: int, scale: float, key: jax.Array):
        first, second = scale * jax.random.normal(key, (2, 3, WIDTH))
        self.eta, self.mu, self.steps = first, second, steps

    def velocity(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Velocity (N, dim) and its divergence, a closed form."""
        i, j = np.triu_indices(len(x), 1)
        apart, dim = x[i] - x[j], x.shape[1]
        r, r0 = jnp.sqrt(jnp.sum(apart**2, axis=1)), jnp.sqrt(jnp.sum(x**2, axis=1))
        eta, d_eta = radial(self.eta, r)
        mu, d_mu = radial(self.mu, r0)
        push = eta[:, None] * apart
        moved = (mu[:, None] * x).at[i].add(push).at[j].add(-push)
        return moved, 2 * jnp.sum(dim * eta + r * d_eta) + jnp.sum(dim * mu + r0 * d_mu)

    def moved(self, x: jax.Array, sign: float) -> tuple[jax.Array, jax.Array]:
        """Positions after a time 1 (sign 1) or before it (-1), and the integral of the divergence on the way."""
        h, total = sign / self.steps, jnp.zeros(())
        for _ in range(self.steps):
            k1, d1 = self.velocity(x)
            k2, d2 = self.velocity(x + 0.5 * h * k1)
            k3, d3 = self.velocity(x + 0.5 * h * k2)
            k4, d4 = self.velocity(x + h * k3)
            x, total = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), total + h / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
        return x, total


def radial(rows: jax.Array, r: jax.Array) -> tuple[jax.Array, jax.Array]:
    """A function sum_k v_k sigmoid(w_k r + b_k) of distances (P,) and its derivative."""
    w, b, v = rows
    s = jax.nn.sigmoid(r[:, None] * w + b)
    return s @ v, (s * (1 - s)) @ (v * w)


def log_base(numbers: jax.Array, z: jax.Array, most: int) -> jax.Array:
    """ln |D(z)|^2 of Cartesian oscillator orbitals with quantum numbers (N, 2), without the constant."""
    h, k = hermite_functions(z[:, 0], most), hermite_functions(z[:, 1], most)
    return 2 * inverse_and_log_det(h[numbers[:, 0]] * k[numbers[:, 1]])[2]


class Reference:
    """The parts of a step of the published approach, as functions of the flow and of a batch."""

    def __init__(self, dot: ms.QuantumDot, rho, chunk: int):
        self.dot, self.chunk, self.most, self.n = dot, chunk, rho.psi.most, dot.n
        self.adam = optax.adam(1e-2)

    def log_prob(self, flow: ContinuousFlow, numbers, x):
        """ln p(x) of one walker."""
        z, total = flow.moved(x, -1.0)
        return log_base(numbers, z, self.most) + total

    def local(self, flow: ContinuousFlow, numbers, x, forward: bool = False):
        """E_loc = -lap ln p/4 - |grad ln p|^2/8 + V of one walker."""
        flat = x.reshape(-1)
        slope = jax.grad(lambda v: self.log_prob(flow, numbers, v.reshape(x.shape)))
        if forward:
            gradient, along = jax.linearize(slope, flat)
        else:
            gradient, pull = jax.vjp(slope, flat)

            def along(direction):
                return pull(direction)[0]

        laplacian = jnp.sum(jax.lax.map(lambda direction: along(direction) @ direction, jnp.eye(flat.size)))
        return -0.25 * laplacian - 0.125 * gradient @ gradient + self.dot.potential(x)

    def locals(self, flow, numbers, x, forward: bool = False):
        def one(args):
            return self.local(flow, *args, forward)

        return jax.lax.map(one, (numbers, x), batch_size=self.chunk if self.chunk > 1 else None)

    def sample(self, flow, numbers, key):
        """x (B, N, 2): Metropolis steps from normal positions under the determinants, then the flow."""
        of_start, of_moves = jax.random.split(key)
        start = jax.random.normal(of_start, (len(numbers), self.n, 2))
        density = jax.vmap(lambda k, z: log_base(k, z, self.most))
        z = metropolis(lambda z: density(numbers, z), of_moves, start, TAU, MOVES)[0]
        return jax.vmap(lambda z: flow.moved(z, 1.0)[0])(z)

    def update(self, flow, state, numbers, x, energy):
        """The flow after one step of Adam."""

        def loss(flow):
            log_prob = jax.vmap(lambda k, x: self.log_prob(flow, k, x))(numbers, x)
            return jnp.mean(log_prob * (energy - jnp.mean(energy)))

        updates, state = self.adam.update(jax.grad(loss)(flow), state)
        return optax.apply_updates(flow, updates), state

    def step(self, flow, state, numbers, key):
        x = self.sample(flow, numbers, key)
        return self.update(flow, state, numbers, x, self.locals(flow, numbers, x))


# ---- timing


def our_update(rho, batch: int) -> Callable:
    """Scores of p and of the flow, their gradients and one step of Adam, of a draw and its energies."""
    parts, adam = [trainable(part) for part in (rho.p, rho.psi)], optax.adam(0.005)
    params = tuple(part[0] for part in parts)

    def update(draw, energy):
        def flow(args):
            return trainable(rho.psi.scores(*args, args[1] + 0j))[0]

        def density(p, label):
            return eqx.combine(p, parts[0][1]).log_prob(label)

        of_p = jax.vmap(jax.grad(density), (None, 0))(params[0], draw.label)
        of_psi = jax.lax.map(flow, (draw.label, draw.z), batch_size=chunk_size(rho.psi.score_bytes, batch))
        f = (energy - jnp.mean(energy)) / batch
        real = jax.tree.map(lambda s: s[:, 0], of_psi)
        slopes = jax.tree.map(lambda s: jnp.tensordot(f, s, 1), (of_p, real))
        return optax.apply_updates(params, adam.update(slopes, adam.init(params))[0])

    return update


def medians(functions: dict[str, tuple], repeats: int) -> dict[str, float]:
    """CPU-seconds of functions with arguments, compiled and called in turn."""
    compiled = {name: (jax.jit(f).lower(*args).compile(), args) for name, (f, *args) in functions.items()}
    taken = {name: [] for name in compiled}
    for repeat in range(repeats + 1):
        for name, (function, args) in compiled.items():
            began = time.process_time()
            jax.block_until_ready(function(*args))
            if repeat:
                taken[name].append(time.process_time() - began)
    return {name: float(np.median(times)) for name, times in taken.items()}


def rattled(rho, scale: float = 0.01):
    """The ansatz with a flow that moves."""
    c = rho.psi.flow.coefficients
    noise = scale * jax.random.normal(jax.random.key(4), c.shape)
    return eqx.tree_at(lambda rho: rho.psi.flow.coefficients, rho, noise)


def check(dot: ms.QuantumDot, config: ParticleOptions) -> None:
    """Both local energies of ideal particles that no flow moves are those of the oscillator."""
    rho = dot.default_ansatz(config)
    label = jnp.arange(-1, dot.n).at[0].set(0)
    z = rho.psi.sample(jax.random.key(0), label[None])[0]
    numbers, idle = rho.psi.numbers(label), ContinuousFlow(8, 0.0, jax.random.key(0))
    repulsion = dot.potential(z) - 0.5 * jnp.sum(z**2)
    kinetic = dot.kinetic_scale * rho.psi.local(label, z).kinetic.real
    energies = [kinetic + dot.potential(z) - repulsion, Reference(dot, rho, 1).local(idle, numbers, z) - repulsion]
    print("ideal local energies, ours and reference: {:.10f} {:.10f}".format(*energies))
    assert all(abs(energy - GROUND_STATE) < 1e-8 for energy in energies)


def compare(dot: ms.QuantumDot, args, steps: int, layers: int) -> None:
    config = ParticleOptions(batch=args.batch, depth=layers, optimiser="adam", learning_rate=0.005)
    rho = rattled(dot.default_ansatz(config))
    built, key = problem(dot, rho, dot.beta, config), jax.random.key(1)
    draw = jax.jit(lambda key: rho.draw(key, args.batch))(key)
    numbers, flow = jax.vmap(rho.psi.numbers)(draw.label), ContinuousFlow(steps, 0.1, jax.random.key(2))
    nested = Reference(dot, rho, args.chunk)
    x, state = jax.jit(nested.sample)(flow, numbers, key), nested.adam.init(flow)
    energy = jax.jit(nested.locals)(flow, numbers, x)
    other = jax.jit(lambda *of: nested.locals(*of, forward=True))(flow, numbers, x)
    assert jnp.allclose(energy, other, rtol=1e-8), "nested derivatives"
    functions: dict[str, tuple[Callable, ...]] = {
        "local": (nested.locals, flow, numbers, x),
        "forward": (lambda *of: nested.locals(*of, forward=True), flow, numbers, x),
        "sample": (nested.sample, flow, numbers, key),
        "update": (nested.update, flow, state, numbers, x, energy),
        "step": (nested.step, flow, state, numbers, key),
        "our local": (lambda draw: weigh(rho, dot, draw).energy, draw),
        "our sample": (lambda key: rho.draw(key, args.batch).z, key),
        "our update": (our_update(rho, args.batch), draw, energy),
        "our step": (built.step, built.start),
    }
    t = {name: 1e3 * taken / args.batch for name, taken in medians(functions, args.repeats).items()}
    ours = {"local": t["our local"], "forward": t["our local"], "sample": t["our sample"]}
    ours |= {"update": t["our update"], "step": t["our step"]}
    print(f"\n{4 * steps} evaluations of the velocity ({steps} Runge-Kutta steps) | {layers} layers of ours")
    print(f"{'CPU-ms per walker':42s} {'reference':>10s} {'ours':>10s} {'ratio':>7s}")
    names = {
        "local": "local energy",
        "forward": "local energy, forward",
        "sample": f"sampling: {MOVES} moves | one direct sample",
        "update": "gradient and update",
        "step": "whole step",
    }
    for name, title in names.items():
        print(f"{title:42s} {t[name]:10.4f} {ours[name]:10.4f} {t[name] / ours[name]:7.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--chunk", type=int, default=1, help="walkers at a time in the reference's local energy")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    dot = ms.QuantumDot(n=6, kappa=1.0, beta=10.0)
    check(dot, ParticleOptions(batch=args.batch))
    for steps, layers in FLOWS:
        compare(dot, args, steps, layers)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
