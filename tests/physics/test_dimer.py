"""The bistable dimer: its base, its flow, and umbrella sampling against quadrature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.baselines.chains import baseline
from massieu.densities.boxed import BoxedDimer
from massieu.densities.central import CentralFlow
from massieu.errors import InputError
from massieu.exact.umbrella import weighted_histogram
from massieu.systems import Dimer, Phi4

pytestmark = pytest.mark.acceptance


def _without_solvent(beta, slope=-0.5):
    """ln Z of each state by the trapezoidal rule over x_1 - x_2 and y_1 - y_2; the sums are Gaussian integrals."""
    u, v = np.meshgrid(np.linspace(-3, 3, 3001), np.linspace(-1.5, 1.5, 1501), indexing="ij")
    d = np.hypot(u, v)
    y = 2 * (d - 1.5)
    weight = np.exp(-beta * (slope * y - 25 * y**2 + 10 * y**4 + 10 * v**2))
    cell = (u[1, 0] - u[0, 0]) * (v[0, 1] - v[0, 0])
    # dx_1 dx_2 = d(sum) d(difference)/2 for both axes; energies 20 (x_1 + x_2)^2 and 10 (y_1 + y_2)^2
    sums = np.sqrt(np.pi / (20 * beta)) * np.sqrt(np.pi / (10 * beta)) / 4
    return np.log([sums * cell * weight[d < 1.5].sum(), sums * cell * weight[d > 1.5].sum()])


def test_free_dimer_by_umbrella_sampling_and_by_the_network():
    closed, opened = _without_solvent(1.0)
    system = Dimer(solvent=0, box=4.0)
    found = baseline(system, "umbrella", stages=150, seed=1).observables
    difference = found["delta_F"]
    assert abs(difference["value"] - (closed - opened)) < 4.5 * difference["error"] < 0.6
    profile = np.array(found["profile"]["F"])
    barrier = profile[np.abs(np.array(found["profile"]["bond"]) - 1.5) < 0.02].mean() - np.nanmin(profile)
    assert 14 < barrier < 18
    run = ms.minimize(system, steps=15, samples=4000, reference=False)
    lnZ = run.result.importance["lnZ"]
    assert run.F.value > -np.logaddexp(closed, opened) - 4 * run.F.error
    assert abs(lnZ["value"] - np.logaddexp(closed, opened)) < 4.5 * lnZ["error"] < 0.2
    share = run.result.observables["delta_F"]
    assert abs(share["value"] - (closed - opened)) < 4.5 * share["error"] < 0.6


def test_annealing_meets_quadrature():
    found = Dimer(solvent=0, box=4.0).reference(1).best
    exact = np.logaddexp(*_without_solvent(1.0))
    assert abs(found.lnZ.value - exact) < 4.5 * found.lnZ.error < 0.2


@pytest.fixture(scope="module")
def base():
    return BoxedDimer(2, 1.5, 100.0, 20.0, np.array([0.9, 2.1]), np.array([0.05, 0.1]))


def test_base_is_normalised(base):
    """Its marginals by quadrature: x_1 and x_2 of the dimer, one coordinate of the solvent."""
    axis = np.linspace(-2.2, 2.2, 881)
    x1, x2 = (g.ravel() for g in np.meshgrid(axis, axis, indexing="ij"))
    x = np.zeros((len(x1), 4, 2))
    x[:, 0, 0], x[:, 1, 0] = x1, x2
    at_rest = np.log(2 * 1.5 + np.sqrt(np.pi / 100.0)) * 4 - np.log(20.0 / np.pi)
    total = np.exp(np.asarray(jax.vmap(base._log_prob)(jnp.asarray(x))) + at_rest).sum() * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(total, 1.0, rtol=1e-6)


def test_samples_of_the_base_are_where_its_density_says(base):
    x, log_prob = base.sample_and_log_prob(jax.random.key(0), (20000,))
    np.testing.assert_allclose(log_prob, base.log_prob(x), rtol=1e-12)
    assert abs(np.mean(np.linalg.norm(x[:, 0] - x[:, 1], axis=1) > 1.5) - 0.5) < 0.02
    beyond = np.mean(np.abs(x[:, 2:]) > 1.5)
    tail = np.sqrt(np.pi / 100.0)
    assert abs(beyond - tail / (tail + 3.0)) < 0.005


def test_central_flow_obeys_the_laws(base, moved):
    flow = moved(CentralFlow(base, np.array([0, 0, 1, 1]), reach=2.0, box=1.5, basis=6, harmonics=2, steps=40))
    x = flow.base._sample(jax.random.key(1))
    divergence = flow.velocity(x, 0.3)[1]
    jacobian = jax.jacfwd(lambda x: flow.velocity(x, 0.3)[0])(x).reshape(8, 8)
    np.testing.assert_allclose(divergence, jnp.trace(jacobian), rtol=1e-9, atol=1e-9)
    samples, log_prob = flow.sample_and_log_prob(jax.random.key(2), (4,))
    np.testing.assert_allclose(flow.log_prob(samples), log_prob, atol=1e-5)
    for image in (samples[:, [1, 0, 2, 3]], samples[:, [0, 1, 3, 2]], samples * np.array([[[-1, 1]]])):
        np.testing.assert_allclose(flow.log_prob(image), log_prob, atol=1e-5)


def test_histograms_of_windows_are_put_together():
    """Expected counts of a known distribution under three biases give it back."""
    p = np.exp(-(np.linspace(-2, 2, 50) ** 2))
    p /= p.sum()
    bias = 3.0 * (np.linspace(-2, 2, 50) - np.array([-1.0, 0.0, 1.0])[:, None]) ** 2
    counts = p * np.exp(-bias)
    counts *= np.array([100.0, 300.0, 200.0])[:, None] / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weighted_histogram(counts, bias), p, rtol=1e-6)


def test_bad_dimers_are_named():
    for bad, name in [
        (lambda: Dimer(solvent=-1), "solvent"),
        (lambda: Dimer(box=0.0), "box"),
        (lambda: Dimer(beta=-1.0), "beta"),
        (lambda: baseline(Phi4(l=2), "umbrella"), "method"),
    ]:
        with pytest.raises(InputError, match=rf"^{name} = "):
            bad()
