"""How much less entropy electrons have at one S than p(n|S), because their states Phi_nS are not quite orthogonal.

    S(p) - S(rho) <= sum_n p(n) sum_{n' != n} sqrt(p(n')/p(n)) |<Phi_n|Phi_n'>|^2

(principle.py, with a = p).  n is drawn from p; n' from the sets that differ in one and in two electrons, with chances
in proportion to sqrt(p(n')/p(n)) for one, and to a product of such for two; |<n|n'>|^2 by chains in the mixture of n
and of all its n', its two factors from different walkers, so that the sum has no bias.  Sets that differ in more
electrons are left out: their overlaps are products of these.

In training the first of these sums takes part in the gradient (`local_loss`): left out, the Jastrow factor learns to
make all states alike, which lowers E and what looks like F, but not F.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu import sampling, statistics
from massieu.principle import Estimate
from massieu.states.levels_among_protons import Occupied, ThermalSurroundings
from massieu.systems.hydrogen import Atoms

PARTNERS = 6  # of every n, of each kind
WALKERS = 16  # of a mixture: half of them for each factor
SETTLING, APART, MEASURED = 200, 4, 75  # moves before the first measurement, moves between them, measurements


class Partners(NamedTuple):
    """Labels (m, N), the first of them n itself; weights (m - 1,) of |<n|n'>|^2, first of one electron, then of two."""

    labels: Array
    weights: Array


class EntropyLoss(NamedTuple):
    """S(p) - S(rho) at most (k_B), from sets that differ in one electron and in two; mean and largest |<n|n'>|^2."""

    total: Estimate
    one: Estimate
    two: Estimate
    squared: Estimate
    largest: float

    def as_dict(self) -> dict[str, Any]:
        """For summary.json."""
        return {
            "entropy_loss": self.total.as_dict(),
            "entropy_loss_one_electron": self.one.as_dict(),
            "entropy_loss_two_electrons": self.two.as_dict(),
            "overlap_squared": self.squared.as_dict(),
            "largest_overlap_squared": self.largest,
        }


