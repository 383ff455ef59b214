"""One small model a site, on that site's Markov blanket: the default densities of Potts, clock and XY models.

As `blanket` for spins.  In the order s_1, s_2, ... the conditional of site k at inverse temperature beta is exactly

    ln p(s_k = a | s_<k) = beta (h_k + xi_k) . u(a) + ln Z_k[a] + const,     xi_l = sum_{j<k} J_lj u(s_j),

where Z_k[a] is the partition function of the sites still to come in the field of those already drawn and of s_k = a.
It depends on the Markov blanket of k alone, and if those sites did not interact its logarithm would be

    sum_l ln sum_b exp(beta (h_l + xi_l + J_kl u(a)) . u(b)).

That sum is the starting point.  What is learned is linear in features of the blanket as it is seen from a: of its
vectors turned by -a, of fixed random tanh units of the fields that they exert on the future, and of each term of the
sum.
Without fields the same coefficients serve all a, which makes p exactly invariant where all sites are turned together.
The Fisher matrix is block diagonal, one block a site: made for the natural gradient.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from massieu.densities.autoregressive import AbstractAutoregressive, inverse_order, visit_all
from massieu.densities.blanket import neighbourhoods
from massieu.geometry import elimination_order


class Blankets(NamedTuple):
    """What every site of a graph sees and exerts, by rank; `head` sites are drawn one by one, the rest at once."""

    parents: np.ndarray  # (head, P) ranks of the blanket, padded
    mask: np.ndarray  # (head, P) 1 for a real parent, 0 for padding
    children: np.ndarray  # (head, D) ranks of the coupled sites still to come, padded (coupling 0)
    child_couplings: np.ndarray  # (head, D)
    mixing: np.ndarray  # (head, P, r, width) of the random features
    offset: np.ndarray  # (head, width)

    @classmethod
    def of(cls, ranked: np.ndarray, r: int, width: int, seed: int) -> Blankets:
        """Of couplings (n, n) by rank."""
        rng = np.random.default_rng(seed)
        parents, mask, children, of_children = neighbourhoods(ranked)
        mixing = _field_mixtures(ranked, parents, mask, r, width, rng)
        return cls(parents, mask, children, of_children, mixing, rng.normal(size=(len(parents), width)))


class AbstractVectorBlanket(AbstractAutoregressive):
    """For H = -sum_{i<j} J_ij u_i . u_j - sum_i h_i . u_i with vectors u (r,); condition = beta, shape ().

    A conditional has a logit for each of q `candidates`; a subclass says what they are, how the blanket is seen from
    them, and what the sum over a child's states is.
    """

    couplings: eqx.AbstractVar[np.ndarray]  # (n, n) by rank
    field: eqx.AbstractVar[np.ndarray]  # (n, r) by rank
    blankets: eqx.AbstractVar[Blankets]
    coefficients: eqx.AbstractVar[Array]  # (head, 1 or q, features): all that is learned

    @abstractmethod
    def vectors(self, s: Array) -> Array:
        """u (.., r) of values s (..)."""

    @abstractmethod
    def candidates(self) -> np.ndarray:
        """u (q, r) of the values that have a logit."""

    @abstractmethod
    def seen(self, s: Array) -> Array:
        """u (q, P, r) of the values s (P,), turned by each of the candidates."""

    @abstractmethod
    def log_sum(self, fields: Array) -> Array:
        """ln sum_b exp(x . u(b)) of x (.., r), up to a constant."""

    @property
    def blocks(self) -> int:
        """Number of conditionals with parameters of their own (the blocks of the Fisher matrix)."""
        return len(self.blankets.parents)

    def _own(self, fields: Array, beta: Array) -> Array:
        """beta h . u(a) of fields (.., r): (.., q)."""
        return beta * (fields @ jnp.asarray(self.candidates(), fields.dtype).T)

    def _learned(self, seen: Array, fields: Array, beta: Array, coefficients: Array, fixed: Blankets) -> Array:
        """The logits (q,) beyond the own field, of the blanket's values (P,) and the fields on the children (D, r)."""
        blanket = self.seen(seen) * fixed.mask[None, :, None]
        hidden = jnp.tanh(jnp.einsum("apr,prw->aw", blanket, fixed.mixing) + fixed.offset[None])
        exerted = fixed.child_couplings[None, :, None] * jnp.asarray(self.candidates(), fields.dtype)[:, None]
        naive = self.log_sum(beta * (fields[None] + exerted))  # (q, D)
        naive = naive - jnp.mean(naive, axis=0, keepdims=True)
        features = jnp.concatenate([blanket.reshape(len(blanket), -1), hidden, naive], axis=1)
        constant = jnp.ones((len(blanket), coefficients.shape[-1] - features.shape[1]))
        features = jnp.concatenate([features, constant], axis=1)
        return jnp.sum(features * jnp.broadcast_to(coefficients, features.shape), axis=1)

    def logits(self, s: Array, condition: Array | None = None) -> Array:
        beta, head, u = jnp.asarray(condition), self.blocks, self.vectors(s)
        couplings, fixed = jnp.asarray(self.couplings), jax.tree.map(jnp.asarray, self.blankets)
        own = self._own(jnp.tril(couplings, -1) @ u + self.field, beta)

        def visit(fields: Array, k: Array) -> tuple[Array, Array]:
            return fields + couplings[k][:, None] * u[k][None], fields[fixed.children[k]]

        _, on_children = jax.lax.scan(visit, jnp.asarray(self.field), jnp.arange(head))
        of_each = jax.vmap(self._learned, in_axes=(0, 0, None, 0, 0))
        return own.at[:head].add(of_each(s[fixed.parents], on_children, beta, self.coefficients, fixed))

    def start(self, condition: Array | None = None) -> tuple[Array, Array]:
        return jnp.zeros(self.shape), jnp.asarray(self.field)

    def next_logit(self, cache, k, previous, condition=None):
        s, fields = cache
        before = jnp.maximum(k - 1, 0)
        s = s.at[before].set(previous)
        exerted = jnp.where(k > 0, jnp.asarray(self.couplings)[before], 0.0)
        fields = fields + exerted[:, None] * self.vectors(previous)[None]
        fixed = jax.tree.map(lambda leaf: jnp.asarray(leaf)[k], self.blankets)
        learned = self._learned(s[fixed.parents], fields[fixed.children], condition, self.coefficients[k], fixed)
        return (s, fields), self._own(fields[k], condition) + learned

    def drawn(self, u: Array, condition: Array | None) -> tuple[Array, Array]:
        """Values by site and their ln p, of uniform numbers u (n,): the head one by one, then the rest all at once."""
        head = self.blocks
        first, log_p = visit_all(self, u[:head], condition)
        felt = self.couplings[head:, :head] @ self.vectors(first) + self.field[head:]
        logit = self._own(felt, jnp.asarray(condition))
        rest = self.choose(u[head:], logit)
        s = jnp.concatenate([first, rest])[inverse_order(self.order)]
        return s, log_p + jnp.sum(self.log_conditional(rest, logit))


