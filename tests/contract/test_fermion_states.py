"""Laws of the orthonormal families: bijective, equivariant, exact derivatives, exact sampling, orthonormal."""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.geometry import integer_vectors
from massieu.linear_algebra import inverse_and_log_det, inverse_and_log_det_spd
from massieu.physics.kinetic import MODES, local_kinetic
from massieu.states import FermionFlow, PairFlow
from massieu.states.mixing import Mixing
from massieu.states.pair_flow import BOUND, lowest_curvature
from massieu.states.slater import Reference, log_reference, sample_references

# spins, dim, layers, twist, determinants mixed, electrons, a label
FAMILIES = {
    "polarised_2d": ((3,), 2, 2, 0.0, 1, (0, 1, 4)),
    "twisted_2d": ((3,), 2, 2, 0.25, 1, (1, 2, 5)),
    "unpolarised_2d": ((2, 1), 2, 1, 0.1, 1, (0, 3, 0)),
    "polarised_3d": ((3,), 3, 1, 0.0, 1, (0, 2, 5)),
    "mixed_2d": ((3,), 2, 1, 0.25, 4, (0, 2, 3)),
}


def _strong(flow, size, seed=3):
    """The same flow with large random potentials, scaled to the bound."""
    square = np.sum(flow.vectors**2, axis=1)[None, None, None]
    noise = jax.random.normal(jax.random.key(seed), flow.coefficients.shape) / square
    return eqx.tree_at(lambda f: f.coefficients, flow, size * noise).projected()


def _family(name, size=0.05):
    spins, dim, layers, twist, mixed, occupied = FAMILIES[name]
    vectors = integer_vectors(dim, 1.5 if dim == 2 else 1.1)
    flow = PairFlow(spins, dim, layers=layers, radius=2.3, by_momentum=True, key=jax.random.key(0))
    mixing = Mixing(vectors, spins, 0.8, mixed) if mixed > 1 else None
    psi = FermionFlow(spins, vectors, np.full((1, dim), twist), mixing, _strong(flow, size))
    label = jnp.array((0, *occupied))
    z = jax.random.uniform(jax.random.key(7), (sum(spins), dim))
    return psi, label, z


@pytest.fixture(params=FAMILIES)
def family(request):
    return _family(request.param)


@pytest.mark.acceptance
def test_log_det_is_that_of_the_jacobian_and_positive(family):
    psi, label, z = family
    c = psi.coefficients(label)
    jacobian = jax.jacfwd(lambda z: psi.flow(c, z)[0])(z).reshape(z.size, z.size)
    sign, log_det = np.linalg.slogdet(np.asarray(jacobian))
    assert sign == 1
    assert float(psi.flow(c, z)[1]) == pytest.approx(log_det, abs=1e-11)


def test_flow_commutes_with_permutations_and_translations_and_is_periodic(family):
    psi, label, z = family
    c = psi.coefficients(label)
    x, log_det = psi.flow(c, z)
    first = psi.spins[0]
    swapped = jnp.concatenate([z[:first][::-1], z[first:]])
    np.testing.assert_allclose(psi.flow(c, swapped)[0][:first], x[:first][::-1], atol=1e-12)
    moved, same = psi.flow(c, z + 0.3)
    np.testing.assert_allclose(moved, x + 0.3, atol=1e-12)
    assert float(same) == pytest.approx(float(log_det), abs=1e-12)
    np.testing.assert_allclose(psi.flow(c, z.at[0].add(1.0))[0], x.at[0].add(1.0), atol=1e-12)


def test_flow_is_invertible(family):
    psi, label, z = family
    x, _ = psi.flow(psi.coefficients(label), z)
    np.testing.assert_allclose(psi.inverse(label, x, x), z, atol=1e-10)


@pytest.mark.acceptance
def test_propagated_kinetic_energy_agrees_with_every_autodiff_mode(family):
    psi, label, z = family
    local = psi.local(label, z)
    for mode in MODES[:3] if len(label) < 4 or psi.mixing is None else MODES[:1]:
        slow = jax.jit(lambda x, mode=mode: local_kinetic(lambda x: psi.log_psi(label, x, z), x, mode))(local.x)
        assert abs(complex(slow) - complex(local.kinetic)) < 1e-9 * max(1.0, abs(complex(slow)))


def test_hutchinson_is_unbiased():
    psi, label, z = _family("polarised_2d")
    local = psi.local(label, z)
    one = jax.jit(lambda key: local_kinetic(lambda x: psi.log_psi(label, x, z), local.x, "hutchinson", key))
    found = np.array(jax.lax.map(one, jax.random.split(jax.random.key(0), 2000))).real
    error = found.std() / math.sqrt(len(found))
    assert abs(found.mean() - float(local.kinetic.real)) < 4.5 * error


