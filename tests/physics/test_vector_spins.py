"""Potts, clock and XY models: exact values against each other, what is trained against them, chains, bad input."""

import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.baselines.chains import baseline
from massieu.errors import InputError
from massieu.exact.elimination import MOST_STATES, eliminate, enumerate_vectors, integrate_angles, largest_table
from massieu.exact.vector_spins import potts_ring, xy_chain, xy_ring, xy_ring_helicity
from massieu.systems import XY, Clock, Potts

SHORT = {"steps": 60, "batch": 256, "samples": 4000}


def _same(first, second, tolerance=1e-9):
    for name in "FESC":
        a, b = getattr(first, name), getattr(second, name)
        np.testing.assert_allclose(a.value, b.value, rtol=tolerance, atol=tolerance)


def _glass(kind, n, r, **more):
    rng = np.random.default_rng(2)
    return kind(couplings=np.triu(rng.normal(size=(n, n)), 1), fields=rng.normal(size=(n, r)), **more)


@pytest.mark.parametrize(
    "system",
    [Potts("7", q=3), Potts("3x3", q=3, j=-0.7), Clock("2x4", q=5, beta=1.4), Clock("6", boundary="open"),
     _glass(Potts, 6, 4, q=4), _glass(Clock, 6, 2, q=5), Potts(lattice="triangular", shape="3x3"), Potts("1")],
    ids=lambda s: f"{s.name}-{s.shape}-{s.q}",
)  # fmt: skip
def test_elimination_is_the_sum_over_all_states(system):
    _same(system.known().best, enumerate_vectors(system.couplings, system.field, system.directions, system.beta))


@pytest.mark.parametrize(("n", "q", "j"), [(2, 3, 1.0), (7, 4, 1.0), (6, 3, -1.3), (40, 5, 0.5), (5, 3, -2.0)])
def test_potts_ring_is_its_closed_form(n, q, j):
    _same(Potts(str(n), q=q, j=j, beta=0.9).known().best, potts_ring(n, 0.9, j, q))


def test_two_states_are_the_ising_model():
    """delta(s, s') = (1 + s s')/2, a field h_i on state 0 is h_i (1 + s)/2."""
    rng = np.random.default_rng(0)
    J, h = np.triu(rng.normal(size=(8, 8)), 1), rng.normal(size=8)
    ising = ms.Spins(couplings=J / 2, fields=h / 2, beta=1.3).known().best
    potts = Potts(couplings=J, fields=h, q=2, beta=1.3).known().best
    shift = -(J.sum() + h.sum()) / 2
    assert potts.F.value == pytest.approx(ising.F.value + shift) and potts.S.value == pytest.approx(ising.S.value)
    clock = Clock(couplings=J, fields=h, q=2, beta=1.3).known().best
    assert clock.F.value == pytest.approx(ms.Spins(couplings=J, fields=h, beta=1.3).known().best.F.value)


def test_clocks_of_three_and_four_directions_are_other_models():
    """cos = (3 delta - 1)/2 for q = 3; for q = 4 s = (sigma, tau) with J/2 each."""
    lattice = ms.lattice("3x3")
    three, potts = Clock("3x3", q=3, beta=0.8).known().best, Potts("3x3", q=3, beta=1.2).known().best
    assert three.lnZ.value == pytest.approx(potts.lnZ.value - 0.8 * len(lattice.bonds) / 2)
    four, ising = Clock("3x3", q=4, beta=0.8).known().best, ms.Ising(l=3, beta=0.4).known().best
    assert four.lnZ.value == pytest.approx(2 * ising.lnZ.value)


