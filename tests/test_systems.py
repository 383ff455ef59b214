"""Hamiltonians, conventions and input checks of the systems."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.errors import InputError
from massieu.exact.enumeration import enumerate_energy
from massieu.systems import SK, SYSTEMS, CoulombTrap, Hopfield, Ising


@pytest.mark.parametrize(
    "system",
    [
        Ising(l=3, beta=0.3),
        Ising(shape="2x4", beta=0.5, j=-1.0),
        Ising(shape="3x3", beta=0.4, h=0.3),
        Ising(shape="3x4", beta=0.4, h=-0.2, boundary="open"),
        Ising(shape="1x9", beta=0.7, h=0.1),
        Ising(shape="9", beta=0.7, boundary="open"),
        SK(n=9, beta=1.3, couplings_seed=4),
        Hopfield(n=8, patterns="3", beta=0.9),
    ],
    ids=lambda s: f"{s.name}-{s.parameters()}",
)
def test_reference_is_the_sum_over_all_states_of_the_energy(system):
    summed = enumerate_energy(system.energy, system.size, system.beta)
    best = system.reference().best
    for name in ("F", "E", "S", "C"):
        np.testing.assert_allclose(getattr(best, name).value, getattr(summed, name).value, rtol=1e-9, atol=1e-9)


def test_ising_energy_is_minus_j_times_bonds_minus_field():
    s = jnp.asarray(np.random.default_rng(0).choice([-1.0, 1.0], (4, 5)))
    bonds = s * jnp.roll(s, 1, 0) + s * jnp.roll(s, 1, 1)
    np.testing.assert_allclose(Ising(shape="4x5", j=0.7, h=0.2).energy(s.ravel()), -0.7 * bonds.sum() - 0.2 * s.sum())


def test_sk_couplings_follow_the_convention():
    """First entries of default_rng(0).normal(0, 1/sqrt(20), (20, 20)), upper triangle."""
    J = SK().couplings
    np.testing.assert_allclose(J[0, 1], -0.02953954544776676, rtol=1e-14)
    np.testing.assert_allclose(J[18, 19], 0.2599252793866743, rtol=1e-14)
    assert np.array_equal(J, J.T) and not np.any(np.diag(J))


@pytest.mark.parametrize(("count", "n"), [(1, 7), (2, 10), (3, 12), (4, 100)])
def test_hopfield_patterns_are_orthogonal(count, n):
    xi = Hopfield(n=n, patterns=str(count)).xi
    np.testing.assert_allclose(xi @ xi.T, n * np.eye(count))


def test_hopfield_free_energy_of_two_orthogonal_patterns():
    np.testing.assert_allclose(Hopfield().reference().best.F.value / 100, -0.541882, atol=5e-7)


def test_trap_energy_and_minima():
    trap = CoulombTrap(n=6)
    np.testing.assert_allclose(trap.minima, [16.827338134377932, 16.948557021090252], atol=1e-8)
    np.testing.assert_allclose(trap.energy(jnp.asarray(trap.minimum)), trap.minima[0], atol=1e-8)
    pair = CoulombTrap(n=2, kappa=2.0)
    np.testing.assert_allclose(pair.energy(jnp.array([[0.0, 0.0], [3.0, 4.0]])), 2 * 25 + 1 / 5)


def test_trap_quench_finds_the_minimum_of_each_basin():
    trap = CoulombTrap(n=6)
    rng = np.random.default_rng(0)
    found = {0: trap.minimum}
    from massieu.exact.trap import trap_minima

    found[1] = trap_minima(6)[1][1]
    for k, x in found.items():
        for _ in range(5):
            shaken = jnp.asarray(x + 0.05 * rng.normal(size=x.shape))
            fractions = trap.observables(shaken)["minimum_fractions"]
            assert int(jnp.argmax(fractions)) == k and float(fractions.sum()) == 1.0


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.acceptance
def test_trap_default_density_starts_at_the_scale_of_the_cloud(n, dim):
    trap = CoulombTrap(n=n, dim=dim, beta=2.0)
    x, log_prob = trap.default_density(0).sample_and_log_prob(jax.random.key(0), (500,))
    F = jnp.mean(jax.vmap(trap.energy)(x) + log_prob / 2.0)
    assert jnp.isfinite(F)
    if n == 1:  # an ideal gas: the base is exact
        np.testing.assert_allclose(F, -0.5 * dim * np.log(np.pi / 2.0) / 2.0, atol=1e-2)


BAD = [
    (Ising, {"l": 0}, "l = 0"),
    (Ising, {"beta": -1.0}, "beta = -1.0"),
    (Ising, {"beta": float("nan")}, "beta = nan"),
    (Ising, {"j": float("inf")}, "j = inf"),
    (Ising, {"shape": "4x"}, "shape = 4x"),
    (Ising, {"shape": "4x0"}, "shape = 4x0"),
    (Ising, {"shape": "axb"}, "shape = axb"),
    (Ising, {"boundary": "peridic"}, "did you mean periodic"),
    (SK, {"n": 0}, "n = 0"),
    (SK, {"couplings_seed": -1}, "couplings_seed = -1"),
    (SK, {"couplings_file": "no/such/file.npy"}, "No such file"),
    (Hopfield, {"n": 10, "patterns": "3"}, "multiple of 4"),
    (Hopfield, {"patterns": "0"}, "patterns = 0"),
    (CoulombTrap, {"n": 0}, "n = 0"),
    (CoulombTrap, {"dim": 4}, "dim = 4"),
    (CoulombTrap, {"kappa": 0.0}, "kappa = 0.0"),
]


@pytest.mark.parametrize(("kind", "parameters", "message"), BAD, ids=lambda x: str(x))
def test_bad_parameters_are_named_in_one_sentence(kind, parameters, message):
    with pytest.raises(InputError) as caught:
        kind(**parameters)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((3, 4)), "square"),
        (np.arange(9.0).reshape(3, 3), "symmetric"),
        (np.eye(3), "zero diagonal"),
        (np.full((3, 3), np.nan), "NaN"),
        (np.zeros((5, 5)), "of shape (3, 3)"),
        (np.array(["a", "b"]), "real numbers"),
    ],
    ids=["shape", "asymmetric", "diagonal", "nan", "size", "text"],
)
def test_bad_coupling_files_are_refused(tmp_path, array, message):
    np.save(tmp_path / "J.npy", array)
    with pytest.raises(InputError, match=message.replace("(", r"\(").replace(")", r"\)")):
        SK(n=3, couplings_file=str(tmp_path / "J.npy"))


def test_a_file_that_is_not_an_array_is_refused(tmp_path):
    (tmp_path / "J.npy").write_text("hello")
    with pytest.raises(InputError, match="readable"):
        SK(couplings_file=str(tmp_path / "J.npy"))


def test_table_of_systems_names_each_system_as_it_names_itself():
    assert all(name == kind.name and kind.summary and kind.source for name, kind in SYSTEMS.items())


def test_spin_observables_of_an_ordered_state():
    hopfield = Hopfield(n=8)
    for k, (mu, sign) in enumerate(itertools.product((0, 1), (1, -1))):
        assert int(jnp.argmax(hopfield.observables(sign * jnp.asarray(hopfield.xi[mu]))["retrieval_fractions"])) == k
