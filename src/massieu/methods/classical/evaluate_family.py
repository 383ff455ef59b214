"""A family over its range: F at several values, and its derivatives against averages that do not differentiate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpy.polynomial import chebyshev

from massieu import statistics
from massieu.methods.classical.evaluate import CHUNK, refined
from massieu.methods.classical.family import Family
from massieu.methods.evaluation import shaped
from massieu.principle import Estimate, draw
from massieu.systems.base import ClassicalSystem

NODES = 15  # values at which the range is evaluated
DEGREES = range(3, NODES - 3)  # of the polynomial through ln Z: the lowest that fits
FITS = 1.5  # chi^2 per degree of freedom


def evaluate_range(
    system: ClassicalSystem, family: Family, member: Callable[[Any], Any], beta: float, samples: int, seed: int
) -> dict[str, Any]:
    """Lists over the values of the parameter: F (bound), ln Z and ESS by reweighting, and derivatives of ln Z.

    `conjugate`: <dH/dc> (E for c = beta), `direct` from reweighted samples at c and `differentiated` from the
    polynomial through ln Z(c); for beta also S and C = beta^2 d^2 ln Z/dbeta^2 both ways.
    """
    place = 0.5 - 0.5 * np.cos(np.pi * np.arange(NODES) / (NODES - 1))
    values = family.low + (family.high - family.low) * place
    slope = system.energy if family.name == "beta" else system.conjugate(family.name)

    size = min(CHUNK, samples)

    @jax.jit
    def chunk(value, key):
        energy, beta_here = family.target(system, beta, value)
        batch = draw(refined(member(value)), energy, key, size, beta_here)
        return batch.energy, batch.log_prob, jax.vmap(slope)(batch.x)

    rows = []
    for k, value in enumerate(values):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), k), math.ceil(samples / size))
        parts = [chunk(value, key) for key in keys]
        energy, log_prob, conjugate = (np.concatenate(column)[:samples] for column in zip(*parts, strict=True))
        rows.append(_at(energy, log_prob, conjugate, value if family.name == "beta" else beta))
    table = {name: [row[name] for row in rows] for name in rows[0]}
    ess = table.pop("ess")
    found: dict[str, Any] = {"parameter": family.name, "values": values.tolist(), "ess": ess}
    found |= {name: shaped(tuple(table[name]), (NODES,)) for name in ("F", "lnZ")}
    return found | _derivatives(family, values, beta, table)


def _at(energy: np.ndarray, log_prob: np.ndarray, conjugate: np.ndarray, beta: float) -> dict[str, Any]:
    """Averages at one value."""
    log_weights = -beta * energy - log_prob
    weights = statistics.normalised_weights(log_weights)
    centre = float(np.mean(weights * conjugate))
    return {
        "F": statistics.mean(energy + log_prob / beta, unit=1 / beta),
        "lnZ": statistics.log_mean_weight(log_weights),
        "ess": statistics.effective_sample_size(log_weights),
        "conjugate": statistics.reweighted_mean(conjugate, log_weights),
        "variance": statistics.reweighted_mean((conjugate - centre) ** 2, log_weights),
    }


def _derivatives(family: Family, values: np.ndarray, beta: float, table: dict[str, list[Estimate]]) -> dict[str, Any]:
    """<dH/dc>, and for c = beta S and C, from averages and from the polynomial."""
    inverse = -1.0 if family.name == "beta" else -1 / beta
    fitted = _polynomial(values, table["lnZ"])
    first = [Estimate(inverse * e.value, abs(inverse) * e.error) for e in fitted(1)]
    found = {"conjugate": _both(table["conjugate"], first)}
    if family.name != "beta":
        return found
    S = [_entropies(values, E, lnZ) for E, lnZ in ((table["conjugate"], table["lnZ"]), (first, fitted(0)))]
    C = [
        [Estimate(v**2 * e.value, v**2 * e.error) for v, e in zip(values, var)]
        for var in (table["variance"], fitted(2))
    ]
    return found | {"S": _both(*S), "C": _both(*C)}


def _entropies(beta: np.ndarray, E: list[Estimate], lnZ: list[Estimate]) -> list[Estimate]:
    """S = beta E + ln Z at each beta."""
    return [Estimate(b * e.value + z.value, math.hypot(b * e.error, z.error)) for b, e, z in zip(beta, E, lnZ)]


def _both(direct: list[Estimate], differentiated: list[Estimate]) -> dict[str, Any]:
    shape = (len(direct),)
    return {"direct": shaped(tuple(direct), shape), "differentiated": shaped(tuple(differentiated), shape)}


def _polynomial(x: np.ndarray, y: list[Estimate]) -> Callable[[int], list[Estimate]]:
    """The derivatives, with errors, of the lowest polynomial that fits the estimates: a function of the order."""
    low, high = x.min(), x.max()
    scaled = 2 * (x - low) / (high - low) - 1
    value, error = np.array([(e.value, max(e.error, 1e-12)) for e in y]).T
    for degree in DEGREES:
        design = chebyshev.chebvander(scaled, degree) / error[:, None]
        covariance = np.linalg.inv(design.T @ design)
        best = covariance @ design.T @ (value / error)
        if np.sum((design @ best - value / error) ** 2) < FITS * (len(x) - degree - 1):
            break

    def derivative(order: int) -> list[Estimate]:
        derived = chebyshev.chebder(np.eye(len(best)), order)
        rows = chebyshev.chebval(scaled, derived).T * (2 / (high - low)) ** order
        spread = np.sqrt(np.einsum("ij,jk,ik->i", rows, covariance, rows))
        return [Estimate(float(v), float(s)) for v, s in zip(rows @ best, spread)]

    return derivative
