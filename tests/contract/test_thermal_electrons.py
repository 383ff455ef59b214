"""Thermal electrons among protons: bijections, orthonormal states, canonical levels."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.densities.levels import LevelOccupation
from massieu.geometry import integer_vectors
from massieu.physics.fermi_gas import ideal_gas
from massieu.states import cusped_potential
from massieu.states.geminal import Geminal
from massieu.states.levels_among_protons import FEATURES, LevelsAmongProtons, Occupied
from massieu.states.thermal import ThermalState

pytestmark = pytest.mark.acceptance

TWIST = np.array([[0.1, -0.2, 0.3]])
BETA, LENGTH = 0.4, 4.0


@pytest.fixture(scope="module", autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def moved(n: int, size: float = 2.0) -> ThermalState:
    """A state whose flow is as strong as its bound allows."""
    levels = LevelsAmongProtons((n // 2, n // 2), LENGTH, BETA, integer_vectors(3, 1.0), TWIST, 1.5)
    psi = ThermalState(levels, rs=1.5, layers=2, key=jax.random.key(0))

    def where(s: ThermalState):
        return s.flow.pairs.coefficients, s.flow.single, s.flow.pair_cusps, s.flow.single_cusps

    keys = jax.random.split(jax.random.key(1), 4)
    sizes = [0.03 * size, 0.03 * size, size, size]  # plane waves add up
    drawn = [s * jax.random.normal(k, part.shape) for k, s, part in zip(keys, sizes, where(psi), strict=True)]
    return eqx.tree_at(where, psi, drawn).projected()


def at(psi: ThermalState, n: int):
    return psi.around(jnp.asarray(0), jax.random.uniform(jax.random.key(5), (n, 3)))


@pytest.mark.parametrize("n", [2, 4])
def test_every_layer_is_a_bijection(n):
    """Jacobian determinants from autodiff, positive wherever the electrons are."""
    psi = moved(n)
    protons = at(psi, n).protons
    z_of = lambda x: psi.flow(protons, x.reshape(n, 3))[0].ravel()  # noqa: E731
    x = jax.random.uniform(jax.random.key(2), (200, 3 * n))
    jacobians = jax.jit(jax.vmap(jax.jacfwd(z_of)))(x)
    sign, log_det = np.linalg.slogdet(jacobians)
    assert np.all(sign > 0)
    ours = jax.vmap(lambda x: psi.flow(protons, x.reshape(n, 3))[1])(x)
    np.testing.assert_allclose(ours, log_det, atol=1e-10)
    assert np.std(log_det) > 0.05  # the flow does something


def test_curvatures_of_cusped_potentials_are_bounded():
    """Second derivatives from autodiff, all over the box and near contact, against the bounds from both sides."""
    ranges = np.array([0.1, 0.2, 0.5])
    highest = cusped_potential.highest_curvature(ranges)
    r = jax.random.uniform(jax.random.key(0), (20_000, 3)) * jnp.where(jnp.arange(20_000) % 2, 1.0, 0.3)[:, None]
    for c in np.concatenate([np.eye(3), -np.eye(3), [[0.5, -0.7, 0.3]]]):
        slope = lambda r, c=c: cusped_potential.derivatives(c, ranges, r)[0]  # noqa: E731
        second = cusped_potential.derivatives(jnp.broadcast_to(c, (len(r), 3)), ranges, r)[1]
        np.testing.assert_allclose(jax.vmap(jax.jacfwd(slope))(r), second, atol=1e-10)
        whole = cusped_potential.derivatives(jnp.broadcast_to(c, (64, 3)), ranges, r[:64], orders=4)
        third = lambda r, c=c: cusped_potential.derivatives(c, ranges, r, orders=4)[2]  # noqa: E731
        middle = lambda r, c=c: cusped_potential.derivatives(c, ranges, r)[1]  # noqa: E731
        np.testing.assert_allclose(jax.vmap(jax.jacfwd(middle))(r[:64]), whole[2], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(jax.vmap(jax.jacfwd(third))(r[:64]), whole[3], rtol=1e-9, atol=1e-7)
        assert np.linalg.eigvalsh(second).min() > cusped_potential.lowest_curvature(c, highest)


def test_bound_holds_where_the_box_is_large():
    """Ranges far below the spacing of the grid: the highest curvature is e^-2, at twice the range."""
    a = 1e-3
    r = a * np.array([[1.9, 0, 0], [2.0, 0, 0], [0, 2.1, 0]])
    second = cusped_potential.derivatives(jnp.ones((3, 1)), np.array([a]), jnp.asarray(r))[1]
    highest = np.linalg.eigvalsh(second).max()
    assert highest == pytest.approx(np.exp(-2), rel=1e-3)
    assert cusped_potential.highest_curvature(np.array([a]))[0] > highest


def test_twists_are_opposite_for_the_two_spins():
    """One electron once around the box gains e^{2 pi i theta}, or its conjugate; here and in the ground state."""
    thermal = moved(4)
    ground = Geminal(2, 2, LENGTH, integer_vectors(3, 1.0), TWIST, rs=1.5, width=4, pair_width=4, depth=1,
                     key=jax.random.key(0))  # fmt: skip
    x = jax.random.uniform(jax.random.key(6), (4, 3))
    for psi, here in ((thermal, Occupied(at(thermal, 4), jnp.array([1, 2, 0, 3]))), (ground, at(ground, 4))):
        size, angle = psi.log_psi(here, x)
        for electron, sign in ((0, 1), (3, -1)):
            other, turned = psi.log_psi(here, x.at[electron, 0].add(1.0))
            assert float(other) == pytest.approx(float(size), abs=1e-9)
            phase = 2 * np.pi * sign * TWIST[0, 0]
            assert np.exp(1j * float(turned - angle)) == pytest.approx(np.exp(1j * phase), abs=1e-9)


def test_the_density_has_cusps():
    """ln|Psi|^2 has a kink where electrons meet protons or each other, and nowhere else."""
    psi = moved(2)
    here, still = Occupied(at(psi, 2), jnp.array([1, 0])), jnp.array([0.3, 0.1, 0.7])
    way = jnp.array([0.48, 0.6, 0.64])

    def kink(start):
        """Half the jump of the slope: second differences over h, without their linear part."""

        def at_step(h):
            density = [psi.log_density(here, jnp.stack([still, start + s * way])) for s in (h, 0.0, -h)]
            return float(density[0] - 2 * density[1] + density[2]) / h

        return abs(2 * at_step(1e-4) - at_step(2e-4))

    assert min(kink(here.protons[0]), kink(still)) > 0.1
    assert kink(jnp.array([0.9, 0.4, 0.2])) < 1e-3


def test_states_are_orthonormal():
    """<Psi_m|Psi_n> of N = 4 over uniform points, with the error of each entry."""
    psi = moved(4)
    here, labels = at(psi, 4), jnp.array([[0, 1, 0, 1], [0, 2, 0, 1], [1, 2, 0, 3], [0, 1, 2, 4]])
    x = jax.random.uniform(jax.random.key(3), (40_000, 4, 3))

    def values(x):
        size, phase = jax.vmap(lambda label: psi.log_psi(Occupied(here, label), x))(labels)
        return jnp.exp(size + 1j * phase)

    found = np.asarray(jax.jit(lambda x: jax.lax.map(values, x, batch_size=1000))(x))
    products = found.conj()[:, :, None] * found[:, None, :]
    error = products.std(axis=0) / np.sqrt(len(x))
    assert error.max() < 0.05
    assert np.all(np.abs(products.mean(axis=0) - np.eye(4)) < 4.5 * error)


def test_local_energy_is_the_laplacian():
    """Derivatives by hand against finite differences, at a twist."""
    psi = moved(4)
    o, x = Occupied(at(psi, 4), jnp.array([1, 2, 0, 3])), jax.random.uniform(jax.random.key(4), (4, 3))

    @jax.jit
    def wave(x):
        size, phase = psi.log_psi(o, x)
        return jnp.exp(size + 1j * phase)

    h, middle, local = 1e-4, wave(x), jax.jit(lambda x: psi.local(o, x))(x)
    ways = h * jnp.eye(12).reshape(12, 4, 3)
    laplacian = sum(wave(x + way) + wave(x - way) - 2 * middle for way in ways) / h**2
    np.testing.assert_allclose(local.kinetic, -laplacian / middle, rtol=1e-5)
    gradient = jnp.array([(wave(x + way) - wave(x - way)) / (2 * h * middle) for way in ways])
    np.testing.assert_allclose(local.gradient.ravel(), gradient, rtol=1e-5, atol=1e-5)


def occupation(size: float) -> LevelOccupation:
    """p(n|S) of four electrons, with random corrections of a certain size."""
    p = LevelOccupation((2, 2), FEATURES, jax.random.key(7))

    def where(p: LevelOccupation):
        return p.correction, p.readout

    keys = jax.random.split(jax.random.key(8), 2)
    return eqx.tree_at(where, p, [size * jax.random.normal(k, w.shape) for k, w in zip(keys, where(p), strict=True)])


def test_occupations_see_where_protons_are():
    """Not the levels alone; but neither the order of the protons nor the origin, as symmetry has it."""
    psi, p, label = moved(4), occupation(0.5), jnp.array([0, 2, 0, 1])
    here = at(psi, 4)
    elsewhere = psi.around(jnp.asarray(0), here.protons * jnp.array([[0.5, 1.0, 1.0]]))
    shifted = psi.around(jnp.asarray(0), here.protons[::-1] + 0.3)
    assert abs(p.log_prob(here, label) - p.log_prob(elsewhere._replace(levels=here.levels), label)) > 1e-3
    assert p.log_prob(here, label) == pytest.approx(float(p.log_prob(shifted, label)), abs=1e-9)


def test_label_probabilities_sum_to_one():
    psi, levels = moved(4), occupation(1.0)
    here = at(psi, 4)._replace(levels=at(psi, 4).levels * 0.3)
    pairs = list(itertools.combinations(range(len(here.levels)), 2))
    labels = jnp.array([a + b for a in pairs for b in pairs])
    log_p = jax.vmap(levels.log_prob, (None, 0))(here, labels)
    assert jnp.sum(jnp.exp(log_p)) == pytest.approx(1.0, rel=1e-10)
    drawn = jax.vmap(levels.sample, (0, None))(jax.random.split(jax.random.key(8), 4000), here)
    entropy, each = -jnp.sum(jnp.exp(log_p) * log_p), -jax.vmap(levels.log_prob, (None, 0))(here, drawn)
    assert abs(jnp.mean(each) - entropy) < 4 * jnp.std(each) / np.sqrt(len(each))
    assert entropy > 0.5


def test_entropy_of_free_electrons_is_that_of_the_recursion():
    """Without a field the canonical levels are those of the ideal gas of both spins at that twist."""
    psi = eqx.tree_at(lambda s: s.levels.field.log_field, moved(4), np.array([-50.0, 0.0]))
    here, levels = at(psi, 4), occupation(0.0)
    unit = (2 * np.pi / LENGTH) ** 2
    free = ideal_gas(unit * np.sort(np.sum((psi.levels.vectors + TWIST) ** 2, axis=1)), 2, BETA)
    pairs = list(itertools.combinations(range(len(here.levels)), 2))
    labels = jnp.array([a + b for a in pairs for b in pairs])
    log_p = jax.vmap(levels.log_prob, (None, 0))(here, labels)
    assert -jnp.sum(jnp.exp(log_p) * log_p) == pytest.approx(2 * free.S, rel=1e-6)
