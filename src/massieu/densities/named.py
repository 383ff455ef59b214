"""Densities of d numbers by name: of spins, of reals, of angles; a module is imported when its density is made."""

from __future__ import annotations

from typing import Any

from jax import Array

from massieu import densities

COUPLINGS = ("realnvp", "spline")
CLASSES = {
    "made": "MADE",
    "transformer": "CausalTransformer",
    "rnn": "RNN",
    "product": "ProductSpins",
    "continuous": "NeuralODE",
    "neural-ode": "NeuralODE",
    "monge-ampere": "MongeAmpereFlow",
    "diffusion": "Diffusion",
    "circular-spline": "CircularSpline",
}


def named(name: str, d: int, key: Array, **sizes: int) -> Any:
    """The density of shape (d,); sizes: width and depth, where it has them."""
    if name in COUPLINGS:
        return densities.coupling(name, d, key=key, **sizes)
    return getattr(densities, CLASSES[name])(d, key=key, **sizes)
