"""Crystals: energies by explicit sums, the harmonic limit, laws of the flow, free energies."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.densities.crystal import CrystalFlow, HarmonicCrystal, log_volume
from massieu.errors import InputError
from massieu.physics.crystals import CELLS, Vibrations, lattice
from massieu.systems import LennardJones, MonatomicWater

pytestmark = pytest.mark.acceptance


def _images(system, x):
    """Positions of all atoms in 5^3 boxes, and the index of the atom each belongs to."""
    grid = np.array(list(itertools.product(range(-2, 3), repeat=3))) * system.lattice.box
    return (np.asarray(x)[None] + grid[:, None]).reshape(-1, 3), np.tile(np.arange(len(x)), len(grid))


def _disturbed(system, size=0.05):
    return system.lattice.sites + size * np.random.default_rng(0).normal(size=system.lattice.sites.shape)


def test_energy_of_lennard_jones_is_the_sum_over_all_images():
    system = LennardJones(n=32)
    x = _disturbed(system)
    everywhere, _ = _images(system, x)
    total = 0.0
    for one in x:
        r = np.linalg.norm(everywhere - one, axis=1)
        r = r[(r > 1e-9) & (r < 2.7)]
        total += 0.5 * np.sum(4 * (r**-12 - r**-6) - 4 * (2.7**-12 - 2.7**-6))
    np.testing.assert_allclose(system.energy(jnp.asarray(x)), total, rtol=1e-12)


@pytest.mark.parametrize(("ice", "rho"), [("cubic", 0.04), ("hexagonal", 0.0336)])
def test_energy_of_water_is_the_sum_over_pairs_and_triplets(ice, rho):
    """Stillinger and Weber's form with the parameters of Molinero and Moore, in sigma."""
    system = MonatomicWater(ice=ice, rho=rho)
    x = _disturbed(system)
    everywhere, _ = _images(system, x)
    total = 0.0
    for one in x:
        r = everywhere - one
        length = np.linalg.norm(r, axis=1)
        near = (length > 1e-9) & (length < 1.8)
        r, length = r[near], length[near]
        total += 0.5 * np.sum(7.049556277 * (0.6022245584 / length**4 - 1) * np.exp(1 / (length - 1.8)))
        for j, k in itertools.combinations(range(len(r)), 2):
            cosine = r[j] @ r[k] / (length[j] * length[k])
            total += 23.15 * (cosine + 1 / 3) ** 2 * np.exp(1.2 / (length[j] - 1.8) + 1.2 / (length[k] - 1.8))
    np.testing.assert_allclose(system.energy(jnp.asarray(x)), 6.189 * total, rtol=1e-9)


@pytest.mark.parametrize("kind", CELLS)
def test_every_site_has_the_same_surroundings(kind):
    found = lattice(kind, 2, 0.7)
    n = len(found.sites)
    np.testing.assert_allclose(n / np.prod(found.box), 0.7, rtol=1e-12)
    r = found.sites[:, None] - found.sites[None]
    r -= found.box * np.round(r / found.box)
    distances = np.sort(np.linalg.norm(r, axis=-1), axis=1)[:, 1:14]
    np.testing.assert_allclose(distances, np.broadcast_to(distances[0], distances.shape), rtol=1e-9)
    assert np.sum(distances[0] < 1.01 * distances[0, 0]) == (12 if kind == "fcc" else 4)


def test_translations_that_map_the_crystal_onto_itself():
    for kind in CELLS:
        found = lattice(kind, 2, 1.0)
        shifts = (found.sites - found.sites[0]) / found.box
        moved = found.sites[None] / found.box + shifts[:, None]
        apart = moved[:, :, None] - found.sites[None, None] / found.box
        apart -= np.round(apart)
        onto = np.all(np.any(np.all(np.abs(apart) < 1e-6, axis=-1), axis=-1), axis=-1)
        assert onto.sum() == found.translations


def test_measure_of_the_centre_of_mass():
    """ln p of a crystal of independent springs, against the Gaussian integral written out."""
    found = lattice("fcc", 1, 4.0)
    modes = np.linalg.svd(np.ones((1, 4)))[2][1:].T
    three = np.kron(modes, np.eye(3))
    stiffness = np.full(9, 5000.0)
    base = HarmonicCrystal(found, Vibrations(three, stiffness))
    x = base.sample(jax.random.key(0), (2,))
    # sum_i stiffness (x_i - site_i - common)^2/2: Gaussian in the relative coordinates, constant along the common one
    u = np.asarray(x[0] - found.sites)
    u = u - u.mean(axis=0)
    exact = -0.5 * 5000 * np.sum(u**2) - 4.5 * np.log(2 * np.pi / 5000) - log_volume(found)
    np.testing.assert_allclose(base._log_prob(x[0]), exact, rtol=1e-10)
    np.testing.assert_allclose(log_volume(found), 1.5 * np.log(4) + np.log(1.0) - np.log(4), rtol=1e-12)


