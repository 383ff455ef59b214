"""The loop for correlated states: move the chains, weigh, step J and backflow in imaginary time, p to the levels.

    F_bound = E_{K~p}[ kT ln p(K) + E_{x~|Phi_K|^2} E_loc ] + kT (entropy lost by overlaps)  >=  F[rho]

The last term is measured with the final parameters (overlaps.py).  Training minimises F with what it is to second order
in J, 4 f kT (<J^2> - <J>^2) (thermal_share.py): fluctuations of J are not worth any entropy.  Energies of one K are
compared with each other only (norms depend on K): gradients of the states are covariances within the walkers of a K.
p follows a model of E_K (levels.py), by natural gradient on labels.  Half the sets that the model learns from are those
of the ideal gas: it sees more than what p already believes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from massieu import optimize
from massieu.densities.occupation import Occupation, SingleOccupation, TabulatedOccupation
from massieu.errors import require
from massieu.methods.particles import chains
from massieu.methods.particles.chains import Groups
from massieu.methods.particles.completeness import applies
from massieu.methods.particles.levels import Levels
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.particles.thermal_share import HOT, thermal_share
from massieu.methods.training import Problem, Regression, TrainState, centred, regress
from massieu.principle import trainable
from massieu.states import DensityMatrix
from massieu.states.correlated import CorrelatedStates
from massieu.systems.quantum import QuantumSystem

SETTLED_AT_START = 3  # times the moves of a step, before the first one
LABELS = 512  # sets K of every step of p
RATE_OF_P = 0.3
TAU = 3.0  # imaginary time of a step, in units of 1/T_F
STIFFNESS = 8.0  # of the backflow's parameters, in units of T_F times their overlaps
CLIP = 5.0


class Weighed(NamedTuple):
    """Of walkers (G, W, ..): local energies, scores of the states (G, W, P), ln J; stiffness (P, P) of J's, mean."""

    kinetic: Array
    potential: Array
    scores: Array
    log_jastrow: Array
    stiffness: Array

    @property
    def energy(self) -> Array:
        """Complex local energy."""
        return self.kinetic + self.potential