def first_coefficients(blankets: Blankets, sets: int, constant: bool) -> Array:
    """Coefficients (head, sets, features): 1 for the terms of the naive sum, 0 for the others."""
    head, p, r, width = blankets.mixing.shape
    learned, naive = jnp.zeros((head, sets, p * r + width)), jnp.ones((head, sets, blankets.children.shape[1]))
    return jnp.concatenate([learned, naive, jnp.zeros((head, sets, int(constant)))], axis=-1)


def by_rank(couplings: np.ndarray, field: np.ndarray | None, r: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The order (n,) in which sites are drawn, couplings (n, n) and fields (n, r) in it."""
    order = elimination_order(couplings)
    fields = np.zeros((len(couplings), r)) if field is None else np.asarray(field, float)
    return order, np.asarray(couplings, float)[np.ix_(order, order)], fields[order]


def _field_mixtures(
    couplings: np.ndarray, parents: np.ndarray, mask: np.ndarray, r: int, width: int, rng: np.random.Generator
) -> np.ndarray:
    """Weights (head, P, r, width) of random mixtures of the fields that the past exerts on the future."""
    weights = np.zeros((*parents.shape, r, width))
    for k in range(len(parents)):
        future = couplings[k:, parents[k]] * mask[k]  # (n - k, P)
        drawn = np.einsum("lp,lrw->prw", future, rng.normal(size=(len(future), r, width)))
        norm = np.sqrt(np.sum(drawn**2, axis=(0, 1), keepdims=True) / r)
        weights[k] = drawn / np.where(norm > 0, norm, 1.0)
    return weights
