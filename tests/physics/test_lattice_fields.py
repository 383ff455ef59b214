"""Lattice field theories against transfer matrices, the exact Ising model and quadrature."""

import itertools

import numpy as np
import pytest

import massieu as ms
from massieu.errors import InputError
from massieu.physics.single_site import single_site
from massieu.systems import Ising, IsingDual, Phi4

pytestmark = pytest.mark.acceptance

# Transfer matrix with Gauss quadrature at every site, m2 = -4, lam = 8, l = 4 (error 1e-9)
LNZ_4, PHI2_4, M2_4 = 2.4051389616, 0.1477462141, 0.0427479727


def test_action_of_phi4_is_that_of_the_definition():
    x = np.random.default_rng(0).normal(size=(3, 4, 4))[0]
    gradient = sum(np.sum((np.roll(x, -1, axis) - x) ** 2) for axis in (0, 1))
    exact = gradient - 4 * np.sum(x**2) + 8 * np.sum(x**4)
    np.testing.assert_allclose(Phi4(l=4).energy(x), exact, rtol=1e-12)


def test_annealing_finds_the_partition_function_of_phi4():
    found = Phi4(l=4).reference(seed=1).best
    assert abs(found.lnZ.value - LNZ_4) < 4 * found.lnZ.error < 0.04


def test_single_site_is_a_gaussian_integral_without_the_quartic_term():
    site = single_site(lambda x: 2.0 * x**2)
    np.testing.assert_allclose(site, (0.5 * np.log(np.pi / 2), 0.5, 0.5, 0.5), rtol=1e-9)


@pytest.fixture(scope="module")
def run():
    return ms.minimize(Phi4(l=4), steps=60, samples=10000, seed=0, reference=False)


def test_flow_reaches_phi4_from_above(run):
    gap = run.F.value + LNZ_4
    assert -4 * run.F.error < gap < 0.05
    assert run.result.importance["ess"] > 0.8


def test_reweighted_averages_of_phi4_are_exact(run):
    for name, exact in (("phi2", PHI2_4), ("m2", M2_4)):
        found = run.result.observables[name]["reweighted"]
        assert abs(found["value"] - exact) < 4.5 * found["error"] < 0.06 * exact
    lnZ = run.result.importance["lnZ"]
    assert abs(lnZ["value"] - LNZ_4) < 4.5 * lnZ["error"]


def test_dual_of_a_ring_is_its_integral_over_the_field():
    """The trapezoidal rule in three dimensions, exponentially accurate."""
    dual = IsingDual(shape="3", spin_beta=0.4)
    axis = np.linspace(-9, 9, 121)
    grid = np.array(list(itertools.product(axis, repeat=3)))
    action = 0.5 * np.einsum("pi,ij,pj->p", grid, dual.inverse, grid) - np.sum(np.log(np.cosh(grid)), axis=1)
    lnZ = np.log(np.sum(np.exp(-action)) * (axis[1] - axis[0]) ** 3)
    np.testing.assert_allclose(dual.reference().best.lnZ.value, lnZ, rtol=1e-9)
    np.testing.assert_allclose(dual.energy(grid[77777].reshape(dual.sides)), action[77777], rtol=1e-12)


@pytest.mark.parametrize("shape", ["3", "2x2", "3x4"])
def test_kernel_of_the_field_is_that_of_the_couplings(shape):
    dual = IsingDual(shape=shape, spin_beta=0.4)
    kernel = 0.4 * dual.spins.couplings + dual.offset * np.eye(dual.size)
    np.testing.assert_allclose(kernel @ dual.inverse, np.eye(dual.size), atol=1e-13)
    np.testing.assert_allclose(np.linalg.slogdet(kernel)[1], dual.log_det, atol=1e-12)
    np.testing.assert_allclose(np.linalg.eigvalsh(kernel)[0], 0.1)


def test_dual_at_the_critical_point_has_the_published_constant():
    """592.8757 for 16 x 16 (exact Ising model and offset; Li and Wang's tables agree)."""
    np.testing.assert_allclose(IsingDual().reference().best.lnZ.value, 592.8757, atol=1e-4)


def test_flow_of_the_dual_gives_the_ising_model():
    system = IsingDual(l=4)
    run = ms.minimize(system, steps=100, samples=10000, seed=0)
    assert -4 * run.F.error < run.F.value + system.reference().best.lnZ.value < 0.05
    exact = Ising(l=4).reference().best
    assert run.result.observables["spin_F"]["value"] > exact.F.value - 4 * run.result.observables["spin_F"]["error"]
    energy = run.result.observables["spin_energy"]["reweighted"]
    assert abs(energy["value"] - exact.E.value) < 4.5 * energy["error"] < 0.5


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (lambda: Phi4(lam=0.0), "lam"),
        (lambda: Phi4(l=1), "l"),
        (lambda: Phi4(dim=5), "dim"),
        (lambda: Phi4(m2=float("nan")), "m2"),
        (lambda: IsingDual(l=64), "l"),
        (lambda: IsingDual(spin_beta=-1.0), "beta"),
        (lambda: ms.minimize(Phi4(l=4), beta=2.0), "beta"),
    ],
)
def test_bad_parameters_are_named(bad, name):
    with pytest.raises(InputError, match=rf"^{name} = "):
        bad()
