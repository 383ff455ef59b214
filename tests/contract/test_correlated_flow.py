"""Laws of a Jastrow factor on a flow: derivatives and scores are those of ln Psi, chains are of |Psi|^2."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.geometry import integer_vectors
from massieu.methods.particles import completeness
from massieu.physics.kinetic import local_kinetic
from massieu.states import FermionFlow, PairFlow
from massieu.states.correlated_flow import CorrelatedFlow
from massieu.states.jastrow import Jastrow, cusp_slopes
from massieu.states.slater import log_reference

FAMILIES = {"polarised_2d": ((4,), 2, (0, 1, 4, 6)), "uneven_3d": ((2, 1), 3, (0, 3, 4))}


@pytest.fixture(params=FAMILIES)
def family(request):
    spins, dim, occupied = FAMILIES[request.param]
    vectors, rng, twist = integer_vectors(dim, 1.5), np.random.default_rng(3), np.full((1, dim), 0.2)
    jastrow = Jastrow(spins, dim, cusp_slopes(dim, 8.0)).guess(0.2)
    flow = PairFlow(spins, dim, layers=2, radius=1.5, by_momentum=False, key=jax.random.key(0))
    noise = 0.3 * rng.normal(size=flow.coefficients.shape)
    flow = eqx.tree_at(lambda flow: flow.coefficients, flow, flow.coefficients + noise).projected()
    psi = CorrelatedFlow(spins, vectors, twist, None, jastrow, None, flow)
    return psi, jnp.array((0, *occupied)), jnp.asarray(rng.uniform(size=(sum(spins), dim)))


def test_derivatives_are_those_of_ln_psi(family):
    psi, label, z = family

    def log_psi(coefficients, pairs, x):
        flow = eqx.tree_at(lambda flow: flow.coefficients, psi.flow, coefficients)
        jastrow = eqx.tree_at(lambda jastrow: jastrow.pairs, psi.jastrow, pairs)
        bare = FermionFlow(psi.spins, psi.orbitals, psi.twist, None, flow)
        return bare.log_psi(label, x, z) + jastrow.log(x)

    @jax.jit
    def both(coefficients, pairs, z):
        x = psi.positions(z)
        automatic = jax.jacfwd(lambda *args: log_psi(*args).astype(complex), (0, 1))(coefficients, pairs, x)
        slow = local_kinetic(lambda x: log_psi(coefficients, pairs, x), x)
        values = psi.log_psi(label, x), log_psi(coefficients, pairs, x)
        return psi.local(label, z), psi.local_and_scores(label, z), slow, values, automatic

    local, (again, scores, _), kinetic, values, automatic = both(psi.flow.coefficients, psi.jastrow.pairs, z)
    np.testing.assert_allclose(local.x, psi.positions(z), atol=1e-14)
    assert complex(values[0]) == pytest.approx(complex(values[1]), abs=1e-9)
    assert float(local.log_abs) == pytest.approx(float(values[1].real), abs=1e-9)
    assert abs(complex(kinetic) - complex(local.kinetic)) < 1e-9 * abs(complex(kinetic))
    assert complex(again.kinetic) == pytest.approx(complex(local.kinetic), rel=1e-12)
    np.testing.assert_allclose(scores.flow.coefficients, automatic[0], atol=1e-8)
    np.testing.assert_allclose(scores.jastrow.pairs, automatic[1], atol=1e-9)
    assert float(local.least) > 0


def test_chains_move_in_the_density_of_points(family):
    """|Psi(x)|^2 dx = |D(z)|^2 e^{2 J} dz, for one label and for the sum over two."""
    psi, label, z = family
    labels = jnp.stack([label, label.at[1].set(5).at[1:3].set(jnp.sort(jnp.array([5, 2])))])

    def log_density(z):
        logs = [2 * log_reference(psi.reference(label), z, psi.spins).real for label in labels]
        return jax.nn.logsumexp(jnp.stack(logs)) + 2 * psi.jastrow.log(psi.positions(z))

    slope = psi.slope_of_sum(labels, z)
    value, gradient = jax.value_and_grad(log_density)(z)
    assert float(slope.log_density) == pytest.approx(float(value), abs=1e-10)
    np.testing.assert_allclose(slope.gradient, gradient, atol=1e-9 * float(jnp.abs(gradient).max()))


def test_entropy_that_the_factor_costs_is_four_times_its_variance(family):
    """To second order; chains are stood for by direct samples of the determinants, weighed with e^{2J}."""
    psi, label, _ = family
    psi = eqx.tree_at(lambda psi: psi.jastrow, psi, Jastrow(psi.spins, psi.orbitals.shape[1], (0.0, 0.0)))
    psi = eqx.tree_at(lambda psi: psi.jastrow.waves, psi, psi.jastrow.waves.at[:, 0].set(0.01))
    labels, rng = jnp.repeat(label[None], 200, axis=0), np.random.default_rng(0)

    @jax.jit
    def direct(key):
        return jax.lax.map(lambda z: psi.jastrow.log(psi.positions(z)), psi.sample_determinants(key, labels))

    log = np.concatenate([direct(jax.random.key(i)) for i in range(20)])
    weight = np.exp(2 * log) / np.sum(np.exp(2 * log))
    chains = rng.choice(log, (200, 100), p=weight)
    found = completeness.bound(psi, np.asarray(labels), chains, jax.random.key(100))
    expected = np.log(weight @ np.exp(2 * log)) - np.log(np.mean(np.exp(2 * log)))
    assert found.value.value == pytest.approx(expected, abs=5 * found.value.error + 0.2 * expected)
    assert expected == pytest.approx(4 * log.var(), rel=0.3)
    ess = np.exp(2 * chains).mean() ** 2 / np.exp(4 * chains).mean()
    assert found.ess == pytest.approx(ess)
    one = np.exp(2 * chains).mean(axis=1)
    half = one[100:] / one[:100].mean()
    assert found.covariance(one) == pytest.approx(np.cov(one[100:], half)[0, 1] / 200, rel=0.3)
    assert completeness.applies(psi)
