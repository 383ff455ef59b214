"""Averages over twists: one set of plane waves that serves them all, and nothing but noise between them."""

import math

import numpy as np
import pytest

import massieu as ms
from massieu import statistics
from massieu.physics.fermi_gas import free_energy
from massieu.physics.momentum_shells import complete_levels, ground_set
from massieu.physics.plane_wave_matrix import exchange
from massieu.systems.periodic_electrons import CUTOFF_TOLERANCE


def _levels(gas, vectors, twist):
    return (2 * math.pi / gas.length) ** 2 * np.sort(np.sum((vectors + twist) ** 2, axis=1))


@pytest.mark.parametrize(("n", "dim", "theta"), [(3, 2, 0.15), (13, 2, 0.02), (13, 2, 0.15), (7, 3, 0.1)])
def test_plane_waves_reach_the_error_target_at_every_twist(n, dim, theta):
    gas = ms.ElectronGas(n=n, dim=dim, theta=theta, twist="average", twists="grid:3")
    vectors, stated = gas.plane_waves()
    errors = []
    for twist in gas.twist_vectors:
        kept = _levels(gas, vectors, twist)
        _, all_levels = complete_levels(n, dim, gas.length, twist, gas.temperature)
        of_all, of_kept = (free_energy(x, n, gas.beta, len(x)) for x in (all_levels, kept))
        errors.append(of_kept - of_all)
    assert max(errors) < CUTOFF_TOLERANCE * n * gas.temperature + 1e-9
    assert np.mean(errors) == pytest.approx(stated, abs=1e-10)


@pytest.mark.parametrize(("n", "dim"), [(7, 2), (13, 2), (7, 3)])
def test_ground_state_energy_is_that_of_every_twist(n, dim):
    gas = ms.ElectronGas(n=n, dim=dim, theta=0.0, interacting=False, twist="average", twists="grid:2")
    run = ms.minimize(gas, steps=1, batch=64, samples=400)
    assert run.E.value == pytest.approx(gas.ideal().E.value, rel=1e-12)


@pytest.mark.parametrize("spins_down", [0, 1])
def test_ideal_gas_stays_exact_in_training_sample_by_sample(spins_down):
    gas = ms.ElectronGas(n=3, theta=0.15, n_down=spins_down, interacting=False, twist="average", twists="grid:2")
    run = ms.minimize(gas, steps=3, batch=64, samples=20_000)
    ideal = gas.ideal()
    assert run.result.F_var < 1e-18
    assert run.F.value == pytest.approx(ideal.F.value, abs=gas.plane_waves().error + 1e-9)
    for route in (run.result.C, ms.Estimate(**run.result.observables["heat_capacity_from_energy"])):
        assert abs(statistics.z_score(route, ideal.C)) < 4.5
    assert abs(statistics.z_score(run.S, ideal.S)) < 4.5


def test_one_electron_has_its_images_as_exact_reference():
    gas = ms.ElectronGas(n=1, rs=2.0, theta=0.5)
    run = ms.minimize(gas, steps=1, batch=64, samples=400)
    assert run.F.value == pytest.approx(run.reference.best.F.value, abs=gas.plane_waves().error + 1e-9)


def test_open_shell_takes_the_set_with_the_lowest_exchange():
    vectors = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    chosen = ground_set(np.sum(vectors**2, axis=1), vectors, 3)
    others = [exchange((0, i, j), vectors) for i in range(1, 5) for j in range(i + 1, 5)]
    assert exchange(tuple(chosen), vectors) == pytest.approx(min(others))


def test_groups_are_averaged_with_equal_weight():
    rng = np.random.default_rng(1)
    group = rng.choice(3, 4000, p=(0.2, 0.3, 0.5))
    values = 10.0 * group + rng.normal(size=4000)
    found = statistics.stratified(values, group)
    assert abs(found.value - 10.0) < 4.5 * found.error
    assert found.error < 0.03
    assert np.mean(statistics.less_group_means(values, group) ** 2) == pytest.approx(1.0, abs=0.1)
