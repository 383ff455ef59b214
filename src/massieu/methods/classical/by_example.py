"""Training by energy and by example at once: loss = (1 - w) beta F + w E_data[-ln p].

Both terms are relative entropies, beta F + ln Z from the density to the system and E_data[-ln p] - S from the data to
the density.  The first finds the shape of the states that the density knows, the second shows it the ones that it does
not (Noe, Olsson, Koehler and Wu, Science 365, eaaw1147 (2019): Boltzmann generators).  F stays an upper bound.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.errors import InputError, require
from massieu.methods.classical.options import ClassicalOptions
from massieu.principle import Params, condition_of


class Examples(NamedTuple):
    """Configurations x (M, *shape) of the system, and the weight w of their likelihood in the loss."""

    x: Array
    weight: float

    def mixed(
        self, gradient: Params, params: Params, static: Any, key: Array, batch: int, beta: Array | float
    ) -> tuple[Params, Array]:
        """(1 - w) times the gradient of beta F plus w times that of E_data[-ln p], and the latter's value."""
        x = self.x[jax.random.randint(key, (batch,), 0, len(self.x))]

        def loss(params: Params) -> Array:
            density = eqx.combine(params, static)
            return -jnp.mean(density.log_prob(x.astype(self.x.dtype), condition_of(density, beta)))

        value, of_data = jax.value_and_grad(loss)(params)
        w = self.weight
        return jax.tree.map(lambda f, d: ((1 - w) * f + w * d).astype(f.dtype), gradient, of_data), value


def examples(options: ClassicalOptions, density: Any) -> Examples | None:
    """The configurations that `data` names, or None; InputError for a file or values that do not fit."""
    if options.data is None:
        return None
    require(options.range is None, "data", options.data, "left out with a range, whose members have other data")
    path = Path(options.data)
    try:
        x = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        raise InputError(f"data = {options.data}: must be a .npy file of configurations") from None
    kind = isinstance(x, np.ndarray) and x.dtype.kind in "fiu"
    require(kind, "data", options.data, "a .npy file with one array of numbers")
    fits = x.ndim > 0 and len(x) > 0 and x.shape[1:] == tuple(density.shape)
    require(fits, "data", f"of shape {x.shape}", f"configurations of shape (M, {', '.join(map(str, density.shape))})")
    require(bool(np.all(np.isfinite(x))), "data", "with NaN or infinity", "of finite numbers")
    states = getattr(density, "states", None)
    if states is not None:
        known = bool(np.all((x == np.round(x)) & (x >= 0) & (x < states)))
        require(known, "data", f"with other values than 0 to {states - 1}", f"of states 0 to {states - 1}")
    elif getattr(density, "discrete", False):
        require(bool(np.all(np.abs(x) == 1)), "data", "with other values than +-1", "of spins +-1")
    return Examples(jnp.asarray(x, options.precision), options.data_weight)
