"""Value and gradient of <x|U^+ H U|x> by all angles: our circuit beside the JAX state-vector simulators of PyPI.

The transverse-field Ising ring, a brick wall of two-qubit gates, general ones, SU(4), and real ones, SO(4).  All sides
build their gates from the same angles by the same exponential, apply them one by one in the same order in double
precision, and differentiate in reverse through the compiled function: the fastest way that the others offer on a CPU
(PennyLane: backprop).  They store the states between gates; ours undoes the gates.  Each of the others is timed with
its own expectation value and with our H on its state; batches of the others are vmaps over x.

    pip install qujax pennylane tensorcircuit-ng      (any of the three)
    OMP_NUM_THREADS=1 XLA_FLAGS="--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1" \\
        python benchmarks/circuit_gradient.py

Times are CPU-milliseconds for all states (process time, medians of interleaved repeats).
"""

import argparse
import importlib
import time
from collections.abc import Callable
from importlib.metadata import version

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from massieu.physics.pauli import PauliSum, ising_in_a_field
from massieu.states.circuit import GENERAL, REAL, Circuit, _exponential
from massieu.states.ensemble import CircuitEnsemble

GAMMA = 1.0
PACKAGES = {"qujax": "qujax", "pennylane": "pennylane", "tensorcircuit": "tensorcircuit-ng"}


class Task:
    """One circuit, H, and what every side shares: the gates in order, the bonds, the first state."""

    def __init__(self, n: int, layers: int, generators: np.ndarray):
        self.n, ring = n, [(i, (i + 1) % n) for i in range(n)]
        self.circuit = Circuit(n, ring, layers, generators=generators, scale=0.3, key=jax.random.key(0))
        self.terms = ising_in_a_field(ring, n, GAMMA)
        self.h = PauliSum.from_terms(self.terms)
        self.bonds = [bond for row in self.circuit.rows for bond in row] * layers
        self.dtype = float if self.circuit.is_real else complex

    def gates(self, angles):
        """All gates (layers * bonds, 4, 4)."""
        generators = -1j * self.circuit.generators
        generators = generators.real if self.circuit.is_real else generators
        return _exponential(jnp.einsum("lgk,kij->lgij", angles, generators)).reshape(-1, 4, 4)

    def first(self, x):
        """|x> (2^n,)."""
        return jax.nn.one_hot(x @ (2 ** np.arange(self.n)[::-1]), 2**self.n, dtype=self.dtype)

    def energy(self, psi):
        return jnp.real(jnp.vdot(psi, self.h.apply(psi)))


# ---- the sides: functions of the angles and of bits x (B, n), to the mean energy


def ours(task: Task) -> Callable:
    def energy(angles, x):
        circuit = eqx.tree_at(lambda c: c.angles, task.circuit, angles)
        return jnp.mean(CircuitEnsemble(None, circuit).levels_and_states(task.h, 1 - 2 * x)[0].energy)

    return energy


def qujax(task: Task) -> tuple[Callable, Callable]:
    """State (2^n,) and energy of one x."""
    module, apply_gate = importlib.import_module("qujax"), importlib.import_module("qujax.statetensor").apply_gate
    kinds, where = [list(p.values()) for _, p in task.terms], [list(p) for _, p in task.terms]
    expectation = module.get_statetensor_to_expectation_func(kinds, where, [c for c, _ in task.terms])

    def tensor(angles, x):
        psi = task.first(x).reshape((2,) * task.n)
        for gate, bond in zip(task.gates(angles), task.bonds, strict=True):
            psi = apply_gate(psi, gate.reshape(2, 2, 2, 2), bond)
        return psi

    return lambda angles, x: tensor(angles, x).reshape(-1), lambda angles, x: expectation(tensor(angles, x))


