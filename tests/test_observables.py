"""Effective masses, density derivatives and Landau's functional, where the answers are known."""

import math
from itertools import combinations, pairwise
from typing import ClassVar

import jax
import numpy as np
import pytest

from massieu.errors import InputError
from massieu.geometry import integer_vectors
from massieu.methods.particles.options import ParticleOptions
from massieu.observables import landau
from massieu.observables.effective_mass import density, effective_mass_ratio, entropy_derivative
from massieu.physics.fermi_gas import log_symmetric, sample_occupied
from massieu.principle import Estimate
from massieu.statistics import mean
from massieu.systems import ElectronGas
from massieu.units import fermi_temperature


def _ideal_labels(system, count, seed=0):
    """Labels drawn from the exact canonical ideal gas of one spin, and ln p of each."""
    vectors = integer_vectors(2, 5.0)
    k2 = np.sum((vectors + system.twist_vectors[0]) ** 2, axis=1) * (2 * np.pi / system.length) ** 2
    log_w = -system.beta * k2
    table = log_symmetric(jax.numpy.asarray(log_w), system.n)
    keys = jax.random.split(jax.random.key(seed), count)
    occupied = np.asarray(jax.vmap(sample_occupied, (0, None, None))(keys, table, log_w))
    log_prob = log_w[occupied].sum(axis=1) - float(table[0, system.n])
    return np.concatenate([np.zeros((count, 1), int), occupied], axis=1), log_prob


def _orbitals(system, radius=5.0):
    return landau.Orbitals(integer_vectors(2, radius), system.twist_vectors, system.spins, system.length)


@pytest.mark.parametrize(("n", "twist"), [(5, "0"), (6, "0.25,0.1")])
def test_effective_mass_of_the_ideal_gas_is_one(n, twist):
    system = ElectronGas(n=n, rs=5.0, theta=0.3, twist=twist)
    _, log_prob = _ideal_labels(system, 20000)
    ideal = system.ideal().S
    ratio = effective_mass_ratio(mean(-log_prob), ideal)
    assert 0 < ratio.error < 0.02
    assert abs(ratio.value - 1) < 4 * ratio.error


def test_errors_of_the_ratio_are_those_of_both_entropies():
    ratio = effective_mass_ratio(Estimate(3.0, 0.3), Estimate(2.0, 0.1))
    draws = np.random.default_rng(0).normal([3.0, 2.0], [0.3, 0.1], (200000, 2))
    assert ratio.value == 1.5
    np.testing.assert_allclose(ratio.error, np.std(draws[:, 0] / draws[:, 1]), rtol=0.02)
    with pytest.raises(InputError, match="ideal entropy"):
        effective_mass_ratio(Estimate(1.0), Estimate(0.0))


def test_interacting_gas_reports_its_effective_mass_and_others_do_not():
    gas = ElectronGas(n=3, rs=5.0, theta=0.5)
    keys = jax.random.split(jax.random.key(0), 2000)
    label, log_prob = jax.vmap(gas.default_ansatz(ParticleOptions()).p.sample_and_log_prob)(keys)

    class Result:
        S = Estimate(2.0, 0.1)
        samples: ClassVar = {"label": np.asarray(label), "log_prob": np.asarray(log_prob)}
        observables: ClassVar = {}

    class Stepped(Result):
        observables: ClassVar = {"entropy_step": {"value": -0.2, "error": 0.1}}

    observables = gas.derived_observables(Result())
    found, ideal = observables["effective_mass_ratio"], gas.ideal().S.value
    np.testing.assert_allclose([found["value"], found["error"]], [2 / ideal, 0.1 / ideal])
    stepped = gas.derived_observables(Stepped())["effective_mass_ratio"]
    np.testing.assert_allclose([stepped["value"], stepped["error"]], [2 / ideal, np.sqrt(0.06) / ideal])
    assert 0.5 < observables["effective_mass_from_levels"]["value"] < 1.5
    assert len(observables["landau"]["eps"]) == len(observables["landau"]["k2"])
    for other in (ElectronGas(n=3, theta=0.0), ElectronGas(n=3, theta=0.5, interacting=False)):
        assert other.derived_observables(Result()) == {}


