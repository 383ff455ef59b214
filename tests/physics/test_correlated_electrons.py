"""Correlated states against exact values: few electrons by sectors, overlaps and levels against what is known."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.geometry import integer_vectors
from massieu.methods.method import method_of
from massieu.methods.particles import overlaps
from massieu.methods.particles.levels import Levels
from massieu.methods.particles.sectors import Sums, eigenstates, hermitian, measured_families, spectrum, sums_of
from massieu.physics import momentum_shells
from massieu.states.backflow import Backflow
from massieu.states.correlated import CorrelatedStates
from massieu.states.jastrow import Jastrow
from massieu.states.sectors import Family, low_sets, sorted_sectors, symmetries

# thermal exact diagonalisation in plane waves (tests/data/electron_gas.json has the source): F, E, S, basis error
EXACT = {
    (2, 2, 10.0, 1.0): (-0.409876, -0.307059, 2.5707, 1e-5),
    (4, 2, 5.0, 0.15): (-1.16427, -1.12441, 1.661, 8e-4),
}


def _gas(n, dim=2, rs=5.0, theta=0.15, **parameters):
    return ms.ElectronGas(n=n, dim=dim, rs=rs, theta=theta, **parameters)


# ---- sets and sectors


@pytest.mark.parametrize(("spins", "dim", "twist"), [((3,), 2, 0.0), ((2, 1), 2, 0.25), ((2, 2), 3, 0.0)])
def test_low_sets_are_all_sets_below_their_highest(spins, dim, twist):
    t = np.full(dim, twist)
    _, energies = momentum_shells.levels(dim, 2 * math.pi, t, 5.0)
    found = low_sets(energies, spins, most=400)
    sums = energies[found].sum(axis=1)
    assert 1 < len(found) <= 400 and len(np.unique(found, axis=0)) == len(found)
    more = low_sets(energies, spins, most=4000)
    above = energies[more].sum(axis=1)
    assert np.sum(above <= sums.max() + 1e-9) == len(found)
    start = 0
    for count in spins:
        assert np.all(np.diff(found[:, start : start + count], axis=1) > 0)
        start += count


def _sectors(spins=(3,), twist=0.0, most=16):
    t = np.full(2, twist)
    vectors, energies = momentum_shells.levels(2, 2 * math.pi, t, 8.0)
    sets = low_sets(energies, spins, most=3000)
    turns = symmetries(vectors, t, spins)
    return sorted_sectors(sets, vectors, energies, spins, turns, most, 1.0), vectors


@pytest.mark.parametrize(("spins", "twist"), [((3,), 0.0), ((2, 1), 0.25), ((3,), 0.5)])
def test_sectors_have_one_momentum_and_families_share_their_matrices(spins, twist):
    """Matrix elements that depend on momenta alone, as those of any symmetric Hamiltonian do, agree up to the signs."""
    from massieu.physics.plane_wave_matrix import small_matrix

    sectors, vectors = _sectors(spins, twist)
    spin = np.repeat(np.arange(len(spins)), spins) * len(vectors)
    for members in sectors.members:
        own = sectors.sets[members[members >= 0]]
        assert len({tuple(p) for p in vectors[own].sum(axis=1).tolist()}) == 1
    assert sorted(np.concatenate([f.sectors for f in sectors.families]).tolist()) == list(range(len(sectors.members)))
    assert sum(family.weight for family in sectors.families) <= 1 + 1e-12
    for family in sectors.families[:12]:
        matrices = []
        for sector, place, sign in zip(family.sectors, family.places, family.signs, strict=True):
            own = sectors.sets[sectors.members[sector][: family.size]]
            here = small_matrix(own + spin, vectors)
            there = np.zeros_like(here)
            there[place[:, None], place] = here * sign[:, None] * sign
            matrices.append(there)
        np.testing.assert_allclose(matrices, np.broadcast_to(matrices[0], np.shape(matrices)), atol=1e-12)


def test_sectors_expand_a_label_into_its_sector():
    sectors, _ = _sectors()
    states = np.random.default_rng(0).normal(size=sectors.states.shape)
    sectors = dataclasses.replace(sectors, states=states)
    for at in (0, 17, len(sectors.sets) - 1):
        number, column = sectors.of_set[at]
        own = sectors.members[number][sectors.members[number] >= 0]
        sets, amplitudes = sectors.expand(jnp.asarray(sectors.sets[at]))
        np.testing.assert_array_equal(np.asarray(sets)[: len(own)], sectors.sets[own])
        expected = sectors.sign[number] * states[sectors.family[number], sectors.place[number], column]
        np.testing.assert_allclose(np.asarray(amplitudes)[: len(own), 0], expected[: len(own)])
        assert not np.any(np.asarray(amplitudes)[len(own) :])


# ---- the measured Hamiltonian


@pytest.fixture(scope="module")
def measured():
    """A family of three electrons without a Jastrow factor: S is 1 and H that of Slater and Condon."""
    system = _gas(3)
    options = method_of(system).configure(system, states="correlated")
    psi = method_of(system).ansatz(system, options).psi
    plain = Jastrow((3,), 2, (0.0,))
    bare = CorrelatedStates(psi.spins, psi.orbitals, psi.twist, psi.mixing, plain, None)
    family = measured_families(psi.mixing)[0][1]
    own = psi.mixing.sets[psi.mixing.members[family.sectors[0]][: family.size]][:12]
    sums = sums_of(system, bare, psi.mixing)
    parts = [sums(bare, own, np.eye(12), np.zeros(12), 3200, jax.random.key(i)) for i in range(8)]
    return system, bare, own, parts


def test_matrices_of_bare_determinants_are_those_of_slater_and_condon(measured):
    from massieu.physics.ewald import madelung
    from massieu.physics.plane_wave_matrix import small_matrix

    system, psi, own, parts = measured
    overlaps_ = np.array([s.overlap for s in parts])
    error = overlaps_.std(axis=0, ddof=1) / math.sqrt(len(parts))
    assert np.max(np.abs(overlaps_.mean(axis=0) - np.eye(12)) / (error + 1e-3)) < 5
    kinetic = system.kinetic_scale * (2 * math.pi) ** 2 * np.sum(psi.orbitals[own] ** 2, axis=(1, 2))
    exact = np.diag(kinetic + 3 * madelung(2) / system.length) + 2 / system.length * small_matrix(own, psi.orbitals)
    energy = np.array([s.energy for s in parts])
    error = energy.std(axis=0, ddof=1) / math.sqrt(len(parts))
    assert np.max(np.abs(energy.mean(axis=0) - exact) / (error + 1e-3)) < 5


def test_states_of_a_noisy_measurement_are_orthonormal_in_it_and_never_too_low(measured):
    _, _, _, parts = measured
    halves = []
    for half in (parts[::2], parts[1::2]):
        mean = jax.tree.map(lambda *v: np.mean(v, axis=0), *half)
        halves.append((0.5 * (mean.overlap + mean.overlap.T), mean.energy))
    values, states = spectrum(halves)
    overlap = 0.5 * (halves[0][0] + halves[1][0])
    np.testing.assert_allclose(states.T @ overlap @ states, np.eye(12), atol=1e-10)
    assert np.all(np.isfinite(values))
    exact = np.linalg.eigvalsh(0.5 * (halves[0][1] + halves[0][1].T))  # of one half: noisy, but near
    assert abs(values[0] - exact[0]) < 0.05


def test_an_invariant_space_has_its_exact_levels_from_any_points():
    """H J D_b inside the space: the regression has no noise at all."""
    rng = np.random.default_rng(1)
    h = rng.normal(size=(4, 4))
    h = h + h.T + np.diag([0.0, 2.0, 4.0, 6.0])
    value = rng.normal(size=(50, 4))  # rows: points
    sums = Sums(value.T @ value / 50, value.T @ (value @ h) / 50, None, None, None)
    energies = np.sort(np.linalg.eigvals(np.linalg.solve(sums.overlap, sums.energy)).real)
    np.testing.assert_allclose(energies, np.linalg.eigvalsh(h), atol=1e-9)

    alone = Family(np.zeros(1), np.arange(4)[None], np.ones((1, 4)), [(np.arange(4), np.ones(4))], 4, 1.0)
    states = eigenstates(*hermitian(sums, alone))
    np.testing.assert_allclose(states.T @ sums.overlap @ states, np.eye(4), atol=1e-9)


# ---- the bound on the entropy


def _model(n_sets=6, seed=0):
    """States with known overlaps and p of one sector of six sets of four electrons."""
    rng = np.random.default_rng(seed)
    vectors = integer_vectors(2, 2.3)
    label = []
    for _ in range(4000):
        occupied = np.sort(rng.choice(len(vectors), 4, replace=False))
        if not np.any(vectors[occupied].sum(axis=0)):
            label.append((0, *occupied.tolist()))
        if len(set(label)) == n_sets:
            break
    return np.array(sorted(set(label))), vectors, rng


def test_bound_of_ln_q_is_unbiased_and_above():
    """A_KK' is known up to noise: estimates average to a value just above E[ln q], and their errors are right."""
    sets, vectors, rng = _model()
    n, p = len(sets), np.array([0.4, 0.25, 0.15, 0.1, 0.07, 0.03])
    amplitude = 0.25 * rng.normal(size=(n, n))
    amplitude = 0.5 * (amplitude + amplitude.T)
    np.fill_diagonal(amplitude, 1.0)
    exact = float(p @ np.log(amplitude**2 @ p) - p @ np.log(p))
    values, errors = [], []
    for _ in range(200):
        drawn = rng.choice(n, 30, p=p)
        label = sets[drawn]
        groups = overlaps.exchanges(label, vectors, (4,))
        near = overlaps.nearby(label, sets[rng.choice(n, 200, p=p)], vectors, (4,))
        ratios = [amplitude[drawn[g.bra], drawn[g.ket]] + 0.1 * rng.normal(size=len(g.bra)) + 0j for g in groups]
        found = overlaps.bound(groups, ratios, np.log(p[drawn]), near)
        values.append(found.value.value)
        errors.append(found.value.error)
    mean, error = np.mean(values), np.std(values) / math.sqrt(len(values))
    assert mean > exact - 4 * error
    assert mean < exact + 0.15 * exact + 4 * error
    assert 0.7 < np.mean(errors) / np.std(values) < 1.4


