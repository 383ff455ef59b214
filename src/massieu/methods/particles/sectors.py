"""Few electrons: the Hamiltonian between determinants with a Jastrow factor, measured and diagonalised in each sector.

    S_ab = <J D_a|J D_b>,   H_ab = <J D_a|H|J D_b>,   H C = S C E,   p(k) ~ exp(-beta E_k)

by direct sampling: x from the mixture of the |D_a|^2, weights J^2.  With two spins every determinant is there twice,
with J and with one whose hole between opposite spins is shallower; both have the exact cusps (another slope, as in a
triplet, makes an energy whose variance diverges, and with it ghosts below the ground state).
H is the regression of H J D_b on the J D_a: its noise comes from what leads out of the sector's determinants only
(Nightingale and Melik-Alaverdian, Phys. Rev. Lett. 87, 043401 (2001)).  J is trained with single determinants; the
states and p follow from one measurement, and the evaluation finds their energies and their overlaps from independent
samples, so that

    F_bound = sum_k p(k) [ kT ln p(k) + H_kk/S_kk ] + kT (entropy lost by the overlaps S_kk'; principle.py)

is unbiased by the choice of states: an upper bound whatever the noise of the measurement was.

One module: training and evaluation are sums over the same measurement.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import Array

from massieu.errors import RunError
from massieu.methods.evaluation import Evaluation
from massieu.methods.particles.correlated import Loop
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.training import Problem, TrainState
from massieu.principle import Estimate, log_tangent, trainable
from massieu.states import DensityMatrix
from massieu.states.correlated import CorrelatedStates
from massieu.states.sectors import Family, Sectors
from massieu.states.slater import determinant_slope, each_spin, joined, sample_product

NEVER = -1e30  # ln p of states that were not measured
LEAST_WEIGHT = 1e-6  # of the ideal gas, of families that are measured
POINTS = (40, 200)  # for each determinant, in each half of a measurement: least, most
FULL_WEIGHT = 0.1  # of a family, where it has the most
CHUNK = 32
BATCHES = 16  # of an evaluation, for its errors
KEPT = 2000
LEAST_SHARE = 0.02  # of the points of an evaluation, for every family
LEAST_OVERLAP = 1e-5  # squared, between two states, in the tangent
MEASURE_SEED, EVALUATE_SEED = 2**29, 2**28


class Frame(NamedTuple):
    """States C (families, m, m) as measured, and ln p (1, n) of all states."""

    states: Array
    log_weights: Array


class Sums(NamedTuple):
    """Weighted sums over points of the products of two determinants (m, m), with E_loc, and with the potential.

    observed: sums of the observables, each point by what it counts in rho; count: that of 1.
    """

    overlap: Any
    energy: Any
    potential: Any
    observed: Any
    count: Any


class SectorLoop(Loop):
    """Trains J with single determinants of given weights; measures the sectors before the last step."""

    def __init__(self, system: Any, rho: DensityMatrix, beta: float, options: ParticleOptions):
        super().__init__(system, rho, beta, options)
        self.sectors = rho.psi.mixing
        self.table = Frame(jnp.asarray(self.sectors.states), jnp.asarray(rho.p.log_weights))
        self.sums = sums_of(system, rho.psi, self.sectors)

    def price_of_jastrow(self, rho: DensityMatrix) -> float:
        """Nothing: sectors are diagonalised with their overlaps."""
        return 0.0

    def ensemble(self, params: Any, frame: Any) -> DensityMatrix:
        """Single determinants, with the weights that training starts from."""
        rho = super().combined(params, frame)
        return eqx.tree_at(lambda rho: rho.psi.mixing, rho, None)

    def combined(self, params: Any, frame: Any) -> DensityMatrix:
        """The mixed states, with the p of their energies."""
        rho = super().combined(params, frame)
        rho = eqx.tree_at(lambda rho: rho.psi.mixing.states, rho, frame.states)
        return eqx.tree_at(lambda rho: rho.p.log_weights, rho, frame.log_weights)

    def first_frame(self) -> Any:
        return self.table

    def between_steps(self, state: TrainState) -> TrainState:
        """With measured states and weights before the last step."""
        if int(state.step) != self.options.steps - 1:
            return state
        key = jax.random.fold_in(state.key, MEASURE_SEED)
        return state._replace(frame=self.measured(self.ensemble(state.params, state.frame).psi, key))

    def measured(self, psi: CorrelatedStates, key: Array) -> Frame:
        """States and energies of every family, from two halves: the energies of each half's states are the other's."""
        copies = len(psi.jastrow.factors())
        states, energies = np.array(self.table.states), np.full(len(self.sectors.sets), np.inf)
        for number, family in measured_families(self.sectors):
            sets = self.sectors.sets[self.sectors.members[family.sectors[0]][: family.size]]
            halves, points = [], round(float(np.interp(family.weight, (0, FULL_WEIGHT), POINTS)))
            for half in jax.random.split(jax.random.fold_in(key, number)):
                nothing = np.zeros((copies * family.size, family.size)), np.zeros(family.size)
                sums = self.sums(psi, sets, *nothing, points * family.size, half)
                halves.append(hermitian(sums, family))
            values, mixed = spectrum(halves)
            values, mixed = values[: family.size], mixed[:, : family.size]  # as many as there are labels, the lowest
            states[number, : copies * family.size, : family.size] = mixed
            for sector in family.sectors:
                energies[self.sectors.members[sector][: family.size]] = values
        if not np.all(np.isfinite(states)) or np.any(np.isnan(energies)):
            raise RunError("the energies between correlated determinants are not finite; try a smaller learning_rate")
        log_weights = boltzmann(energies, self.beta)
        return Frame(jnp.asarray(states), jnp.asarray(log_weights[None]))


def boltzmann(energies: np.ndarray, beta: float) -> np.ndarray:
    """ln p (n,) up to a constant; of the ground state that of the first lowest state alone."""
    if math.isinf(beta):
        return np.where(np.arange(len(energies)) == np.argmin(energies), 0.0, NEVER)
    return np.maximum(-beta * (energies - energies.min()), NEVER)


def problem(system: Any, rho: DensityMatrix, beta: float, options: ParticleOptions) -> Problem:
    """The same loop, with mixed states at its end."""
    loop = SectorLoop(system, rho, beta, options)
    statics = (loop.static_p, loop.static_psi)
    return Problem(jax.jit(loop.step), loop.start(), statics, loop.combined, loop.between_steps)


def measured_families(sectors: Sectors) -> list[tuple[int, Family]]:
    """The families of sectors with a weight in the ideal gas, by their number."""
    return [(number, family) for number, family in enumerate(sectors.families) if family.weight > LEAST_WEIGHT]


def sums_of(system: Any, psi: CorrelatedStates, sectors: Sectors) -> Any:
    """A function (psi, sets, C, p, points, key) -> Sums of one sector; one compiled program for all of them."""
    largest, copies = sectors.members.shape[1], len(psi.jastrow.factors())
    momenta, fixed = np.asarray(psi.orbitals) + np.asarray(psi.twist)[0], trainable(psi.jastrow)[1]

    def one(jastrow: Any, k: Array, states: Array, weights: Array, real: Array, key: Array) -> tuple[Any, ...]:
        """J D_a/sqrt(q) and H J D_a/sqrt(q) of all determinants at a point of q = sum_a |D_a|^2/m; V; observables."""
        choose, place = jax.random.split(key)
        x = sample_product(place, k[jax.random.randint(choose, (), 0, jnp.sum(real))], psi.spins)
        of_sets = jax.vmap(lambda k: joined([determinant_slope(k[of], x[of]) for of in each_spin(psi.spins)]))(k)
        top = jnp.max(jnp.where(real, of_sets.log_abs, -jnp.inf))
        bare = jnp.where(real, of_sets.phase * jnp.exp(of_sets.log_abs - top), 0.0)
        bare = bare * jnp.sqrt(jnp.sum(real) / jnp.sum(jnp.abs(bare) ** 2))
        potential, values, with_h = system.potential(x), [], []
        for factor in jastrow.factors():
            jet = factor.jet(x)
            slope = jnp.einsum("aid,id->a", of_sets.gradient, jet.gradient)
            square = (2 * math.pi) ** 2 * jnp.sum(k**2, axis=(1, 2))
            laplacian = jet.laplacian + jnp.sum(jet.gradient**2) + 2 * slope - square
            energy = potential - system.kinetic_scale * laplacian
            values.append(bare * jnp.exp(jet.log))
            with_h.append(values[-1] * jnp.where(real, energy, 0.0))
        value, energy = (jnp.stack(v, axis=1).reshape(-1) for v in (values, with_h))  # determinant by determinant
        share = jnp.sum(weights * jnp.abs(value @ states) ** 2)
        observed = jax.tree.map(lambda v: share * v, system.observables(jnp.zeros(1 + len(x), int), x))
        return _parts(value), _parts(energy), potential, observed, share

    @jax.jit
    def total(params: Any, k: Array, states: Array, weights: Array, real: Array, chunks: Array, key: Array) -> Sums:
        jastrow = eqx.combine(params, fixed)

        def of_chunk(i: Array) -> Sums:
            keys = jax.random.split(jax.random.fold_in(key, i), CHUNK)
            points = jax.vmap(lambda key: one(jastrow, k, states, weights, real, key))(keys)
            value, with_h = (v.reshape(-1, copies * largest) for v in points[:2])
            potential = jnp.repeat(points[2], 2)[:, None]
            observed, share = jax.tree.map(lambda v: jnp.sum(v, axis=0), points[3:])
            return Sums(value.T @ value, value.T @ with_h, value.T @ (potential * value), observed, share)

        shapes = jax.eval_shape(of_chunk, jnp.asarray(0))
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return jax.lax.fori_loop(0, chunks, lambda i, sums: jax.tree.map(jnp.add, sums, of_chunk(i)), zero)

    def sums(psi: CorrelatedStates, sets: np.ndarray, states: np.ndarray, weights: np.ndarray, points: int, key: Array):
        m, rest = len(sets), largest - len(sets)
        padded = np.pad(sets, ((0, rest), (0, 0)), mode="edge")
        states = np.pad(states, ((0, copies * rest), (0, rest)))
        real = np.arange(largest) < m
        own = slice(copies * m)
        chunks = math.ceil(points / CHUNK)
        found = total(trainable(psi.jastrow)[0], momenta[padded], states, np.pad(weights, (0, rest)), real, chunks, key)
        found = jax.tree.map(lambda v: np.asarray(v) / (chunks * CHUNK), found)
        return found._replace(**{name: getattr(found, name)[own, own] for name in ("overlap", "energy", "potential")})

    return sums


def _parts(z: Array) -> Array:
    """Real and imaginary parts (2, m): Re sum z^* w is a product of real matrices."""
    return jnp.stack([z.real, z.imag])


def hermitian(sums: Sums, family: Family) -> tuple[np.ndarray, np.ndarray]:
    """S and H (m, m), averaged over the symmetries of the sector; H is not symmetric as measured."""
    found, copies = [], len(sums.overlap) // family.size
    for matrix in (sums.overlap, sums.energy):
        images = []
        for place, sign in family.kept:
            at, signs = (place[:, None] * copies + np.arange(copies)).reshape(-1), np.repeat(sign, copies)
            images.append(matrix[at[:, None], at] * signs[:, None] * signs)
        found.append(np.mean(images, axis=0))
    return 0.5 * (found[0] + found[0].T), found[1]


def eigenstates(overlap: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """C (m, m) as columns, C^T S C = 1, from H in an orthonormal basis that keeps the order of the determinants.

    Column b of H has the noise of H J D_b, which grows with the energy: of the two elements between two states that of
    the lower one is taken, the lower triangle.
    """
    lower = scipy.linalg.cholesky(overlap, lower=True)
    half = scipy.linalg.solve_triangular(lower, energy, lower=True)
    h = scipy.linalg.solve_triangular(lower, half.T, lower=True).T
    return scipy.linalg.solve_triangular(lower.T, np.linalg.eigh(h, UPLO="L")[1])


def levels(sums: tuple[np.ndarray, np.ndarray], states: np.ndarray) -> np.ndarray:
    """<k|H|k>/<k|k> (m,) of states as columns."""
    return _diagonal(sums[1], states) / _diagonal(sums[0], states)


def spectrum(halves: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Energies (m,) and states of two independent measurements: of a noisy matrix the lowest level would be too low."""
    crossed = [levels(halves[1 - i], eigenstates(*halves[i])) for i in (0, 1)]
    overlap, energy = (0.5 * (a + b) for a, b in zip(*halves, strict=True))
    return np.mean(crossed, axis=0), eigenstates(overlap, energy)