@pytest.mark.parametrize("dim", [2, 3])
def test_density_derivative_of_the_ideal_entropy_at_constant_temperature(dim):
    """s depends on theta alone: dS/dn = s - (2/dim) c, with c the heat capacity per electron."""
    temperature, n = 0.02, 4
    rs = [4.96, 4.98, 5.0, 5.02, 5.04]
    theta = [temperature / fermi_temperature(r, dim) for r in rs]
    gases = [ElectronGas(n=n, dim=dim, rs=r, theta=t, twist="0.2").ideal() for r, t in zip(rs, theta, strict=True)]
    found = entropy_derivative(rs, [Estimate(g.S.value / n, 1e-3) for g in gases], dim)
    assert [d.density for d in found] == sorted(density(r, dim) for r in rs)
    exact = [(g.S.value - 2 / dim * g.C.value) / n for g in reversed(gases)]
    slopes = [d.slope.value for d in found]
    np.testing.assert_allclose(slopes, exact, atol=1e-4)
    np.testing.assert_allclose(slopes[1:-1], exact[1:-1], atol=3e-5)  # centred differences
    assert all(d.slope.error > 0 for d in found)


def test_errors_of_a_slope_between_two_densities():
    found = entropy_derivative([1.0, 2.0], [Estimate(1.0, 0.1), Estimate(2.0, 0.2)], 2)
    n1, n2 = 1 / math.pi, 1 / (4 * math.pi)
    for point in found:
        np.testing.assert_allclose(point.slope.value, (n1 * 1 - n2 * 2) / (n1 - n2))
        np.testing.assert_allclose(point.slope.error, math.hypot(0.1 * n1, 0.2 * n2) / (n1 - n2))
    with pytest.raises(InputError, match="different"):
        entropy_derivative([1.0, 1.0], [Estimate(1.0), Estimate(1.0)], 2)


def test_landau_fit_of_the_ideal_gas_finds_free_particles():
    system = ElectronGas(n=5, rs=5.0, theta=0.4)
    fit = landau.fit(*_ideal_labels(system, 2000), system.beta, _orbitals(system))
    np.testing.assert_allclose(fit.eps, fit.k2, atol=1e-9)
    np.testing.assert_allclose(fit.f, 0, atol=1e-9)
    np.testing.assert_allclose([fit.r2, fit.mass.value], 1.0, atol=1e-7)


class Synthetic:
    """p over all sets of n of M orbitals of energies k^2/mass and pair interaction f(|k - k'|)."""

    def __init__(self, system, mass, strength, radius=2.0):
        self.system, self.orbitals = system, _orbitals(system, radius)
        vectors = self.orbitals.vectors
        unit = 2 * np.pi / system.length
        self.k2 = unit**2 * np.sum((vectors + system.twist_vectors[0]) ** 2, axis=1)
        self.apart = unit * np.linalg.norm(vectors[:, None] - vectors[None], axis=-1)
        self.pair = strength * np.exp(-self.apart * system.rs / 2) * ~np.eye(len(vectors), dtype=bool)
        one_spin = [list(combinations(range(len(vectors)), count)) for count in system.spins]
        sets = np.array(one_spin[0])
        if len(one_spin) > 1:
            other = np.array(one_spin[1])
            sets = np.concatenate([np.repeat(sets, len(other), 0), np.tile(other, (len(sets), 1))], axis=1)
        n = np.stack(
            [np.array([np.isin(np.arange(len(vectors)), s) for s in part]) for part in self._parts(sets)], axis=1
        ).astype(float)
        energy = (self.k2 * n / mass).sum((1, 2)) + 0.5 * np.einsum("dsk,kl,dtl->d", n, self.pair, n)
        logit = -system.beta * energy
        self.log_p = logit - np.logaddexp.reduce(logit)
        self.labels = np.concatenate([np.zeros((len(sets), 1), int), sets], axis=1)
        self.n = n

    def _parts(self, sets):
        cuts = np.cumsum([0, *self.system.spins])
        return [sets[:, a:b] for a, b in pairwise(cuts)]

    def draw(self, count, seed=0):
        at = np.random.default_rng(seed).choice(len(self.labels), count, p=np.exp(self.log_p))
        return self.labels[at], self.log_p[at], self.n[at].mean(axis=0)


