"""The whole way: trained densities reach the exact free energy, from above, with E and S apart."""

import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.exact.trap import trap_quadrature

pytestmark = pytest.mark.acceptance


def _never_below(run, exact):
    assert (run.F.value - exact.value) / np.hypot(run.F.error, exact.error) > -4


def _close(estimate, exact, tolerance, sigmas=5):
    """Within a stated variational gap plus the statistical error."""
    assert abs(estimate.value - exact.value) < tolerance + sigmas * np.hypot(estimate.error, exact.error)


@pytest.mark.parametrize(
    ("system", "gap"),
    [
        (ms.Ising(l=4), 1e-3),
        (ms.Ising(l=6, beta=0.1), 1e-4),
        (ms.Ising(l=6, beta=3.0), 1e-4),
        (ms.Ising(shape="4x5", beta=0.8, j=-1.0, h=0.3, boundary="open"), 2e-3),
        (ms.SK(n=12, beta=1.0, couplings_seed=5), 1e-3),
        (ms.SK(n=12, beta=3.0, couplings_seed=6), 2e-3),
        (ms.Hopfield(n=24, patterns="2", beta=1.5), 1e-3),
    ],
    ids=lambda x: f"{x.name}-beta{x.beta}" if isinstance(x, ms.ClassicalSystem) else "",
)
def test_spins_reach_the_exact_free_energy_energy_and_entropy(system, gap):
    """gap: relative, of F; a gap of D nats moves E and S by at most about sqrt(2 D Var(beta E))."""
    run = ms.minimize(system, steps=250, batch=512, samples=10000)
    best = run.reference.best
    _never_below(run, best.F)
    _close(run.F, best.F, gap * abs(best.F.value))
    nats = gap * abs(best.F.value) * system.beta
    shift = np.sqrt(2 * nats * max(best.C.value, 1e-6))
    _close(run.E, best.E, shift / system.beta)
    _close(run.S, best.S, shift + nats)
    weighted = ms.Estimate(**run.result.importance["lnZ"])
    assert abs(weighted.value - best.lnZ.value) < 4 * weighted.error + 1e-9
    mean_field = run.reference.approximations["naive mean field"].F.value
    assert run.F.value < mean_field + 1e-9


def test_hopfield_keeps_its_four_retrieval_modes_in_equal_weight():
    run = ms.minimize(ms.Hopfield(n=40, beta=1.6), steps=250, batch=512, samples=10000)
    fractions = run.result.observables["retrieval_fractions"]["model"]["value"]
    np.testing.assert_allclose(fractions, 0.25, atol=0.04)


def test_observables_are_unbiased_where_the_density_is_not():
    """A network stopped early: its own <|m|> is off, the Metropolis average is not."""
    from massieu.exact.enumeration import spin_moments

    system = ms.Ising(l=4, beta=0.5)
    run = ms.minimize(system, steps=5, batch=64, samples=40000, learning_rate=1e-3)
    exact = float(spin_moments(system.couplings, system.field, 0.5)["abs_m"])
    entry = run.result.observables["abs_m"]
    assert abs(entry["model"]["value"] - exact) > 8 * entry["model"]["error"]
    assert abs(entry["value"] - exact) < 4 * entry["error"]


@pytest.mark.parametrize("dim", [pytest.param(1, marks=pytest.mark.validation), 2,
                                 pytest.param(3, marks=pytest.mark.validation)])  # fmt: skip
def test_two_charges_reach_the_quadrature(dim):
    run = ms.minimize(ms.CoulombTrap(n=2, dim=dim, beta=5.0), steps=120, batch=64, samples=4000, reference=False)
    exact = trap_quadrature(2, dim, 5.0)
    _never_below(run, exact.F)
    _close(run.F, exact.F, 0.02)
    weighted = ms.Estimate(**run.result.importance["lnZ"])
    assert abs(weighted.value - exact.lnZ.value) < 4 * weighted.error


def test_metrics_report_the_free_energy_at_the_current_temperature():
    """At the first annealing step the density is nearly exact, F = -n ln 2/beta_1 up to order beta."""
    run = ms.minimize(ms.SK(n=8, beta=1.0), steps=20, batch=64, samples=1000, beta_start=0.01)
    first = run.metrics[0]
    assert first["beta"] == pytest.approx(0.01)
    assert first["F"] == pytest.approx(-8 * np.log(2) / 0.01, rel=1e-3)
    assert all(np.isfinite(row["grad_var"]) and row["grad_var"] >= 0 for row in run.metrics)
    assert jnp.isclose(run.metrics[-1]["beta"], 1.0)