@pytest.mark.parametrize("spins", [(4,), (2, 2)])
def test_ratios_are_those_of_the_determinants(spins):
    rng = np.random.default_rng(2)
    vectors = integer_vectors(2, 1.5)
    psi = CorrelatedStates(
        spins, vectors, np.full((1, 2), 0.1), None, Jastrow(spins, 2, (0.5, 1.0)), Backflow(spins, 2)
    )
    sets = []
    while len(sets) < 300:
        parts = [np.sort(rng.choice(len(vectors), count, replace=False)) for count in spins]
        sets.append((0, *np.concatenate(parts).tolist()))
    label = np.array(sets)
    groups = overlaps.exchanges(label, vectors, spins)
    x = rng.uniform(size=(len(label), sum(spins), 2))
    replaced = np.asarray(jax.vmap(lambda k, x: overlaps.replacements(psi, k, x))(label, x))[:, None]
    log = jax.jit(jax.vmap(psi.log_psi))
    assert groups
    for group in groups:
        found = group.ratios(replaced)
        exact = np.exp(log(label[group.ket], x[group.bra]) - log(label[group.bra], x[group.bra]))
        np.testing.assert_allclose(np.abs(found), np.abs(exact), rtol=1e-6)
        both = found * exact.conj()
        np.testing.assert_allclose(np.abs(both.imag), 0, atol=1e-6 * np.abs(both).max())


