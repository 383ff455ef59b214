"""Densities by name for systems of one's own, of any shape; densities of other shapes that hold as many numbers."""

import jax.numpy as jnp
import numpy as np
import pytest
from flowjax.distributions import Normal
from scipy.special import i0e

import massieu as ms
from massieu.densities.vectors import Reshaped

SHORT = {"batch": 256, "samples": 2000}


class Well(ms.ClassicalSystem):
    """Independent double wells on a 2 x 2 lattice: ln Z is four times that of one."""

    shape: tuple[int, ...] = (2, 2)

    @property
    def configuration(self):
        return self.shape

    def energy(self, x):
        return jnp.sum(0.5 * x**4 - x**2)


class Pair(ms.ClassicalSystem):
    """Two coupled angles, H = -cos(a - b): ln Z = 2 ln 2 pi + ln I_0(beta)."""

    @property
    def configuration(self):
        return (2,)

    def energy(self, x):
        return -jnp.cos(x[0] - x[1])


class Square(ms.ClassicalSystem):
    """Four spins on a ring, as a 2 x 2 square without double bonds."""

    @property
    def configuration(self):
        return (2, 2)

    def energy(self, s):
        ring = jnp.stack([s[0, 0], s[0, 1], s[1, 1], s[1, 0]])
        return -jnp.sum(ring * jnp.roll(ring, 1))


def _well():
    x = np.linspace(-6, 6, 20001)
    return 4 * np.log(np.sum(np.exp(-(0.5 * x**4 - x**2))) * (x[1] - x[0]))


RING = np.log((2 * np.cosh(1.0)) ** 4 + (2 * np.sinh(1.0)) ** 4)


@pytest.mark.parametrize(
    ("system", "density", "lnZ", "steps"),
    [
        (Well(), "spline", _well(), 60),
        (Well(), "realnvp", _well(), 20),
        (Well(), "neural-ode", _well(), 10),
        (Well(), "monge-ampere", _well(), 10),
        (Pair(), "circular-spline", 2 * np.log(2 * np.pi) + np.log(i0e(1.0)) + 1.0, 40),
        (Square(), "made", RING, 60),
        (Square(), "rnn", RING, 10),
        (Square(), "transformer", RING, 10),
        (Square(), "product", RING, 10),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_named_density_suits_a_system_of_one_s_own(system, density, lnZ, steps):
    run = ms.minimize(system, density, beta=1.0, steps=steps, **SHORT)
    assert run.sample(3)[0].shape == (3, *system.configuration)
    assert run.F.value > -lnZ - 4 * run.F.error
    weighed = run.result.importance["lnZ"]
    if weighed["error"] == weighed["error"] and run.result.importance["ess"] > 0.3:
        assert abs(weighed["value"] - lnZ) < 4.5 * weighed["error"]


def test_flowjax_s_of_another_shape_with_as_many_numbers():
    run = ms.minimize(Well(), Normal(jnp.zeros(4), jnp.ones(4)), beta=1.0, steps=4, **SHORT)
    assert isinstance(run.density, Reshaped)
    assert run.F.value > -_well()
    x, log_prob = run.sample(5)
    assert x.shape == (5, 2, 2)
    np.testing.assert_allclose(run.log_prob(x), log_prob)
    with pytest.raises(ms.InputError, match=r"density = Normal of shape \(3,\): must be of shape \(2, 2\)"):
        ms.minimize(Well(), Normal(jnp.zeros(3), jnp.ones(3)), beta=1.0, steps=1)


def test_what_does_not_suit_is_refused_in_one_line():
    class Silent(ms.ClassicalSystem):
        def energy(self, x):
            return jnp.sum(x)

    for system, density, more, message in (
        (Silent(), "spline", {}, "density = spline: must be an object: Silent does not say `configuration`"),
        (Well(), "pixelcnn", {}, "density = pixelcnn: must be one of auto, made"),
        (Well(), "rnn", {"depth": 3}, "depth = 3: must be left out for the density rnn"),
        (Well(), "spline", {"symmetrise": True}, "symmetrise = True: must be false for spline"),
        (Well(shape=(1,)), "spline", {}, "density = spline: must be another one for a single number"),
        (Well(), None, {}, "density = None: must be given, Well has no default density"),
    ):
        with pytest.raises(ms.InputError, match=message):
            ms.minimize(system, density, beta=1.0, steps=1, **more)


def test_a_width_that_a_product_has_no_use_for_is_refused():
    with pytest.raises(ms.InputError, match="density = product: must be without width, it has no network"):
        ms.minimize(Square(), "product", beta=1.0, steps=1, width=8)
