"""The diffusion sampler: exact where it starts, a bound from above, exact once reweighted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu import densities
from massieu.baselines.bounds import bounds_of_folder
from massieu.errors import InputError
from massieu.systems import Phi4

pytestmark = pytest.mark.acceptance

LNZ, PHI2 = 2.4051389616, 0.1477462141  # phi4, l = 4, by transfer matrix


def test_starts_as_the_normal_distribution():
    density = densities.DiffusionSampler((2, 3), 0.7, key=jax.random.key(0))
    x, log_prob = jax.jit(lambda key: density.sample_and_log_prob(key, (2000,)))(jax.random.key(1))
    exact = -0.5 * jnp.sum((x / 0.7) ** 2, axis=(1, 2)) - 6 * np.log(0.7 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(log_prob, exact, rtol=1e-9, atol=1e-9)
    assert abs(float(jnp.mean(x**2)) - 0.49) < 4.5 * 0.49 * np.sqrt(2 / 12000)


def test_mean_of_the_inverse_weight_is_one(moved):
    """E_q[exp(ln f(x) - bracket)] = int f = 1 for any f: here a normal distribution."""
    density = moved(densities.DiffusionSampler((2,), 1.0, width=8, steps=6, key=jax.random.key(0)), 0.1)
    x, bracket = jax.jit(lambda key: density.sample_and_log_prob(key, (100000,)))(jax.random.key(1))
    weight = jnp.exp(-0.5 * jnp.sum((x / 0.8) ** 2, axis=1) - np.log(2 * np.pi * 0.64) - bracket)
    assert weight.std() > 0.1
    assert abs(weight.mean() - 1) < 4.5 * weight.std() / np.sqrt(len(weight))


def test_trained_on_a_lattice_field_it_gives_its_partition_function():
    run = ms.minimize(Phi4(l=4), density="diffusion", steps=200, batch=256, samples=8000, learning_rate=5e-3,
                      reference=False)  # fmt: skip
    assert -4 * run.F.error < run.F.value + LNZ < 0.5
    lnZ, phi2 = run.result.importance["lnZ"], run.result.observables["phi2"]["reweighted"]
    assert abs(lnZ["value"] - LNZ) < 4.5 * lnZ["error"] < 0.2
    assert abs(phi2["value"] - PHI2) < 4.5 * phi2["error"] < 0.02


@pytest.mark.parametrize(("option", "value"), [("gradient", "score"), ("optimiser", "natural")])
def test_what_needs_ln_p_of_x_is_refused(option, value):
    with pytest.raises(InputError, match=rf"^{option} = {value}"):
        ms.minimize(Phi4(l=2), density="diffusion", **{option: value})


def test_bounds_that_need_ln_p_of_x_are_refused_at_once(tmp_path):
    from massieu.cli.main import main

    options = ["--l", "2", "--density", "diffusion", "--steps", "2", "--batch", "16", "--samples", "100"]
    assert main(["run", "phi4", *options, "--reference", "false", "--out", str(tmp_path / "run")]) == 0
    with pytest.raises(InputError, match=r"^dir = .* ln p\(x\)"):
        bounds_of_folder(tmp_path / "run", 100, 10, 0)
