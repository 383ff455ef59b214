"""A tiny run of each kind of matter: no rank of an array is promoted, and the lowest versions allowed suffice."""

import jax
import numpy as np
import pytest

import massieu as ms
from massieu.learning.fit import fit
from massieu.learning.inverse_ising import inverse_ising

TINY = {"steps": 2, "batch": 16, "samples": 100, "reference": False}
LONG = dict.fromkeys(("gas", "correlated", "hydrogen"), pytest.mark.acceptance)
LONG |= dict.fromkeys(("many", "protons"), (pytest.mark.acceptance, pytest.mark.validation))
KINDS = {
    "ising": (lambda: ms.Ising(l=3), {}),
    "sk": (lambda: ms.SK(n=5), {}),
    "potts": (lambda: ms.Potts("3"), {}),
    "xy": (lambda: ms.XY("3", fields=0.1), {}),
    "trap": (lambda: ms.systems.CoulombTrap(n=2), {}),
    "phi4": (lambda: ms.systems.Phi4(l=2), {}),
    "tfim": (lambda: ms.systems.TransverseIsing(shape="3"), {}),
    "dot": (lambda: ms.systems.QuantumDot(n=2), {}),
    "gas": (lambda: ms.ElectronGas(n=2, theta=0.5, cutoff=9), {"states": "flow"}),
    "correlated": (lambda: ms.ElectronGas(n=2, theta=0.5), {"states": "correlated"}),
    "many": (lambda: ms.ElectronGas(n=7), {"states": "correlated"}),
    "hydrogen": (lambda: ms.systems.Hydrogen(n=1, clamped=True), {}),
    "protons": (lambda: ms.systems.Hydrogen(n=2), {}),
}


@pytest.fixture(autouse=True)
def _nothing_is_promoted():
    """Ranks, nor types outside; and no program is taken from the cache: what is not traced is not seen."""
    cache = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", None)
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield
    jax.config.update("jax_compilation_cache_dir", cache)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=LONG.get(kind, ())) for kind in KINDS])
def test_two_steps_of_each_kind(kind, tmp_path):
    system, options = KINDS[kind]
    found = ms.minimize(system(), out=tmp_path / "run", **TINY, **options)
    assert np.isfinite(found.F.value)


def test_data_of_each_kind():
    rng = np.random.default_rng(0)
    assert np.isfinite(fit(rng.normal(size=(60, 2)), steps=2, batch=16).validation.value)
    spins = rng.choice([-1.0, 1.0], (200, 4))
    assert np.isfinite(fit(spins, steps=2, batch=16).validation.value)
    assert np.all(np.isfinite(inverse_ising(spins, steps=2).couplings.J))