def entropy_loss(rho: Atoms, twist: Array, protons: Array, key: Array) -> EntropyLoss:
    """Averaged over proton configurations (G, n, 3) with one n each; x64 must be on."""
    arrays, rest = eqx.partition(rho, lambda leaf: isinstance(leaf, jax.Array))

    def one(rho: Atoms, twist: Array, protons: Array, key: Array) -> tuple[Array, Array]:
        shared = rho.psi.around(twist, protons)
        of_label, of_partners, of_chains = jax.random.split(key, 3)
        label = rho.occupation.sample(of_label, shared)
        chosen = partners(rho, shared, label, of_partners)
        return chosen.weights, squared_overlaps(rho.psi, shared, chosen.labels, of_chains)

    @jax.jit
    def every(arrays: Any, rows: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        rho = eqx.combine(arrays, rest)
        return jax.lax.map(lambda row: one(rho, *row), rows)

    rows = twist, protons, jax.random.split(key, len(protons))
    weights, squared = (np.asarray(v) for v in every(arrays, rows))
    of_kind = np.sum((weights * squared).reshape(len(weights), 2, -1), axis=2)
    return EntropyLoss(statistics.mean(of_kind.sum(axis=1)), statistics.mean(of_kind[:, 0]),
                       statistics.mean(of_kind[:, 1]), statistics.mean(squared.mean(axis=1)),
                       float(squared.max()))  # fmt: skip


def local_loss(rho: Atoms, at: Occupied, x: Array, states: int) -> Array:
    """2 Re sum_ia w_ia <r_ia>^* r_ia(x) (G, W): its covariance with d ln Phi is the gradient of sum_ia w_ia |<r_ia>|^2.

    r_ia are the ratios of states that differ in one electron; <r> is over the other walkers of the same (S, n), of
    `states` at one S; w = sqrt(p(n')/p(n)) without what p learned beyond single levels.  x (G, W, N, 3), at (G W, ..).
    Scores are centred over the R walkers that <r> is made of too, which takes 2/R of this covariance away, and 1/R of
    that of an energy: the factor puts both on one scale.
    """
    spins = rho.occupation.spins
    spin = np.repeat(np.arange(len(spins)), spins)

    def weights(at: Occupied) -> Array:
        log_w = rho.occupation.log_weights(at.shared)
        taken = jnp.zeros((len(spins), len(log_w)), bool).at[spin, at.label].set(True)
        return jnp.where(taken[spin], 0.0, jnp.exp(0.5 * (log_w[None] - log_w[at.label][:, None])))

    ratios = jax.vmap(rho.psi.excitations)(at, x.reshape(-1, *x.shape[2:]))
    grouped = ratios.reshape(len(x) * states, -1, *ratios.shape[1:])
    others = (jnp.sum(grouped, axis=1, keepdims=True) - grouped) / (grouped.shape[1] - 1)
    weight, replicas = jax.vmap(weights)(at).reshape(len(grouped), -1, *ratios.shape[1:]), grouped.shape[1]
    found = jnp.sum(2 * weight * (others.conj() * grouped).real, axis=(2, 3)).reshape(x.shape[:2])
    return found * (replicas - 1) / (replicas - 2)


def partners(rho: Atoms, shared: ThermalSurroundings, label: Array, key: Array) -> Partners:
    """Sets with one and with two electrons elsewhere, PARTNERS of each, and what their overlaps weigh."""
    spins, levels = rho.occupation.spins, len(shared.levels)
    spin = jnp.asarray(np.repeat(np.arange(len(spins)), spins))
    taken = jnp.zeros((len(spins), levels), bool).at[spin, label].set(True)
    log_p = lambda n: rho.occupation.log_prob(shared, _sorted(n, spins))  # noqa: E731
    every = jnp.arange(len(label))[:, None], jnp.arange(levels)[None]
    moved = jax.vmap(lambda i: jax.vmap(lambda a: label.at[i].set(a))(jnp.arange(levels)))(jnp.arange(len(label)))
    own = log_p(label)
    root = jnp.exp(0.5 * (jax.lax.map(jax.vmap(log_p), moved) - own))
    root = jnp.where(taken[spin], 0.0, root)  # (N, k)
    total = jnp.sum(root)
    of_one, of_first, of_second = jax.random.split(key, 3)

    def drawn(key: Array, chances: Array) -> tuple[Array, Array]:
        flat = jax.random.categorical(key, jnp.log(chances.reshape(-1)))
        return flat // levels, flat % levels

    def without(i: Array, a: Array) -> Array:
        """Chances of a second move: another electron, and another level for those of the same spin."""
        kept = (every[0] != i) & ((spin[:, None] != spin[i]) | (every[1] != a))
        return jnp.where(kept, root, 0.0)

    def two(first: Array, second: Array) -> tuple[Array, Array]:
        i, a = drawn(first, root)
        j, b = drawn(second, without(i, a))
        same = spin[i] == spin[j]
        ways: list[tuple[Any, ...]] = [(i, a, j, b, True), (j, b, i, a, True), (i, b, j, a, same), (j, a, i, b, same)]
        chance = jnp.zeros(())
        for r, c, s, d, there in ways:
            way = root[r, c] / total * root[s, d] / jnp.sum(without(r, c))
            chance = chance + jnp.where(there, way, 0.0)
        new = label.at[i].set(a).at[j].set(b)
        return _sorted(new, spins), jnp.exp(0.5 * (log_p(new) - own)) / chance

    i, a = jax.vmap(lambda key: drawn(key, root))(jax.random.split(of_one, PARTNERS))
    singles = jax.vmap(lambda i, a: _sorted(label.at[i].set(a), spins))(i, a)
    doubles, weights = jax.vmap(two)(*(jax.random.split(k, PARTNERS) for k in (of_first, of_second)))
    weights = jnp.concatenate([jnp.broadcast_to(total, (PARTNERS,)), weights]) / PARTNERS
    return Partners(jnp.concatenate([label[None], singles, doubles]), weights)


def _sorted(label: Array, spins: tuple[int, int]) -> Array:
    """Rising within each spin."""
    return jnp.concatenate([jnp.sort(label[: spins[0]]), jnp.sort(label[spins[0] :])])


def squared_overlaps(psi: Any, shared: ThermalSurroundings, labels: Array, key: Array) -> Array:
    """|<n|n'>|^2 (m - 1,) of the first of the labels (m, N) with the others, without bias."""

    def value_and_force(_: Any, x: Array) -> tuple[Array, Array]:
        density = lambda x: jax.nn.logsumexp(2 * psi.log_psis(shared, labels, x).real)  # noqa: E731
        return jax.vmap(jax.value_and_grad(density))(x)

    def moved(state: Any, key: Array) -> tuple[Any, Array]:
        x, value, force, step = state
        x, accepted, value, force = sampling.move("mala", value_and_force, key, None, x, value, force, step)
        return (x, value, force, step), jnp.mean(accepted)

    def settled(state: Any, key: Array) -> tuple[Any, None]:
        state, accepted = moved(state, key)
        return (*state[:3], sampling.adapted("mala", state[3], accepted)), None

    def measured(state: Any, key: Array) -> tuple[Any, Array]:
        state, _ = jax.lax.scan(moved, state, jax.random.split(key, APART))
        log = jax.vmap(lambda x: psi.log_psis(shared, labels, x))(state[0])
        value = jnp.exp(log - jnp.max(log.real, axis=1, keepdims=True))
        value = value / jnp.sqrt(jnp.sum(jnp.abs(value) ** 2, axis=1, keepdims=True))
        halves = value.reshape(2, WALKERS // 2, -1)
        return state, jnp.stack([jnp.mean(halves[..., :1].conj() * halves, axis=1),
                                 jnp.mean(jnp.abs(halves) ** 2, axis=1).astype(complex)])  # fmt: skip

    of_x, of_settling, of_measuring = jax.random.split(key, 3)
    x = jax.random.uniform(of_x, (WALKERS, labels.shape[1], 3))
    step = jnp.asarray(0.1 * labels.shape[1] ** (-1 / 3))
    state: Any = (x, *value_and_force(None, x), step)
    state, _ = jax.lax.scan(settled, state, jax.random.split(of_settling, SETTLING))
    _, found = jax.lax.scan(measured, state, jax.random.split(of_measuring, MEASURED))
    products, norms = jnp.mean(found, axis=0)
    norm = jnp.mean(norms, axis=0).real
    return (products[0, 1:] * products[1, 1:].conj()).real / (norm[0] * norm[1:])
