"""Error bars, made here and nowhere else.

Independent samples: the standard error of the mean.  Markov chains: blocking (Flyvbjerg and Petersen, J. Chem.
Phys. 91, 461 (1989)).  Importance weights: the delta method.  All functions take and return numpy values.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported when first used

from massieu.principle import Estimate

MOST_R_HAT = 1.05
FEWEST_INDEPENDENT = 100  # samples of all chains, in the bulk and in the tails


def mean(values: np.ndarray, unit: float = 0.0) -> Estimate:
    """Mean of independent samples (M,) and its standard error (nan for a single sample).

    M samples that are all alike say nothing of what is rarer than 1/M: the error is then unit/M, not zero.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return Estimate(float(values.mean()), math.nan)
    error = math.sqrt(values.var(ddof=1) / len(values))
    alike = np.ptp(values) <= 1e-10 * max(1.0, float(np.abs(values[0])))
    return Estimate(float(values.mean()), unit / len(values) if alike else error)


def variance(values: np.ndarray) -> Estimate:
    """Variance of independent samples (M,) with its standard error from the fourth moment."""
    values = np.asarray(values, float)
    squares = (values - values.mean()) ** 2
    m = len(values)
    return Estimate(float(squares.sum() / (m - 1)), math.sqrt(max(squares.var(), 0.0) / m))


