"""Electrons that follow protons: persistent chains of both, for rho = int dS p(S) |S><S| x |Psi_S><Psi_S|.

The base points of the protons' density walk at random, which keeps S distributed as p(S) without any rejection; the
electrons are carried along by the protons next to them (space warp: Umrigar, Int. J. Quantum Chem. 23, 217 (1989)) and
then walk in |Psi_S|^2 at the new S.  How well they keep up is measured in the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu import sampling
from massieu.geometry import minimum_image
from massieu.states.levels_among_protons import Occupied
from massieu.systems.hydrogen import Atoms, Hydrogen

HOP = 0.1  # step of a base point, in units of the spacing of protons
NEAR = 1e-4  # softens the weights of the warp; units of the spacing, to the fourth power
REPLICAS = 4  # walkers of one (S, n), for states of unknown norm
CACHE, DEVICE = 2**22, 2**31  # bytes of one chunk of walkers: what a core's cache holds, or a device's memory


class AtomWalkers(NamedTuple):
    """G proton configurations with W electron configurations each, in units of the box.

    twist (G,); z and protons (G, n, 3); x (G, W, N, 3); step of the chains of x; baseline (Q,) of F at each twist;
    label (G, W, N): occupied levels of thermal electrons (empty for the ground state), from base points u (G, L, N),
    each of W/L walkers that follow each other.
    """

    twist: Array
    z: Array
    protons: Array
    x: Array
    step: Array
    baseline: Array
    label: Array
    u: Array


def start(system: Hydrogen, rho: Atoms, groups: int, per_group: int, key: Array) -> AtomWalkers:
    """Electrons near protons, one each, as many of both spins near as far."""
    of_z, of_x, of_label = jax.random.split(key, 3)
    z = jax.random.uniform(of_z, (groups, system.n, 3))
    protons = jax.vmap(rho.protons.from_base)(z)[0]
    spacing = system.n ** (-1 / 3)
    width = jnp.minimum(0.3 * spacing, 0.6 / system.length)
    noise = width * jax.random.normal(of_x, (groups, per_group, system.n, 3))
    x = protons[:, None] + noise
    x = x - jnp.floor(x)
    twists = len(system.twist_vectors)
    twist = jnp.arange(groups) % twists
    label, u = jnp.zeros((groups, per_group, 0), int), jnp.zeros((groups, per_group, 0))
    if rho.occupation is not None:
        at = around(rho, twist, protons)
        u = jax.random.uniform(of_label, (groups, labels_of(rho, per_group), system.n))
        label = labels(rho, at, u, per_group)
    step, baseline = jnp.asarray(0.1 * spacing, float), jnp.full(twists, jnp.nan, float)
    return AtomWalkers(twist, z, protons, x, step, baseline, label, u)


def chunked(f: Callable, each: int, rows: Any) -> Any:
    """f of every row of the arrays, as many rows at once as fit with `each` bytes."""
    count = len(jax.tree.leaves(rows)[0])
    budget = CACHE if jax.default_backend() == "cpu" else DEVICE
    return jax.lax.map(lambda row: f(*row), rows, batch_size=max(1, min(count, budget // each)))


def walker_bytes(system: Hydrogen, rho: Atoms) -> int:
    """Memory of one local energy."""
    return int(rho.psi.walker_bytes(system.n))


def expanded(walkers: AtomWalkers) -> tuple[Array, Array, Array]:
    """Twist (B,), protons (B, n, 3) and electrons (B, N, 3) of every walker, B = G W."""
    per_group = walkers.x.shape[1]
    return (
        jnp.repeat(walkers.twist, per_group),
        jnp.repeat(walkers.protons, per_group, axis=0),
        walkers.x.reshape(-1, *walkers.x.shape[2:]),
    )


def warped(before: Array, after: Array, x: Array) -> Array:
    """Electrons x (N, 3) carried along by protons that move from `before` to `after` (n, 3)."""
    apart = minimum_image(x[:, None] - before[None])
    weight = 1 / (jnp.sum(apart**2, axis=-1) ** 2 + NEAR * len(before) ** (-4 / 3))
    weight = weight / jnp.sum(weight, axis=1, keepdims=True)
    moved = x + weight @ minimum_image(after - before)
    return moved - jnp.floor(moved)


def labels_of(rho: Atoms, per_group: int) -> int:
    """How many labels the walkers of one S have: one each, or fewer where averages at one (S, n) are needed."""
    if not rho.overlapping:
        return per_group
    return next(count for count in range(max(1, per_group // REPLICAS), 0, -1) if per_group % count == 0)


def states_of(rho: Atoms, walkers: AtomWalkers) -> int:
    """How many states of unknown norm the walkers of one S are in: scores of Psi are centred in each of them."""
    return walkers.u.shape[1] if rho.overlapping else 1


def labels(rho: Atoms, at: Any, u: Array, per_group: int) -> Array:
    """Occupied levels (G, W, N) of base points u (G, L, N) at the surroundings (G, ..)."""
    found = jax.vmap(jax.vmap(rho.occupation.from_base, (0, None)))(u, at)
    return jnp.repeat(found, per_group // u.shape[1], axis=1)


def around(rho: Atoms, twist: Array, protons: Array) -> Any:
    """What the electrons of one S have in common, for each S (G, ..)."""
    return jax.lax.map(lambda at: rho.psi.around(*at), (twist, protons))


def surroundings(rho: Atoms, walkers: AtomWalkers) -> Any:
    """The same once for each S, and repeated for its walkers (B, ..)."""
    return repeated(rho, around(rho, walkers.twist, walkers.protons), walkers)


def repeated(rho: Atoms, found: Any, walkers: AtomWalkers) -> Any:
    """Surroundings (G, ..) for every walker (B, ..), with its label."""
    found = jax.tree.map(lambda leaf: jnp.repeat(leaf, walkers.x.shape[1], axis=0), found)
    if rho.occupation is None:
        return found
    return Occupied(found, walkers.label.reshape(-1, walkers.label.shape[-1]))


def follow(system: Hydrogen, rho: Atoms, walkers: AtomWalkers, key: Array, kind: str, moves: int, hop: float = HOP):
    """Protons one step on (hop = 0: where the parameters now put them), electrons carried along, then `moves` moves.

    Returns the walkers, their surroundings (B, ..) and the accepted fraction.  Labels of states whose norms are unknown
    never share a chain with x: their base points walk as those of the protons do, so that n stays distributed as
    p(n|S), and x follows.
    """
    of_z, of_x = jax.random.split(key)
    spacing = system.n ** (-1 / 3)
    z = walkers.z + hop * spacing * jax.random.normal(of_z, walkers.z.shape)
    z = z - jnp.floor(z)
    protons = jax.vmap(rho.protons.from_base)(z)[0]
    carry = jax.vmap(jax.vmap(warped, (None, None, 0)))
    walkers = walkers._replace(z=z, protons=protons, x=carry(walkers.protons, protons, walkers.x))
    shared = around(rho, walkers.twist, walkers.protons)
    swaps = rho.occupation is not None and not rho.overlapping
    if rho.overlapping:
        u = walkers.u + hop * jax.random.normal(jax.random.fold_in(of_z, 1), walkers.u.shape)
        u = u - jnp.floor(u)
        walkers = walkers._replace(u=u, label=labels(rho, shared, u, walkers.x.shape[1]))
    at, x = repeated(rho, shared, walkers), expanded(walkers)[2]
    each = walker_bytes(system, rho) // (3 * system.n)

    def one(at: Any, x: Array) -> tuple[Array, Array]:
        density = lambda x: rho.psi.log_density(at, x)  # noqa: E731
        return jax.value_and_grad(density)(x) if kind == "mala" else (density(x), jnp.zeros_like(x))

    def value_and_force(at: Any, x: Array) -> tuple[Array, Array]:
        return chunked(one, each, (at, x))

    def a_move(state: Any, now: tuple[Array, Array]) -> tuple[Any, Array]:
        (at, x, value, force), (key, count) = state, now
        if swaps:
            key, of_label = jax.random.split(key)
            relabelled = lambda: _relabelled(rho, value_and_force, of_label, at, x, value, force)  # noqa: E731
            at, value, force = jax.lax.cond(count % 2 == 0, relabelled, lambda: (at, value, force))
        x, accepted, value, force = sampling.move(kind, value_and_force, key, at, x, value, force, walkers.step)
        return (at, x, value, force), jnp.mean(accepted)

    first: Any = (at, x, *value_and_force(at, x))
    (at, x, *_), accepted = jax.lax.scan(a_move, first, (jax.random.split(of_x, moves), jnp.arange(moves)))
    acceptance = jnp.mean(accepted)
    label = walkers.label if rho.occupation is None else at.label.reshape(walkers.label.shape)
    step = sampling.adapted(kind, walkers.step, acceptance)
    return walkers._replace(x=x.reshape(walkers.x.shape), step=step, label=label), at, acceptance


def _relabelled(rho: Atoms, value_and_force: Callable, key: Array, at: Occupied, x: Array, value: Array, force: Array):
    """A new n ~ p(n|S) for every walker, accepted with |Psi_n'(x)|^2/|Psi_n(x)|^2."""
    of_label, coin = jax.random.split(key)
    drawn = jax.vmap(rho.occupation.sample)(jax.random.split(of_label, len(x)), at.shared)
    other = at._replace(label=drawn)
    new_value, new_force = value_and_force(other, x)
    swap = jnp.log(jax.random.uniform(coin, value.shape)) < new_value - value
    at = at._replace(label=jnp.where(swap[:, None], drawn, at.label))
    return at, jnp.where(swap, new_value, value), jnp.where(swap[:, None, None], new_force, force)