@pytest.mark.acceptance
def test_surrogate_gives_the_derivative_of_log_psi_at_fixed_x(family):
    psi, label, z = family
    local = psi.local(label, z)

    def moved(c, function):
        return function(eqx.tree_at(lambda p: p.flow.coefficients, psi, c))

    c = psi.flow.coefficients
    direction = jax.random.normal(jax.random.key(2), c.shape)
    _, fast = jax.jvp(lambda c: moved(c, lambda p: p.surrogate(label, z, local.gradient)), (c,), (direction,))
    _, slow = jax.jvp(lambda c: moved(c, lambda p: p.log_psi(label, local.x, z)), (c,), (direction,))
    np.testing.assert_allclose(fast, [slow.real, slow.imag], atol=1e-8 * (1 + abs(complex(slow))))
    by_hand = psi.scores(label, z, local.gradient).flow.coefficients
    automatic = jax.jacrev(lambda c: moved(c, lambda p: p.surrogate(label, z, local.gradient)))(c)
    np.testing.assert_allclose(by_hand, automatic, atol=1e-9 * (1 + float(jnp.abs(automatic).max())))


@pytest.mark.acceptance
def test_bound_holds_between_the_grid_points_for_the_strongest_potentials():
    for dim in (2, 3):
        flow = PairFlow((4,), dim, layers=2, radius=3.0, by_momentum=False, key=jax.random.key(0))
        wild = _strong(flow, 50.0)
        assert (
            float(jnp.min(lowest_curvature(wild.of_momentum(jnp.zeros(dim, int)), wild.vectors))) >= -BOUND / 4 - 1e-12
        )
        z = jax.random.uniform(jax.random.key(1), (200, 4, dim)) * jnp.linspace(0.05, 1, 200)[:, None, None]
        c = wild.of_momentum(jnp.zeros(dim, int))
        least = jax.vmap(lambda z, flow=wild, c=c: flow.jet(c, z).least)(z)
        assert float(least.min()) > 0.05