def less_group_means(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Values (M,) less the mean of their group, scaled so that their mean square is the variance within the groups."""
    _, index, counts = np.unique(group, return_inverse=True, return_counts=True)
    centred = values - (np.bincount(index, values) / counts)[index]
    return centred * math.sqrt(len(values) / max(1, len(values) - len(counts)))


def stratified(values: np.ndarray, group: np.ndarray) -> Estimate:
    """Mean over equally probable groups of their means, each from independent samples; a plain mean of one group."""
    _, index, counts = np.unique(group, return_inverse=True, return_counts=True)
    if len(counts) == 1 or counts.min() < 2:
        return mean(values)
    parts = [mean(values[index == g]) for g in range(len(counts))]
    error = math.sqrt(sum(part.error**2 for part in parts)) / len(parts)
    return Estimate(float(np.mean([part.value for part in parts])), error)


def blocking(chains: np.ndarray) -> Estimate:
    """Mean of correlated chains (C, T) or (T,); error: that of the autocorrelation time, or larger ones of block means.

    The means of whole chains, of 8 or more, and of blocks, of at least 32, raise the error only by more than they are
    uncertain themselves: the largest of many noisy errors would be too large.
    """
    chains = np.atleast_2d(np.asarray(chains, float))
    value, size = float(chains.mean()), chains.size
    if size < 2:
        return Estimate(value, math.nan)
    error = math.sqrt(chains.var(ddof=1) * autocorrelation_time(chains) / size)
    if len(chains) >= 8:
        error = _raised(error, chains.mean(axis=1), 1.0 / len(chains))
    length = 1
    while chains.shape[1] >= 2 and chains.size >= 64:
        even = chains.shape[1] // 2 * 2
        chains, length = chains[:, :even].reshape(len(chains), -1, 2).mean(axis=2), 2 * length
        error = _raised(error, chains, length / size)  # of all samples, those that fill no block too
    return Estimate(value, error)


def _raised(error: float, means: np.ndarray, share: float) -> float:
    """The error that means over a share of the samples each give, where it is clearly the larger one."""
    other = math.sqrt(means.var(ddof=1) * share)
    return other if other * (1 - 1 / math.sqrt(2 * (means.size - 1))) > error else error


def autocorrelation_time(chain: np.ndarray) -> float:
    """Integrated autocorrelation time (in steps, 1 for independent samples) with Sokal's window of 5 times itself."""
    chains = np.atleast_2d(np.asarray(chain, float))
    centred = chains - chains.mean()
    length = chains.shape[1]
    spectrum = np.abs(np.fft.rfft(centred, 2 * length, axis=1)) ** 2
    correlation = np.fft.irfft(spectrum, axis=1)[:, :length].mean(axis=0)
    if correlation[0] <= 0:
        return 1.0
    tau = 2 * np.cumsum(correlation / correlation[0]) - 1
    window = np.flatnonzero(np.arange(length) >= 5 * tau)
    return float(max(1.0, tau[window[0] if len(window) else -1]))


class Mixing(NamedTuple):
    """How far chains agree: rank-normalised split R-hat, and effective numbers of samples in the bulk and the tails.

    (Vehtari, Gelman, Simpson, Carpenter and Buerkner, Bayesian Analysis 16, 667 (2021).)  r_hat is inf for chains that
    stand still at different values, and nan where all values are alike: neither says that they have mixed.
    """

    r_hat: float
    ess_bulk: float
    ess_tail: float
    autocorrelation_time: float  # in steps, at most the length of all chains

    def as_dict(self) -> dict[str, float]:
        """For JSON files."""
        return self._asdict()

    def doubt(self) -> str | None:
        """What speaks against averages over these chains, in a few words; None if nothing does."""
        if not mixed(self.r_hat):
            return f"the chains have not mixed ({unmixed(self.r_hat)})"
        least = min(self.ess_bulk, self.ess_tail)
        if least < FEWEST_INDEPENDENT:
            return f"the chains are too short ({least:.0f} independent samples, fewer than {FEWEST_INDEPENDENT})"
        return None


def mixed(r_hat: float) -> bool:
    """Whether R-hat is near enough to 1; nan, of chains that stand still, is not."""
    return r_hat <= MOST_R_HAT


def unmixed(r_hat: float) -> str:
    """How an R-hat that is not near enough to 1 is said."""
    return f"R-hat {r_hat:.3g} above {MOST_R_HAT}" if math.isfinite(r_hat) else "they stand still"


def mixing(chains: np.ndarray) -> Mixing:
    """Diagnostics of chains (C, T) by arviz-stats."""
    from arviz_stats.base import array_stats  # half a second to import

    chains = np.atleast_2d(np.asarray(chains, float))
    if np.all(np.ptp(chains, axis=1) <= 1e-12 * np.maximum(1.0, np.abs(chains[:, 0]))):
        alike = np.ptp(chains) <= 1e-12 * max(1.0, abs(float(chains[0, 0])))
        return Mixing(math.nan if alike else math.inf, 0.0, 0.0, float(chains.size))
    if chains.shape[1] < 4:
        return Mixing(math.nan, 0.0, 0.0, math.nan)
    axes = {"chain_axis": 0, "draw_axis": 1}
    bulk = array_stats.ess(chains, method="bulk", **axes)
    tail = array_stats.ess(chains, method="tail", prob=(0.1, 0.9), **axes)
    r_hat = array_stats.rhat(chains, method="rank", **axes)
    return Mixing(float(r_hat), float(bulk), float(np.nan_to_num(tail)), autocorrelation_time(chains))


def r_hat_within(chains: np.ndarray) -> float:
    """R-hat of chains (G, W, T) that agree within each of G groups, pooled over the groups; groups may differ.

    As in `Mixing`: inf for chains that stand still at different values, nan if also those of a group are all alike; inf
    where a value is not a number.
    """
    if not np.all(np.isfinite(chains)):
        return math.inf
    steps = chains.shape[2]
    size = 1e-12 * np.maximum(1.0, np.abs(chains[:, :1, :1]))
    if np.all(np.ptp(chains, axis=2, keepdims=True) <= size):
        return math.nan if np.all(np.ptp(chains, axis=(1, 2), keepdims=True) <= size) else math.inf
    within = chains.var(axis=2, ddof=1).mean()
    between = steps * chains.mean(axis=2).var(axis=1, ddof=1).mean()
    return math.sqrt(((steps - 1) / steps * within + between / steps) / within)


def equilibrated(series: np.ndarray) -> int:
    """How many of the first terms (T,) to drop: where the squared standard error of the rest is smallest, at most T/2.

    The marginal standard error rule (White, Simulation 69, 323 (1997)).
    """
    series = np.asarray(series, float)
    errors = [series[start:].var() / (len(series) - start) for start in range(len(series) // 2 + 1)]
    return int(np.argmin(errors))


def normalised_weights(log_weights: np.ndarray) -> np.ndarray:
    """Importance weights (M,) with mean 1."""
    w = np.exp(log_weights - np.max(log_weights))
    return w / w.mean()


def effective_sample_size(log_weights: np.ndarray) -> float:
    """Kish's fraction (sum w)^2 / (M sum w^2), in (0, 1]."""
    return float(1.0 / np.mean(normalised_weights(log_weights) ** 2))


def log_mean_weight(log_weights: np.ndarray) -> Estimate:
    """ln of the mean weight, an unbiased estimate of Z on the log scale: ln Z when ln w = -beta H - ln p."""
    top = float(np.max(log_weights))
    w = np.exp(log_weights - top)
    relative = mean(w / w.mean(), unit=1.0)
    return Estimate(top + math.log(w.mean()), relative.error)


def bar(forward: np.ndarray, reverse: np.ndarray) -> Estimate:
    """-ln(Z_B/Z_A) = beta_B F_B - beta_A F_A by Bennett's acceptance ratio (J. Comput. Phys. 22, 245 (1976)).

    forward: work ln a(x) - ln b(x) of samples of A, with a and b the weights whose integrals are Z_A and Z_B; reverse:
    ln b(x) - ln a(x) of samples of B.  Each is (M,), independent, or (C, T), Markov chains, which count by their
    effective number.  With a map y(x) from A to B, ln b(y) + ln|dy/dx| stands for ln b (Jarzynski, Phys. Rev. E 65,
    046122 (2002)).  The error is that of Shirts, Bair, Hooker and Pande, Phys. Rev. Lett. 91, 140601 (2003), with
    blocking for chains; it is too small where the two sets of samples hardly overlap.
    """
    forward, reverse = np.asarray(forward, float), np.asarray(reverse, float)
    offset = math.log(_effective_number(forward) / _effective_number(reverse))

    def halves(difference: float) -> tuple[np.ndarray, np.ndarray]:
        expit = scipy.special.expit
        return expit(difference - offset - forward), expit(offset - difference - reverse)

    def imbalance(difference: float) -> float:
        a, b = halves(difference)
        return math.exp(min(0.0, offset)) * float(a.mean()) - math.exp(min(0.0, -offset)) * float(b.mean())

    margin = 2 * abs(offset) + 1
    low = min(forward.min(), -reverse.max()) - margin
    high = max(forward.max(), -reverse.min()) + margin
    root = float(scipy.optimize.brentq(imbalance, low, high, xtol=1e-12, rtol=1e-14))
    relative = [estimate.error / estimate.value for estimate in map(_mean_of, halves(root))]
    return Estimate(root, math.hypot(*relative))


def _mean_of(values: np.ndarray) -> Estimate:
    return blocking(values) if values.ndim == 2 else mean(values)


def _effective_number(work: np.ndarray) -> float:
    return work.size / (autocorrelation_time(work) if work.ndim == 2 else 1.0)


def reweighted_mean(values: np.ndarray, log_weights: np.ndarray) -> Estimate:
    """Self-normalised importance average of values (M,) with its delta-method error."""
    w = normalised_weights(log_weights)
    value = float(np.mean(w * values))
    return Estimate(value, float(np.sqrt(np.mean((w * (values - value)) ** 2) / len(w))))


def reweighted_entropy(energy: np.ndarray, log_weights: np.ndarray, beta: float) -> Estimate:
    """S = beta E + ln Z of reweighted energies (M,), ln w = -beta H - ln p; both terms from the same samples."""
    w, E = normalised_weights(log_weights), reweighted_mean(energy, log_weights).value
    influence = w * (1 + beta * (energy - E))  # of each sample: the errors of E and ln Z are correlated
    return Estimate(beta * E + log_mean_weight(log_weights).value, mean(influence, unit=1.0).error)


def z_score(a: Estimate, b: Estimate) -> float:
    """(a - b) in units of the combined error; inf (with its sign) for unequal numbers without errors."""
    difference, error = a.value - b.value, math.hypot(a.error, b.error)
    if error == 0:
        return 0.0 if difference == 0 else math.copysign(math.inf, difference)
    return difference / error