# ---- evaluation


class Totals(NamedTuple):
    """F, E, S, the potential energy, the entropy that overlaps of the states lose, and C = -beta Cov(E_k, ln p)."""

    F: float
    E: float
    S: float
    potential: float
    loss: float
    C: float


def evaluate(
    system: Any, training: Problem, state: TrainState, beta: float, options: ParticleOptions, seed: int
) -> Evaluation:
    """Energies and overlaps of the states from independent samples; sums over all states are exact; x64 must be on.

    C is Var(ln p), as exact as p; its error is that of -beta Cov(E_k, ln p), the same where p(k) ~ exp(-beta E_k).
    """
    rho, key = training.density(state), jax.random.fold_in(jax.random.key(seed), EVALUATE_SEED)
    sectors = rho.psi.mixing
    log_prob = np.asarray(jax.nn.log_softmax(rho.p.logits(0)))
    p, states = np.exp(log_prob), np.asarray(sectors.states)
    sums, parts = sums_of(system, rho.psi, sectors), []
    found, drawn = [], 0
    for number, family in measured_families(sectors):
        members = sectors.members[family.sectors[0]][: family.size]
        shared = np.mean(p[sectors.members[family.sectors][:, : family.size]], axis=0)  # alike but for the ground state
        weight = float(shared.sum()) * len(family.sectors)
        if weight < LEAST_WEIGHT:
            continue
        c = states[number, : len(rho.psi.jastrow.factors()) * family.size, : family.size]
        points = math.ceil((0.5 * weight + 0.5 * LEAST_SHARE) * options.samples / BATCHES)
        drawn += BATCHES * CHUNK * math.ceil(points / CHUNK)
        keys = jax.random.split(jax.random.fold_in(key, number), BATCHES)
        batches = [sums(rho.psi, sectors.sets[members], c, shared * len(family.sectors), points, k) for k in keys]
        found.append((family, c, shared, weight))
        parts.append(batches)
    every = np.arange(BATCHES)
    total = _totals(found, parts, every, beta)
    left_out = [_totals(found, parts, every[every != b], beta) for b in every]
    estimates = {name: _jackknife(getattr(total, name), [getattr(t, name) for t in left_out]) for name in total._fields}
    E, V, finite = estimates["E"], estimates["potential"], math.isfinite(beta)
    C = Estimate(float(p @ _squares(log_prob, p)), estimates["C"].error) if finite else Estimate(0.0)
    orbitals = len(system.plane_waves().vectors)  # both lists rise by energy: one is the beginning of the other
    observables = _observed(parts) | {
        "kinetic_energy": _jackknife(total.E - total.potential, [t.E - t.potential for t in left_out]).as_dict(),
        "potential_energy": V.as_dict(),
        "entropy_loss": estimates["loss"].as_dict(),
        "occupations": _occupations(sectors.sets, p, max(orbitals, len(rho.psi.orbitals)), orbitals),
        "occupation_sets": int(np.sum(p > LEAST_WEIGHT)),
        "weight_left_out": float(max(0.0, 1 - sum(f[-1] for f in found))),
    }
    if finite:
        observables["heat_capacity_from_energy"] = estimates["C"].as_dict()
    return Evaluation(
        F=estimates["F"],
        E=E,
        S=estimates["S"] if finite else Estimate(0.0),
        C=C,
        F_var=float(BATCHES * estimates["F"].error ** 2 * options.samples / BATCHES),
        observables=observables,
        importance={},
        samples=_samples(rho, jax.random.fold_in(key, 1), orbitals),
        drawn=drawn,
    )


