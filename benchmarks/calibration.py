"""Whether error bars say what they should: z = (estimate - exact)/error over a seeded set of small systems.

The mean of z^2 is 1 where an error is the standard deviation of its estimate.  Exact values are sums over all states
of the variational density or of the system, quadrature, or closed forms.  `python -m benchmarks.calibration` prints the
tables of docs/estimators.md.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flowjax.distributions import Normal

import massieu as ms
from massieu import densities, statistics
from massieu.exact.enumeration import all_spins
from massieu.exact.trap import trap_quadrature
from massieu.methods.classical.evaluate import averages, evaluate
from massieu.methods.evaluation import Evaluation
from massieu.methods.method import method_of
from massieu.methods.qubits.evaluate import evaluate_qubits
from massieu.methods.trust import few
from massieu.principle import Estimate, Samples, condition_of, draw, score_function_gradient, trainable

SPINS, INSTANCES, REPEATS, SAMPLES = 9, 54, 5, 2000
STEPS, BATCH, RATE = 30, 256, 0.03  # of the spins' densities, half of them annealed: too few to be exact
CLAIMS = ("variational", "reweighted", "unbiased")


class Score(NamedTuple):
    """One estimate against what it estimates: claim "variational", "reweighted" or "unbiased", and the quantity."""

    kind: str
    claim: str
    quantity: str
    z: float


class Bound(NamedTuple):
    """(F - F_exact)/error of a variational free energy, which is not to be far below zero."""

    kind: str
    z: float


Found = Score | Bound


def z_score(estimate: Any, exact: Estimate | float) -> float:
    """Of an Estimate or its dictionary; an exact value that has an error counts with it."""
    estimate = Estimate(estimate["value"], estimate["error"]) if isinstance(estimate, dict) else estimate
    return statistics.z_score(estimate, exact if isinstance(exact, Estimate) else Estimate(float(exact)))


def totals(kind: str, claim: str, found: Any, exact: dict[str, Any]) -> Iterator[Score]:
    """One score for each total of which both values are known."""
    for name, value in exact.items():
        estimate = found[name] if isinstance(found, dict) else getattr(found, name)
        yield Score(kind, claim, name, z_score(estimate, value))


# ---- spins: all states are summed over


def spin_systems(folder: Path) -> list[Any]:
    """Spin glasses, odd lattices and memories, all in fields of their own, of one size."""
    found: list[Any] = []
    for k in range(INSTANCES):
        rng = np.random.default_rng(k)
        beta, fields = float(rng.uniform(0.3, 1.2)), rng.normal(0, 0.3, SPINS)
        if k % 3 == 0:
            found.append(ms.SK(n=SPINS, beta=beta, couplings_seed=k, fields=fields))
        elif k % 3 == 1:
            j, h = float(rng.choice([-1.0, 1.0])), float(rng.uniform(-0.5, 0.5))
            found.append(ms.Ising(l=3, beta=0.5 * beta, j=j, h=h))
        else:
            path = folder / f"patterns{k}.npy"
            np.save(path, rng.choice([-1.0, 1.0], (3, SPINS)))
            found.append(ms.Hopfield(patterns=str(path), beta=beta, fields=fields))
    return found


def _energy(couplings: Any, field: Any, s: Any) -> Any:
    return -0.5 * s @ couplings @ s - field @ s


@jax.jit
def spin_densities(couplings: Any, fields: Any, betas: Any) -> Any:
    """One autoregressive density for each system, after STEPS of Adam: their parameters, with a leading axis."""
    params, static = trainable(densities.MADE(SPINS, width=4, key=jax.random.key(0)))
    optimiser = optax.adam(RATE)

    def trained(couplings: Any, field: Any, beta: Any, number: Any) -> Any:
        def step(carry: Any, inputs: Any) -> Any:
            (params, state), (key, share) = carry, inputs
            samples = draw(eqx.combine(params, static), partial(_energy, couplings, field), key, BATCH, share * beta)
            gradient = score_function_gradient(params, static, samples, share * beta)
            updates, state = optimiser.update(gradient, state)
            return (optax.apply_updates(params, updates), state), None

        keys = jax.random.split(jax.random.key(number), STEPS)
        shares = jnp.minimum(1.0, jnp.linspace(0.1, 1.9, STEPS))
        return jax.lax.scan(step, (params, optimiser.init(params)), (keys, shares))[0][0]

    return jax.vmap(trained)(couplings, fields, betas, jnp.arange(len(betas)))


@jax.jit
def spin_samples(params: Any, couplings: Any, fields: Any, betas: Any) -> tuple[Samples, Any]:
    """REPEATS sets of SAMPLES configurations of every density, and ln p of all states."""
    static = trainable(densities.MADE(SPINS, width=4, key=jax.random.key(0)))[1]
    states = jnp.asarray(all_spins(SPINS))

    def one(params: Any, couplings: Any, field: Any, beta: Any, number: Any) -> Any:
        density = eqx.combine(params, static)
        keys = jax.random.split(jax.random.key(1000 + number), REPEATS)
        drawn = [draw(density, partial(_energy, couplings, field), key, SAMPLES, beta) for key in keys]
        return jax.tree.map(lambda *v: jnp.stack(v), *drawn), density.log_prob(states, condition_of(density, beta))

    return jax.vmap(one)(params, couplings, fields, betas, jnp.arange(len(betas)))


def of_states(energy: np.ndarray, log_p: np.ndarray, beta: float) -> dict[str, float]:
    """F, E, S, C of the density p over all states."""
    p, E = np.exp(log_p), float(np.exp(log_p) @ energy)
    C = beta**2 * float(p @ (energy - E) ** 2)
    return {"F": E + float(p @ log_p) / beta, "E": E, "S": -float(p @ log_p), "C": C}


def spin_scores() -> Iterator[Found]:
    """All claims on INSTANCES systems, REPEATS times each; one program trains, one draws."""
    with tempfile.TemporaryDirectory() as folder:
        systems = spin_systems(Path(folder))
    names = ("couplings", "field", "beta")
    couplings, fields, betas = (np.stack([getattr(system, name) for system in systems]) for name in names)
    drawn, log_q = spin_samples(spin_densities(couplings, fields, betas), couplings, fields, betas)
    states = all_spins(SPINS)
    m = states.mean(axis=1)
    for k, system in enumerate(systems):
        kind, beta = system.name, float(system.beta)
        energy = np.asarray(jax.vmap(system.energy)(jnp.asarray(states)))
        log_p = np.asarray(jax.nn.log_softmax(-beta * energy))
        variational, physical = of_states(energy, np.asarray(log_q[k]), beta), of_states(energy, log_p, beta)
        p, values = np.exp(log_p), {"energy": energy, "m": m, "abs_m": np.abs(m), "m2": m**2}
        means = {name: float(p @ value) for name, value in values.items()}
        for seed in range(REPEATS):
            samples = {name: np.asarray(getattr(drawn, name)[k, seed]) for name in drawn._fields}
            found = averages(samples, _magnetisation(samples["x"]), beta, REPEATS * k + seed)
            yield from totals(kind, "variational", found, variational)
            yield Bound(kind, z_score(found.F, physical["F"]))
            yield from reweighted(kind, found, physical | {"lnZ": -beta * physical["F"]})
            yield from unbiased(kind, found, means)


def _magnetisation(x: np.ndarray) -> dict[str, np.ndarray]:
    m = x.mean(axis=1)
    return {"m": m, "abs_m": np.abs(m), "m2": m**2}


def reweighted(kind: str, found: Evaluation, exact: dict[str, float]) -> Iterator[Score]:
    """ln Z, E and S by the weights, where these are enough to be given an error."""
    if not few(found.importance["ess"]):
        yield from totals(kind, "reweighted", found.importance, {name: exact[name] for name in ("lnZ", "E", "S")})


def unbiased(kind: str, found: Evaluation, means: dict[str, float]) -> Iterator[Score]:
    """Observables by chains with neural proposals, where nothing is said against them, and reweighted."""
    trusted, weighed = found.observables["mcmc"]["doubt"] is None, not few(found.importance["ess"])
    for name, exact in means.items():
        if trusted:
            yield Score(kind, "unbiased", name, z_score(found.observables[name], exact))
        if weighed:
            yield Score(kind, "reweighted", name, z_score(found.observables[name]["reweighted"], exact))


# ---- charges in a trap: normal densities, whose averages are closed forms


def trap_scores(repeats: int = 4) -> Iterator[Found]:
    """One and two charges in normal densities of the wrong width."""
    for n, dim, k in ((1, 1, 0), (1, 2, 1), (1, 3, 2), (2, 3, 3), (2, 3, 4), (2, 3, 5)):
        rng = np.random.default_rng(100 + k)
        beta, kappa = rng.uniform(0.5, 2.0, 2).tolist()
        width = math.sqrt(rng.uniform(1.05, 1.4) / (2 * beta * kappa)) * (1.3 if n == 2 else 1.0)
        system, density = ms.CoulombTrap(n=n, dim=dim, beta=beta, kappa=kappa), Normal(jnp.zeros((n, dim)), width)
        exact, means = trap_quadrature(n, dim, beta, kappa), _of_normal(n, dim, beta, kappa, width)
        assert exact.E is not None and exact.S is not None
        physical = {"lnZ": exact.lnZ.value, "E": exact.E.value, "S": exact.S.value}
        for seed in range(repeats):
            found = evaluate(system, density, beta, SAMPLES, 100 * k + seed)
            yield from totals("coulomb-trap", "variational", found, means)
            yield Bound("coulomb-trap", z_score(found.F, exact.F))
            yield from reweighted("coulomb-trap", found, physical)
            yield from unbiased("coulomb-trap", found, {"energy": exact.E.value})


def _of_normal(n: int, dim: int, beta: float, kappa: float, width: float) -> dict[str, float]:
    """F, E, S of independent normal positions; C of one charge (with two <1/r^4>, behind its error, diverges)."""
    E = kappa * n * dim * width**2 + (1 / (width * math.sqrt(math.pi)) if n == 2 else 0.0)
    S = 0.5 * n * dim * (1 + math.log(2 * math.pi * width**2))
    found = {"F": E - S / beta, "E": E, "S": S}
    return found if n == 2 else found | {"C": beta**2 * kappa**2 * 2 * dim * width**4}


# ---- qubits: averages over samples of p against sums over all basis states


class SampledQubits(ms.Qubits):
    """Sums of Pauli matrices whose averages come from samples, as those of many qubits do."""

    @property
    def sums_over_all(self) -> bool:
        """Never."""
        return False


def qubit_scores(instances: int = 4, repeats: int = 4) -> Iterator[Found]:
    """Random sums of Pauli matrices of four qubits, with a random density and a random circuit."""
    for k in range(instances):
        rng = np.random.default_rng(200 + k)
        letters = ["".join(rng.choice(list("IXYZ"), 4)) for _ in range(6)] + ["ZZII", "IZZI", "IIZZ"]
        terms = [[f"{p}{q}" for q, p in enumerate(word) if p != "I"] for word in letters]
        text = " + ".join(f"{rng.normal():.6f} [{' '.join(term)}]" for term in terms if term)
        system, sampled = (kind(hamiltonian_file=text, beta=0.7) for kind in (ms.Qubits, SampledQubits))
        options = method_of(sampled).configure(sampled, density="made", depth=2, circuit="general", seed=k)
        rho = moved(sampled.default_ansatz(options), 0.3, k)
        variational, known = evaluate_qubits(system, rho, system.beta, SAMPLES, 0), system.known()
        assert known is not None and known.best is not None
        exact = {name: getattr(variational, name).value for name in "FESC"}
        for seed in range(repeats):
            found = evaluate_qubits(sampled, rho, system.beta, SAMPLES, 100 * k + seed)
            yield from totals("qubits", "variational", found, exact)
            yield Bound("qubits", z_score(found.F, known.best.F))


def moved(density: Any, size: float, seed: int) -> Any:
    """The density with its parameters away from where they start."""
    params, static = trainable(density)
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    leaves = [x + size * jax.random.normal(key, x.shape) for x, key in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(treedef, leaves), static)


# ---- two electrons: mixed correlated determinants, whose gap to diagonalisation is far below these errors


def electron_scores(repeats: int = 4) -> Iterator[Found]:
    """Of one spin and of both, in the plane; F, E and S (C is as exact as p, its error that of a second route)."""
    for k, (rs, theta, down) in enumerate(((1.0, 0.3, 0), (5.0, 0.6, 0), (3.0, 0.7, 1))):
        system = ms.ElectronGas(n=2, rs=rs, theta=theta, n_down=down)
        method = method_of(system)
        options = method.configure(system, steps=12, batch=64, samples=4 * SAMPLES, seed=k)
        training = method.problem(system, method.ansatz(system, options), system.beta, options)
        state = training.start
        for _ in range(options.steps):
            state, _ = training.step(training.between_steps(state))
        known = system.known()
        assert known is not None and known.best is not None
        exact = {name: getattr(known.best, name) for name in "FES"}
        for seed in range(repeats):
            found = method.evaluate(system, training, state, system.beta, options, 100 * k + seed)
            yield from totals("electron-gas", "variational", found, exact)
            yield Bound("electron-gas", z_score(found.F, known.best.F))


PARTS = {
    "spins": spin_scores,
    "traps": trap_scores,
    "qubits": qubit_scores,
    "electrons": electron_scores,
}


def all_scores() -> list[Found]:
    """Of all kinds; float64."""
    with jax.enable_x64(True):
        return [found for part in PARTS.values() for found in part()]


# ---- what is said of them


class Row(NamedTuple):
    """Mean and mean square of z of one quantity, and of how many."""

    claim: str
    quantity: str
    count: int
    mean: float
    mean_square: float


def rows(found: list[Found]) -> list[Row]:
    """One row for each claim and quantity, over all kinds of systems."""
    by: dict[tuple[str, str], list[float]] = defaultdict(list)
    for score in found:
        if isinstance(score, Score):
            by[score.claim, score.quantity].append(score.z)
    return [
        Row(*key, len(z), float(np.mean(z)), float(np.mean(np.square(z))))
        for key, z in sorted(by.items(), key=lambda item: CLAIMS.index(item[0][0]))
    ]


def rows_of_kinds(found: list[Found]) -> list[Row]:
    """One row for each kind of system and claim, over all quantities."""
    by: dict[tuple[str, str], list[float]] = defaultdict(list)
    for score in found:
        if isinstance(score, Score):
            by[score.kind, score.claim].append(score.z)
    return [Row(*key, len(z), float(np.mean(z)), float(np.mean(np.square(z)))) for key, z in by.items()]


def lowest_bound(found: list[Found]) -> float:
    """The lowest (F - F_exact)/error."""
    return min(bound.z for bound in found if isinstance(bound, Bound))


def table(heads: tuple[str, str], of: list[Row]) -> str:
    """In Markdown."""
    lines = [f"| {heads[0]} | {heads[1]} | estimates | mean z | mean z^2 |", "|---|---|---|---|---|"]
    return "\n".join(
        [*lines, *(f"| {r.claim} | {r.quantity} | {r.count} | {r.mean:.2f} | {r.mean_square:.2f} |" for r in of)]
    )


def report(found: list[Found]) -> str:
    """Both tables and the bound."""
    bounds = sum(isinstance(one, Bound) for one in found)
    last = f"lowest (F - F_exact)/error of {bounds} variational free energies: {lowest_bound(found):.2f}"
    by_quantity = table(("values", "quantity"), rows(found))
    return "\n\n".join([by_quantity, table(("system", "values"), rows_of_kinds(found)), last])


if __name__ == "__main__":
    began = time.process_time()
    print(report(all_scores()))
    print(f"\n{time.process_time() - began:.0f} CPU-seconds")
