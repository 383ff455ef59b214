"""Correlated states against exact values: few electrons by sectors, overlaps and levels against what is known."""

import dataclasses
import math
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.geometry import integer_vectors
from massieu.methods.method import method_of
from massieu.methods.particles import evaluate_sectors, overlaps
from massieu.methods.particles.evaluate_correlated import entropy_step
from massieu.methods.particles.levels import Levels
from massieu.methods.particles.overlap_chains import shares, squared_overlaps
from massieu.methods.particles.sector_sums import Sums, eigenstates, hermitian, measured_families, spectrum, sums_of
from massieu.physics import momentum_shells
from massieu.states.backflow import Backflow
from massieu.states.correlated import CorrelatedStates
from massieu.states.jastrow import Jastrow
from massieu.states.sectors import Family, low_sets, sorted_sectors, symmetries, turned

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


@pytest.mark.parametrize(("spins", "most"), [((2, 2), 30), ((3, 3), 40), ((3,), 10)])
def test_sectors_are_cut_between_orbits_not_between_levels(spins, most):
    """Every sector with a level beyond `most` comes near it, and each symmetry maps a sector's sets onto another's."""
    t = np.zeros(2)
    vectors, energies = momentum_shells.levels(2, 2 * math.pi, t, 5.0)
    sets, turns = low_sets(energies, spins, most=8000), symmetries(vectors, t, spins)
    sectors = sorted_sectors(sets, vectors, energies, spins, turns, most, 1.0)
    kept = {tuple(row) for row in sectors.sets.tolist()}
    for turn in turns:
        assert {tuple(row) for row in turned(sectors.sets, turn.orbitals, spins)[0].tolist()} == kept
    heaviest = max(sectors.families, key=lambda family: family.weight)
    assert most - 8 < heaviest.size <= most


# ---- the measured Hamiltonian


@pytest.fixture(scope="module")
def measured():
    """A family of three electrons without a Jastrow factor: S is 1 and H that of Slater and Condon."""
    system = _gas(3)
    options = method_of(system).configure(system, states="correlated")
    psi = method_of(system).ansatz(system, options).psi
    plain = Jastrow((3,), 2, (0.0,))
    bare = CorrelatedStates(psi.spins, psi.orbitals, psi.twist, psi.mixing, plain, None)
    family = measured_families(psi.mixing)[0][1]._replace(size=12)
    own = psi.mixing.sets[psi.mixing.members[family.sectors[0]][: family.size]]
    sums = sums_of(system, bare, psi.mixing)
    parts = [sums(bare, family, np.eye(12), np.zeros(12), 3200, jax.random.key(i)) for i in range(8)]
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


def _model(n_sets, reach=1, seed=0, twists=2):
    """Sets of six electrons at two twists, momenta up to reach; p at each twist; overlaps of those that have any."""
    rng = np.random.default_rng(seed)
    vectors = integer_vectors(2, 2.3)
    label = set()
    while len(label) < n_sets:
        occupied = np.sort(rng.choice(len(vectors), 6, replace=False))
        if np.all(abs(vectors[occupied].sum(axis=0)) <= reach):
            label.add(tuple(occupied.tolist()))
    sets = np.array([(q, *one) for q in range(twists) for one in sorted(label)])
    p = np.concatenate([rng.dirichlet(np.full(n_sets, 0.3)) for _ in range(twists)])
    total = np.concatenate([sets[:, :1], vectors[sets[:, 1:]].sum(axis=1)], axis=1)
    squared = 0.05 * rng.uniform(size=(len(sets), len(sets)))
    squared = np.where(np.all(total[:, None] == total, axis=2), squared + squared.T, 0.0)
    np.fill_diagonal(squared, 0.0)
    return sets, vectors, p, squared


def _weights(sets, vectors, p, n, rng):
    """Of n sets drawn from p at twists that are all alike; index of the sets of the pool."""
    drawn = rng.choice(len(p), n, p=p / p.sum())
    weights = overlaps.Weights(sets[drawn], np.log(p[drawn]), vectors, (6,), int(sets[:, 0].max()) + 1)
    place = {tuple(one): i for i, one in enumerate(sets.tolist())}
    return weights, drawn, np.array([place[tuple(one)] for one in weights.pool.label.tolist()])