def _totals(found: list[Any], parts: list[list[Sums]], batches: np.ndarray, beta: float) -> Totals:
    """From the sums of these batches."""
    E = S = V = loss = of_both = 0.0
    for (family, c, p, _), of_family in zip(found, parts, strict=True):
        halves = [_mean([of_family[b] for b in half]) for half in (batches[::2], batches[1::2])]
        whole, count = _mean([of_family[b] for b in batches]), len(family.sectors)
        norm = _diagonal(whole.overlap, c)
        energies = _diagonal(whole.energy, c) / norm
        E += count * float(p @ energies)
        of_both += count * float(scipy.special.xlogy(p, p) @ energies)
        V += count * float(p @ (_diagonal(whole.potential, c) / norm))
        S -= count * float(np.sum(scipy.special.xlogy(p, p)))
        loss += count * _loss([half.overlap for half in halves], c, p)
    if math.isinf(beta):
        return Totals(E, E, S - loss, V, loss, 0.0)
    return Totals(E - (S - loss) / beta, E, S - loss, V, loss, -beta * (of_both + S * E))


def _loss(overlaps: list[np.ndarray], c: np.ndarray, p: np.ndarray) -> float:
    """The entropy that a sector loses (principle.py); squares are products of two halves, without bias."""
    grams = [c.T @ (0.5 * (s + s.T)) @ c for s in overlaps]
    first, second = (g / np.sqrt(np.diag(g))[:, None] / np.sqrt(np.diag(g)) for g in grams)
    squared = first * second * (1 - np.eye(len(p)))
    mean = max(LEAST_OVERLAP, float(np.sum(squared)) / max(1, len(p) * (len(p) - 1)))
    there = p > 0
    a = (p + mean * (p.sum() - p))[there]
    weight = p[there] / np.sqrt(a)
    own = p[there] @ (log_tangent(p[there], a) - np.log(p[there]))
    return float(own + weight @ squared[np.ix_(there, there)] @ weight)


