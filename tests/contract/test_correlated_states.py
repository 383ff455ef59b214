"""Laws of the correlated states: cusps, derivatives, symmetry, scores; overlaps vanish between total momenta."""

import itertools
from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from massieu.geometry import integer_vectors
from massieu.physics.kinetic import local_kinetic
from massieu.states.backflow import Backflow
from massieu.states.correlated import CorrelatedStates
from massieu.states.jastrow import Jastrow, cusp_slopes
from massieu.states.mixing import Mixing
from massieu.systems.electron_gas import ElectronGas

LENGTH = 8.0
SIZES = (0.1, 0.02, 0.05, 0.01)  # of random changes: of J's pairs and waves, of the backflow's
# spins, dim, twist, backflow, determinants mixed, a label
FAMILIES = {
    "polarised_2d": ((4,), 2, 0.25, True, 1, (0, 1, 4, 6)),
    "uneven_2d": ((2, 1), 2, 0.1, False, 1, (0, 3, 4)),
    "unpolarised_3d": ((1, 1), 3, 0.25, True, 1, (0, 2)),
    "mixed_2d": ((3,), 2, 0.25, False, 4, (0, 2, 3)),
    "mixed_2d_backflow": ((3,), 2, 0.0, True, 4, (0, 2, 3)),
}


def _leaves(psi):
    found = [psi.jastrow.pairs, psi.jastrow.waves]
    return found if psi.backflow is None else [*found, psi.backflow.pairs, psi.backflow.waves]


@cache
def _family(name):
    spins, dim, twist, backflow, mixed, occupied = FAMILIES[name]
    vectors, rng = integer_vectors(dim, 1.5 if dim == 2 else 1.1), np.random.default_rng(3)
    jastrow = Jastrow(spins, dim, cusp_slopes(dim, LENGTH)).guess(1.5 / LENGTH)
    flow = Backflow(spins, dim) if backflow else None
    mixing = Mixing(vectors, spins, 0.8, mixed) if mixed > 1 else None
    psi = CorrelatedStates(spins, vectors, np.full((1, dim), twist), mixing, jastrow, flow)
    leaves = [leaf + size * rng.normal(size=leaf.shape) for leaf, size in zip(_leaves(psi), SIZES, strict=False)]
    return (
        eqx.tree_at(_leaves, psi, leaves),
        jnp.array((0, *occupied)),
        jnp.asarray(rng.uniform(size=(sum(spins), dim))),
    )


@cache
def _value(name):
    psi, label, _ = _family(name)
    return jax.jit(lambda x: psi.log_psi(label, x))


@pytest.fixture(params=FAMILIES)
def name(request):
    return request.param


def test_derivatives_are_those_of_ln_psi(name):
    """Kinetic energy, gradient, scores, and the gradients of the scores of J."""
    psi, label, x = _family(name)
    leaves = tuple(_leaves(psi))

    def log_psi(leaves, x):
        value = eqx.tree_at(_leaves, psi, list(leaves)).log_psi(label, x)
        return jnp.stack([value.real, value.imag])

    @jax.jit
    def both(leaves, x):
        automatic = jax.jacfwd(log_psi)(leaves, x)
        of_jastrow = jax.jacfwd(jax.grad(lambda leaves, x: log_psi(leaves, x)[0], 1))(leaves, x)[:2]
        slow = local_kinetic(lambda x: psi.log_psi(label, x), x), automatic, of_jastrow
        gradient = jax.grad(lambda x: 2 * log_psi(leaves, x)[0])(x)
        return psi.local(label, x), psi.slope(label, x), psi.local_and_scores(label, x), slow, gradient

    local, slope, (again, scores, moved), (kinetic, automatic, of_jastrow), gradient = both(leaves, x)
    assert abs(complex(kinetic) - complex(local.kinetic)) < 1e-9 * abs(complex(kinetic))
    assert complex(again.kinetic) == complex(local.kinetic)
    value = 2 * _value(name)(x).real
    scale = float(jnp.abs(gradient).max())
    np.testing.assert_allclose([slope.log_density, 2 * local.log_abs], value, rtol=1e-12)
    np.testing.assert_allclose(slope.gradient, gradient, atol=1e-10 * scale)
    np.testing.assert_allclose(2 * local.gradient.real, gradient, atol=1e-10 * scale)
    for by_hand, slow in zip(_leaves(scores), automatic, strict=True):
        np.testing.assert_allclose(by_hand, slow[0] + 1j * slow[1], atol=1e-9 * (1 + float(jnp.abs(slow).max())))
    rows = [np.moveaxis(np.asarray(slow), (0, 1), (-2, -1)).reshape(-1, x.size) for slow in of_jastrow]
    np.testing.assert_allclose(moved, np.concatenate(rows), atol=1e-9 * (1 + np.abs(np.concatenate(rows)).max()))


