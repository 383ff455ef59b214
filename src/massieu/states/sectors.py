"""All determinants that few electrons populate, sorted into sectors of one total momentum, and states mixed in each.

    Psi_k(x) = e^{J(x)} sum_a C_ak D_a(x),     a in the sector of k

J commutes with translations, so that sectors do not mix.  A label stays a set of orbitals: the mixed states of a sector
take the labels of its determinants, both by rising energy.  Symmetries of the box turn sectors into each other, so that
one of each family is measured, and the others have its coefficients in another order and with other signs.

One module: sets, symmetries and sectors are steps of one construction.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.geometry import point_group

NEVER = -1e30  # ln p of states that are not there
MOST_SETS = 60_000  # enumerated; of these the lowest of each sector are kept


class Symmetry(NamedTuple):
    """What a symmetry of the momenta does: the orbital (M,) that each becomes, and how the total momentum turns."""

    orbitals: np.ndarray
    rotation: np.ndarray
    shift: np.ndarray  # of the total momentum

    def total(self, total: np.ndarray) -> tuple[int, ...]:
        """What a total momentum (dim,) becomes."""
        return tuple(int(p) for p in self.rotation @ total + self.shift)


class Family(NamedTuple):
    """Sectors that symmetries turn into each other; the first is measured.

    sectors (F,); places, signs (F, m): where the determinants of each stand in the first, and the sign of sorting them;
    kept [(place, sign), ..]: what the symmetries of the first sector itself do; size: number of determinants; weight:
    of all of them in the ideal gas; basis (m, r): orthonormal combinations that states are made of, None for all;
    chances (m,): of each determinant where samples are drawn, None for equal ones.
    """

    sectors: np.ndarray
    places: np.ndarray
    signs: np.ndarray
    kept: list[tuple[np.ndarray, np.ndarray]]
    size: int
    weight: float
    basis: np.ndarray | None = None
    chances: np.ndarray | None = None

    @property
    def states(self) -> int:
        """How many states there are: labels of each sector, the first of its determinants."""
        return self.size if self.basis is None else self.basis.shape[1]


class SetIndex(eqx.Module):
    """Where a set (N,) stands in a table sorted by `set_keys`."""

    base: int = eqx.field(static=True)
    keys: np.ndarray

    def __call__(self, occupied: Array) -> Array:
        return jnp.searchsorted(jnp.asarray(self.keys), set_keys(occupied, self.base, jnp))


class Sectors(eqx.Module):
    """sets (n, N); members (S, m): the sets of each sector by rising kinetic energy, -1 where there are fewer.

    states (families, copies m, r): C as columns, determinant by determinant with each of its Jastrow factors (one or
    two, see `Jastrow.factors`); of_set (n, 2): sector and column.
    """

    spins: tuple[int, ...] = eqx.field(static=True)
    base: int = eqx.field(static=True)  # number of orbitals
    sets: np.ndarray
    keys: np.ndarray
    members: np.ndarray
    of_set: np.ndarray
    family: np.ndarray  # (S,)
    place: np.ndarray  # (S, m)
    sign: np.ndarray  # (S, m)
    states: Array | np.ndarray
    families: tuple[Family, ...]

    def expand(self, occupied: Array) -> tuple[Array, Array]:
        """Occupations (m, N) and coefficients (m, copies) of the state that K = occupied (N,) stands for."""
        sector, column = jnp.asarray(self.of_set)[self.index(occupied)]
        members = jnp.asarray(self.members)[sector]
        place, sign = jnp.asarray(self.place)[sector], jnp.asarray(self.sign)[sector]
        states = jnp.asarray(self.states)[jnp.asarray(self.family)[sector], :, column]
        amplitudes = sign[:, None] * states.reshape(len(place), -1)[place]
        partners = jnp.where(members[:, None] < 0, occupied, jnp.asarray(self.sets)[members])
        return partners, jnp.where(members[:, None] < 0, 0.0, amplitudes)

    def with_families(self, families: tuple[Family, ...]) -> Sectors:
        """The same with other families, as many columns of states as any of them has."""
        states = self.states[:, :, : max(family.states for family in families)]
        return Sectors(self.spins, self.base, self.sets, self.keys, self.members, self.of_set, self.family, self.place,
                       self.sign, states, families)  # fmt: skip

    @property
    def index(self) -> SetIndex:
        """Place of a set (N,) in `sets`."""
        return SetIndex(self.base, self.keys)


def set_keys(occupied, base: int, of=np):
    """One integer for each set (.., N) of `base` orbitals."""
    powers = base ** of.arange(occupied.shape[-1] - 1, -1, -1)
    return (occupied * powers).sum(axis=-1)


def low_sets(energies: np.ndarray, spins: tuple[int, ...], most: int = MOST_SETS) -> np.ndarray:
    """Sets (n, N) of orbitals, rising within each spin, with the lowest sums of energies (M,); whole degenerate levels.

    At most about `most` of them.
    """
    high = float(sum(np.sort(energies)[-count:].sum() for count in spins if count))
    ground = sum(np.sort(energies)[:count].sum() for count in spins)
    low = ground
    best = sets_below(energies, spins, ground * (1 + 1e-9) + 1e-9, most)
    for _ in range(30):
        middle = 0.5 * (low + high)
        found = sets_below(energies, spins, middle, most)
        if found is None:
            high = middle
        else:
            low, best = middle, found
    if best is None:
        raise ValueError(f"the lowest level alone has more than {most} sets")
    return best


def sets_below(energies: np.ndarray, spins: tuple[int, ...], highest: float, most: int) -> np.ndarray | None:
    """All sets (n, N) with a sum of energies <= highest; None if there are more than `most`."""
    order = np.argsort(energies, kind="stable")
    rising = energies[order]
    cheapest = [rising[:count].sum() for count in spins]
    sets, sums = np.zeros((1, 0), int), np.zeros(1)
    for s, count in enumerate(spins):
        later = sum(cheapest[s + 1 :])
        last = np.full(len(sets), -1)
        for j in range(count):
            parts = []
            for at in range(len(rising)):
                rest = rising[at + 1 : at + count - j].sum() if count - j > 1 else 0.0
                if at + count - j > len(rising):
                    break
                ok = (last < at) & (sums + rising[at] + rest + later <= highest)
                parts.append((np.flatnonzero(ok), at))
            grown = np.concatenate([rows for rows, _ in parts])
            new = np.concatenate([np.full(len(rows), at) for rows, at in parts])
            if len(grown) > 4 * most:
                return None
            sets = np.column_stack([sets[grown], new])
            sums, last = sums[grown] + rising[new], new
    if len(sets) > most:
        return None
    found, start = [], 0
    for count in spins:
        found.append(np.sort(order[sets[:, start : start + count]], axis=1))
        start += count
    return np.concatenate(found, axis=1)


def symmetries(vectors: np.ndarray, twist: np.ndarray, spins: tuple[int, ...]) -> list[Symmetry]:
    """Operations of the square or cube that map the momenta vectors + twist onto themselves."""
    index = {tuple(v): i for i, v in enumerate(vectors.tolist())}
    found = []
    for g in point_group(vectors.shape[1]):
        shift = g @ twist - twist
        if not np.allclose(shift, np.round(shift), atol=1e-9):
            continue
        images = [tuple(v) for v in (vectors @ g.T + np.round(shift).astype(int)).tolist()]
        if all(v in index for v in images):
            total = np.round(shift).astype(int) * sum(spins)
            found.append(Symmetry(np.array([index[v] for v in images]), g, total))
    return found


def sorted_sectors(
    sets: np.ndarray, vectors: np.ndarray, energies: np.ndarray, spins: tuple[int, ...], of: list[Symmetry], most: int,
    beta: float, period: np.ndarray | None = None,
) -> Sectors:  # fmt: skip
    """The lowest sets of every total momentum, at most `most` and in whole orbits of symmetry, sorted into families.

    vectors (M, c): what is conserved in sum, here called momentum; components with a period > 0 up to its multiples (a
    parity: 2).  beta: for the weights of the families, relative to all sets given.
    """
    total = vectors[sets].sum(axis=1)
    if period is not None:
        total = np.where(period > 0, total % np.maximum(period, 1), total)
    kinetic = np.round(energies[sets].sum(axis=1), 9)
    by_momentum: dict[tuple[int, ...], list[int]] = {}
    for at in np.lexsort((*sets.T[::-1], kinetic)):
        by_momentum.setdefault(tuple(total[at].tolist()), []).append(at)
    kept = _chosen(by_momentum, sets, kinetic, len(vectors), spins, of, most)
    momenta = list(by_momentum)
    chosen = np.concatenate([kept[momentum] for momentum in momenta])
    sets = sets[chosen]
    base = len(vectors)
    order = np.argsort(set_keys(sets, base))
    sets, place_of = sets[order], np.argsort(order)
    largest = max(map(len, kept.values()))
    members, of_set, start = np.full((len(momenta), largest), -1), np.zeros((len(sets), 2), int), 0
    for number, momentum in enumerate(momenta):
        own = place_of[start : start + len(kept[momentum])]
        start += len(own)
        members[number, : len(own)] = own
        of_set[own] = np.column_stack([np.full(len(own), number), np.arange(len(own))])
    keys = set_keys(sets, base)
    boltzmann = np.exp(-beta * (energies[sets].sum(axis=1) - kinetic.min()))
    boltzmann /= np.sum(np.exp(-beta * (kinetic - kinetic.min())))
    families = _families(sets, keys, base, momenta, members, spins, of, boltzmann)
    family, place = np.zeros(len(momenta), int), np.tile(np.arange(largest), (len(momenta), 1))
    sign = np.ones((len(momenta), largest))
    for number, one in enumerate(families):
        family[one.sectors] = number
        place[one.sectors, : one.size], sign[one.sectors, : one.size] = one.places, one.signs
    copies = sum(1 for count in spins if count)  # each determinant with as many Jastrow factors
    states = np.tile(np.repeat(np.eye(largest), copies, axis=0) / copies, (len(families), 1, 1))
    return Sectors(spins, base, sets, keys, members, of_set, family, place, sign, states, tuple(families))


def _chosen(
    by_momentum: dict[tuple[int, ...], list[int]], sets: np.ndarray, kinetic: np.ndarray, base: int,
    spins: tuple[int, ...], of: list[Symmetry], most: int,
) -> dict[tuple[int, ...], np.ndarray]:  # fmt: skip
    """The rows of `sets` kept of each total momentum, by rising energy; symmetric sectors keep each other's images."""
    keys = set_keys(sets, base)
    order = np.argsort(keys)
    keys = keys[order]
    kept: dict[tuple[int, ...], np.ndarray] = {}
    for momentum, listed in by_momentum.items():
        if momentum in kept:
            continue
        rows = np.array(listed)
        others = [symmetry.total(np.array(momentum)) for symmetry in of]
        images = [
            order[np.searchsorted(keys, set_keys(turned(sets[rows], symmetry.orbitals, spins)[0], base))]
            for symmetry in of
        ]
        orbit = np.min([image for image, other in zip(images, others, strict=True) if other == momentum], axis=0)
        chosen = _whole_orbits(sets[rows], kinetic[rows], orbit, most)
        kept[momentum] = rows[chosen]
        for image, other in zip(images, others, strict=True):
            if other not in kept:
                mine = image[chosen]
                kept[other] = mine[np.lexsort((mine, kinetic[mine]))]
    return kept


