"""Error bars, made here and nowhere else.

Independent samples: the standard error of the mean.  Markov chains: blocking (Flyvbjerg and Petersen, J. Chem.
Phys. 91, 461 (1989)).  Importance weights: the delta method.  All functions take and return numpy values.
"""

from __future__ import annotations

import math

import numpy as np
import scipy  # its parts are imported when first used

from massieu.principle import Estimate


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
    """Mean of correlated chains (C, T) or (T,); error: the largest over block lengths with >= 32 blocks."""
    chains = np.atleast_2d(np.asarray(chains, float))
    value, error = float(chains.mean()), 0.0
    while True:
        count = chains.size
        error = max(error, math.sqrt(chains.var(ddof=1) / count)) if count > 1 else math.nan
        if chains.shape[1] < 2 or count < 64:
            return Estimate(value, error)
        even = chains.shape[1] // 2 * 2
        chains = chains[:, :even].reshape(len(chains), -1, 2).mean(axis=2)


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


def split_r_hat(chains: np.ndarray) -> float:
    """Split R-hat of chains (C, T): near 1 when all halves of all chains agree (Gelman et al., BDA3, 11.4)."""
    half = chains.shape[1] // 2
    halves = np.concatenate([chains[:, :half], chains[:, half : 2 * half]])
    within = halves.var(axis=1, ddof=1).mean()
    between = half * halves.mean(axis=1).var(ddof=1)
    return math.sqrt(((half - 1) / half * within + between / half) / within) if within > 0 else 1.0


def r_hat_within(chains: np.ndarray) -> float:
    """R-hat of chains (G, W, T) that agree within each of G groups, pooled over the groups; groups may differ."""
    steps = chains.shape[2]
    within = chains.var(axis=2, ddof=1).mean()
    between = steps * chains.mean(axis=2).var(axis=1, ddof=1).mean()
    return math.sqrt(((steps - 1) / steps * within + between / steps) / within) if within > 0 else 1.0


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


def z_score(a: Estimate, b: Estimate) -> float:
    """(a - b) in units of the combined error; inf (with its sign) for unequal numbers without errors."""
    difference, error = a.value - b.value, math.hypot(a.error, b.error)
    if error == 0:
        return 0.0 if difference == 0 else math.copysign(math.inf, difference)
    return difference / error