@pytest.fixture(scope="module")
def flow():
    system = MonatomicWater()
    base = HarmonicCrystal(system.lattice, system.harmonic())
    start = CrystalFlow(base, steps=20)
    force = 0.01 * np.random.default_rng(1).normal(size=start.force.shape)
    return eqx.tree_at(lambda f: f.force, start, jnp.asarray(force))


def test_flow_of_a_crystal_obeys_the_laws(flow):
    x = flow.base._sample(jax.random.key(0))
    v, divergence = flow.velocity(x, 0.3)
    jacobian = jax.jacfwd(lambda x: flow.velocity(x, 0.3)[0])(x).reshape(x.size, x.size)
    np.testing.assert_allclose(divergence, jnp.trace(jacobian), rtol=1e-9)
    np.testing.assert_allclose(v.sum(axis=0), 0.0, atol=1e-12)
    samples, log_prob = flow.sample_and_log_prob(jax.random.key(2), (3,))
    np.testing.assert_allclose(flow.log_prob(samples), log_prob, atol=1e-5)
    np.testing.assert_allclose(flow.log_prob(samples + 0.3), log_prob, atol=1e-5)
    x, log_prob, score = flow.sample_and_score(jax.random.key(6))
    np.testing.assert_allclose(score, jax.grad(flow._log_prob)(x), rtol=1e-4, atol=1e-3)


def test_single_precision_moves_a_batch_as_double_precision_does():
    system = LennardJones(n=32)
    flow = system.default_density(0)
    force = 0.01 * np.random.default_rng(1).normal(size=flow.force.shape)
    flow = eqx.tree_at(lambda f: f.force, flow, jnp.asarray(force))
    narrow = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if isinstance(leaf, jax.Array) else leaf, flow)
    x = flow.base.sample(jax.random.key(0), (64,))
    wide = jax.jit(jax.vmap(lambda x: flow.velocity(x, 0.3)[0]))(x)
    found = jax.jit(jax.vmap(lambda x: narrow.velocity(x, 0.3)[0]))(x.astype(jnp.float32))
    np.testing.assert_allclose(found, wide, atol=1e-4 * float(jnp.max(jnp.abs(wide))))


def test_flow_commutes_with_a_translation_of_the_lattice(flow):
    """Relabelled so that every molecule keeps its site."""
    found = flow.base.lattice
    x = flow.base._sample(jax.random.key(3))
    shift = found.sites[2] - found.sites[0]
    apart = (found.sites[:, None] + shift - found.sites[None]) / found.box
    apart -= np.round(apart)
    label = np.argmin(np.sum(apart**2, axis=-1), axis=1)  # site i + shift is site label[i]
    moved = jnp.zeros_like(x).at[label].set(x - found.sites) + found.sites
    np.testing.assert_allclose(flow._log_prob(moved), flow._log_prob(x), rtol=1e-9)


def test_ice_of_eight_molecules():
    """Potential energy of the tutorial of Wirnsberger et al.: -94.64 kcal/mol; free energy by integration, 1e-3."""
    run = ms.minimize(MonatomicWater(), steps=20, samples=2000, seed=0, reference=False)
    lnZ, E = run.result.importance["lnZ"], run.result.importance["E"]
    assert abs(lnZ["value"] - 207.6156) < 4.5 * lnZ["error"] < 0.2
    assert abs(E["value"] + 94.637) < 4.5 * E["error"] < 1.0
    assert run.result.importance["ess"] > 0.3
    assert run.F.value * run.beta > -207.6156 - 4 * run.F.error * run.beta


def test_cold_crystal_is_harmonic():
    """At 10 K the harmonic crystal is nearly exact, and both references agree with it."""
    cold = MonatomicWater(temperature=10.0)
    found = cold.reference(0)
    assert abs(found.best.lnZ.value - found.ideal.lnZ.value) < 0.2
    assert abs(found.best.E.value - found.ideal.E.value) < 4.5 * found.best.E.error + 0.01


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (lambda: LennardJones(n=30), "n"),
        (lambda: LennardJones(rho=-1.0), "rho"),
        (lambda: LennardJones(rho=0.5).harmonic(), "rho"),
        (lambda: MonatomicWater(n=9), "n"),
        (lambda: MonatomicWater(ice="soft"), "ice"),
        (lambda: MonatomicWater(temperature=0.0), "temperature"),
    ],
)
def test_bad_crystals_are_named(bad, name):
    with pytest.raises(InputError, match=rf"^{name} = "):
        bad()
