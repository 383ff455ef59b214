"""The final evaluation of hydrogen: frozen parameters, chains of protons and electrons, errors by blocking."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from massieu import statistics
from massieu.densities.protons import ProtonFlow
from massieu.methods.atoms import chains
from massieu.methods.atoms.chains import HOP, AtomWalkers
from massieu.methods.atoms.overlaps import EntropyLoss, entropy_loss
from massieu.methods.evaluation import Evaluation, shaped
from massieu.principle import Estimate
from massieu.systems.hydrogen import Atoms, Hydrogen

EQUILIBRATION = 30  # sweeps before the first sample
RELAXATION = 20  # sweeps at fixed protons, for the check that the electrons keep up
KEPT = 500  # configurations kept for samples.npz and the figures
OVERLAPPED = 32  # proton configurations at which overlaps of the electrons' states are measured
CHECKED = 64  # proton configurations whose Jacobian is looked at


def evaluate_hydrogen(
    system: Hydrogen, rho: Atoms, walkers: AtomWalkers, beta: float, samples: int, seed: int, sampler: str, moves: int
) -> Evaluation:
    """Averages over about `samples` electron configurations; x64 must be on."""
    rho = eqx.tree_at(lambda r: r.protons, rho, rho.protons.for_evaluation())
    arrays, rest = eqx.partition(rho, lambda leaf: isinstance(leaf, jax.Array))

    @jax.jit
    def sweep(arrays: Any, walkers: AtomWalkers, key: Any, hop: Any):
        rho = eqx.combine(arrays, rest)
        walkers, at, acceptance = chains.follow(system, rho, walkers, key, sampler, moves, hop)
        found = chains.energies(system, rho, walkers, at)
        log_prob = chains.log_probs(rho, walkers.z), chains.label_log_probs(rho, walkers, at)
        return walkers, found, log_prob, acceptance, _observed(system, walkers)

    key = jax.random.key(seed)
    for i in range(EQUILIBRATION):
        walkers = sweep(arrays, walkers, jax.random.fold_in(key, i), HOP)[0]
    rows: list[Any] = []
    kept: list[AtomWalkers] = []
    count = max(16, math.ceil(samples / walkers.x[..., 0, 0].size))
    for i in range(count):
        walkers, *row = sweep(arrays, walkers, jax.random.fold_in(key, EQUILIBRATION + i), HOP)
        rows.append(jax.tree.map(np.asarray, row))
        if i % max(1, count * len(walkers.z) // KEPT) == 0:
            kept.append(jax.tree.map(np.asarray, walkers))
    found, log_prob, acceptance, observed = jax.tree.map(lambda *leaves: np.stack(leaves, axis=-1), *rows)
    lag = (
        {}
        if system.clamped
        else _lag(lambda w, k: sweep(arrays, w, k, 0.0), walkers, rows[-1], jax.random.fold_in(key, 2**20))
    )
    checks = lag | _bijection(rho, walkers) | {"acceptance": float(acceptance.mean())}
    loss = _entropy_loss(rho, walkers, jax.random.fold_in(key, 2**21))
    return _results(system, found, log_prob, observed, beta, kept, checks, loss)


def _entropy_loss(rho: Atoms, walkers: AtomWalkers, key: Any) -> EntropyLoss | None:
    """What overlaps between thermal electrons' states cost, at some of the proton configurations; None without any."""
    if not rho.overlapping:
        return None
    some = np.arange(OVERLAPPED) % len(walkers.protons)  # with an n of its own each
    return entropy_loss(rho, walkers.twist[some], walkers.protons[some], key)


def _observed(system: Hydrogen, walkers: AtomWalkers) -> dict[str, Any]:
    """Observables (G, ..), averaged over the electrons at each S."""
    each = jax.vmap(jax.vmap(system.observables, (None, 0)))(walkers.protons, walkers.x)
    return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=1), each)


