"""One small model a site, on that site's Markov blanket: the default density of the Potts and the clock model.

As `blanket` for spins.  In the order s_1, s_2, ... the conditional of site k at inverse temperature beta is exactly

    logit_k(a) = beta (h_k + xi_k) . u(a) + ln Z_k[a],     xi_l = sum_{j<k} J_lj u(s_j),

where Z_k[a] is the partition function of the sites still to come in the field of those already drawn and of s_k = a.  It
depends on the Markov blanket of k alone, and if those sites did not interact its logarithm would be

    sum_l ln sum_b exp(beta (h_l + xi_l + J_kl u(a)) . u(b)).

That sum is the starting point.  What is learned is linear in features of the blanket as it is seen from a: of the
vectors u(s - a mod q), of fixed random tanh units of the fields that they exert on the future, and of each term of the
sum.  Without fields one set of coefficients serves all a, which makes p exactly invariant under s -> s + 1 mod q; with
fields each a has its own.  The Fisher matrix is block diagonal, one block a site.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.autoregressive import inverse_order, visit_all
from massieu.densities.blanket import padded
from massieu.densities.states import AbstractStates
from massieu.geometry import elimination_order, markov_blankets


class StateBlanket(AbstractStates):
    """Autoregressive density for H = -sum_{i<j} J_ij u_i . u_j - sum_i h_i . u_i; condition = beta, shape ().

    couplings: (n, n) symmetric, zero diagonal; directions: u (q, r), whose products the group s -> s + 1 mod q keeps;
    field: (n, r); width: random features a site.  The `head` sites that are drawn one by one come first in `order`; the
    rest are an independent set, drawn at once and exactly.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] = eqx.field(static=True)
    states: int = eqx.field(static=True)
    order: np.ndarray
    couplings: np.ndarray  # (n, n) by rank
    field: np.ndarray  # (n, r) by rank
    directions: np.ndarray  # (q, r)
    parents: np.ndarray  # (head, P) ranks of the blanket, padded
    mask: np.ndarray  # (head, P) 1 for a real parent, 0 for padding
    children: np.ndarray  # (head, D) ranks of the coupled sites still to come, padded (coupling 0)
    child_couplings: np.ndarray  # (head, D)
    mixing: np.ndarray  # (head, P, r, width) of the random features
    offset: np.ndarray  # (head, width)
    coefficients: Array  # (head, 1 or q, P r + width + D [+ 1 with fields]): all that is learned

    def __init__(
        self, couplings: np.ndarray, directions: np.ndarray, field: np.ndarray | None = None, *, width: int = 32,
        seed: int = 0,
    ):  # fmt: skip
        n, (q, r), rng = len(couplings), directions.shape, np.random.default_rng(seed)
        self.shape, self.cond_shape, self.states, self.directions = (n,), (), q, np.asarray(directions, float)
        self.order = elimination_order(couplings)
        self.couplings = np.asarray(couplings, float)[np.ix_(self.order, self.order)]
        self.field = np.zeros((n, r)) if field is None else np.asarray(field, float)[self.order]
        head = 1 + int(np.max(np.nonzero(np.triu(self.couplings, 1))[0], initial=0))
        later = [k + 1 + np.flatnonzero(self.couplings[k, k + 1 :]) for k in range(head)]
        self.parents, self.mask = padded(markov_blankets(self.couplings)[:head])
        self.children, real = padded(later)
        self.child_couplings = self.couplings[np.arange(head)[:, None], self.children] * real
        self.mixing = _field_mixtures(self.couplings, self.parents, self.mask, r, width, rng)
        self.offset = rng.normal(size=(head, width))
        held = bool(np.any(self.field))
        learned = jnp.zeros((head, q if held else 1, self.parents.shape[1] * r + width))
        naive = jnp.ones((*learned.shape[:2], self.children.shape[1]))
        self.coefficients = jnp.concatenate([learned, naive, jnp.zeros((*learned.shape[:2], int(held)))], axis=-1)

    @property
    def blocks(self) -> int:
        """Number of conditionals with parameters of their own (the blocks of the Fisher matrix)."""
        return len(self.parents)

    def _fixed(self) -> tuple:
        return tuple(map(jnp.asarray, (self.mask, self.mixing, self.offset, self.child_couplings)))

    def _learned(self, seen: Array, child_fields: Array, beta: Array, coefficients: Array, fixed: tuple) -> Array:
        """The logits (q,) beyond the own field: states of the blanket `seen` (P,), fields on the children (D, r)."""
        mask, mixing, offset, child_couplings = fixed
        u, q = jnp.asarray(self.directions, child_fields.dtype), self.states
        relative = jnp.mod(seen[None] - jnp.arange(q)[:, None], q)
        blanket = u[relative] * mask[None, :, None]  # (q, P, r)
        hidden = jnp.tanh(jnp.einsum("apr,prw->aw", blanket, mixing) + offset[None])
        # (q, D, q): of the child's state b where this site is a
        energies = beta * ((child_fields @ u.T)[None] + child_couplings[None, :, None] * (u @ u.T)[:, None])
        naive = jax.nn.logsumexp(energies, axis=-1)
        naive = naive - jnp.mean(naive, axis=0, keepdims=True)
        constant = jnp.ones((q, coefficients.shape[-1] - blanket[0].size - len(offset) - naive.shape[1]))
        features = jnp.concatenate([blanket.reshape(q, -1), hidden, naive, constant], axis=1)
        return jnp.sum(features * jnp.broadcast_to(coefficients, features.shape), axis=1)

    def _own(self, fields: Array, beta: Array) -> Array:
        """beta h . u(a) of fields (.., r): (.., q)."""
        return beta * (fields @ jnp.asarray(self.directions, fields.dtype).T)

    def logits(self, s: Array, condition: Array | None = None) -> Array:
        beta, head, s = jnp.asarray(condition), self.blocks, s.astype(int)
        u, couplings = jnp.asarray(self.directions)[s], jnp.asarray(self.couplings)
        own = self._own(jnp.tril(couplings, -1) @ u + self.field, beta)
        children = jnp.asarray(self.children)

        def visit(fields: Array, k: Array) -> tuple[Array, Array]:
            return fields + couplings[k][:, None] * u[k][None], fields[children[k]]

        _, child_fields = jax.lax.scan(visit, jnp.asarray(self.field), jnp.arange(head))
        of_each = jax.vmap(self._learned, in_axes=(0, 0, None, 0, 0))
        return own.at[:head].add(of_each(s[self.parents], child_fields, beta, self.coefficients, self._fixed()))

    def start(self, condition: Array | None = None) -> tuple[Array, Array]:
        return jnp.zeros(self.shape, int), jnp.asarray(self.field)

    def next_logit(self, cache, k, previous, condition=None):
        s, fields = cache
        before, value = jnp.maximum(k - 1, 0), previous.astype(int)
        s = s.at[before].set(value)
        exerted = jnp.where(k > 0, jnp.asarray(self.couplings)[before], 0.0)
        fields = fields + exerted[:, None] * jnp.asarray(self.directions)[value][None]
        coefficients, parents, children, *fixed = jax.tree.map(
            lambda leaf: leaf[k],
            (self.coefficients, jnp.asarray(self.parents), jnp.asarray(self.children), *self._fixed()),
        )
        learned = self._learned(s[parents], fields[children], condition, coefficients, tuple(fixed))
        return (s, fields), self._own(fields[k], condition) + learned

    def _sample_and_log_prob(self, key: Array, condition: Array | None = None) -> tuple[Array, Array]:
        """The head one by one, then the independent rest all at once."""
        head, u = self.blocks, jax.random.uniform(key, self.shape)
        first, log_p = visit_all(self, u[:head], condition)
        felt = self.couplings[head:, :head] @ jnp.asarray(self.directions)[first.astype(int)] + self.field[head:]
        logit = self._own(felt, jnp.asarray(condition))
        rest = self.choose(u[head:], logit)
        s = jnp.concatenate([first, rest])[inverse_order(self.order)]
        return s.astype(jnp.int32), log_p + jnp.sum(self.log_conditional(rest, logit))


def _field_mixtures(
    couplings: np.ndarray, parents: np.ndarray, mask: np.ndarray, r: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Weights (head, P, r, width) of random mixtures, of unit norm, of the fields that the past exerts on the future."""
    weights = np.zeros((*parents.shape, r, width))
    for k in range(len(parents)):
        future = couplings[k:, parents[k]] * mask[k]  # (n - k, P)
        drawn = np.einsum("lp,lrw->prw", future, rng.normal(size=(len(future), r, width)))
        norm = np.sqrt(np.sum(drawn**2, axis=(0, 1), keepdims=True) / r)
        weights[k] = drawn / np.where(norm > 0, norm, 1.0)
    return weights
