"""Maximum likelihood: entropies that are known, every density, and fits that survive interruption."""

import json

import numpy as np
import pytest
from scipy import stats

from massieu.cli.main import main
from massieu.errors import InputError
from massieu.learning.fit import fit, make_density
from massieu.learning.kinds import REALS, SPINS, FitConfig, read

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("density", ["spline", "realnvp", "continuous", "monge-ampere", "diffusion"])
@pytest.mark.acceptance
def test_likelihood_of_a_correlated_gaussian_is_its_entropy(density):
    """No density can do better than the entropy, and a good one comes near."""
    a = np.array([[1.0, 0.0], [0.8, 0.6]])
    x = RNG.normal(size=(6000, 2)) @ a.T * 3 + 1
    entropy = np.log(2 * np.pi * np.e) + 0.5 * np.linalg.slogdet(9 * a @ a.T)[1]
    found = fit(x, density=density, steps=400, width=24, seed=1)
    gap = found.validation.value - entropy
    assert -4.5 * found.validation.error < gap < 0.12
    assert abs(found.simple.value - entropy) < 4.5 * found.simple.error
    np.testing.assert_allclose(np.cov(found.samples.T), 9 * a @ a.T, atol=1.8)


@pytest.mark.parametrize("density", SPINS)
@pytest.mark.acceptance
def test_likelihood_of_correlated_spins_is_their_entropy(density):
    """Four copies of one spin, each flipped with probability 0.1."""
    x = RNG.choice([-1.0, 1.0], size=(8000, 1)) * np.where(RNG.uniform(size=(8000, 4)) < 0.1, -1.0, 1.0)
    found = fit(x, density=density, steps=300, batch=256)
    k = np.arange(5)
    weight = 0.5 * (0.1**k * 0.9 ** (4 - k) + 0.9**k * 0.1 ** (4 - k))
    entropy = -np.sum(np.array([1, 4, 6, 4, 1]) * weight * np.log(weight))
    assert -4.5 * found.validation.error < found.validation.value - entropy < 0.08
    assert abs(found.simple.value - 4 * np.log(2)) < 0.05


@pytest.mark.acceptance
def test_two_moons_are_learned_far_beyond_a_gaussian():
    angle = np.pi * RNG.uniform(size=3000)
    moons = np.where(RNG.uniform(size=3000) < 0.5, 1, -1)
    x = np.stack([np.cos(angle) * moons + 0.5 * moons, np.sin(angle) * moons], axis=1) + 0.1 * RNG.normal(
        size=(3000, 2)
    )
    found = fit(x, density="spline", steps=400)
    assert found.validation.value < found.simple.value - 0.4


@pytest.mark.acceptance
def test_likelihood_of_angles_is_their_entropy():
    """The second angle follows the first, both around the whole circle."""
    first = RNG.uniform(0, 4 * np.pi, size=6000)
    x = np.stack([first, 0.5 + first + RNG.vonmises(0.0, 4.0, size=6000)], axis=1)
    found = fit(x, density="circular-spline", steps=300, width=24, seed=1)
    entropy = np.log(2 * np.pi) + stats.vonmises(4.0).entropy()
    assert -4.5 * found.validation.error < found.validation.value - entropy < 0.1
    assert found.simple_name.startswith("independent angles")
    assert abs(found.simple.value - 2 * np.log(2 * np.pi)) < 0.02


def test_a_named_density_of_angles_wins_over_what_the_data_look_like():
    x = RNG.choice([-1.0, 1.0], size=(60, 2))
    assert read(x, FitConfig()).kind == "spins"
    assert read(x, FitConfig(density="circular-spline")).kind == "angles"


def test_interrupted_fit_continues_to_the_same_bits(tmp_path):
    x = RNG.normal(size=(400, 2))
    options = {"density": "continuous", "steps": 40, "width": 4, "batch": 16}

    class Interrupts:
        lines = 0

        def say(self, text):
            self.lines += 1
            if self.lines == 10:
                raise KeyboardInterrupt

        def step(self, *_): ...
        def close(self): ...

    whole = fit(x, out=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        fit(x, out=tmp_path / "cut", progress=Interrupts(), **options)
    continued = fit(x, out=tmp_path / "cut", **options)
    np.testing.assert_array_equal(whole.samples, continued.samples)
    assert [row["validation"] for row in whole.metrics] == [row["validation"] for row in continued.metrics]


@pytest.mark.acceptance
def test_command_writes_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", RNG.normal(size=(300, 2)))
    command = ["fit", "x.npy", "--density", "diffusion", "--steps", "20", "--width", "8", "--out", "out"]
    assert main(command) == 0
    assert "one Gaussian" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "out" / "figures").iterdir()} == {
        "likelihood.png", "samples.png", "trajectories.png"
    }  # fmt: skip
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["status"] == "finished"
    first = (tmp_path / "out" / "summary.json").read_text()
    for again in ("resume", "report"):
        assert main([again, "out"]) == 0 and "one Gaussian" in capsys.readouterr().out
        assert (tmp_path / "out" / "summary.json").read_text() == first
    for damage in ("fit: [1", ""):
        (tmp_path / "damaged").mkdir(exist_ok=True)
        (tmp_path / "damaged" / "fit.yaml").write_text(damage)
        assert main(["resume", "damaged"]) == 2 and "fit.yaml" in capsys.readouterr().err
    assert main(["resume", "out", "--steps", "5"]) == 2 and "steps = 5" in capsys.readouterr().err
    assert main([*command[:-1], "other", "--density", "made"]) == 2
    assert main([*command, "--seed", "3"]) == 2 and "same data" in capsys.readouterr().err


@pytest.mark.parametrize("name", REALS)
def test_every_density_of_reals_says_what_it_needs(name):
    data = read(RNG.normal(size=(50, 1)), FitConfig(density=name))
    if name in ("spline", "realnvp"):
        with pytest.raises(InputError, match="density = "):
            make_density(data, FitConfig(density=name))
    else:
        assert make_density(data, FitConfig(density=name)).shape == (1,)


@pytest.mark.parametrize(
    "data", [np.ones(30), np.ones((5, 2)), np.full((30, 2), np.nan), np.stack([np.arange(30), np.zeros(30)], axis=1)]
)
def test_bad_data_are_named(data):
    with pytest.raises(InputError, match=r"^data = "):
        fit(data)