def test_lowest_eigenvalue_in_three_dimensions_is_that_of_the_matrix():
    flow = _strong(PairFlow((2,), 3, layers=1, radius=2.0, by_momentum=False, key=jax.random.key(0)), 0.05)
    c = flow.coefficients[0, 0, 0]
    grid = np.stack(np.meshgrid(*[np.arange(16) / 16] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    waves = np.cos(2 * np.pi * grid @ flow.vectors.T) * np.asarray(c)
    hessian = -np.einsum("gv,va,vb->gab", waves, flow.vectors, flow.vectors)
    assert float(lowest_curvature(c, flow.vectors)) == pytest.approx(np.linalg.eigvalsh(hessian).min(), abs=1e-10)


def test_gauss_jordan_agrees_with_lapack():
    a = jax.random.normal(jax.random.key(0), (7, 7)) + 1j * jax.random.normal(jax.random.key(1), (7, 7))
    inverse, phase, log_abs = inverse_and_log_det(a)
    sign, expected = np.linalg.slogdet(np.asarray(a))
    np.testing.assert_allclose(inverse, np.linalg.inv(np.asarray(a)), atol=1e-12)
    assert abs(phase - sign) < 1e-12 and abs(log_abs - expected) < 1e-12
    spd = (a @ a.conj().T).real + jnp.eye(7)
    inverse, log_det, least = inverse_and_log_det_spd(spd)
    np.testing.assert_allclose(inverse, np.linalg.inv(np.asarray(spd)), atol=1e-12)
    assert float(log_det) == pytest.approx(np.linalg.slogdet(np.asarray(spd))[1], abs=1e-11) and least > 0
    assert float(inverse_and_log_det_spd(spd - 40 * jnp.eye(7))[2]) < 0


def test_direct_samples_have_the_density_of_the_determinant():
    """Moments of cos(2 pi n.(z_1 - z_2)) over |D_K|^2, exactly known for two electrons, K = {k, q}."""
    momenta = jnp.array([[0.0, 0.0], [1.0, 0.0]])
    references = Reference(jnp.tile(momenta, (20000, 1, 1, 1)), jnp.ones((20000, 1), complex))
    z = np.asarray(jax.jit(lambda key: sample_references(key, references, (2,)))(jax.random.key(0)))
    r = z[:, 0] - z[:, 1]
    for n, exact in (((1, 0), -0.5), ((0, 1), 0.0), ((2, 0), 0.0)):
        found = np.cos(2 * np.pi * r @ np.array(n))
        assert abs(found.mean() - exact) < 4.5 * found.std() / math.sqrt(len(found))


@pytest.mark.acceptance
def test_direct_samples_of_a_mixture_agree_with_reweighted_uniform_points():
    momenta = jnp.array([[[0.0, 0], [1, 0], [-1, 0]], [[0, 0], [0, 1], [0, -1]]])
    one = Reference(momenta, jnp.array([0.8, 0.6j]))
    references = Reference(jnp.tile(momenta, (20000, 1, 1, 1)), jnp.tile(one.coefficients, (20000, 1)))
    z = np.asarray(jax.jit(lambda key: sample_references(key, references, (3,)))(jax.random.key(0)))
    uniform = jax.random.uniform(jax.random.key(1), (40000, 3, 2))
    weight = np.exp(2 * np.asarray(jax.vmap(lambda z: log_reference(one, z, (3,)).real)(uniform)))
    assert abs(weight.mean() - 1) < 5 * weight.std() / 200  # normalised in the unit box

    def observable(z):
        r = np.asarray(z)[:, 0] - np.asarray(z)[:, 1]
        return np.cos(2 * np.pi * r[:, 0]) - 0.5 * np.cos(2 * np.pi * r[:, 1])

    direct, other = observable(z), observable(uniform) * weight
    error = math.hypot(direct.std() / math.sqrt(len(direct)), other.std() / 200)
    assert abs(direct.mean() - other.mean()) < 4.5 * error


def test_mixed_references_are_a_unitary_change_of_basis():
    vectors = integer_vectors(2, 2.0)
    for spins in ((2,), (3,), (1, 1)):
        mixing = Mixing(vectors, spins, 1.5, 6)
        assert len(mixing.of_slot) > 4
        np.testing.assert_allclose(_change_of_basis(mixing), np.eye(len(mixing.energies)), atol=1e-10)
        assert mixing.rank(jnp.asarray(mixing.all_sets())).tolist() == list(range(len(mixing.energies)))


def _change_of_basis(mixing):
    """U U^+ for the matrix U of all states in the basis of all determinants."""
    sets, amplitudes = map(np.asarray, jax.vmap(mixing.expand)(jnp.asarray(mixing.all_sets())))
    change = np.zeros((len(sets), len(sets)), complex)
    for row in range(len(sets)):
        np.add.at(change[row], mixing.ranks(sets[row]), amplitudes[row])
    return change @ change.conj().T


def _line_family():
    vectors = integer_vectors(1, 2.0)
    flow = _strong(PairFlow((2,), 1, layers=2, radius=3.0, by_momentum=True, key=jax.random.key(0)), 0.1)
    return FermionFlow((2,), vectors, np.full((1, 1), 0.2), None, flow)


@pytest.mark.acceptance
def test_overlaps_of_two_electrons_on_a_line_by_quadrature():
    """<Psi_K|Psi_K'> = delta for every pair of sets, on a grid in x (periodic: exponential accuracy)."""
    psi = _line_family()
    points = 200
    axis = np.arange(points) / points
    x = jnp.asarray(np.stack(np.meshgrid(axis, axis + 0.5 / points, indexing="ij"), axis=-1).reshape(-1, 2, 1))
    sets = [jnp.array((0, *k)) for k in itertools.combinations(range(len(psi.orbitals)), 2)]

    def wave(label):
        def one(x):
            z = psi.inverse(label, x, x)
            return jnp.exp(psi.log_psi(label, x, z))

        return jax.vmap(one)(x)

    waves = np.stack([np.asarray(jax.jit(wave)(label)) for label in sets])
    overlap = waves.conj() @ waves.T / len(x)
    np.testing.assert_allclose(overlap, np.eye(len(sets)), atol=1e-6)


@pytest.mark.acceptance
def test_overlaps_of_four_electrons_by_monte_carlo():
    """E_{x ~ |Psi_K|^2} Psi_K'(x)/Psi_K(x) = 0 for other K' of the same momentum."""
    spins, vectors = (4,), integer_vectors(2, 1.5)
    flow = _strong(PairFlow(spins, 2, layers=2, radius=2.3, by_momentum=True, key=jax.random.key(0)), 0.1)
    psi = FermionFlow(spins, vectors, np.zeros((1, 2)), None, flow)
    every = np.array(list(itertools.combinations(range(len(vectors)), 4)))
    momentum = vectors[every].sum(axis=1)
    first, second = every[np.all(momentum == [1, 0], axis=1)][:2]
    labels = jnp.tile(jnp.array((0, *first)), (4000, 1))
    z = jax.jit(lambda key: psi.sample(key, labels))(jax.random.key(5))

    def ratio(z):
        x, _ = psi.flow(psi.coefficients(labels[0]), z)
        other = jnp.array((0, *second))
        return jnp.exp(psi.log_psi(other, x, psi.inverse(other, x, z, 8)) - psi.log_psi(labels[0], x, z))

    found = np.asarray(jax.jit(jax.vmap(ratio))(z))
    middle = np.abs(found) < 10 * np.median(np.abs(found))  # the ratio has heavy tails at the nodes of Psi_K
    error = found.std() / math.sqrt(len(found))
    assert abs(found.mean()) < 4.5 * error and error < 0.2
    assert middle.mean() > 0.9