def _mean(batches: list[Sums]) -> Sums:
    return jax.tree.map(lambda *v: np.mean(v, axis=0), *batches)


def _diagonal(matrix: np.ndarray, c: np.ndarray) -> np.ndarray:
    """<k|matrix|k> (m,) of the columns of c."""
    return np.einsum("ak,ab,bk->k", c, matrix, c)


def _jackknife(value: float, left_out: list[float]) -> Estimate:
    """The error of a function of means from leaving out one batch at a time."""
    b = len(left_out)
    return Estimate(float(value), math.sqrt((b - 1) * float(np.var(left_out))))


def _squares(values: np.ndarray, p: np.ndarray) -> np.ndarray:
    """(values less their mean)^2 where p > 0."""
    values = np.where(p > 0, values, 0.0)
    return (values - p @ values) ** 2


def _observed(parts: list[list[Sums]]) -> dict[str, Any]:
    """Averages of the observables over rho, with jackknife errors."""
    counts = np.sum([[batch.count for batch in of] for of in parts], axis=0)
    found = {}
    for name in parts[0][0].observed:
        values = np.sum([[batch.observed[name] for batch in of] for of in parts], axis=0)  # (batches, ..)
        mean = values.sum(axis=0) / counts.sum()
        out = [(values.sum(axis=0) - v) / (counts.sum() - count) for v, count in zip(values, counts, strict=True)]
        error = np.sqrt((BATCHES - 1) * np.var(out, axis=0))
        found[name] = {"value": np.asarray(mean).tolist(), "error": np.asarray(error).tolist()}
    return found


def _occupations(sets: np.ndarray, p: np.ndarray, orbitals: int, shown: int) -> dict[str, Any]:
    """Mean occupation of the first orbitals by the labels, exact."""
    mean = np.zeros(orbitals)
    np.add.at(mean, sets, p[:, None])
    return {"value": mean[:shown].tolist(), "error": np.zeros(shown).tolist()}


def _samples(rho: DensityMatrix, key: Array, orbitals: int) -> dict[str, np.ndarray]:
    """Labels drawn from p, but for those with orbitals beyond the thermal ones."""
    drawn = jax.jit(jax.vmap(rho.p.sample_and_log_prob))(jax.random.split(key, KEPT))
    label, log_prob = (np.asarray(v) for v in drawn)
    low = np.all(label[:, 1:] < orbitals, axis=1)
    return {"label": label[low], "log_prob": log_prob[low]}
