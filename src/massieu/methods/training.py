"""What a training problem is, and the step that those of density matrices share: regress F_loc on the scores, update.

    dF/dphi   = E[ (F_loc - F) d ln p_phi ],   dF/dtheta = 2 Re E[ (F_loc - F)^* d ln Psi_theta ]

Both are inner products of a residual with scores; the natural gradients are ridge regressions of the one on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from massieu.precision import double_precision


class TrainState(NamedTuple):
    """Everything that the next step depends on; a checkpoint is exactly this."""

    params: Any
    opt_state: Any
    key: Array
    step: Array
    walkers: Any = ()  # of Markov chains, where there are any
    frame: Any = ()  # of a density matrix: what is measured from time to time instead of trained


Step = Callable[[TrainState], tuple[TrainState, dict[str, Array]]]


class Problem(NamedTuple):
    """A compiled training problem: the step, where it starts, and the part of the density that is not trained.

    combine: from the parameters and the frame to the density; between_steps: from a state to the one that the next step
    starts from, mostly itself, and announced: what that is about to do, where it takes long; carried: leaves of the
    state that a start from another run takes over; notes: what the user should know before the first step.
    """

    step: Step
    start: TrainState
    static: Any
    combine: Callable[..., Any]
    between_steps: Callable[[TrainState], TrainState] = lambda state: state
    carried: tuple[str, ...] = (".params",)
    notes: tuple[str, ...] = ()
    announced: Callable[[TrainState], str] = lambda state: ""

    def density(self, state: TrainState, value: float | None = None) -> Any:
        """The density (matrix) with the parameters of a state, in float64; of a family the member at `value`."""
        with double_precision():
            wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), state.params)
            return self.combine(wide, state.frame, *([] if value is None else [value]))


class Regression(NamedTuple):
    """Scores (R, ..) of one part of the parameters, and the residual (R,) of the local free energy regressed on them.

    walkers: the number B of samples that they come from; R = 2 B with real and imaginary parts.
    """

    scores: Any
    residual: Array
    walkers: int


class Updated(NamedTuple):
    """The parameters part by part, their optimisers' states, and the norm of the whole gradient of F."""

    params: list[Any]
    opt_state: list[Any]
    norm: Array


def regress(
    optimisers: Sequence[Any], regressions: Sequence[Regression], params: Any, opt_state: Any, unit: float = 1.0
) -> Updated:
    """Every part one step on; parts without parameters, or without a regression, stay.

    unit: of the gradient that optimisers see, sum(residual * scores)/B times it (beta for that of beta F).
    """
    new_params, new_opt, square = list(params), list(opt_state), jnp.zeros(())
    for i, (scores, residual, walkers) in enumerate(regressions):
        if not jax.tree.leaves(params[i]):
            continue
        sums = jax.tree.map(lambda s, r=residual: jnp.tensordot(r, s, 1), scores)
        square = square + optax.tree.norm(sums, squared=True) / walkers**2
        gradient = jax.tree.map(lambda s, n=walkers: unit * s / n, sums)
        extra = {"scores": scores, "residual": residual}
        updates, new_opt[i] = optimisers[i].update(gradient, opt_state[i], params[i], **extra)
        new_params[i] = optax.apply_updates(params[i], updates)
    return Updated(new_params, new_opt, jnp.sqrt(square))


def centred(scores: Any) -> Any:
    """Scores (B, ..) less their means."""
    return jax.tree.map(lambda s: s - jnp.mean(s, axis=0, keepdims=True), scores)
