"""Thermal electrons with a Jastrow factor among protons: derivatives, orthonormal orbitals, overlaps, labels."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.densities.levels import LevelOccupation
from massieu.geometry import integer_vectors, plane_waves
from massieu.methods.atoms import chains
from massieu.methods.atoms.overlaps import PARTNERS, local_loss, partners, squared_overlaps
from massieu.methods.method import method_of
from massieu.physics.kinetic import local_kinetic
from massieu.states.levels_among_protons import FEATURES, DressedLevels, LevelsAmongProtons, Occupied
from massieu.states.thermal_correlated import CorrelatedThermal
from massieu.systems import Hydrogen
from massieu.systems.hydrogen import Atoms

pytestmark = pytest.mark.acceptance

TWIST = np.array([[0.1, -0.2, 0.3]])
BETA, LENGTH = 0.4, 4.0


@pytest.fixture(scope="module", autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def moved(n: int, size: float = 0.05, waves: float = 1.0) -> CorrelatedThermal:
    """A state with every parameter away from its start."""
    levels = DressedLevels((n // 2, n // 2), LENGTH, BETA, integer_vectors(3, waves), TWIST, 1.5)
    psi = CorrelatedThermal(levels, width=5, pair_width=4, depth=1, key=jax.random.key(0))
    params, static = eqx.partition(psi, lambda leaf: isinstance(leaf, jax.Array))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    drawn = [leaf + size * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(tree, drawn), static)


def at(psi: CorrelatedThermal, n: int):
    return psi.around(jnp.asarray(0), jax.random.uniform(jax.random.key(5), (n, 3)))


def test_local_energy_is_that_of_differentiation():
    psi = moved(4)
    here, x = Occupied(at(psi, 4), jnp.array([0, 2, 1, 3])), jax.random.uniform(jax.random.key(2), (4, 3))

    def log_psi(x):
        size, phase = psi.log_psi(here, x)
        return size + 1j * phase

    local = jax.jit(lambda x: psi.local(here, x))(x)
    assert complex(local.kinetic) == pytest.approx(complex(local_kinetic(log_psi, x)), rel=1e-10)
    slope = [jax.jit(jax.grad(lambda x, part=part: psi.log_psi(here, x)[part]))(x) for part in range(2)]
    np.testing.assert_allclose(local.gradient, slope[0] + 1j * slope[1], rtol=1e-9, atol=1e-9)
    several = psi.log_psis(here.shared, jnp.array([[0, 1, 0, 1], [0, 2, 1, 3]]), x)
    assert np.exp(complex(several[1] - log_psi(x))) == pytest.approx(1.0, rel=1e-10)


def test_dressed_orbitals_are_orthonormal_and_bare_ones_without_a_cusp():
    """By many points of their own; with nothing to dress them, levels are those of the bare Hamiltonian."""
    psi = moved(2)
    here = at(psi, 2)
    x = jax.random.uniform(jax.random.key(3), (400_000, 3))
    v = jax.lax.map(lambda x: psi.levels._cusps(x[None] - here.protons), x, batch_size=4096)
    values = jnp.exp(v)[:, None] * (plane_waves(x, psi.levels.vectors) @ here.states)
    overlap = values.conj().T @ values / len(x)
    np.testing.assert_allclose(overlap, np.eye(len(overlap)), atol=0.02)

    class Undressed(DressedLevels):
        def _cusps(self, apart):
            return 0.0 * jnp.sum(apart)

    box = (psi.levels.spins, LENGTH, BETA, psi.levels.vectors, TWIST, 1.5)
    bare, none = (kind(*box)(jnp.asarray(0), here.protons) for kind in (LevelsAmongProtons, Undressed))
    np.testing.assert_allclose(bare.levels, none.levels, atol=1e-9)
    np.testing.assert_allclose(bare.seen, none.seen, atol=1e-8)
    assert here.levels[0] < bare.levels[0]  # in a larger space: cusps let electrons near the protons


def occupation() -> LevelOccupation:
    p = LevelOccupation((1, 1), FEATURES, jax.random.key(7))
    return eqx.tree_at(lambda p: p.correction, p, 0.3 * jax.random.normal(jax.random.key(8), p.correction.shape))


def test_weights_of_partners_are_those_of_all_sets():
    """sum over n' of sqrt(p(n')/p(n)) f(n'), by enumeration."""
    psi, p = moved(2), occupation()
    here, label = at(psi, 2), jnp.array([1, 0])
    rho, levels = Atoms(None, psi, p), len(psi.levels.vectors)
    every = jnp.array([[a, b] for a in range(levels) for b in range(levels)])
    root = np.exp(0.5 * np.asarray(jax.vmap(lambda n: p.log_prob(here, n))(every) - p.log_prob(here, label)))
    f = np.asarray(jnp.sin(1.0 + every @ jnp.array([0.7, 1.9])) ** 2)
    differing = np.sum(np.asarray(every) != np.asarray(label), axis=1)
    keys = jax.random.split(jax.random.key(4), 400)
    found = jax.jit(jax.vmap(lambda key: partners(rho, here, label, key)))(keys)
    values = np.sin(1.0 + np.asarray(found.labels)[:, 1:] @ np.array([0.7, 1.9])) ** 2 * np.asarray(found.weights)
    for kind, part in ((1, slice(PARTNERS)), (2, slice(PARTNERS, None))):
        ours, exact = values[:, part].sum(axis=1), np.sum((root * f)[differing == kind])
        assert abs(ours.mean() - exact) < 4 * ours.std() / np.sqrt(len(ours)) + 1e-12
    moved_electrons = np.sum(np.asarray(found.labels)[:, 1:] != np.asarray(label), axis=2)
    np.testing.assert_array_equal(moved_electrons, np.repeat([[1, 2]], PARTNERS, axis=1).repeat(400, axis=0))


def test_four_electrons_have_partners_with_one_and_two_moved():
    """Ways to the same set through an exchange of equal spins are counted once: by enumeration."""
    psi = moved(4)
    p = LevelOccupation((2, 2), FEATURES, jax.random.key(7))
    here, label, levels = at(psi, 4), jnp.array([0, 2, 0, 1]), len(psi.levels.vectors)
    pairs = [(a, b) for a in range(levels) for b in range(a + 1, levels)]
    every = jnp.array([[*a, *b] for a in pairs for b in pairs])
    root = np.exp(0.5 * np.asarray(jax.vmap(lambda n: p.log_prob(here, n))(every) - p.log_prob(here, label)))
    differing = 4 - np.array([len(set(r[:2]) & {0, 2}) + len(set(r[2:]) & {0, 1}) for r in np.asarray(every).tolist()])
    found = jax.jit(jax.vmap(lambda key: partners(Atoms(None, psi, p), here, label, key)))(
        jax.random.split(jax.random.key(4), 400)
    )
    weights = np.asarray(found.weights)
    assert weights[0, :PARTNERS].sum() == pytest.approx(root[differing == 1].sum(), rel=1e-8)
    ours = weights[:, PARTNERS:].sum(axis=1)
    assert abs(ours.mean() - root[differing == 2].sum()) < 4 * ours.std() / np.sqrt(len(ours))


def test_squared_overlaps_are_those_of_a_quadrature():
    """Two electrons, strongly moved parameters; <n|n'> and both norms by independent points."""
    psi = moved(2, 0.3)
    here, labels = at(psi, 2), jnp.array([[0, 0], [0, 1], [1, 0], [1, 1], [0, 2]])
    x = jax.random.uniform(jax.random.key(6), (200_000, 2, 3))
    log = jax.jit(lambda x: jax.lax.map(lambda x: psi.log_psis(here, labels, x), x, batch_size=1000))(x)
    values = np.exp(np.asarray(log) - np.max(log.real))
    blocks = (values.conj()[:, :, None] * values[:, None]).reshape(50, -1, 5, 5).mean(axis=1)
    norms = np.sqrt(np.einsum("aa->a", blocks.mean(axis=0)).real)
    exact = np.abs(blocks.mean(axis=0) / np.outer(norms, norms))[0, 1:] ** 2
    keys = jax.random.split(jax.random.key(7), 12)
    found = np.asarray(jax.jit(jax.vmap(lambda key: squared_overlaps(psi, here, labels, key)))(keys))
    error = found.std(axis=0) / np.sqrt(len(found))
    assert exact.max() > 0.02
    np.testing.assert_array_less(np.abs(found.mean(axis=0) - exact), 4 * error + 0.02 * exact + 1e-3)


def test_labels_stay_distributed_as_p_while_their_base_points_walk():
    """Protons at rest: frequencies of all labels against p(n|S), of a p that is not that of the levels alone."""
    system = Hydrogen(n=2, rs=1.6, temperature=200_000.0, electrons="thermal", clamped=True)
    rho = method_of(system).ansatz(system, method_of(system).configure(system, width=4, depth=1))
    rho = eqx.tree_at(lambda r: r.occupation.correction, rho, 0.5 * jnp.ones_like(rho.occupation.correction))
    walkers = chains.start(system, rho, 400, 8, jax.random.key(1))
    follow = jax.jit(lambda w, k: chains.follow(system, rho, w, k, "metropolis", 1)[0])
    for i in range(12):
        walkers = follow(walkers, jax.random.key(i))
    at = rho.psi.around(jnp.asarray(0), walkers.protons[0])
    found = np.asarray(walkers.label[:, ::4].reshape(-1, 2))
    lowest = jnp.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 0]])
    p = np.exp(np.asarray(jax.vmap(lambda n: rho.occupation.log_prob(at, n))(lowest)))
    share = np.mean(np.all(found[:, None] == np.asarray(lowest), axis=2), axis=0)
    assert np.all(np.abs(share - p) < 4 * np.sqrt(p * (1 - p) / len(found)))
    assert p[0] > 0.05 and np.all(walkers.label[:, 0] == walkers.label[:, 3])