@pytest.mark.parametrize(("n", "beta", "j"), [(3, 1.0, 1.0), (8, 2.0, 0.7), (5, 0.8, -1.0), (64, 1.0, 1.0)])
def test_xy_ring_and_chain_are_their_closed_forms(n, beta, j):
    ring, chain = XY(str(n), beta=beta, j=j), XY(str(n), beta=beta, j=j, boundary="open")
    _same(integrate_angles(ring.couplings, ring.field, beta), xy_ring(n, beta, j))
    _same(integrate_angles(chain.couplings, chain.field, beta), xy_chain(n, beta, j))
    places = np.random.default_rng(n).permutation(n)  # the ring is recognised by its couplings
    found = XY(couplings=ring.couplings[np.ix_(places, places)], beta=beta).known().best
    assert found.method == "XY ring, closed form" and found.F == xy_ring(n, beta, j).F


def test_rotors_in_fields_alone_and_a_clock_of_many_directions():
    h = np.random.default_rng(1).normal(size=(3, 2))
    alone = XY(couplings=np.zeros((3, 3)), fields=h, beta=1.7).known()
    _same(alone.best, alone.ideal)
    rotors, many = XY("2x3", beta=0.9).known().best, Clock("2x3", q=20, beta=0.9).known().best
    assert many.lnZ.value + 6 * np.log(2 * np.pi / 20) == pytest.approx(rotors.lnZ.value, abs=1e-6)
    assert many.E.value == pytest.approx(rotors.E.value, abs=1e-5)


def test_what_is_too_wide_is_annealed():
    wide = Potts("6x6", q=5, beta=0.4)
    assert largest_table(wide.couplings, wide.field, 5) > MOST_STATES
    with pytest.raises(ValueError, match="more than"):
        eliminate(wide.couplings, wide.field, wide.directions, 0.4)
    assert integrate_angles(XY("6x6").couplings, np.zeros((36, 2)), 1.0) is None


@pytest.mark.parametrize("system", [Potts("3x3", q=3), Clock("3x3", q=5, beta=1.2), XY("3x3"),
                                    _glass(Potts, 5, 3), XY("4", fields=0.5)], ids=lambda s: s.name)  # fmt: skip
@pytest.mark.parametrize("method", ["ais", "metropolis"])
def test_baselines_have_the_exact_values(system, method):
    exact, found = system.known().best, baseline(system, method, walkers=400, stages=100, seed=1)
    if method == "ais":
        assert abs(found.values.lnZ.value - exact.lnZ.value) < 4.5 * found.values.lnZ.error < 0.5
        assert abs(found.values.E.value - exact.E.value) < 4.5 * found.values.E.error
    else:
        energy = found.observables["energy"]
        assert abs(energy["value"] - exact.E.value) < 4.5 * energy["error"] and not found.warnings


@pytest.mark.acceptance
@pytest.mark.parametrize(
    "system",
    [Potts("3x3", q=3), Potts("6", q=4, j=-1.0), Clock("3x3", q=6), XY("6"), XY("3x3"), _glass(Potts, 5, 3),
     XY("4", fields=0.5)],
    ids=lambda s: f"{s.name}-{s.shape}",
)  # fmt: skip
def test_training_finds_the_exact_thermodynamics(system):
    run, exact = ms.minimize(system, **SHORT), system.known().best
    assert -4 * run.F.error < run.F.value - exact.F.value < 0.05
    weighed = run.result.importance
    assert weighed["ess"] > 0.9
    assert abs(weighed["lnZ"]["value"] - exact.lnZ.value) < 4 * weighed["lnZ"]["error"] + 1e-6
    energy = run.result.observables["energy"]
    assert abs(energy["value"] - exact.E.value) < 4 * energy["error"]
    if system.name == "xy" and system.sides == (6,):
        helicity = run.result.observables["helicity"]
        assert abs(helicity["value"] - xy_ring_helicity(6, 1.0)) < 4 * helicity["error"]


@pytest.mark.acceptance
@pytest.mark.parametrize("system", [Potts("4", q=3), XY("4")], ids=lambda s: s.name)
def test_other_densities_by_name(system):
    name, more = ("made", {}) if system.name == "potts" else ("circular-spline", {"gradient": "pathwise"})
    run, exact = ms.minimize(system, name, **(SHORT | more)), system.known().best
    weighed = run.result.importance["lnZ"]
    assert run.F.value > exact.F.value - 4 * run.F.error
    assert abs(weighed["value"] - exact.lnZ.value) < 4.5 * weighed["error"] < 0.5


