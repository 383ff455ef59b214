"""One density for a range: exact at every value, with derivatives that agree with averages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import massieu as ms
from massieu.errors import InputError
from massieu.methods.classical import family as families
from massieu.progress import Silent
from massieu.runs.continued import resume
from massieu.systems import CoulombTrap, Ising, Phi4


@pytest.fixture(scope="module")
def run():
    return ms.minimize(Ising(l=3, beta=0.4), steps=150, batch=512, seed=1, range="beta:0.2:0.6")


def test_free_energy_is_exact_over_the_range(run):
    found = run.result.observables["range"]
    for k, beta in enumerate(found["values"]):
        exact = Ising(l=3, beta=beta).reference().best
        assert -4.5 * found["F"]["error"][k] < found["F"]["value"][k] - exact.F.value < 0.02 * abs(exact.F.value)
        assert abs(found["lnZ"]["value"][k] - exact.lnZ.value) < 4.5 * found["lnZ"]["error"][k]
    assert min(found["ess"]) > 0.9


@pytest.mark.parametrize(("name", "exact"), [("conjugate", "E"), ("S", "S"), ("C", "C")])
def test_derivatives_of_the_free_energy_are_the_averages(run, name, exact):
    """By direct averages everywhere, by differentiation away from the ends, where its error grows."""
    found = run.result.observables["range"]
    for k, beta in enumerate(found["values"]):
        known = getattr(Ising(l=3, beta=beta).reference().best, exact).value
        for how in ("direct", "differentiated") if 2 < k < len(found["values"]) - 3 else ("direct",):
            value, error = (found[name][how][part][k] for part in ("value", "error"))
            assert abs(value - known) < 5 * error + 0.02 * abs(known), (how, beta)


def test_member_of_a_family_is_a_density_at_its_value(run):
    member = run.at(0.3)
    s = jnp.asarray(np.array(np.meshgrid(*[[-1.0, 1.0]] * 9)).reshape(9, -1).T)
    np.testing.assert_allclose(jnp.sum(jnp.exp(member.log_prob(s, jnp.asarray(0.3)))), 1.0, rtol=1e-10)


def test_a_run_with_a_range_continues_where_it_stopped(tmp_path):
    options = {"steps": 6, "samples": 500, "range": "beta:0.2:0.6", "batch": 32, "checkpoint_every": 3, "seed": 1}
    whole = ms.minimize(Ising(l=3, beta=0.4), out=tmp_path / "a", **options)
    ms.minimize(Ising(l=3, beta=0.4), out=tmp_path / "b", **options | {"steps": 3})
    resumed = resume(tmp_path / "b", 6, Silent())
    assert resumed.metrics[-1]["step"] == whole.metrics[-1]["step"]


@pytest.mark.parametrize("system", [Ising(l=3, j=0.7, h=0.2), CoulombTrap(n=3), Phi4(l=3)], ids=lambda s: s.name)
def test_conjugates_are_derivatives_of_the_energy(system):
    x = jax.random.normal(jax.random.key(0), (9,) if system.name == "ising" else (3, 2 + (system.name == "phi4")))
    for name in system.linear:
        family = families.Family(name, -1.0, 1.0, getattr(system, name))
        by_target = jax.grad(lambda c, family=family: family.target(system, 1.0, c)[0](x))(0.3)
        step = 1e-4 * max(1.0, abs(getattr(system, name)))
        kwargs = system.parameters()
        up, down = (type(system)(**kwargs | {name: kwargs[name] + s * step}).energy(x) for s in (1, -1))
        np.testing.assert_allclose(by_target, (up - down) / (2 * step), rtol=1e-6)
        np.testing.assert_allclose(system.conjugate(name)(x), by_target, rtol=1e-9)


@pytest.mark.parametrize(
    "text", ["beta", "beta:1:0.5", "beta:a:b", "beta:0:1", "gamma:0:1", "beta:0.5:0.6", "beta:0.1:nan", "l:2:4"]
)
def test_a_bad_range_is_named(text):
    with pytest.raises(InputError, match=r"^range = "):
        ms.minimize(Ising(l=3, beta=0.4), range=text)


def test_report_shows_the_range(run, tmp_path):
    page = run.report(tmp_path / "out").read_text()
    assert "Over the range of beta" in page and (tmp_path / "out" / "figures" / "range.png").exists()
