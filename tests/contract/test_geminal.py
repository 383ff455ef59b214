"""The electrons' state given protons: derivatives, symmetries, cusps, sectors."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.geometry import integer_vectors
from massieu.physics import jets
from massieu.physics.kinetic import local_kinetic
from massieu.states.electron_network import pair_features, periodic_distance
from massieu.states.geminal import Geminal
from massieu.states.pairing import Pairing

CASES = {
    "one electron": (1, [[0.0, 0.0, 0.0]], 1),
    "real": (4, [[0.0, 0.0, 0.0]], 1),
    "two twists, two determinants": (4, [[0.1, -0.2, 0.3], [0.2, 0.4, 0.1]], 2),
}


@pytest.fixture(scope="module", autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def state(n, twist, determinants, rs=1.4):
    """A state with every parameter moved from its start."""
    length = rs * (4 * np.pi * n / 3) ** (1 / 3)
    vectors = integer_vectors(3, 1.5)[: 1 if n == 1 else 19]
    up = (n + 1) // 2
    psi = Geminal(up, n - up, length, vectors, np.array(twist), rs=rs, width=6, pair_width=5,
                  determinants=determinants, key=jax.random.key(0))  # fmt: skip
    params, static = eqx.partition(psi, lambda leaf: isinstance(leaf, jax.Array))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [leaf + 0.05 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys, strict=True)]
    return eqx.combine(jax.tree.unflatten(tree, moved), static)


@pytest.mark.acceptance
def test_pairing_matrix_of_a_real_state_is_that_of_a_complex_one():
    """F between cosines and sines, and between plane waves: the same function of two points."""
    psi, protons = state(4, [[0.0, 0.0, 0.0]], 1), places(4)[0]
    pairing = psi.plane_waves
    real, full = (p.matrix(jnp.asarray(0), protons) for p in (pairing, eqx.tree_at(lambda p: p.turn, pairing, None)))
    x, y = places(4)[1][:2]
    wave = lambda x: jnp.exp(2j * jnp.pi * psi.vectors @ x)  # noqa: E731
    np.testing.assert_allclose(full, full.conj().T, atol=1e-12)
    expected = wave(x) @ full @ wave(y).conj()
    np.testing.assert_allclose(psi._waves(x[None])[0] @ real @ psi._waves(y[None])[0], expected, rtol=1e-10)
    field = pairing.field(jnp.asarray(0), protons) + jnp.diag(pairing.level[pairing.alike])
    values, vectors = np.linalg.eigh(field - pairing.fermi[0] * np.eye(len(field)))
    root = vectors @ np.diag(np.exp(-0.5 * np.exp(pairing.log_tau) * values)) @ vectors.conj().T
    direct = root @ np.diag(pairing.amplitude[pairing.alike]) @ root - pairing.shift * np.eye(len(field))
    np.testing.assert_allclose(full, direct, rtol=1e-10, atol=1e-10 * np.abs(full).max())


@pytest.mark.parametrize(("n", "amplitudes"), [(2, [1.0]), (4, [1, 0, -1.0]), (14, [1.0] * 3)])
def test_shells_that_fixed_protons_leave_open_start_with_both_signs(n, amplitudes):
    vectors = integer_vectors(3, 1.5)[:19]
    pairing = Pairing(vectors, np.zeros((1, 3)), n, 5.0, 1.3, broken=True)
    shell = np.sum(vectors**2, axis=1) == pairing.fermi[0]
    found = pairing.amplitude[np.unique(pairing.alike[shell])]
    np.testing.assert_allclose(found, amplitudes)
    smooth = Pairing(vectors, np.zeros((1, 3)), n, 5.0, 1.3)
    twisted = Pairing(vectors, np.array([[0.1, 0.2, 0.3]]), n, 5.0, 1.3, broken=True)
    np.testing.assert_allclose(smooth.amplitude, 1.0)
    np.testing.assert_allclose(twisted.amplitude, 1.0)


def test_pairing_follows_translations():
    psi, protons = state(4, [[0.1, 0.2, -0.3]], 1), places(4)[0]
    shift = jnp.array([0.2, 0.1, -0.3])
    wave = np.exp(2j * np.pi * psi.vectors @ np.asarray(shift))
    before, after = (psi.plane_waves.matrix(jnp.asarray(0), s) for s in (protons, protons + shift[None]))
    np.testing.assert_allclose(after, before * wave.conj()[:, None] * wave[None], atol=1e-10)


def value(psi, q, protons, x):
    """ln|Psi| and the phase."""
    return psi.log_psi(psi.around(q, protons), x)


def places(n):
    return jax.random.uniform(jax.random.key(2), (n, 3)), jax.random.uniform(jax.random.key(3), (n, 3))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.acceptance
def test_forward_propagation_is_the_laplacian(case):
    n, twist, determinants = CASES[case]
    psi, (protons, x), q = state(n, twist, determinants), places(n), jnp.asarray(len(twist) - 1)

    def log_psi(x):
        size, phase = value(psi, q, protons, x)
        return size + 1j * phase

    local = jax.jit(lambda x: psi.local(psi.around(q, protons), x))(x)
    np.testing.assert_allclose(local.kinetic, jax.jit(lambda x: local_kinetic(log_psi, x))(x), rtol=1e-9)
    gradient = jax.jit(jax.grad(lambda x: value(psi, q, protons, x)[0]))(x)
    np.testing.assert_allclose(local.gradient.real, gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_symmetries(case):
    n, twist, determinants = CASES[case]
    psi, (protons, x), q = state(n, twist, determinants), places(n), jnp.asarray(0)
    size = value(psi, q, protons, x)[0]
    shift = jnp.array([0.3, -0.1, 0.7])
    assert value(psi, q, protons + shift[None], x + shift[None])[0] == pytest.approx(float(size), abs=1e-10)
    assert value(psi, q, protons[::-1], x)[0] == pytest.approx(float(size), abs=1e-10)
    wrapped, phase = value(psi, q, protons, x.at[0, 1].add(1.0))
    assert wrapped == pytest.approx(float(size), abs=1e-10)
    turned = np.exp(1j * (phase - value(psi, q, protons, x)[1]))
    np.testing.assert_allclose(turned, np.exp(2j * np.pi * twist[0][1]), atol=1e-9)  # Bloch's theorem, spin up


def test_electrons_of_one_spin_are_fermions():
    psi, (protons, x), q = state(4, [[0.1, -0.2, 0.3]], 2), places(4), jnp.asarray(0)
    swapped = x[jnp.array([1, 0, 2, 3])]
    (size, phase), (size2, phase2) = value(psi, q, protons, x), value(psi, q, protons, swapped)
    assert size2 == pytest.approx(float(size), abs=1e-10)
    np.testing.assert_allclose(np.exp(1j * (phase2 - phase)), -1, atol=1e-9)


@pytest.mark.parametrize(("pair", "slope"), [("proton", -1.0), ("opposite", 0.5)])
def test_cusps(pair, slope):
    """The mean over directions of d ln|Psi|/dr at contact: Kato's condition (a0)."""
    psi, (protons, x), q = state(4, [[0.0, 0.0, 0.0]], 1), places(4), jnp.asarray(0)
    centre = protons[0] if pair == "proton" else x[2]
    directions = np.random.default_rng(0).normal(size=(30, 3))
    directions = np.concatenate([directions, -directions])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def mean(r):
        at = lambda u: value(psi, q, protons, x.at[0].set(centre + r / psi.length * u))[0]  # noqa: E731
        return float(jnp.mean(jax.vmap(at)(jnp.asarray(directions))))

    assert (mean(2e-5) - mean(1e-5)) / 1e-5 == pytest.approx(slope, abs=2e-3)