def _results(
    system: Hydrogen, found: Any, log_prob: Any, observed: Any, beta: float, kept: list, checks: dict,
    loss: EntropyLoss | None,
) -> Evaluation:  # fmt: skip
    """Chains (G, W, T) of energies, (G, T) of ln p and (G, .., T) of observables to estimates.

    loss: of entropy, by overlaps of the electrons' states; F and S are those of the bound.
    """
    ions = system.ideal_ions()
    local = (found.kinetic + found.potential).real
    log_prob, of_label = log_prob
    every = local + (log_prob[:, None] + of_label) / beta
    kinetic, potential = found.kinetic.real, found.potential

    def of(values: np.ndarray, offset: float = 0.0) -> Estimate:
        chain = values.mean(axis=1) if values.ndim == 3 else values
        chain = values.reshape(-1, values.shape[-1]) if system.clamped and values.ndim == 3 else chain
        found = statistics.blocking(chain)
        return Estimate(found.value + offset, found.error)

    observables: dict[str, Any] = {
        "kinetic_energy": of(kinetic).as_dict(),
        "kinetic_energy_from_gradient": of(found.squared_gradient).as_dict(),
        "potential_energy": of(potential).as_dict(),
        "energy_spread_at_fixed_protons": float(np.sqrt(local.var(axis=(1, 2)).mean() if system.clamped else
                                                       local.var(axis=1, ddof=1).mean())),
        **checks,
    }  # fmt: skip
    if system.has_pressure:
        observables["pressure"] = of(np.asarray(system.pressure(kinetic, potential))).as_dict()
    F, S = _less(of(every, ions.F), loss, -1 / beta), _less(of(-of_label - log_prob[:, None], ions.S), loss)
    if system.electrons == "thermal":
        observables["S_electrons"] = _less(of(-of_label), loss).as_dict()
    observables |= {} if loss is None else loss.as_dict()
    for name, total in (("F", F), ("E", of(local, ions.E)), ("S", S)):
        observables[f"{name}_per_atom"] = Estimate(total.value / system.n, total.error / system.n).as_dict()
    if not system.clamped:
        observables["ideal_ions"] = ions._asdict()
        observables["autocorrelation_sweeps"] = statistics.autocorrelation_time(every.mean(axis=1))
    for name, values in observed.items():
        columns = values.reshape(len(values), -1, values.shape[-1])
        estimates = tuple(statistics.blocking(columns[:, k]) for k in range(columns.shape[1]))
        observables[name] = shaped(estimates, values.shape[1:-1])
    of_density = log_prob[:, None] + of_label
    C = of((of_density - of_density.mean()) ** 2, 0.0 if system.clamped else 1.5 * system.n)
    walkers = jax.tree.map(lambda *leaves: np.concatenate([np.atleast_1d(v) for v in leaves]), *kept)
    return Evaluation(
        F=F,
        E=of(local, ions.E),
        S=S,
        C=C,
        F_var=float(every.var()),
        observables=observables,
        importance={},
        samples={"protons": walkers.protons[:KEPT], "x": walkers.x[:KEPT, 0], "twist": walkers.twist[:KEPT],
                 "length": np.asarray(system.length)},
        drawn=every.size,
    )  # fmt: skip


def _less(estimate: Estimate, loss: EntropyLoss | None, scale: float = 1.0) -> Estimate:
    """The estimate less the entropy (k_B) that overlaps cost, in other units."""
    if loss is None:
        return estimate
    error = math.hypot(estimate.error, scale * loss.total.error)
    return Estimate(estimate.value - scale * loss.total.value, error)


def _lag(sweep: Any, walkers: AtomWalkers, last: Any, key: Any) -> dict[str, Any]:
    """Energy of electrons as they follow less that at the same protons after RELAXATION sweeps at rest."""
    before = (last[0].kinetic + last[0].potential).real.mean(axis=1)
    after = []
    for i in range(2 * RELAXATION):
        walkers, found, *_ = sweep(walkers, jax.random.fold_in(key, i))
        if i >= RELAXATION:
            after.append(np.asarray((found.kinetic + found.potential).real.mean(axis=1)))
    difference = before - np.mean(after, axis=0)
    error = float(np.std(difference, ddof=1) / math.sqrt(len(difference))) if len(difference) > 1 else math.nan
    return {"lag_of_electrons": {"value": float(difference.mean()), "error": error}}


def _bijection(rho: Atoms, walkers: AtomWalkers) -> dict[str, Any]:
    """Fraction of negative Jacobians of the protons' flow, and the error of ln p that its time steps make."""
    if not isinstance(rho.protons, ProtonFlow):
        return {}
    sign, error = jax.jit(lambda z: jax.lax.map(rho.protons.jacobian_sign, z))(walkers.z[:CHECKED])
    return {
        "fraction_not_bijective": float(np.mean(np.asarray(sign) <= 0)),
        "largest_error_of_log_prob": float(np.max(np.abs(np.asarray(error)))),
    }
