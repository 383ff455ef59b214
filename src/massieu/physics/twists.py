"""Boundary phases: one twist, or the points of an average over twists."""

from __future__ import annotations

import math

import numpy as np

from massieu.errors import InputError, require

MOST_TWISTS = 1000


def twist_vectors(twist: str, points: str, dim: int) -> np.ndarray:
    """Twist vectors (Q, dim), each component in [-1/2, 1/2]."""
    kind, _, count = points.partition(":")
    number = int(count) if count.isascii() and count.isdecimal() and len(count) < 6 else 0
    if kind not in ("grid", "random") or not 1 <= number ** (dim if kind == "grid" else 1) <= MOST_TWISTS:
        raise InputError(f"twists = {points}: must be grid:N or random:N, from 1 to {MOST_TWISTS} points in all")
    if twist == "average":
        if kind == "random":
            return np.random.default_rng(0).uniform(-0.5, 0.5, (number, dim))
        axis = (np.arange(number) + 0.5) / number - 0.5
        return np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    try:
        bare = twist.strip()
        bare = bare[1:-1] if bare[:1] + bare[-1:] in ("()", "[]") else bare
        parts = [float(part) for part in bare.split(",")]
    except ValueError:
        parts = []
    ok = len(parts) in (1, dim) and all(math.isfinite(p) and abs(p) <= 0.5 for p in parts)
    require(ok, "twist", twist, f"a number from -0.5 to 0.5, {dim} of them with commas between, or average")
    return np.array([parts * dim if len(parts) == 1 else parts])
