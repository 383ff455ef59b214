"""The interacting electron gas: trained free energies against exact diagonalisation, limits, gradients, chains."""

import json
import math
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu import sampling
from massieu.errors import InputError
from massieu.methods.particles.options import ParticleOptions
from massieu.methods.particles.train import problem, weigh
from massieu.optimize import stochastic_reconfiguration
from massieu.physics.plane_wave_matrix import determinants, interaction_matrix, small_matrix, total_momentum
from massieu.principle import trainable

pytestmark = pytest.mark.acceptance

DATA = json.loads((Path(__file__).parents[1] / "data" / "electron_gas.json").read_text())


def _exact(n, dim, rs, theta, twist):
    for row in DATA["interacting"]:
        if (row["n"], row["dim"], row["rs"], row["theta"], row["twist"]) == (n, dim, rs, theta, twist):
            return row
    raise KeyError


@pytest.mark.validation
@pytest.mark.parametrize(("n", "dim", "rs", "theta", "twist"), [(2, 2, 10.0, 0.5, 0.0), (3, 2, 5.0, 0.25, 0.25)])
def test_free_energy_is_an_upper_bound_within_half_a_percent(n, dim, rs, theta, twist):
    gas = ms.ElectronGas(n=n, dim=dim, rs=rs, theta=theta, twist=str(twist))
    run = ms.minimize(gas, states="flow", steps=60, batch=256, samples=6000, seed=1, remix=30)
    row = _exact(n, dim, rs, theta, twist)
    exact, slack = row["F"], abs(row["change"])
    assert run.F.value > exact - slack - 4 * run.F.error
    assert run.F.value < exact + 0.005 * abs(exact) + 2 * run.F.error
    assert run.E.value == pytest.approx(row["E"], abs=0.01 * abs(row["E"]) + 4 * run.E.error)
    assert run.S.value == pytest.approx(row["S"], abs=0.02 * row["S"] + 4 * run.S.error)
    assert run.result.observables["fraction_not_bijective"] == 0
    assert (
        abs(run.result.observables["imaginary_energy"]["value"])
        < 5 * run.result.observables["imaginary_energy"]["error"]
    )


@pytest.mark.validation
def test_ground_state_of_an_open_shell_mixes_its_determinants():
    row = _exact(3, 2, 5.0, 0.0, 0.0)
    gas = ms.ElectronGas(n=3, dim=2, rs=5.0, theta=0.0)
    run = ms.minimize(gas, states="flow", steps=50, batch=256, samples=6000, remix=25)
    assert run.E.value > row["E"] - abs(row["change"]) - 4 * run.E.error
    assert run.E.value < row["E"] + 0.005 * abs(row["E"]) + 2 * run.E.error


@pytest.mark.validation
def test_pair_of_opposite_spins_reaches_its_ground_state():
    gas = ms.ElectronGas(n=2, rs=5.0, theta=0.0625, polarised=False)
    exact = next(e for e in DATA["unpolarised_pair"] if e["key"] == "ueg.2d.unpol.N2.rs5.Theta0.0625")
    run = ms.minimize(gas, states="flow", steps=60, batch=256, samples=6000, seed=1, remix=30)
    assert run.F.value > 2 * exact["F_per_N"] - 4 * run.F.error
    assert run.F.value < 2 * exact["F_per_N"] + 0.01 * abs(2 * exact["F_per_N"]) + 2 * run.F.error


def test_without_interaction_every_sample_gives_the_free_energy_of_the_ideal_gas():
    gas = ms.ElectronGas(n=5, rs=2.0, theta=0.5, twist="0.25", interacting=False)
    run = ms.minimize(gas, steps=2, batch=64, samples=500)
    assert run.result.F_var < 1e-18
    error = gas.plane_waves().error
    assert run.F.value == pytest.approx(gas.ideal().F.value, abs=error + 1e-9)


@pytest.mark.acceptance
def test_a_hot_gas_has_too_many_orbitals_for_pairs_of_them():
    gas = ms.ElectronGas(n=7, dim=3, rs=4.0, theta=16.0, interacting=False)
    vectors, cut = gas.plane_waves()
    assert len(vectors) > 3000
    run = ms.minimize(gas, steps=1, batch=16, samples=100)
    assert run.F.value == pytest.approx(gas.ideal().F.value + cut, rel=1e-9)
    with pytest.raises(ms.InputError, match="states = correlated: must be flow"):
        ms.minimize(ms.ElectronGas(n=7, dim=3, rs=4.0, theta=16.0), states="correlated", steps=1)


def test_classical_limit_of_the_ideal_gas():
    """theta >> 1: ln Z tends to that of distinguishable particles over n! (exchange corrections fall as 1/theta)."""
    gas = ms.ElectronGas(n=3, rs=2.0, theta=200.0, interacting=False)
    wavelength = math.sqrt(4 * math.pi / gas.temperature)  # hbar^2/2m = 1: lambda^2 = 4 pi/T
    lnZ = 3 * 2 * math.log(gas.length / wavelength) - math.lgamma(4)
    assert -gas.beta * gas.ideal().F.value == pytest.approx(lnZ, abs=0.01)