def test_order_of_ordered_states():
    assert float(Potts("4").observables(jnp.full(4, 2))["m2"]) == pytest.approx(1.0)
    assert float(Potts("3").observables(jnp.arange(3))["abs_m"]) == pytest.approx(0.0)
    assert float(Clock("6").observables(jnp.arange(6))["abs_m"]) == pytest.approx(0.0, abs=1e-9)
    aligned = XY("2x3", beta=2.0).observables(jnp.full(6, 0.7))
    assert float(aligned["helicity"]) == pytest.approx(1.0) and float(aligned["abs_m"]) == pytest.approx(1.0)
    assert "helicity" not in XY("4", boundary="open").observables(jnp.zeros(4))


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (Potts, {"q": 1}, "q = 1: must be an integer >= 2"),
        (Clock, {"q": 1000}, "q = 1000: must be at most 64"),
        (XY, {"beta": 0.0}, "beta = 0.0"),
        (Potts, {"shape": "4x"}, "shape = 4x: must be positive integers"),
        (Potts, {"lattice": "squar"}, "did you mean square"),
        (Potts, {"couplings": np.ones((2, 3))}, "a square matrix"),
        (Potts, {"couplings": 1 - np.eye(3), "j": 2.0}, "j = 2.0: must be left out beside couplings of your own"),
        (Potts, {"couplings": 1 - np.eye(3), "shape": "3x3"}, "must be the same as in the lattice 3x3"),
        (Potts, {"shape": "4", "fields": np.ones((4, 2))}, "(4, 3), (1, 3) or (4,)"),
        (XY, {"shape": "4", "fields": np.ones(3)}, "of shape (4,)"),
        (XY, {"boundary": "twisted"}, "boundary = twisted"),
        (XY, {"j": float("nan")}, "j = nan"),
    ],
)
def test_bad_parameters_are_one_sentence(kind, arguments, message):
    with pytest.raises(InputError) as caught:
        kind(**arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_densities_and_chains_that_do_not_fit_are_refused():
    for system, options, message in (
        (Potts("3"), {"density": "transformer"}, "must be one of auto, blanket, made for potts"),
        (XY("3"), {"density": "made"}, "must be one of auto, blanket, circular-spline for xy"),
        (Potts("3"), {"symmetrise": True}, "symmetrise = True: must be false for potts"),
        (Clock("3"), {"depth": 2}, "depth = 2: must be left out"),
        (Potts("3"), {"gradient": "pathwise"}, "whose x is discrete"),
    ):
        with pytest.raises(InputError, match=message):
            ms.minimize(system, steps=1, **options)
    with pytest.raises(InputError, match="method = hmc: must be ais, smc or metropolis for potts"):
        baseline(Potts("3"), "hmc")


def test_fields_in_a_file_come_back(tmp_path):
    np.save(tmp_path / "h.npy", H := np.random.default_rng(0).normal(size=(4, 3)))
    np.savez(tmp_path / "J.npz", J=1 - np.eye(4), h=np.ones(4))
    system = Potts("4", fields_file=str(tmp_path / "h.npy"))
    np.testing.assert_array_equal(system.field, H)
    np.testing.assert_array_equal(Potts("4", fields=H[:1]).field, np.tile(H[0], (4, 1)))
    beside = Potts(couplings=str(tmp_path / "J.npz"))
    np.testing.assert_array_equal(beside.field, [[1.0, 0.0, 0.0]] * 4)
    for one in (system, beside):
        again = type(one)(**{"couplings_file" if k == "couplings" else "fields_file" if k == "fields" else k: v
                             for k, v in one.parameters().items()}, **one.own_arrays())  # fmt: skip
        np.testing.assert_array_equal(again.field, one.field)
        np.testing.assert_array_equal(again.couplings, one.couplings)