def test_exchange_translation_and_period(name):
    psi, label, x = _family(name)
    log_psi, dim = _value(name), x.shape[1]
    value, shift = log_psi(x), np.array([0.31, 0.17, 0.05][:dim])
    total = np.asarray(psi.reference(label).momenta)[0].sum(axis=0)
    phase = np.exp(2j * np.pi * shift @ total)
    np.testing.assert_allclose(np.exp(complex(log_psi(x + shift[None]) - value)), phase, atol=1e-10)
    first = psi.spins[0]
    swapped = log_psi(jnp.concatenate([x[:first][::-1], x[first:]]))
    sign = (-1.0) ** (first * (first - 1) // 2)
    np.testing.assert_allclose(np.exp(complex(swapped - value)), sign, atol=1e-10)
    round_trip = log_psi(x.at[0, 0].add(1.0))
    twist = np.exp(2j * np.pi * float(psi.twist[0, 0]))
    np.testing.assert_allclose(np.exp(complex(round_trip - value)), twist, atol=1e-10)


@pytest.mark.parametrize(("dim", "spins", "pairs"), [(2, (2, 2), ((0, 1), (1, 2))), (3, (2, 1), ((0, 1), (0, 2)))])
def test_local_energy_is_finite_at_contact(dim, spins, pairs):
    """The pole 2/r of the potential is gone for equal and opposite spins: E_loc changes by O(r) only.

    For all factors that few electrons are mixed with.
    """
    system = ElectronGas(n=sum(spins), dim=dim, rs=3.0, theta=0.5, n_down=spins[1], polarised=spins[0] != spins[1])
    jastrow = Jastrow(spins, dim, cusp_slopes(dim, system.length)).guess(1.5 / system.length)
    backflow = Backflow(spins, dim)
    backflow = eqx.tree_at(lambda b: b.pairs, backflow, backflow.pairs + 0.03)
    psi = CorrelatedStates(spins, integer_vectors(dim, 1.5), np.full((1, dim), 0.1), None, jastrow, backflow)
    label = jnp.array((0, *range(spins[0]), *range(1, 1 + spins[1])))
    x = jax.random.uniform(jax.random.key(1), (sum(spins), dim))
    along = jnp.array([0.6, 0.8, 0.0][:dim])

    @jax.jit
    def energy(of_pairs, pair, r):
        near = x.at[pair[1]].set(x[pair[0]] + r * along)
        local = eqx.tree_at(lambda psi: psi.jastrow.pairs, psi, of_pairs).local(label, near)
        return system.kinetic_scale * local.kinetic + system.potential(near)

    assert [factor.slopes.tolist() for factor in jastrow.factors()] == [jastrow.slopes.tolist()] * 2
    for factor, pair in itertools.product(jastrow.factors(), pairs):
        far, close, closer = (complex(energy(factor.pairs, jnp.array(pair), r)) for r in (3e-3, 1e-3, 3e-4))
        assert abs(far - close) < 0.05 * 2 / (1e-3 * system.length)
        assert abs(close - closer) < 0.5 * abs(far - close)  # what is left of a pole would grow


def test_states_of_different_momentum_are_orthogonal():
    """<Phi_K|Phi_K'> by the average over translations of the whole: zero at every relative configuration."""
    psi, _, x = _family("polarised_2d")
    bra, ket = jnp.array((0, 0, 1, 4, 6)), jnp.array((0, 0, 1, 4, 5))
    grid = jnp.stack(jnp.meshgrid(jnp.arange(8) / 8, jnp.arange(8) / 8), axis=-1).reshape(-1, 1, 2)
    ratio = jax.jit(jax.vmap(lambda s: jnp.exp(psi.log_psi(ket, x + s) - psi.log_psi(bra, x + s))))(grid)
    assert abs(complex(ratio.mean())) < 1e-10 * float(jnp.abs(ratio).mean())