DETERMINANTS = [e for e in DATA["determinant"] if e["key"] in ("ueg.2d.HF.pol.N5.rs5", "ueg.3d.HF.pol.N7.rs1")]


@pytest.mark.parametrize("entry", DETERMINANTS, ids=lambda e: e["key"])
def test_plane_wave_determinant_energy_by_direct_sampling(entry):
    """The identity flow at T = 0 is the Hartree-Fock determinant."""
    n, dim = int(entry["key"].split(".N")[1].split(".")[0]), int(entry["key"][4])
    rs = float(entry["key"].split("rs")[1])
    gas = ms.ElectronGas(n=n, dim=dim, rs=rs, theta=0.0, mix=1)
    rho = gas.default_ansatz(ParticleOptions())
    flat = eqx.tree_at(lambda r: r.psi.flow.coefficients, rho, jnp.zeros_like(rho.psi.flow.coefficients))
    walkers = jax.jit(lambda key: weigh(flat, gas, flat.draw(key, 4000)))(jax.random.key(0))
    energy = np.asarray(walkers.energy.real) / n
    assert float(walkers.kinetic.real[0]) / n == pytest.approx(entry["T"], rel=1e-10)
    assert abs(energy.mean() - entry["E"]) < 4.5 * energy.std() / math.sqrt(len(energy))


def test_gradients_are_unbiased():
    """The wavefunction gradient agrees with finite differences of the energy on common base points."""
    gas = ms.ElectronGas(n=2, rs=5.0, theta=0.5, mix=1)
    rho = gas.default_ansatz(ParticleOptions())
    batch = 40000
    draw = jax.jit(lambda key: rho.draw(key, batch))(jax.random.key(0))
    c = rho.psi.flow.coefficients
    direction = (
        jax.random.normal(jax.random.key(1), c.shape) / np.sum(rho.psi.flow.vectors**2, axis=1)[None, None, None]
    )
    moved = jax.jit(lambda c: weigh(eqx.tree_at(lambda r: r.psi.flow.coefficients, rho, c), gas, draw).energy.real)
    step = 1e-3
    slope = (np.asarray(moved(c + step * direction)) - np.asarray(moved(c - step * direction))) / (2 * step)
    walkers = jax.jit(lambda: weigh(rho, gas, draw))()

    def score(label, z, gradient):
        along = lambda c: eqx.tree_at(lambda r: r.psi.flow.coefficients, rho, c).psi.surrogate(label, z, gradient)  # noqa: E731
        return jax.jvp(along, (c,), (direction,))[1]

    scores = np.asarray(jax.jit(jax.vmap(score))(walkers.label, walkers.z, walkers.gradient))
    e, labels = np.asarray(walkers.energy), np.asarray(walkers.label)
    baseline = np.zeros(batch)
    _, index = np.unique(labels, axis=0, return_inverse=True)
    means = np.bincount(index.ravel(), e.real) / np.bincount(index.ravel())
    baseline = means[index.ravel()]
    terms = 2 * ((e.real - baseline) * scores[:, 0] + e.imag * scores[:, 1])
    error = math.hypot(terms.std(), slope.std()) / math.sqrt(batch)
    assert abs(terms.mean() - slope.mean()) < 4.5 * error


def test_minsr_is_the_same_step_as_sr():
    params = {"a": jnp.zeros(3), "b": jnp.zeros((2, 2))}
    scores = {"a": jax.random.normal(jax.random.key(0), (50, 3)), "b": jax.random.normal(jax.random.key(1), (50, 2, 2))}
    residual = jax.random.normal(jax.random.key(2), (50,))
    steps = []
    for method in ("sr", "minsr"):
        rule = stochastic_reconfiguration(1.0, lambda _: 1.0, method, trust=1e9, damping=1e-7, floor=0.0)
        updates, _ = rule.update(params, rule.init(params), params, scores=scores, residual=residual)
        steps.append(jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(updates)]))
    np.testing.assert_allclose(steps[0], steps[1], rtol=1e-4)
    o = np.concatenate([np.asarray(leaf).reshape(50, -1) for leaf in jax.tree.leaves(scores)], axis=1)
    np.testing.assert_allclose(steps[0], -np.linalg.lstsq(o, np.asarray(residual), rcond=None)[0], rtol=1e-4)