class Loop:
    """What stays the same from step to step: what is not trained of p and the states, optimisers, the model of E_K."""

    def __init__(self, system: Any, rho: DensityMatrix, beta: float, options: ParticleOptions):
        self.system, self.beta, self.options = system, beta, options
        self.unit, self.beta_or_one = system.energy_scale, beta if np.isfinite(beta) else 1.0
        known = isinstance(rho.p, Occupation | SingleOccupation | TabulatedOccupation)
        allowed = "an Occupation or a SingleOccupation for correlated states"
        require(known, "density", type(rho.p).__name__, allowed)
        self.price = self.price_of_jastrow(rho)
        self.wide = rho.p  # where training starts from: the ideal gas, whose levels lie closer
        (self.p, self.static_p), (self.psi, self.static_psi) = trainable(rho.p), trainable(rho.psi)
        self.of_jastrow = sum(leaf.size for leaf in jax.tree.leaves(trainable(rho.psi.jastrow)[0]))
        self.levels = levels_of(system, rho) if isinstance(rho.p, Occupation) else None
        schedule, rate = optimize.ramp_and_cosine(options.steps), options.learning_rate or 1.0
        self.of_states = optimize.imaginary_time(TAU * rate / self.unit, schedule)
        self.of_p = optimize.stochastic_reconfiguration(
            RATE_OF_P * self.beta_or_one, schedule, trust=0.3, damping=0.01, memory=0.8, momentum=0.0
        )

    def price_of_jastrow(self, rho: DensityMatrix) -> float:
        """Energy that a unit of the variance of J costs, by the entropy that overlaps take."""
        share = thermal_share(self.system, rho, self.beta, self.options.seed)
        return 4 * (1.0 if share > HOT and applies(rho.psi) else share) / self.beta_or_one

    def ensemble(self, params: Any, frame: Any) -> DensityMatrix:
        """What the steps draw from."""
        return self.combined(params, frame)

    def first_frame(self) -> Any:
        """What is measured, before anything is."""
        return () if self.levels is None else self.levels.start()

    def combined(self, params: Any, frame: Any) -> DensityMatrix:
        """The density matrix with these parameters."""
        return DensityMatrix(eqx.combine(params[0], self.static_p), eqx.combine(params[1], self.static_psi))

    def start(self) -> TrainState:
        """The first parameters, and walkers that know the first states."""
        params, seed, options = (self.p, self.psi), self.options.seed, self.options

        @jax.jit
        def first(key: Array) -> Groups:
            rho = self.ensemble(params, self.first_frame())
            groups = chains.started(rho, key, options.batch // options.walkers, options.walkers)
            groups, _ = chains.moved(rho.psi, groups, key, SETTLED_AT_START * options.moves)
            return groups._replace(age=groups.age + chains.SETTLING)

        opt_state = self.of_p.init(self.p), self.of_states.init(self.psi)
        walkers = first(jax.random.key(seed + 1))
        return TrainState(
            params, opt_state, jax.random.key(seed), jnp.zeros((), jnp.int32), walkers, self.first_frame()
        )

    def step(self, state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        """Move, weigh, update."""
        rho = self.ensemble(state.params, state.frame)
        of_label, of_move, of_levels = jax.random.split(jax.random.fold_in(state.key, state.step), 3)
        groups = chains.renewed(rho.p, self.wide, state.walkers, of_label, state.step)
        groups, acceptance = chains.moved(rho.psi, groups, of_move, self.options.moves)
        weighed = weigh(rho.psi, self.system, groups, self.unit)
        psi, opt_psi, norm = self._step_of_states(state, weighed, groups.settled)
        mine = groups.settled if self.levels is None else groups.settled & chains.from_p(len(groups.label))
        row = _metrics(weighed, groups, mine.astype(float), self.beta)
        p, opt_p, frame = state.params[0], state.opt_state[0], state.frame
        levels = self.levels
        if levels is not None:
            energy = weighed.energy.real
            variance = jnp.var(energy, axis=1, ddof=1) / energy.shape[1]
            counts, energy = groups.settled.astype(float), jnp.mean(energy, axis=1)
            frame = levels.seen(frame, groups.label, energy, variance, counts, state.step)
            predicted = jax.vmap(partial(levels.energy, levels.fitted(frame)))
            p, opt_p, expected = self._step_of_p(predicted, state, of_levels)
            missed = energy - predicted(groups.label)
            row |= _controlled(missed, mine.astype(float), expected)
        after = TrainState((p, psi), (opt_p, opt_psi), state.key, state.step + 1, groups, frame)
        return after, row | {"grad_norm": norm, "acceptance": acceptance}

    def _step_of_states(self, state: TrainState, weighed: Weighed, settled: Array) -> tuple[Any, Any, Array]:
        """J and backflow one step on; the norm of the gradient."""
        overlap, gradient, of_variance = within_groups(weighed, settled)
        own = jnp.arange(len(gradient)) < self.of_jastrow
        gradient = gradient + self.price * own * of_variance
        stiffness = weighed.stiffness + self.price * jnp.outer(own, own) * overlap
        grads = _unravelled(gradient, state.params[1])
        updates, opt_state = self.of_states.update(grads, state.opt_state[1], overlap=overlap, stiffness=stiffness)
        psi = eqx.combine(optax.apply_updates(state.params[1], updates), self.static_psi).projected()
        return trainable(psi)[0], opt_state, 2 * jnp.linalg.norm(gradient)

    def _step_of_p(self, predicted: Callable[[Array], Array], state: TrainState, key: Array) -> tuple[Any, Any, Any]:
        """One natural-gradient step of p on the model's energies; F, E, S of the model and the variance of F."""
        p = eqx.combine(state.params[0], self.static_p)
        label, log_prob = jax.vmap(p.sample_and_log_prob)(jax.random.split(key, LABELS))
        energy = predicted(label)
        f = energy + log_prob / self.beta
        one = jax.grad(lambda params, label: eqx.combine(params, self.static_p).log_prob(label))
        regression = Regression(centred(jax.vmap(one, (None, 0))(state.params[0], label)), f - jnp.mean(f), LABELS)
        new = regress([self.of_p], [regression], state.params[:1], state.opt_state[:1], self.beta_or_one)
        return new.params[0], new.opt_state[0], (jnp.mean(f), jnp.mean(energy), -jnp.mean(log_prob), jnp.var(f))


def problem(system: Any, rho: DensityMatrix, beta: float, options: ParticleOptions) -> Problem:
    """Split p and the states into parameters and the rest; one compiled step."""
    loop = Loop(system, rho, beta, options)
    return Problem(jax.jit(loop.step), loop.start(), (loop.static_p, loop.static_psi), loop.combined)


def levels_of(system: Any, rho: DensityMatrix) -> Levels:
    """The model of E_K for the sets of an `Occupation`."""
    momenta = rho.psi.orbitals + rho.psi.twist[:, None]
    energies = system.kinetic_scale * (2 * np.pi) ** 2 * np.sum(momenta**2, axis=-1)
    exchange = system.exchange(rho.psi.orbitals)
    return Levels(rho.psi.spins, system.energy_scale, energies, rho.p.shell, rho.p.pair_class, exchange)


def weigh(psi: CorrelatedStates, system: QuantumSystem, groups: Groups, unit: float) -> Weighed:
    """Local energies and scores of all walkers, chunk by chunk."""
    chunk = chains.at_once(psi, groups.x.shape[0] * groups.x.shape[1])

    def one(args: tuple[Array, Array]) -> tuple[Array, ...]:
        label, x = args
        local, scores, moved = psi.local_and_scores(label, x)
        found = jnp.concatenate([leaf.astype(complex).ravel() for leaf in jax.tree.leaves(trainable(scores)[0])])
        kinetic, potential = system.kinetic_scale * local.kinetic, system.potential(local.x)
        return kinetic, potential, found, moved @ moved.T, psi.jastrow.log(local.x)

    kinetic, potential, scores, stiff, log_jastrow = jax.lax.map(one, (groups.each(), groups.flat()), batch_size=chunk)
    shape = groups.x.shape[:2]
    of_jastrow = system.kinetic_scale * jnp.mean(stiff, axis=0)
    rows = (kinetic.reshape(shape), potential.reshape(shape), scores.reshape(*shape, -1), log_jastrow.reshape(shape))
    weighed = Weighed(*rows, of_jastrow)
    rest = scores.shape[-1] - len(of_jastrow)
    if not rest:
        return weighed
    overlap = within_groups(weighed, jnp.ones(shape[0], bool))[0]
    stiffness = jnp.pad(of_jastrow, (0, rest)).at[-rest:, -rest:].set(STIFFNESS * unit * overlap[-rest:, -rest:])
    return weighed._replace(stiffness=stiffness)


def within_groups(weighed: Weighed, settled: Array) -> tuple[Array, Array, Array]:
    """S = Re <O^* O> (P, P), g = Re <O^* E_loc> (P,), Re <O^* J> (P,): connected, covariances within settled groups."""
    values = _clipped(weighed.energy), weighed.scores, weighed.log_jastrow
    energy, scores, jastrow = (v - jnp.mean(v, axis=1, keepdims=True) for v in values)
    number = jnp.maximum(jnp.sum(settled), 1) * (energy.shape[1] - 1)
    kept = scores.conj() * settled[:, None, None]
    overlap = jnp.einsum("gwp,gwq->pq", kept, scores).real / number
    gradient, of_variance = (jnp.einsum("gwp,gw->p", kept, v).real / number for v in (energy, jastrow))
    return overlap, gradient, of_variance


def _clipped(energy: Array) -> Array:
    """Energies (G, W) further than CLIP mean deviations from their group's mean moved to that distance."""

    def of_part(e: Array) -> Array:
        middle = jnp.mean(e, axis=1, keepdims=True)
        apart = e - middle
        reach = CLIP * jnp.mean(jnp.abs(apart))
        return middle + jnp.clip(apart, -reach, reach)

    return of_part(energy.real) + 1j * of_part(energy.imag)


def _unravelled(flat: Array, like: Any) -> Any:
    leaves, treedef = jax.tree.flatten(like)
    ends = np.cumsum([leaf.size for leaf in leaves])[:-1]
    parts = jnp.split(flat, ends)
    return jax.tree.unflatten(treedef, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])


def _metrics(weighed: Weighed, groups: Groups, counts: Array, beta: float) -> dict[str, Array]:
    """One row of metrics.csv from the groups that count."""
    number = jnp.maximum(jnp.sum(counts), 1.0)

    def mean(values: Array) -> Array:
        return jnp.sum(counts * values) / number

    energy = jnp.mean(weighed.energy.real, axis=1)
    f = energy + groups.log_prob / beta
    return {
        "beta": jnp.asarray(beta),
        "F": mean(f),
        "F_error": jnp.sqrt(mean((f - mean(f)) ** 2) / number),
        "E": mean(energy),
        "S": -mean(groups.log_prob),
        "kinetic": mean(jnp.mean(weighed.kinetic.real, axis=1)),
        "potential": mean(jnp.mean(weighed.potential, axis=1)),
        "F_var": jnp.mean(jnp.var(weighed.energy.real, axis=1, ddof=1)),
    }


def _controlled(missed: Array, counts: Array, expected: Any) -> dict[str, Array]:
    """F and E with the model as a control variate: its averages over many labels plus what it misses on the groups."""
    number = jnp.maximum(jnp.sum(counts), 1.0)
    miss = jnp.sum(counts * missed) / number
    spread = jnp.sum(counts * (missed - miss) ** 2) / number
    f, energy, entropy, variance = expected
    error = jnp.sqrt(spread / number + variance / LABELS)
    return {"F": f + miss, "F_error": error, "E": energy + miss, "S": entropy, "level_error": miss}
