"""n(k) by displaced electrons against quadrature, the labels of the ideal gas, and the kinetic energy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.errors import RunError
from massieu.geometry import integer_vectors
from massieu.methods.particles.options import ParticleOptions
from massieu.observables import momentum_distribution as nk
from massieu.states import FermionFlow, PairFlow
from massieu.states.correlated import CorrelatedStates
from massieu.states.inversion import inverted
from massieu.states.jastrow import Jastrow
from massieu.states.mixing import Mixing

pytestmark = pytest.mark.acceptance

GRID = 32


def _pair(spins, mixed, size):
    """Two electrons in two dimensions with a strong flow, twist (0.25, -0.1), and a label."""
    vectors = integer_vectors(2, 1.5)
    flow = PairFlow(spins, 2, layers=2, radius=2.3, by_momentum=True, key=jax.random.key(0))
    noise = jax.random.normal(jax.random.key(3), flow.coefficients.shape)
    noise = noise / np.sum(flow.vectors**2, axis=1)[None, None, None]
    flow = eqx.tree_at(lambda f: f.coefficients, flow, 0.5 * size * noise).projected()
    mixing = Mixing(vectors, spins, 0.8, 6) if mixed else None
    return FermionFlow(spins, vectors, np.array([[0.25, -0.1]]), mixing, flow), jnp.array((0, 1, 4))


def _log_psi_of_flow(psi, label):
    def log_psi(x):
        z = psi.inverse(label, x, x, 100)
        z = z - jnp.round(psi.flow(psi.coefficients(label), z)[0] - x)
        return psi.log_psi(label, x, z)

    return log_psi


def _by_quadrature(psi, log_psi, shells):
    """Electrons in each shell, and -<lap>/(2 pi)^2: with one electron at 0 the wave of the other has all of n(k)."""
    axis = np.arange(GRID) / GRID
    grid = jnp.asarray(np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2))
    twist, total, kinetic = psi.twist[0], np.zeros(len(shells.k) + 1), 0.0
    for electron in (0, 1):

        def wave(r, electron=electron):
            x = jnp.zeros((2, 2)).at[electron].set(r)
            return jnp.exp(log_psi(x)) * jnp.exp(-2j * jnp.pi * (twist @ r))

        values = np.asarray(jax.jit(lambda points, wave=wave: jax.lax.map(wave, points, batch_size=64))(grid))
        values = np.nan_to_num(values)  # equal spins at one place: ln 0
        power = np.abs(np.fft.fft2(values.reshape(GRID, GRID)) / GRID**2) ** 2
        n = np.stack(np.meshgrid(*[np.fft.fftfreq(GRID, 1 / GRID)] * 2, indexing="ij"), axis=-1)
        k = np.linalg.norm(n + twist, axis=-1)
        kinetic += np.sum(power * k**2)
        near = np.argmin(np.abs(shells.k - k[..., None]), axis=-1)
        at = np.where(np.abs(shells.k[near] - k) < 1e-6, near, len(shells.k))
        total += np.bincount(at.ravel(), power.ravel(), minlength=len(total))
    return total[:-1], kinetic


@pytest.mark.parametrize(("spins", "mixed"), [((2,), False), ((1, 1), False), ((1, 1), True)])
def test_two_electrons_by_quadrature(spins, mixed):
    psi, label = _pair(spins, mixed, 0.05)
    count = 4000
    labels = jnp.tile(label, (count, 1))
    z = jax.jit(lambda key: psi.sample(key, labels))(jax.random.key(1))
    found = nk.momentum_distribution(psi, labels, z, jax.random.key(2), 1.0)
    exact, kinetic = _by_quadrature(psi, _log_psi_of_flow(psi, label), nk.shells_of(psi))
    value, error, orbitals = (np.array(found[name]) for name in ("value", "error", "orbitals"))
    assert np.all(np.abs(value * orbitals - exact) < 4.5 * error * orbitals + 1e-12)
    assert np.max(error) < 0.1 and np.max(np.abs(value - exact / orbitals)) > 0
    covered = found["covered"]
    assert abs(covered["value"] - exact.sum() / 2) < 4.5 * covered["error"]
    local = jax.jit(lambda z: jax.lax.map(lambda z: psi.local(label, z).kinetic.real, z, batch_size=50))(z)
    mean, deviation = np.mean(local) / (2 * np.pi) ** 2, np.std(local) / np.sqrt(count) / (2 * np.pi) ** 2
    assert abs(mean - kinetic) < 4.5 * deviation
    k2 = np.array(found["k"]) ** 2
    beyond = kinetic - k2 @ exact  # of the momenta that are not sampled, from the quadrature
    spread = np.sqrt((k2**2) @ (error * orbitals) ** 2) * np.sqrt(2)  # shells are correlated
    assert abs(k2 @ (value * orbitals) + beyond - mean) < 4.5 * np.hypot(spread, deviation)
    assert 0 <= beyond < 0.5 * kinetic


@pytest.mark.parametrize("spins", [(2,), (1, 1)])
def test_two_correlated_electrons_by_quadrature(spins):
    """Samples from uniform points by their weights; the wave of the quadrature is normalised by itself."""
    vectors = integer_vectors(2, 1.5)
    psi = CorrelatedStates(spins, vectors, np.array([[0.25, -0.1]]), None, Jastrow(spins, 2, (12.0, 24.0)), None)
    label, rng = jnp.array((0, 1, 4)), np.random.default_rng(0)
    x = jnp.asarray(rng.uniform(size=(60_000, 2, 2)))
    weight = np.exp(2 * np.asarray(jax.jit(jax.vmap(lambda x: psi.log_psi(label, x).real))(x)))
    kept = x[rng.uniform(size=len(x)) < weight / weight.max()]
    labels = jnp.tile(label, (len(kept), 1))
    found = nk.from_positions(psi, labels, kept, jax.random.key(2), 1.0)
    exact, _ = _by_quadrature(psi, lambda x: psi.log_psi(label, x), nk.shells_of(psi))
    exact = exact / np.mean(weight)
    value, error, orbitals = (np.array(found[name]) for name in ("value", "error", "orbitals"))
    assert len(kept) > 2000 and np.max(error) < 0.03
    assert np.all(np.abs(value * orbitals - exact) < 4.5 * error * orbitals + 1e-4)
    assert abs(found["covered"]["value"] - exact.sum() / 2) < 4.5 * found["covered"]["error"] + 1e-4
    bare = np.asarray(nk._expected(psi, nk.shells_of(psi), label))
    assert np.max(np.abs(bare - exact)) > 10 * np.max(error * orbitals)  # correlation moves electrons to other momenta


@pytest.mark.parametrize("twist", ["0", "0.25", "average"])
def test_without_interaction_it_is_the_occupation_of_the_labels(twist):
    gas = ms.ElectronGas(n=4, rs=5.0, theta=0.5, twist=twist, twists="grid:2", polarised=False, interacting=False)
    rho = gas.default_ansatz(ParticleOptions())
    drawn = jax.jit(lambda key: rho.draw(key, 2000))(jax.random.key(0))
    found = nk.momentum_distribution(rho.psi, drawn.label, drawn.z, jax.random.key(1), 1.0)
    shells = nk.shells_of(rho.psi)
    label = np.asarray(drawn.label)
    at = shells.of_orbital[label[:, :1], label[:, 1:]]
    occupation = np.bincount(at.ravel(), minlength=len(shells.k)) / len(label) / shells.orbitals
    assert np.all(np.abs(found["value"] - occupation) < 4.5 * np.array(found["error"]) + 1e-12)
    assert found["residual"] == 0 and abs(found["covered"]["value"] - 1) < 4.5 * found["covered"]["error"]
    assert np.sum(shells.orbitals * occupation) == pytest.approx(4)


def test_ideal_ground_state_is_exact():
    gas = ms.ElectronGas(n=5, rs=5.0, theta=0.0, interacting=False)
    rho = gas.default_ansatz(ParticleOptions())
    drawn = jax.jit(lambda key: rho.draw(key, 50))(jax.random.key(0))
    found = nk.momentum_distribution(rho.psi, drawn.label, drawn.z, jax.random.key(1), 2 * np.pi / gas.length)
    inside = np.array(found["k"]) < 1.2 * 2 * np.pi / gas.length
    assert inside[:2].all() and not inside[2]
    np.testing.assert_allclose(np.array(found["value"])[:2], 1.0, atol=1e-9)
    np.testing.assert_allclose(np.array(found["value"])[2:], 0.0, atol=1e-9)


def test_layers_at_the_bound_are_inverted_for_any_displacement():
    """Where Newton's method without backtracking goes astray; and without losing count of the boxes crossed."""
    psi, label = _pair((2,), False, 1e3)
    c = psi.coefficients(label)[0]
    z = jax.random.uniform(jax.random.key(1), (300, 2, 2)) * 3 - 1
    guess = z + jax.random.normal(jax.random.key(2), z.shape)
    x = jax.vmap(lambda z: psi.flow.layer(c, z)[0])(z)
    back, _, miss = jax.jit(jax.vmap(lambda x, g: inverted(psi.flow, c, x, g)))(x, guess)
    assert float(miss.max()) < 1e-9
    np.testing.assert_allclose(back, z, atol=1e-8)


def test_a_map_that_is_no_bijection_is_refused():
    psi, label = _pair((2,), False, 1.0)
    wild = eqx.tree_at(lambda p: p.flow.coefficients, psi, 50 * psi.flow.coefficients)
    labels = jnp.tile(label, (40, 1))
    with pytest.raises(RunError, match="not inverted"):
        nk.momentum_distribution(
            wild, labels, jax.random.uniform(jax.random.key(0), (40, 2, 2)), jax.random.key(1), 1.0
        )