@pytest.mark.parametrize("kind", ["mala", "metropolis"])
def test_chains_sample_the_free_determinant(kind):
    """Detailed balance on the torus: moments of |D_K|^2 of two electrons, from walkers that start elsewhere."""
    gas = ms.ElectronGas(n=2, rs=5.0, theta=0.0, twist="0.1", interacting=False)
    rho = gas.default_ansatz(ParticleOptions())
    labels = lambda key: jax.vmap(rho.p.sample_and_log_prob)(jax.random.split(key, 400))[0]  # noqa: E731
    walkers = sampling.Walkers(
        labels(jax.random.key(0)), jax.random.uniform(jax.random.key(1), (400, 2, 2)), jnp.asarray(0.1)
    )
    forward = jax.jit(lambda key, w: sampling.advance(kind, rho.psi.log_base_density, labels, key, w, 20))
    means = []
    for k in range(30):
        walkers, report = forward(jax.random.key(100 + k), walkers)
        r = np.asarray(walkers.x[:, 0] - walkers.x[:, 1])
        means.append(np.cos(2 * np.pi * r).mean(axis=0))
    found = np.array(means[8:])
    k = np.asarray(rho.psi.orbitals)[np.asarray(rho.p.occupied)[0]]
    exact = [-0.5 if abs(a) == 1 else 0.0 for a in (k[0] - k[1])]
    assert np.abs(k[0] - k[1]).sum() == 1
    error = found.std(axis=0, ddof=1) / math.sqrt(len(found))
    assert np.all(np.abs(found.mean(axis=0) - exact) < 5 * error + 0.003)
    assert 0.3 < float(report.acceptance) < 0.9
    assert np.all((np.asarray(walkers.x) >= 0) & (np.asarray(walkers.x) < 1))


@pytest.mark.parametrize("kind", ["mala", "metropolis"])
def test_chains_exchange_labels_in_equilibrium(kind):
    """Walkers that all start with one K end with the ideal gas's mean energy of K."""
    gas = ms.ElectronGas(n=2, rs=5.0, theta=0.5, interacting=False)
    rho = gas.default_ansatz(ParticleOptions())
    labels = lambda key: jax.vmap(rho.p.sample_and_log_prob)(jax.random.split(key, 400))[0]  # noqa: E731
    start = jnp.broadcast_to(jnp.array([0, 0, 1]), (400, 3))
    walkers = sampling.Walkers(start, jax.random.uniform(jax.random.key(1), (400, 2, 2)), jnp.asarray(0.1))
    forward = jax.jit(lambda key, w: sampling.advance(kind, rho.psi.log_base_density, labels, key, w, 20))
    levels = (2 * math.pi / gas.length) ** 2 * np.sum(np.asarray(rho.psi.orbitals) ** 2, axis=1)
    means = []
    for k in range(30):
        walkers, _ = forward(jax.random.key(100 + k), walkers)
        means.append(levels[np.asarray(walkers.label)[:, 1:]].sum(axis=1).mean())
    found = np.array(means[6:])
    error = found.std(ddof=1) / math.sqrt(len(found))
    assert abs(found.mean() - gas.ideal().E.value) < 4.5 * error + 1e-3 * gas.ideal().E.value


@pytest.mark.parametrize(("sampler", "method"), [("mala", "spring"), ("metropolis", "minsr")])
def test_every_sampler_and_method_trains(sampler, method):
    gas = ms.ElectronGas(n=7, rs=5.0, theta=1.0)  # too many sets for a table: p(K) has attention layers
    config = ParticleOptions(steps=3, batch=32, sampler=sampler, method=method, attention=1, accumulate=2)
    training = problem(gas, gas.default_ansatz(config), gas.beta, config)
    state = training.start
    assert training.density(state).p.attention is not None
    for _ in range(2):
        state, metrics = training.step(state)
    assert all(np.isfinite(float(v)) for v in metrics.values())
    moved = [float(jnp.max(jnp.abs(a - b))) for a, b in zip(jax.tree.leaves(state.params),
             jax.tree.leaves(training.start.params), strict=True)]  # fmt: skip
    assert sum(m > 0 for m in moved) >= len(moved) - 1


@pytest.mark.parametrize("spins", [(3,), (2, 1)])
def test_slater_condon_rules_both_ways(spins):
    from massieu.geometry import integer_vectors

    vectors = integer_vectors(2, 2.0)
    blocks = {}
    for one in determinants(len(vectors), spins):
        blocks.setdefault(total_momentum(one, vectors), []).append(one)
    for block in list(blocks.values())[:25]:
        np.testing.assert_allclose(small_matrix(block, vectors), interaction_matrix(block, vectors), atol=1e-13)


def test_trainable_parameters_are_the_flow_and_the_shifts():
    rho = ms.ElectronGas(n=13, theta=0.15, twist="0.25").default_ansatz(ParticleOptions())
    params, _ = trainable(rho)
    names = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    assert names == {".p.shifts", ".p.pairs", ".psi.flow.coefficients"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("rs", 0.0), ("rs", -1.0), ("theta", -0.1), ("twist", "0.7"), ("twist", "a,b"), ("dim", 4), ("n", 0),
     ("cutoff", 3), ("n_down", 9), ("twists", "grid:x"), ("theta", math.nan), ("mix", 0)],
)  # fmt: skip
def test_bad_parameters_are_named(field, value):
    extra = {"twist": "average"} if field == "twists" else {}
    with pytest.raises(InputError, match=field):
        ms.ElectronGas(**({"n": 5, field: value} | extra))


def test_odd_numbers_cannot_be_unpolarised():
    with pytest.raises(InputError, match="polarised"):
        ms.ElectronGas(n=5, polarised=False)