# ---- levels


def test_levels_are_found_from_noisy_energies():
    gas = _gas(5, rs=1.0, theta=0.5)
    options = method_of(gas).configure(gas, states="correlated")
    vectors = integer_vectors(2, 2.3)
    from massieu.densities.occupation import Occupation

    energies = np.sum(vectors**2, axis=1)[None].astype(float)
    p = Occupation(vectors[None].astype(float), -0.5 * energies, (5,), key=jax.random.key(0))
    levels = Levels((5,), 1.0, energies, p.shell, p.pair_class, np.zeros((len(vectors),) * 2))
    label, _ = jax.jit(jax.vmap(p.sample_and_log_prob))(jax.random.split(jax.random.key(1), 3000))
    truth = 1.4 * jax.vmap(levels.plain)(label) - 3.0
    noisy = truth + 0.5 * jax.random.normal(jax.random.key(2), truth.shape)
    sums = levels.seen(levels.start(), label, noisy, jnp.full(3000, 0.25), jnp.ones(3000), jnp.asarray(10.0))
    fitted = levels.fitted(sums)
    found = jax.vmap(lambda k: levels.energy(fitted, k))(label)
    assert float(jnp.std(found - truth)) < 0.1
    assert abs(float(jnp.mean(found - truth))) < 0.05
    assert options.samples == 200_000