def test_landau_fit_recovers_a_known_interaction_of_one_spin():
    """E = sum k^2 n/mass + 1/2 sum f n n: eps = dE/dn at <n>, up to the constants that a fixed N leaves open."""
    system = ElectronGas(n=4, rs=5.0, theta=0.5, twist="0.1,0.2")
    mass = 1.3
    made = Synthetic(system, mass, strength=0.02)
    labels, log_p, occupation = made.draw(4000)
    fit = landau.fit(labels, log_p, system.beta, made.orbitals)
    assert fit.r2 > 1 - 1e-5
    n = occupation[0]
    fluctuation = n * (1 - n)
    weight = np.outer(fluctuation, fluctuation) * ~np.eye(len(n), dtype=bool)
    constant = np.sum(weight * made.pair) / weight.sum()
    shift = made.k2 / mass - made.k2 + made.pair @ n - constant * (n.sum() - n)  # dE/dn_k for f less its mean
    eps = made.k2 + shift - fluctuation @ shift / fluctuation.sum()
    mine = np.interp(made.k2, fit.k2, fit.eps)
    np.testing.assert_allclose(mine, eps, atol=2e-3 * np.ptp(eps))
    at = np.abs(fit.distance[0][:, None, None] - made.apart) < 1e-9
    true_f = np.array([made.pair[mask].mean() for mask in at]) - constant
    np.testing.assert_allclose(fit.f[0], true_f, atol=0.02 * np.ptp(true_f))
    line = fit.fluctuation * (fit.k2 - np.average(fit.k2, weights=fit.fluctuation))
    np.testing.assert_allclose(fit.mass.value, (line @ fit.k2) / (line @ fit.eps), rtol=1e-12)


def test_landau_mass_without_interaction_is_the_mass():
    system = ElectronGas(n=4, rs=5.0, theta=0.5)
    made = Synthetic(system, 1.3, strength=0.0)
    labels, log_p, _ = made.draw(2000)
    fit = landau.fit(labels, log_p, system.beta, made.orbitals)
    np.testing.assert_allclose(fit.mass.value, 1.3, rtol=1e-4)
    np.testing.assert_allclose(fit.f, 0, atol=0.01 / system.beta)  # orbitals hardly ever occupied are left out


def test_landau_fit_tells_equal_from_opposite_spins():
    system = ElectronGas(n=4, rs=5.0, theta=0.5, polarised=False, twist="0.1,0.2")
    made = Synthetic(system, 1.0, strength=0.02, radius=1.5)
    labels, log_p, _ = made.draw(4000)
    fit = landau.fit(labels, log_p, system.beta, made.orbitals)
    assert fit.f.shape == (2, len(fit.distance[0])) and fit.r2 > 0.999
    assert np.isnan(fit.distance[0][0]) and fit.distance[1][0] == 0  # no pair of equal spin in one orbital


def test_errors_of_the_landau_fit_cover_what_the_functional_leaves_out():
    """Three-body terms spoil the functional: R^2 falls, and two halves of the samples agree within their errors."""
    system = ElectronGas(n=4, rs=5.0, theta=0.5, twist="0.1,0.2")
    made = Synthetic(system, 1.2, strength=0.02)
    made.log_p = made.log_p + 0.3 * np.random.default_rng(1).normal(size=len(made.log_p))
    made.log_p -= np.logaddexp.reduce(made.log_p)
    fits = [landau.fit(*made.draw(500, seed)[:2], system.beta, made.orbitals) for seed in range(2)]
    assert all(0.5 < fit.r2 < 0.999 for fit in fits)
    a, b = (fit.mass for fit in fits)
    assert a.error > 0 and abs(a.value - b.value) < 4 * math.hypot(a.error, b.error)


def test_too_few_sets_give_no_fit():
    system = ElectronGas(n=5, rs=5.0, theta=0.02)
    labels, log_prob = _ideal_labels(system, 100)
    assert landau.fit(labels, log_prob, system.beta, _orbitals(system)) is None


def test_no_effective_mass_from_an_entropy_that_is_nothing_or_a_degeneracy():
    def found(theta, S):
        class Result:
            samples: ClassVar = {"label": np.zeros((10, 3), int) + np.arange(3), "log_prob": np.zeros(10)}
            observables: ClassVar = {}

        Result.S = S
        return ElectronGas(n=2, rs=5.0, theta=theta, cutoff=9).derived_observables(Result())

    assert "effective_mass_ratio" in found(0.3, Estimate(1.5, 0.01))
    assert "effective_mass_ratio" not in found(0.3, Estimate(np.log(4), 1e-17))
    gas = ElectronGas(n=5, theta=1e-6, cutoff=9)
    assert 0 <= gas.ideal().S.value < 1e-9


def test_numbers_of_a_summary_are_json(tmp_path):
    """A run whose samples are all of one level: nothing that JSON has no name for."""
    import json

    from massieu.cli.main import main

    command = ["run", "electron-gas", "--n", "2", "--rs", "1", "--theta", "0.15", "--cutoff", "9", "--steps", "1",
               "--batch", "16", "--samples", "100", "--mix", "1", "--reference", "false"]  # fmt: skip
    assert main([*command, "--out", str(tmp_path / "run")]) == 0

    def refuse(word):
        raise AssertionError(word)

    json.loads((tmp_path / "run" / "summary.json").read_text(), parse_constant=refuse)
    assert "canonical ideal gas" not in (tmp_path / "run" / "report.html").read_text()
