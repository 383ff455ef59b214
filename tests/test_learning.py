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
    x = np.random.default_rng(0).normal(size=(6000, 2)) @ a.T * 3 + 1
    exact = stats.multivariate_normal([1.0, 1.0], 9 * a @ a.T)
    found = fit(x, density=density, steps=400, width=24, seed=1)
    # ln p of both on the same configurations: a relative entropy without the noise of their entropy
    log_prob = np.asarray(found.density.log_prob(found.data))
    lost = exact.logpdf(found.data) - log_prob
    assert len(lost) == 600 and found.validation.value == pytest.approx(-log_prob.mean())
    assert -4.5 * lost.std() / np.sqrt(len(lost)) < lost.mean() < 0.12
    entropy = exact.entropy()
    assert abs(found.simple.value - entropy) < 4.5 * found.simple.error
    np.testing.assert_allclose(np.cov(found.samples.T), 9 * a @ a.T, atol=1.8)


@pytest.mark.parametrize("density", SPINS)
@pytest.mark.acceptance
def test_likelihood_of_correlated_spins_is_their_entropy(density):
    """Four copies of one spin, each flipped with probability 0.1."""
    rng = np.random.default_rng(0)
    x = rng.choice([-1.0, 1.0], size=(8000, 1)) * np.where(rng.uniform(size=(8000, 4)) < 0.1, -1.0, 1.0)
    found = fit(x, density=density, steps=300, batch=256)
    k = np.arange(5)
    weight = 0.5 * (0.1**k * 0.9 ** (4 - k) + 0.9**k * 0.1 ** (4 - k))
    entropy = -np.sum(np.array([1, 4, 6, 4, 1]) * weight * np.log(weight))
    assert -4.5 * found.validation.error < found.validation.value - entropy < 0.08
    assert abs(found.simple.value - 4 * np.log(2)) < 0.05


@pytest.mark.acceptance
def test_two_moons_are_learned_far_beyond_a_gaussian():
    rng = np.random.default_rng(0)
    angle, moons = np.pi * rng.uniform(size=3000), rng.choice([-1, 1], size=3000)
    x = np.stack([np.cos(angle) * moons + 0.5 * moons, np.sin(angle) * moons], axis=1)
    x = x + 0.1 * rng.normal(size=(3000, 2))
    found = fit(x, density="spline", steps=400)
    assert found.validation.value < found.simple.value - 0.4


@pytest.mark.acceptance
def test_likelihood_of_angles_is_their_entropy():
    """The second angle follows the first, both around the whole circle."""
    rng = np.random.default_rng(0)
    first = rng.uniform(0, 4 * np.pi, size=6000)
    x = np.stack([first, 0.5 + first + rng.vonmises(0.0, 4.0, size=6000)], axis=1)
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


def test_fit_that_is_interrupted_before_it_was_judged_continues(tmp_path, monkeypatch):
    """Its best likelihood so far is none, which the checkpoint says in strict JSON."""
    from massieu.learning import fit as module

    x, options = RNG.normal(size=(60, 2)), {"density": "continuous", "steps": 40, "width": 4, "batch": 16}
    loss_of, calls = module.math.isfinite, []

    def finite(value):
        calls.append(value)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return loss_of(value)

    monkeypatch.setattr(module, "SAVES", 1)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.math, "isfinite", finite)
        fit(x, out=tmp_path / "cut", **options)
    assert np.isfinite(fit(x, out=tmp_path / "cut", **options).validation.value)


@pytest.mark.acceptance
def test_command_writes_a_report(tmp_path, monkeypatch, capsys, told):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", RNG.normal(size=(300, 2)))
    command = ["fit", "x.npy", "--density", "diffusion", "--steps", "20", "--width", "8", "--out", "out"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert "one Gaussian" in shown
    told(shown, "making the density", "compiling", "step 1 ", "step 20 ", "evaluating", "-ln p", "report")
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


def test_two_values_are_spins_when_they_are_named():
    bits = RNG.integers(0, 2, size=(60, 3))
    spins = read(bits, FitConfig(values="0,1"))
    np.testing.assert_array_equal(read(2 * bits - 1, FitConfig()).train, spins.train)
    np.testing.assert_array_equal(read(bits > 0, FitConfig(values=(1, 0))).train, -spins.train)
    assert spins.kind == "spins" and read(bits, FitConfig(values="reals")).kind == "reals"


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (RNG.integers(0, 2, size=(60, 3)), {}, "data = of the values 0,1: must be spins of +-1; --values 0,1 converts"),
        (RNG.integers(0, 2, size=(60, 3)) > 0, {}, "--values 0,1 converts them"),
        (RNG.choice([-0.5, 0.5], size=(60, 3)), {}, "--values -0.5,0.5 converts them"),
        (RNG.integers(0, 8, size=(60, 3)), {}, "data = integers from 0 to 7: must be spins of +-1 or reals"),
        (
            RNG.integers(0, 3, size=(60, 3)),
            {"values": "0,1"},
            "all values of the data, which have 2",
        ),
        (RNG.normal(size=(60, 3)), {"values": "1"}, "values = 1: must be two numbers such as 0,1 or reals"),
        (RNG.normal(size=(60, 3)), {"values": "1,1"}, "values = 1,1"),
        (
            RNG.choice([0, 1], size=(60, 3)),
            {"values": "0,1", "density": "circular-spline"},
            "values = 0,1: must",
        ),
    ],
)
def test_data_that_may_be_spins_are_not_guessed_to_be_real(data, options, message):
    with pytest.raises(InputError) as caught:
        fit(data, **options)
    assert message in str(caught.value)


def test_fit_of_bits_is_that_of_spins(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    bits = RNG.integers(0, 2, size=(200, 3)).astype(np.int8)
    np.save("bits.npy", bits)
    command = ["fit", "bits.npy", "--density", "made", "--steps", "5", "--out", "out"]
    assert main(command) == 2 and "--values 0,1" in capsys.readouterr().err and not (tmp_path / "out").exists()
    assert main([*command, "--values", "0,1"]) == 0
    same = fit(2.0 * bits - 1, density="made", steps=5)
    found = json.loads((tmp_path / "out" / "summary.json").read_text())["negative_log_likelihood"]["validation"]
    assert found["value"] == pytest.approx(same.validation.value, abs=1e-12)
    assert main(["resume", "out"]) == 0


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