@pytest.mark.parametrize(("n_sets", "reach", "n"), [(60, 1, 800), (200, 3, 160)])
def test_bound_of_the_entropy_is_unbiased_and_its_error_right(n_sets, reach, n):
    """Squared overlaps are known up to noise; of many momenta few sets are drawn: estimates average to the bound."""
    sets, vectors, p, squared = _model(n_sets, reach)
    rng, joint, miss, errors, exacts = np.random.default_rng(3), p / 2, [], [], []
    for seed in range(250):
        weights, drawn, of_pool = _weights(sets, vectors, p, n, rng)
        pairs, groups = of_pool[weights.pairs(seed)], weights.groups(seed)
        of_pairs = squared[pairs[:, 0], pairs[:, 1]] + 0.01 * rng.normal(size=len(pairs))
        chosen = of_pool[groups]
        of_groups = squared[chosen[:, :, None], chosen[:, None]]
        of_groups = of_groups + 0.01 * rng.normal(size=of_groups.shape)
        bound = weights.bound(of_pairs, groups, of_groups).value
        first = overlaps.Pool(sets[drawn[: n // 2]], np.log(joint[drawn[: n // 2]]), vectors, (6,))
        total = np.concatenate([sets[:, :1], vectors[sets[:, 1:]].sum(axis=1)], axis=1)
        a = joint + weights.floor * first.share_of(total)
        weight = joint / np.sqrt(a)
        exacts.append(joint @ (np.log(a / joint) + joint / a - 1) + weight @ squared @ weight)
        miss.append(bound.value - exacts[-1])
        errors.append(bound.error)
    miss, errors = np.array(miss), np.array(errors)
    assert abs(miss.mean()) < 4.5 * miss.std() / math.sqrt(len(miss)) < 0.15 * np.mean(exacts)
    assert 0.7 < np.mean(miss**2) / np.mean(errors**2) < 1.4


def test_pairs_share_a_momentum_and_differ_as_their_stratum_says():
    sets, vectors, p, _ = _model(60)
    weights, _, _ = _weights(sets, vectors, p, 3000, np.random.default_rng(1))
    label, pairs, groups = weights.pool.label, weights.pairs(0), weights.groups(0)
    assert pairs.shape == (overlaps.PAIRS, 2) and groups.shape == (overlaps.GROUPS, overlaps.MEMBERS)
    for chosen in (pairs, groups):
        total = np.concatenate([label[chosen][:, :, :1], vectors[label[chosen][:, :, 1:]].sum(axis=2)], axis=2)
        np.testing.assert_array_equal(total, np.broadcast_to(total[:, :1], total.shape))

    def apart(one, other):
        return 6 - len(np.intersect1d(label[one, 1:], label[other, 1:]))

    assert {apart(*pair) for pair in pairs} == {2}
    _, strata = weights._in_groups(groups)
    exact = np.array([[[apart(one, other) for one in group] for other in group] for group in groups])
    np.testing.assert_array_equal(np.minimum(exact, 4) - 2, strata)


def test_one_set_has_no_overlaps():
    sets, vectors, _, _ = _model(3)
    alone = overlaps.Weights(sets[:1].repeat(50_000, axis=0), np.zeros(50_000), vectors, (6,), 1)
    assert not len(alone.pairs(0)) and not len(alone.groups(0))
    none = np.zeros((0, overlaps.MEMBERS, overlaps.MEMBERS))
    assert 0 <= alone.bound(np.zeros(0), alone.groups(0), none).value.value < 1e-12


@pytest.mark.parametrize("spins", [(3,), (2, 2)])
def test_squared_overlaps_are_those_of_a_quadrature(spins):
    """Two electrons in other orbitals; <K|K'> and both norms by many independent points."""
    rng = np.random.default_rng(2)
    vectors = integer_vectors(2, 1.5)
    jastrow = Jastrow(spins, 2, (0.5, 1.0))
    psi = CorrelatedStates(spins, vectors, np.full((1, 2), 0.1), None, jastrow, Backflow(spins, 2))
    sectors, sets = {}, low_sets(np.sum((vectors + 0.1) ** 2, axis=1), spins, most=60)
    for label in sets:
        sectors.setdefault(tuple(vectors[label].sum(axis=0)), []).append((0, *label.tolist()))
    pairs = np.array([found[:2] for found in sectors.values() if len(found) > 1][:2])
    with jax.enable_x64(True):
        x = jnp.asarray(rng.uniform(size=(60_000, sum(spins), 2)))
        values = [np.exp(np.asarray(jax.vmap(jax.vmap(psi.log_psi, (None, 0)), (0, None))(jnp.asarray(pair), x)))
                  for pair in pairs]  # fmt: skip
        exact = [abs(np.mean(a.conj() * b)) ** 2 / np.mean(abs(a) ** 2) / np.mean(abs(b) ** 2) for a, b in values]
        found = []
        for seed in range(6):
            step, key = jnp.asarray(0.1), jax.random.key(seed)
            found.append(squared_overlaps(psi, pairs, step, 200, key, 400, lambda v: False)[:, 0, 1])
    mean, error = np.mean(found, axis=0), np.std(found, axis=0, ddof=1) / math.sqrt(6)
    assert np.all(abs(mean - exact) < 4.5 * error + 0.05 * np.array(exact) + 1e-4)
    assert np.all(error < 0.02)


def test_shares_of_a_mixture_are_those_of_the_states():
    psi = CorrelatedStates(
        (3,), integer_vectors(2, 1.5), np.full((1, 2), 0.1), None, Jastrow((3,), 2, (0.5, 1.0)), None
    )
    labels = jnp.array([[0, 0, 1, 2], [0, 1, 3, 4], [0, 0, 3, 6]])
    x = jax.random.uniform(jax.random.key(1), (3, 2))
    value = np.exp(np.asarray([psi.log_psi(label, x) for label in labels]))
    exact = np.outer(value.conj(), value) / np.sum(abs(value) ** 2)
    np.testing.assert_allclose(shares(psi, labels, x), exact, rtol=1e-5)
    sum_of_both = lambda x: jnp.log(sum(jnp.exp(2 * psi.log_psi(label, x).real) for label in labels))  # noqa: E731
    slope = psi.slope_of_sum(labels, x)
    np.testing.assert_allclose(slope.log_density, sum_of_both(x), rtol=1e-5)
    np.testing.assert_allclose(slope.gradient, jax.grad(sum_of_both)(x), rtol=1e-3, atol=1e-3)


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


def test_both_routes_to_the_heat_capacity_agree_for_boltzmann_weights():
    """C = Var(ln p) = -beta Cov(E_k, ln p) where p(k) ~ exp(-beta E_k); states that are orthonormal lose no entropy."""
    beta, levels = 0.7, np.array([0.3, 1.1, 2.0])
    weights = np.exp(-beta * levels)
    p = weights / (2 * weights.sum())  # two sectors alike
    family = SimpleNamespace(sectors=np.arange(2))
    batch = Sums(np.eye(3), np.diag(levels), np.zeros((3, 3)), {}, 1.0)
    found = evaluate_sectors._totals([(family, np.eye(3), p, 1.0)], [[batch] * 4], np.arange(4), beta)
    assert pytest.approx(2 * float(p @ levels)) == found.E
    assert pytest.approx(float(2 * p @ np.log(p) ** 2 - (2 * p @ np.log(p)) ** 2)) == found.C
    assert pytest.approx(-np.log(2 * weights.sum()) / beta, abs=1e-3) == found.F


# ---- runs


@pytest.mark.acceptance
@pytest.mark.parametrize(
    "key", [(2, 2, 10.0, 1.0), pytest.param((4, 2, 5.0, 0.15), marks=pytest.mark.validation)], ids=str
)
def test_few_electrons_reach_their_exact_values(key):
    n, dim, rs, theta = key
    F, E, S, basis = EXACT[key]
    run = ms.minimize(_gas(n, dim, rs, theta), states="correlated", reference=False)
    assert run.F.value > F - 4 * run.F.error - basis
    assert run.F.value < F + 1e-3 * abs(F) + 2 * run.F.error + basis
    assert run.E.value == pytest.approx(E, abs=5e-3 * abs(E) + 4 * run.E.error)
    assert run.S.value == pytest.approx(S, rel=0.02)


@pytest.mark.validation
@pytest.mark.acceptance
def test_two_spins_reach_the_extrapolated_diagonalisation():
    """Two up, one down, rs 2, theta 0.5: -2.0550(3), 2.5122, 2.272 by diagonalisation, extrapolated in the basis."""
    run = ms.minimize(ms.ElectronGas(n=3, rs=2, theta=0.5, n_down=1), states="correlated", reference=False)
    assert run.F.value == pytest.approx(-2.0550, abs=0.002 + 4 * math.hypot(run.F.error, 3e-4))
    assert run.S.value == pytest.approx(2.5122, rel=0.005)
    assert 0 < run.result.C.error < 0.02 and run.result.C.value == pytest.approx(2.272, rel=0.02)


@pytest.mark.validation
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
        ("quantum-dot --states correlated", "states = correlated: must be flow for n = 6"),
        ("electron-gas --interacting false --states correlated", "must be flow for the ideal gas"),
        ("electron-gas --states flow --walkers 4", "walkers = 4: must be left out for flow states"),
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


@pytest.mark.parametrize(
    ("given", "states", "layers"),
    [
        ({"n": 3}, "correlated", None),
        ({"n": 3, "cutoff": 9}, "flow", None),
        ({"n": 3, "theta": 2.0}, "flow", None),
        ({"n": 3, "interacting": False}, "flow", None),
        ({"n": 1}, "flow", None),
        ({"n": 7, "theta": 0.1}, "correlated", 0),
        ({"n": 7, "theta": 1.0}, "correlated", 2),
        ({"n": 7, "dim": 3, "rs": 4.0, "theta": 16.0}, "flow", None),
    ],
)
def test_states_by_default_are_those_with_the_lower_free_energy(given, states, layers):
    """A flow beneath the Jastrow factor where thermal states are alike, flows alone where nothing else is known."""
    gas = ms.ElectronGas(**given)
    method = method_of(gas)
    options = method.configure(gas)
    assert options.states == states
    if layers is not None:
        psi = method.ansatz(gas, options).psi
        assert (psi.backflow is None) == bool(layers)
        assert not layers or len(psi.flow.coefficients) == layers


def test_a_density_decides_what_its_states_are():
    gas = ms.ElectronGas(n=2, theta=0.5)
    method = method_of(gas)
    rho = method.ansatz(gas, method.configure(gas, states="flow"))
    run = ms.minimize(gas, rho, steps=1, batch=16, samples=100, sampler="mala", reference=False)
    assert run.options.states == "flow"
    with pytest.raises(ms.InputError, match="cutoff = 9: must be left out for correlated states of few electrons"):
        ms.minimize(ms.ElectronGas(n=2, theta=0.5, cutoff=9), states="correlated", steps=1)
    with pytest.raises(ms.InputError, match="mix = 8: must be left out for correlated states"):
        ms.minimize(ms.ElectronGas(n=2, theta=0.5, mix=8), states="correlated", steps=1)


def test_a_newton_step_of_p_says_what_its_entropy_lacks():
    """p is 8 % too cold; the energies' model, and how far it is off, have samples of their own."""
    rng, beta, energies = np.random.default_rng(0), 2.0, np.linspace(0, 2, 40) ** 2

    def boltzmann(a):
        p = np.exp(-a * beta * energies)
        return p / p.sum()

    def entropy(p):
        return -np.sum(p * np.log(p))

    p, model = boltzmann(1.08), 0.9 * energies
    parts = []
    for values in (model + np.log(p) / beta, energies - model):
        k = rng.choice(len(p), 400_000, p=p)
        parts.append((values[k], np.log(p[k]), np.zeros(len(k))))
    step, wanted = entropy_step(beta, *parts), entropy(boltzmann(1.0)) - entropy(p)
    assert abs(step.value - wanted) < 4 * step.error + 0.1 * wanted
    assert step.error < 0.1 * wanted
