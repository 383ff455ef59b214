"""Molecules: energies from a function on the host, relaxed geometry, and the frame that turns with the molecule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import Array

from massieu.errors import RunError

HostFunction = Callable[[np.ndarray], tuple[float, np.ndarray]]
STEP = 1e-3  # of positions, for the Hessian by differences of forces
LINEAR = 1e-4  # smallest moment of inertia relative to the largest


def host_energy(function: HostFunction, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    """energy(x) of a function on the host, positions (*shape) -> (energy, forces (*shape)), for jit, vmap and grad.

    The function is called for one configuration at a time, with numpy arrays in float64; its forces are the gradient,
    so that there is no second derivative.
    """

    def on_host(bits: np.ndarray, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
        x = _numbers(bits, dtype)
        try:
            found = [checked_call(function, one) for one in x.astype(float).reshape(-1, *shape)]
        except Exception as error:  # whatever a calculator raises
            raise RunError(f"the calculator failed at a configuration ({error!r})") from None
        energy = np.array([float(value) for value, _ in found], dtype).reshape(x.shape[: x.ndim - len(shape)])
        return _bits(energy), _bits(np.array([force for _, force in found], dtype).reshape(x.shape))

    def both(x: Array) -> tuple[Array, Array]:
        """As bits: the thread of a callback does not know of `jax.enable_x64`, and JAX would round all to float32."""
        words = () if x.dtype.itemsize == 4 else (x.dtype.itemsize // 4,)
        result = (jax.ShapeDtypeStruct((*of, *words), jnp.uint32) for of in ((), shape))
        bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
        found = jax.pure_callback(partial(on_host, dtype=x.dtype), tuple(result), bits, vmap_method="expand_dims")
        value, force = (jax.lax.bitcast_convert_type(part, x.dtype) for part in found)
        return value, force

    @jax.custom_vjp
    def energy(x: Array) -> Array:
        return both(x)[0]

    energy.defvjp(both, lambda force, g: (-g * force,))
    return energy


def _bits(x: np.ndarray) -> np.ndarray:
    """Numbers as words of 32 bits, along a last axis of two for doubles; as jax.lax.bitcast_convert_type has them."""
    return np.ascontiguousarray(x).view(np.uint32).reshape((*x.shape, *(() if x.itemsize == 4 else (2,))))


def _numbers(bits: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The inverse of `_bits`."""
    return np.ascontiguousarray(bits).view(dtype).reshape(bits.shape[: bits.ndim - (dtype.itemsize > 4)])


def checked_call(function: HostFunction, x: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy and forces at x; ValueError unless they are a number and an array of the shape of x."""
    energy, forces = function(x)
    forces = np.asarray(forces, float)
    if np.ndim(energy) != 0 or forces.shape != x.shape:
        raise ValueError(f"energy of shape {np.shape(energy)} and forces of shape {forces.shape} for {x.shape}")
    return float(energy), forces


class NoFrame(ValueError):
    """The molecule has no frame: it is linear, or its positions are no minimum."""


class Frame(NamedTuple):
    """A relaxed molecule: positions (n, 3) about the centroid, orthonormal modes (3n, 3n - 6), stiffness of each.

    x = rotation (positions + modes q) + centroid, so that sum_i positions_i x x_i = 0 in the frame (Eckart, Phys. Rev.
    47, 552 (1935), here with equal weights): the rotation of the best superposition.
    """

    positions: np.ndarray
    modes: np.ndarray
    stiffness: np.ndarray

    def log_volume(self, moved: Array) -> Array:
        """ln |dx/d(centroid, rotation, q)| at positions `moved` (n, 3) in the frame: n^{3/2} det I'/det(I)^{1/2}.

        I' = sum_i (a_i.b_i - b_i a_i^T) with a the relaxed and b the moved positions, I the same with b = a.
        """
        at_rest = jnp.asarray(self.positions, moved.dtype)
        fixed, change = (jnp.linalg.slogdet(inertia(at_rest, other))[1] for other in (at_rest, moved))
        return 1.5 * np.log(len(self.positions)) - 0.5 * fixed + change

    def folded(self, moved: Array) -> Array:
        """Whether `moved` (n, 3) left the frame: I' is not positive, another rotation superposes it better."""
        change = inertia(jnp.asarray(self.positions, moved.dtype), moved)
        return jnp.linalg.eigvalsh(0.5 * (change + change.T))[0] <= 0

    def superposed(self, x: Array) -> Array:
        """x (n, 3) moved and turned into the frame, by the quaternion of Horn, J. Opt. Soc. Am. A 4, 629 (1987)."""
        centred = x - jnp.mean(x, axis=0, keepdims=True)
        s = centred.T @ jnp.asarray(self.positions, x.dtype)
        twist = jnp.array([s[1, 2] - s[2, 1], s[2, 0] - s[0, 2], s[0, 1] - s[1, 0]])
        rest = s + s.T - jnp.trace(s) * jnp.eye(3, dtype=x.dtype)
        matrix = jnp.block([[jnp.trace(s)[None, None], twist[None]], [twist[:, None], rest]])
        w, *axis = jnp.linalg.eigh(matrix)[1][:, -1]
        v = jnp.stack(axis)[None]
        return centred + 2 * jnp.cross(v, w * centred + jnp.cross(v, centred))


def inertia(a: Any, b: Any) -> Any:
    """sum_i (a_i.b_i 1 - b_i a_i^T) (3, 3)."""
    return jnp.sum(a * b) * jnp.eye(3) - jnp.einsum("ia,ib->ab", b, a)


def relaxed(function: HostFunction, positions: np.ndarray, tolerance: float = 1e-4) -> np.ndarray:
    """Positions (n, 3) of the nearest minimum, about their centroid; NoFrame where none is found."""

    def flat(x: np.ndarray) -> tuple[float, np.ndarray]:
        energy, forces = function(x.reshape(-1, 3))
        return float(energy), -np.asarray(forces, float).ravel()

    found = scipy.optimize.minimize(flat, np.asarray(positions, float).ravel(), jac=True, options={"gtol": tolerance})
    if not np.max(np.abs(found.jac)) <= 100 * tolerance:
        raise NoFrame(f"no minimum found, the largest force left is {np.max(np.abs(found.jac)):.2g}")
    x = found.x.reshape(-1, 3)
    return x - x.mean(axis=0)


def frame(function: HostFunction, positions: np.ndarray) -> Frame:
    """The frame about relaxed positions (n, 3); NoFrame for a linear molecule or an unstable one."""
    n = len(positions)
    moments = np.linalg.eigvalsh(np.asarray(inertia(positions, positions)))
    if n < 3 or moments[0] < LINEAR * moments[-1]:
        raise NoFrame("the molecule is linear")
    still = [np.tile(axis, (n, 1)) for axis in np.eye(3)]
    still += [np.cross(axis, positions) for axis in np.eye(3)]
    rigid, _ = np.linalg.qr(np.array(still).reshape(6, -1).T)
    others = scipy.linalg.null_space(rigid.T)
    columns = []
    for column in others.T.reshape(-1, n, 3):
        up, down = (np.asarray(function(positions + s * STEP * column)[1], float) for s in (1, -1))
        columns.append(others.T @ (down - up).ravel() / (2 * STEP))
    hessian = np.array(columns)
    stiffness, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    if stiffness[0] <= 0:
        raise NoFrame(f"not a minimum: lowest stiffness {stiffness[0]:.3g}")
    return Frame(positions, others @ vectors, stiffness)
