"""Correlated states in a trap: cusps, derivatives against autodiff, and the centre of mass as a factor of its own."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.cli.main import main
from massieu.exact.trapped_gas import ideal_gas
from massieu.methods.method import method_of
from massieu.states.oscillator import angular_momentum
from massieu.states.trap_jastrow import TrapJastrow, trap_cusp_slopes
from massieu.states.trap_sectors import trap_sectors

CASES = {
    "three of one spin": {"n": 3, "kappa": 2.0, "beta": 3.0},
    "one of each spin": {"n": 2, "polarised": False, "kappa": 1.5, "beta": 2.0},
    "on a line": {"n": 3, "dim": 1, "kappa": 1.0, "beta": 1.5},
    "in space": {"n": 2, "dim": 3, "kappa": 1.0, "beta": 3.0},
}


def _states(name, seed=1):
    """A system and its states with parameters of J away from zero, and labels."""
    system = ms.QuantumDot(**CASES[name])
    rho = system.default_ansatz(method_of(system).configure(system))
    shapes = 0.2 * jax.random.normal(jax.random.key(seed), rho.psi.jastrow.shapes.shape)
    rho = eqx.tree_at(lambda rho: rho.psi.jastrow.shapes, rho, shapes)
    return system, rho


def _bare(rho):
    return eqx.tree_at(lambda rho: rho.psi.mixing, rho, None).psi


@pytest.mark.parametrize("name", CASES)
def test_default_of_few_electrons_is_correlated(name):
    system = ms.QuantumDot(**CASES[name])
    assert method_of(system).configure(system).states == "correlated"


@pytest.mark.parametrize("name", CASES)
def test_derivatives_of_one_determinant_are_those_of_autodiff(name):
    _, rho = _states(name)
    psi, label = _bare(rho), jnp.concatenate([jnp.zeros(1, int), jnp.asarray(rho.psi.mixing.sets[3])])
    x = psi.sample_determinants(jax.random.key(0), label[None])[0]
    local, scores, moved = eqx.filter_jit(psi.local_and_scores)(label, x)

    def log_psi(flat):
        return psi.log_psi(label, flat.reshape(x.shape))

    def parts(flat):
        value = log_psi(flat)
        return jnp.stack([value.real, value.imag])

    first = jax.jacfwd(parts)
    gradient, hessian = jax.jit(lambda flat: (first(flat), jax.jacfwd(first)(flat)))(x.ravel())
    gradient, laplacian = gradient[0] + 1j * gradient[1], jnp.trace(hessian[0]) + 1j * jnp.trace(hessian[1])
    np.testing.assert_allclose(local.gradient.ravel(), gradient, atol=1e-9)
    np.testing.assert_allclose(local.kinetic, -(laplacian + jnp.sum(gradient**2)), rtol=1e-9, atol=1e-9)
    slope = eqx.filter_jit(psi.slope)(label, x)
    np.testing.assert_allclose(slope.gradient.ravel(), 2 * gradient.real, atol=1e-9)
    np.testing.assert_allclose(slope.log_density, 2 * jax.jit(log_psi)(x.ravel()).real, atol=1e-10)

    def log_jastrow(shapes, x):
        return eqx.tree_at(lambda j: j.shapes, psi.jastrow, shapes).log(x)

    np.testing.assert_allclose(scores.jastrow.shapes, jax.grad(log_jastrow)(psi.jastrow.shapes, x), atol=1e-12)
    crossed = jax.jit(jax.jacfwd(jax.grad(log_jastrow), argnums=1))(psi.jastrow.shapes, x)
    np.testing.assert_allclose(moved, crossed.reshape(moved.shape), atol=1e-10)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("equal", [True, False])
def test_local_energy_is_finite_at_contact(dim, equal):
    """Two electrons whose determinant vanishes as r (equal spins), or does not: kappa/r is cancelled by the cusp."""
    kappa, spins = 1.7, (2,) if equal else (1, 1)
    jastrow = TrapJastrow(spins, 1.2, trap_cusp_slopes(dim, kappa))
    along = np.eye(dim)[0]

    def log_psi(flat):
        x = flat.reshape(2, dim)
        return jastrow.log(x) + (jnp.log(jnp.abs(x[0, 0] - x[1, 0])) if equal else 0.0)

    def energy(r):
        flat = jnp.concatenate([0.5 * r * along, -0.5 * r * along])
        gradient, hessian = jax.grad(log_psi)(flat), jax.hessian(log_psi)(flat)
        return -0.5 * (jnp.trace(hessian) + jnp.sum(gradient**2)) + kappa / r

    near, nearer, nearest = (float(energy(r)) for r in (1e-3, 1e-4, 1e-5))
    slope = 2 * kappa**2  # what a smooth energy may change by, per length; without a cusp it is kappa/r^2
    assert abs(near - nearer) < 1e-3 * slope and abs(nearer - nearest) < 1e-4 * slope


@pytest.mark.parametrize(
    ("spins", "dim", "beta"), [((2,), 2, 1.0), ((3,), 2, 1.5), ((1, 1), 2, 1.0), ((3,), 1, 1.0), ((2,), 3, 1.3)]
)
def test_centre_of_mass_times_the_rest_is_the_ideal_gas(spins, dim, beta):
    exact = sum(ideal_gas(count, dim, beta, "fermi")[0] for count in spins)
    found = trap_sectors(spins, dim, beta, exact)
    log_rest = np.log(np.sum(np.exp(-beta * found.energies)))
    log_centre = -dim * math.log(-math.expm1(-beta))  # above its ground state, which the rest contains
    assert -3e-4 < log_rest + log_centre - exact < 1e-12


def test_combinations_of_a_sector_have_a_centre_of_mass_at_rest():
    """The mean of R^2 is that of the ground state, dim/(2 N), and they are orthonormal, of one angular momentum."""
    system, rho = _states("three of one spin")
    sectors, jastrow = rho.psi.mixing, rho.psi.jastrow
    family = max(sectors.families, key=lambda family: family.size)
    np.testing.assert_allclose(family.basis.T @ family.basis, np.eye(family.states), atol=1e-9)
    own = sectors.sets[sectors.members[family.sectors[0]][: family.size]]
    assert len(np.unique(angular_momentum(rho.psi.orbitals)[own].sum(axis=1))) == 1

    def at(key):
        choose, place = jax.random.split(key)
        x = rho.psi.sample_set(place, jnp.asarray(own)[jax.random.randint(choose, (), 0, len(own))])
        bare = rho.psi.bare(jnp.asarray(own), x)
        values = bare.phase * jnp.exp(bare.log_abs)
        weight = jnp.abs(values @ family.basis) ** 2 * jnp.exp(2 * jastrow.log(x)) / jnp.mean(jnp.abs(values) ** 2)
        return weight, weight * jnp.sum(jnp.mean(x, axis=0) ** 2)

    weight, square = (np.asarray(v) for v in jax.vmap(at)(jax.random.split(jax.random.key(0), 8000)))
    miss = square - weight * system.dim / (2 * system.n)
    error = np.std(miss, axis=0) / math.sqrt(len(miss))
    assert np.all(np.abs(np.mean(miss, axis=0)) < 4 * error)


def test_centre_of_mass_apart_is_an_oscillator():
    _, rho = _states("in space")
    apart, beta, step = rho.psi.apart(3.0), 3.0, 1e-4
    F, (low, high) = apart.F, (rho.psi.apart(beta - step).F, rho.psi.apart(beta + step).F)
    energy = ((beta + step) * high - (beta - step) * low) / (2 * step)
    assert pytest.approx(energy, rel=1e-6) == apart.E and pytest.approx(beta * (apart.E - F)) == apart.S
    slope = (rho.psi.apart(beta + step).E - rho.psi.apart(beta - step).E) / (2 * step)
    assert pytest.approx(-(beta**2) * slope, rel=1e-6) == apart.C
    assert rho.psi.apart(math.inf) == (0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n", "7"], "states = correlated: must be flow for n = 7"),
        (["--n", "3", "--statistics", "bose"], "states = correlated: must be flow for n = 3"),
        (["--n", "3", "--shells", "6"], "shells = 6: must be left out for correlated states"),
        (["--n", "2", "--depth", "2"], "depth = 2: must be left out for quantum-dot"),
        (["--n", "2", "--kappa", "0"], "states = correlated: must be flow"),
    ],
)
def test_what_correlated_states_cannot_do_is_refused(refused, arguments, message):
    refused(["run", "quantum-dot", "--states", "correlated", *arguments], message)


def test_dry_run_of_a_hot_dot_chooses_the_flow(capsys):
    assert main(["run", "quantum-dot", "--n", "4", "--beta", "0.5", "--dry-run"]) == 0
    assert "states: flow" in capsys.readouterr().out
