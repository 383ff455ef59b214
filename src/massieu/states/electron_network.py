"""Features of electrons among protons in the periodic box: smooth, equivariant, cheap to carry with their derivatives.

    h_i^0 = MLP( sum_I e(r_i - S_I) * g(S_I) )                 what electron i sees of the protons: r_i alone
    m_i   = sum_j p(r_i - r_j) * (1 + W h_j^0)                 messages from the other electrons
    h_i   = h_i^0, m_i, MLP( h_i^0, m_i )                      side by side: sums over pairs need no network to be used

e and p are small networks of one separation, so that whatever lives on pairs has derivatives by three coordinates; only
the sums over pairs depend on all electrons.  g(S_I) describes the surroundings of a proton.  All features of a
separation are periodic and have no slope at contact: cusps belong to the Jastrow factor.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.physics import jets
from massieu.physics.jets import Carried, Jet
from massieu.sampling import initial_normal

FEATURES = 12
CORE = 0.5  # a0: within it features of the distance are flat
RANGES = (0.5, 1.0, 2.5)  # a0


def periodic_distance(d: Array, length: float) -> Array:
    """A distance (a0) that is periodic, |r| (1 - O(r^2/L^2)) near contact, and smooth but there; d in units of the box.

    Its only zero is contact: |sin(pi d)|, not |sin(2 pi d)|, which vanishes half a box away too.
    """
    return length / math.pi * jnp.sqrt(jnp.sum(jnp.sin(math.pi * d) ** 2))


def pair_features(d: Array, length: float) -> Array:
    """Smooth features (FEATURES,) of one separation d (3,) in units of the box."""
    squared = (length / math.pi) ** 2 * jnp.sum(jnp.sin(math.pi * d) ** 2)
    flat = jnp.sqrt(squared + CORE**2) - CORE
    wave = 2 * math.pi * d
    scalars = jnp.stack([jnp.exp(-flat / reach) for reach in RANGES])
    vector = length / (2 * math.pi) * jnp.sin(wave) * jnp.exp(-flat / 2)
    return jnp.concatenate([jnp.sin(wave), jnp.cos(wave), vector, scalars])


class Layer(NamedTuple):
    """weight (a, b) and bias (b,)."""

    weight: Array
    bias: Array


def layer(key: Array, a: int, b: int, scale: float = 1.0) -> Layer:
    """A random layer for inputs of size 1."""
    return Layer(jnp.asarray(scale * initial_normal(key, (a, b)) / math.sqrt(a)), jnp.zeros(b))


def apply(layers: list[Layer], x: Carried) -> Carried:
    """tanh after every layer; layers of equal width add to what they get."""
    for weight, bias in layers:
        y = jets.tanh(jets.linear(x, weight, bias))
        x = jets.plus(x, y) if weight.shape[0] == weight.shape[1] else y
    return x


class ElectronNetwork(eqx.Module):
    """Features (N, self.width) of N electrons, the first `up` of them with spin up."""

    up: int = eqx.field(static=True)
    length: float = eqx.field(static=True)
    from_protons: list[Layer]
    from_electrons: list[Layer]
    around_proton: list[Layer]
    own: list[Layer]
    partner: Array
    last: list[Layer]

    def __init__(self, up: int, length: float, width: int, pair_width: int, depth: int, key: Array):
        self.up, self.length = up, length
        keys = jax.random.split(key, 8)
        self.from_protons = [layer(keys[0], FEATURES, pair_width), layer(keys[1], pair_width, pair_width)]
        self.from_electrons = [layer(keys[2], FEATURES + 1, pair_width), layer(keys[3], pair_width, pair_width)]
        self.around_proton = [layer(keys[4], FEATURES, pair_width)]
        self.own = [layer(keys[5], pair_width, width)]
        self.partner = jnp.asarray(initial_normal(keys[6], (width, pair_width)) / math.sqrt(width))
        sizes = [width + pair_width] + [width] * depth
        self.last = [layer(k, a, b) for k, a, b in zip(jax.random.split(keys[7], depth), sizes[:-1], sizes[1:])]

    def values(self, protons: Array, x: Array) -> Array:
        """Features (N, width) of electrons at x (N, 3)."""
        return self._run(protons, x, carried=False)

    def carried(self, protons: Array, x: Array) -> Jet:
        """The same with derivatives by all 3N coordinates."""
        found = self._run(protons, x, carried=True)
        assert isinstance(found, Jet)
        return found

    def _run(self, protons: Array, x: Array, carried: bool):
        n, count = len(x), len(protons)

        def features(d: Array) -> Carried:
            of_pair = lambda d: pair_features(d, self.length)  # noqa: E731
            return jax.vmap(jax.vmap(lambda d: jets.of_function(of_pair, d) if carried else of_pair(d)))(d)

        near_protons = apply(self.from_protons, features(x[:, None] - protons[None]))
        seen = jets.times(near_protons, self._surroundings(protons))
        own = apply(self.own, jets.times(_sum_over_partners(seen), 1 / math.sqrt(count)))
        apart = x[:, None] - x[None] + jnp.eye(n)[:, :, None] * 0.25  # no electron is its own partner: masked below
        spin = np.where(np.arange(n) < self.up, 1.0, -1.0)
        pairs = _with_constant(features(apart), spin[:, None] * spin[None])
        message = _messages(apply(self.from_electrons, pairs), jets.linear(own, self.partner, 1.0), 1 - np.eye(n))
        both = jets.joined([_spread(own, n), jets.times(message, 1 / math.sqrt(n))])
        return jets.joined([both, apply(self.last, both)])

    @property
    def width(self) -> int:
        """Number of features of an electron."""
        return self.last[0].weight.shape[0] + self.last[-1].bias.size

    def _surroundings(self, protons: Array) -> Array:
        """g(S_I) (count, pair_width), a constant for the electrons; 1 for a single proton."""
        count = len(protons)
        apart = protons[:, None] - protons[None] + jnp.eye(count)[:, :, None] * 0.25
        features = jax.vmap(jax.vmap(lambda d: pair_features(d, self.length)))(apart)
        seen = apply(self.around_proton, features) * (1 - np.eye(count))[:, :, None]
        return 1 + jnp.sum(seen, axis=1) / math.sqrt(count)


def _sum_over_partners(x: Carried) -> Carried:
    """Sum over the second axis."""
    return Jet(*(jnp.sum(leaf, axis=1) for leaf in x)) if isinstance(x, Jet) else jnp.sum(x, axis=1)


def _with_constant(x: Carried, constant: np.ndarray) -> Carried:
    """One more feature on the last axis of the value, a constant."""
    if not isinstance(x, Jet):
        return jnp.concatenate([x, jnp.broadcast_to(constant[..., None], (*x.shape[:-1], 1))], axis=-1)
    pad = [(0, 0)] * (x.value.ndim - 1) + [(0, 1)]
    value = _with_constant(x.value, constant)
    return Jet(value, jnp.pad(x.slope, [*pad, (0, 0)]), jnp.pad(x.laplacian, pad))


def _spread(own: Carried, n: int) -> Carried:
    """Features (N, width) whose derivatives are by the electron's own 3 coordinates, with those by all 3N."""
    if not isinstance(own, Jet):
        return own
    slope = own.slope[:, :, None, :] * jnp.eye(n)[:, None, :, None]
    return own._replace(slope=slope.reshape(*own.value.shape, 3 * n))


def _messages(pairs: Carried, gate: Carried, mask: np.ndarray) -> Carried:
    """sum_j p(r_i - r_j) * gate_j, with derivatives by all coordinates."""
    if not isinstance(pairs, Jet):
        return jnp.einsum("ijc,jc,ij->ic", pairs, gate, mask)
    assert isinstance(gate, Jet)
    n, width = gate.value.shape
    p, dp, lap = (jnp.asarray(leaf) for leaf in pairs)
    p, dp, lap = p * mask[..., None], dp * mask[..., None, None], lap * mask[..., None]
    by_own = dp * gate.value[None, :, :, None]  # (i, j, c, 3)
    by_partner = p[..., None] * gate.slope[None] - by_own
    slope = by_partner.transpose(0, 2, 1, 3)
    slope = slope + jnp.eye(n)[:, None, :, None] * jnp.sum(by_own, axis=1)[:, :, None, :]
    laplacian = jnp.sum(
        2 * lap * gate.value[None] + p * gate.laplacian[None] - 2 * jnp.sum(dp * gate.slope[None], axis=-1), axis=1
    )
    value = jnp.einsum("ijc,jc->ic", p, gate.value)
    return Jet(value, slope.reshape(n, width, 3 * n), laplacian)