def test_gradient_of_overlaps_has_no_bias():
    """x ~ N(0, 1), d ln Phi/dtheta = x, ratios a + b x: <r> = a + 2 b theta, so that d(w |<r>|^2)/dtheta = 4 a b w."""
    a, b = jnp.array([[0.3, 0.0, 0.2]]), jnp.array([[0.5, 0.0, -0.4]])
    w = jnp.exp(0.5 * jnp.array([[0.0, 0.0, 1.0]]))  # electron on the middle level

    class Psi:
        def excitations(self, at, x):
            return a + b * x[0, 0]

    class P:
        spins = (1,)

        def log_weights(self, shared):
            return jnp.array([0.0, 0.0, 1.0])

    count = 40_000
    x = jax.random.normal(jax.random.key(0), (count, 8, 1, 1))
    at = Occupied(jnp.zeros(8 * count), jnp.ones((8 * count, 1), int))
    value = local_loss(Atoms(None, Psi(), P()), at, x, 2).reshape(-1, 4)
    score = x.reshape(-1, 4)
    score = score - jnp.mean(score, axis=1, keepdims=True)
    found = np.asarray(2 * 4 / 3 * jnp.mean(value * score, axis=1))
    assert abs(found.mean() - float(jnp.sum(4 * a * b * w))) < 4 * found.std() / np.sqrt(len(found))
