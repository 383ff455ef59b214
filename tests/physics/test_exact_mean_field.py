"""Mean field bounds from above; belief propagation is exact on trees and nowhere a bound.

The SK numbers are independent: the lowest of 400 mean-field restarts, and the closed form of the paramagnetic Bethe F.
"""

import math

import numpy as np
import pytest

from massieu.exact.bethe import belief_propagation
from massieu.exact.enumeration import enumerate_spins, spin_moments
from massieu.exact.mean_field import naive_mean_field

pytestmark = pytest.mark.quick

SK = [
    # beta, F, naive mean field F, Bethe F at m = 0 of the 20-spin SK instance of seed 0; totals
    (0.5, -30.32893346791574, -27.725887222397816, -30.294117281864917),
    (0.75, -22.317218156784538, -19.449473043497854, -22.306178387192375),
    (1.0, -18.81509064012121, -16.665786935512717, -18.905748866454104),
    (1.25, -17.019871688930927, -15.437461286516076, -17.312847001355106),
    (1.5, -16.00038573688578, -14.80051418386272, -16.598127060487904),
    (2.0, -14.962857388517758, -14.200454942269698, -16.406081778622777),
    (2.5, -14.476714956549566, -13.936601587543102, -16.93604167219673),
    (3.0, -14.210905548863407, -13.795589725033624, -17.734183819611054),
    (6.0, -13.733638848320957, -13.530665016133174, -22.625639610553822),
    (10.0, -13.599528068351443, -13.471337460361337, -26.621177934898284),
]


def sk_couplings(n=20, seed=0):
    upper = np.triu(np.random.default_rng(seed).normal(0, 1 / math.sqrt(n), (n, n)), 1)
    return upper + upper.T


@pytest.mark.parametrize("beta, exact, mean_field, bethe", SK)
def test_mean_field_is_an_upper_bound_with_the_known_minimum(beta, exact, mean_field, bethe):
    found = naive_mean_field(sk_couplings(), None, beta)
    bound = found.F
    assert found.converged and bound >= exact
    assert bound == pytest.approx(mean_field, rel=1e-6)


@pytest.mark.parametrize("beta, exact, mean_field, bethe", SK)
def test_belief_propagation_finds_the_paramagnetic_bethe_free_energy(beta, exact, mean_field, bethe):
    found = belief_propagation(sk_couplings(), None, beta)
    free_energy = found.F
    assert free_energy == pytest.approx(bethe, rel=1e-9)
    assert found.converged == (20 if beta <= 1 else 1)  # below the transition only the start at zero stays put


@pytest.mark.parametrize("beta", [0.2, 1.0, 30.0])
def test_belief_propagation_is_exact_on_a_tree(beta):
    rng, n = np.random.default_rng(5), 11
    couplings, field = np.zeros((n, n)), rng.normal(size=n)
    for i in range(1, n):
        parent = rng.integers(i)
        couplings[i, parent] = couplings[parent, i] = rng.normal()
    found = belief_propagation(couplings, field, beta)
    assert found.converged == found.starts
    free_energy = found.F
    assert free_energy == pytest.approx(enumerate_spins(couplings, field, beta).F.value, rel=1e-11)
    assert found.magnetisation == pytest.approx(spin_moments(couplings, field, beta)["m"], abs=1e-9)


def test_both_are_exact_without_couplings():
    field, beta = np.linspace(-1, 1, 6), 0.8
    exact = -np.log(2 * np.cosh(beta * field)).sum() / beta
    for method in (naive_mean_field, belief_propagation):
        free_energy = method(np.zeros((6, 6)), field, beta).F
        assert free_energy == pytest.approx(exact, rel=1e-12)


def test_ferromagnet_orders_below_the_bethe_transition():
    # square lattice with periodic boundaries: the Bethe approximation orders at tanh K = 1/3, K = 0.3466
    shift = np.roll(np.eye(16), 1, axis=1)
    line = shift + shift.T
    couplings = np.kron(line, np.eye(16)) + np.kron(np.eye(16), line)
    disordered, ordered = (belief_propagation(couplings, None, beta) for beta in (0.33, 0.36))
    assert np.abs(disordered.magnetisation).max() < 1e-4
    assert np.abs(ordered.magnetisation).min() > 0.1


def test_nan_is_returned_when_no_start_converges():
    found = belief_propagation(sk_couplings(30, 1), 0.02, 8.0, starts=3)
    assert found.converged > 0 or (math.isnan(found.F) and np.isnan(found.magnetisation).all())