class Energies(NamedTuple):
    """Of every walker (G, W): local kinetic energy (complex at a twist), potential energy (Ry)."""

    kinetic: Array
    potential: Array
    squared_gradient: Array


def energies(system: Hydrogen, rho: Atoms, walkers: AtomWalkers, at: Any) -> Energies:
    """Local energies among surroundings (B, ..), chunk by chunk."""

    def one(at: Any, x: Array) -> Energies:
        local = rho.psi.local(at, x)
        squared = system.kinetic_scale * jnp.sum(jnp.abs(local.gradient) ** 2)
        return Energies(system.kinetic_scale * local.kinetic, system.potential(at.protons, x), squared)

    found = chunked(one, walker_bytes(system, rho), (at, expanded(walkers)[2]))
    return jax.tree.map(lambda leaf: leaf.reshape(walkers.x.shape[:2]), found)


def label_log_probs(rho: Atoms, walkers: AtomWalkers, at: Any) -> Array:
    """ln p(n|S) (G, W) of the electrons' labels; zero for the ground state."""
    if rho.occupation is None:
        return jnp.zeros(walkers.x.shape[:2])
    return jax.vmap(rho.occupation.log_prob)(at.shared, at.label).reshape(walkers.x.shape[:2])


def log_probs(rho: Atoms, z: Array) -> Array:
    """ln p(S) (G,) of protons with base points z (G, n, 3), per volume in units of the box."""
    return jax.vmap(rho.protons.from_base)(z)[1]


def groups_of(system: Hydrogen, batch: int, per_group: int) -> tuple[int, int]:
    """Proton configurations and electron walkers of each: as many of the former as make whole sets of twists."""
    twists = len(system.twist_vectors)
    if system.clamped:
        return twists, max(2, int(np.ceil(batch / twists)))
    groups = max(1, batch // (per_group * twists)) * twists
    return groups, max(2, batch // groups)