def _whole_orbits(sets: np.ndarray, kinetic: np.ndarray, orbit: np.ndarray, most: int) -> np.ndarray:
    """The first sets by energy, within a level those nearest to the lowest ones, in whole orbits of the symmetries.

    At most `most` of them, but at least the lowest level; their places, rising.  Near is who has orbitals in common,
    whatever their spins: sets that differ by an exchange of spins belong to one multiplet, and counting them as far
    raises F of the determinants alone (by 1e-4 Ry for 2 + 2 electrons at rs = 2, theta = 0.5).
    """
    lowest = sets[kinetic == kinetic[0]]
    alike = np.max([np.sum(np.any(sets[:, :, None] == one, axis=2), axis=1) for one in lowest], axis=0)
    _, place = np.unique(orbit, return_inverse=True)
    nearest = np.zeros(place.max() + 1, int)  # of each orbit: how much its best set has in common
    np.maximum.at(nearest, place, alike)
    order = np.lexsort((orbit, -nearest[place], kinetic))
    ends = np.append(np.flatnonzero(np.diff(orbit[order])) + 1, len(order))
    fitting = ends[ends <= max(most, len(lowest))]
    return np.sort(order[: fitting[-1]])


def _families(sets, keys, base, momenta, members, spins, of, boltzmann) -> list[Family]:
    number_of = {momentum: number for number, momentum in enumerate(momenta)}
    done, found = np.zeros(len(momenta), bool), []
    for number, momentum in enumerate(momenta):
        if done[number]:
            continue
        own = members[number][members[number] >= 0]
        images: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        kept = []
        for symmetry in of:
            other = number_of.get(symmetry.total(np.array(momentum)))
            if other is None:
                continue
            image, signs = turned(sets[own], symmetry.orbitals, spins)
            at = {int(key): a for a, key in enumerate(set_keys(image, base))}
            theirs = members[other][members[other] >= 0]
            if len(theirs) != len(own) or any(int(key) not in at for key in keys[theirs]):
                continue
            place = np.array([at[int(key)] for key in keys[theirs]])
            if other == number:
                kept.append((place, signs[place]))
            if not done[other]:
                images.setdefault(other, (place, signs[place]))
        identity = (np.arange(len(own)), np.ones(len(own)))
        images[number] = identity
        done[list(images)] = True
        sectors = [number, *(other for other in images if other != number)]
        found.append(
            Family(
                np.array(sectors),
                np.array([images[s][0] for s in sectors]),
                np.array([images[s][1] for s in sectors]),
                kept or [identity],
                len(own),
                float(boltzmann[own].sum()) * len(sectors),
            )
        )
    return found


def turned(sets: np.ndarray, turn: np.ndarray, spins: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Sets (m, N) with every orbital turned, sorted within each spin, and the signs (m,) of sorting."""
    signs, parts, start = np.ones(len(sets)), [], 0
    for count in spins:
        own = turn[sets[:, start : start + count]]
        start += count
        later = np.triu(np.ones((count, count), bool), 1)
        crossings = np.sum((own[:, :, None] > own[:, None]) & later, axis=(1, 2))
        signs = signs * np.where(crossings % 2, -1.0, 1.0)
        parts.append(np.sort(own, axis=1))
    return np.concatenate(parts, axis=1), signs