def pennylane(task: Task) -> tuple[Callable, Callable]:
    qml = importlib.import_module("pennylane")
    products = [qml.prod(*[getattr(qml, f"Pauli{kind}")(q) for q, kind in p.items()]) for _, p in task.terms]
    hamiltonian = qml.Hamiltonian([c for c, _ in task.terms], products)

    def node(measured):
        @qml.qnode(qml.device("default.qubit", wires=task.n), interface="jax", diff_method="backprop")
        def circuit(gates, psi):
            qml.StatePrep(psi, wires=range(task.n))
            for k, bond in enumerate(task.bonds):
                qml.QubitUnitary(gates[k], wires=bond)
            return measured()

        return lambda angles, x: circuit(task.gates(angles), task.first(x))

    energy = node(lambda: qml.expval(hamiltonian))
    return node(qml.state), lambda angles, x: jnp.real(energy(angles, x))


def tensorcircuit(task: Task) -> tuple[Callable, Callable]:
    tc = importlib.import_module("tensorcircuit")
    tc.set_backend("jax")
    tc.set_dtype("complex128")

    def circuit(angles, x):
        c = tc.Circuit(task.n, inputs=task.first(x).astype(complex))
        for gate, bond in zip(task.gates(angles).astype(complex), task.bonds, strict=True):
            c.any(*bond, unitary=gate)
        return c

    def energy(angles, x):
        c = circuit(angles, x)
        operators = [[(getattr(tc.gates, kind.lower())(), [q]) for q, kind in p.items()] for _, p in task.terms]
        values = [k * c.expectation(*of, reuse=True) for (k, _), of in zip(task.terms, operators, strict=True)]
        return jnp.real(sum(values))

    return lambda angles, x: circuit(angles, x).state(), energy


def sides(task: Task, names: list[str]) -> dict[str, Callable]:
    found = {"ours": ours(task)}
    for name in names:
        state, energy = globals()[name](task)

        def own(angles, x, energy=energy):
            return jnp.mean(jax.vmap(lambda x: energy(angles, x))(x))

        def with_our_h(angles, x, state=state):
            return jnp.mean(jax.vmap(lambda x: task.energy(state(angles, x)))(x))

        found |= {name: own, f"{name}, our H": with_our_h}
    return found


# ---- timing


def cpu_seconds(function: Callable, *args) -> float:
    began = time.process_time()
    jax.block_until_ready(function(*args))
    return time.process_time() - began


def compare(task: Task, names: list[str], kind: str, batch: int, repeats: int) -> None:
    x = jax.random.bernoulli(jax.random.key(1), 0.5, (batch, task.n)).astype(int)
    args = (task.circuit.angles, x)
    compiled, compiling = {}, {}
    for name, function in sides(task, names).items():
        began = time.process_time()
        compiled[name] = jax.jit(jax.value_and_grad(function)).lower(*args).compile()
        compiling[name] = time.process_time() - began
    value, gradient = compiled["ours"](*args)
    for name, function in compiled.items():
        other, slope = function(*args)
        agree = abs(other - value) < 1e-8 and jnp.max(jnp.abs(slope - gradient)) < 1e-8
        assert agree, f"{name}: energy {other}, ours {value}"
    taken = {name: [] for name in compiled}
    for _ in range(repeats):
        for name, function in compiled.items():
            taken[name].append(cpu_seconds(function, *args))
    middle = {name: 1e3 * float(np.median(times)) for name, times in taken.items()}
    for name in compiled:
        ratio = middle[name] / middle["ours"]
        print(f"{kind:8s} {batch:6d} {name:22s} {middle[name]:9.2f} {ratio:7.2f} {compiling[name]:12.1f}", flush=True)


def installed() -> list[str]:
    found = []
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"{name} left out ({error}): pip install {PACKAGES[name]}")
        else:
            found.append(name)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n", type=int, default=12)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--against", nargs="+", choices=PACKAGES, help="default: all that are installed")
    args = parser.parse_args()
    names = args.against or installed()
    print(", ".join(f"{PACKAGES[name]} {version(PACKAGES[name])}" for name in names), f"jax {version('jax')}")
    print(f"{args.n} qubits, {args.layers} layers; ratio: to ours")
    print("gates    states side                      CPU-ms   ratio compiling (s)")
    for kind, generators in (("general", GENERAL), ("real", REAL)):
        task = Task(args.n, args.layers, generators)
        for batch in args.batches:
            compare(task, names, kind, batch, repeats=21 if batch == 1 else 7)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