# ---- runs


@pytest.mark.acceptance
@pytest.mark.parametrize("key", EXACT, ids=str)
def test_few_electrons_reach_their_exact_values(key):
    n, dim, rs, theta = key
    F, E, S, basis = EXACT[key]
    run = ms.minimize(_gas(n, dim, rs, theta), states="correlated", reference=False)
    assert run.F.value > F - 4 * run.F.error - basis
    assert run.F.value < F + 1e-3 * abs(F) + 2 * run.F.error + basis
    assert run.E.value == pytest.approx(E, abs=5e-3 * abs(E) + 4 * run.E.error)
    assert run.S.value == pytest.approx(S, rel=0.02)


@pytest.mark.acceptance
def test_ground_state_of_thirteen_electrons_is_below_the_unitary_flow():
    """-3.668(2) is what the flow of version 0.1.0 reaches; Jastrow factor and backflow about -3.720."""
    run = ms.minimize(_gas(13, theta=0.0), states="correlated", reference=False, steps=40, samples=2000)
    assert run.F.value < -3.69
    assert run.F.value > -3.75
    assert run.result.observables["r_hat"] < 1.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("quantum-dot --states correlated", "states = correlated: must be flow for quantum-dot"),
        ("electron-gas --interacting false --states correlated", "must be flow for the ideal gas"),
        ("electron-gas --walkers 4", "walkers = 4: must be left out for flow states"),
        ("electron-gas --states correlated --sampler mala", "sampler = mala: must be left out for correlated states"),
        ("electron-gas --states correlated --batch 20", "batch = 20: must be a multiple of walkers = 8"),
        ("electron-gas --n 4 --states correlated --backflow true", "backflow = True: must be left out for n = 4"),
        ("electron-gas --states best", "states = best: must be one of correlated, flow"),
    ],
)
def test_bad_input_is_refused(refused, arguments, message):
    refused(["run", *arguments.split()], message)


def test_ln_psi_of_a_mixed_state_sums_determinants_and_factors():
    gas = _gas(3, theta=0.3, n_down=1)
    psi = method_of(gas).ansatz(gas, method_of(gas).configure(gas, states="correlated")).psi
    sectors, rng = psi.mixing, np.random.default_rng(4)
    states = rng.normal(size=sectors.states.shape)
    pairs = psi.jastrow.pairs + 0.1 * rng.normal(size=psi.jastrow.pairs.shape)
    psi = eqx.tree_at(lambda p: (p.mixing.states, p.jastrow.pairs), psi, (states, jnp.asarray(pairs)))
    label, x = jnp.array((0, *sectors.sets[5])), jnp.asarray(rng.uniform(size=(3, 2)))
    sets, coefficients = psi.mixing.expand(label[1:])
    terms = []
    for occupied, of_factors in zip(np.asarray(sets), np.asarray(coefficients), strict=True):
        k = psi.orbitals[occupied]
        spins = (slice(0, 2), slice(2, 3))
        value = np.prod([np.linalg.det(np.exp(2j * np.pi * k[of] @ np.asarray(x)[of].T)) for of in spins]) / np.sqrt(2)
        factors = [math.exp(float(factor.log(x))) for factor in psi.jastrow.factors()]
        terms.append(value * (of_factors @ factors))
    np.testing.assert_allclose(complex(jnp.exp(psi.log_psi(label, x))), sum(terms), rtol=1e-9)