def test_distance_has_no_spurious_contact():
    """|sin(pi r/L)| vanishes at contact only, |sin(2 pi r/L)| half a box away too; features are flat at contact."""
    assert periodic_distance(jnp.array([0.5, 0.0, 0.0]), 8.0) > 2
    slope = jax.jacfwd(lambda d: pair_features(d, 8.0)[-2:])(jnp.array([1e-9, 0.0, 0.0]))
    assert np.abs(slope).max() < 1e-6


def test_scores_are_derivatives():
    psi, (protons, x), q = state(4, [[0.1, -0.2, 0.3]], 1), places(4), jnp.asarray(0)
    real, imaginary = psi.scores(q, protons, x)

    def moved(by):
        return eqx.tree_at(lambda p: p.backflow, psi, psi.backflow + by * direction)

    direction = jax.random.normal(jax.random.key(7), psi.backflow.shape)
    (up, phase_up), (down, phase_down) = (value(moved(s), q, protons, x) for s in (1e-5, -1e-5))
    assert jnp.sum(real.backflow * direction) == pytest.approx(float(up - down) / 2e-5, rel=1e-6)
    assert jnp.sum(imaginary.backflow * direction) == pytest.approx(float(phase_up - phase_down) / 2e-5, rel=1e-6)


def test_jet_of_a_function():
    f = lambda x: jnp.stack([jnp.sin(x[0]) * x[1], jnp.exp(x[2] * x[0])])  # noqa: E731
    x = jnp.array([0.3, -0.2, 0.5])
    found = jets.of_function(f, x)
    np.testing.assert_allclose(found.slope, jax.jacfwd(f)(x), rtol=1e-12)
    np.testing.assert_allclose(found.laplacian, jnp.trace(jax.hessian(f)(x), axis1=1, axis2=2), rtol=1e-12)
