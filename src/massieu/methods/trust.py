"""What speaks against the numbers of an evaluation, in words for the terminal, the report and summary.json.

A reweighted mean rests on the effective sample size, an average over chains on chains that have mixed; below what is
asked for here neither is called unbiased without a warning, and reweighted values are given without an error.
"""

from __future__ import annotations

import math
from typing import Any

from massieu.statistics import mixed, unmixed

LEAST_ESS = 0.01  # fraction of the samples


def few(ess: float) -> bool:
    """Whether the effective fraction of samples is too small for reweighting."""
    return not ess >= LEAST_ESS


def doubts(observables: dict[str, Any], importance: dict[str, Any] | None) -> list[str]:
    """Sentences, none where nothing speaks against the numbers."""
    found = []
    if importance and few(importance["ess"]):
        share = f"effective sample size {importance['ess']:.2g} of 1, below {LEAST_ESS:g}"
        found.append(f"reweighted values are not to be trusted ({share}); they are given without an error")
    of_jastrow = observables.get("ess_of_jastrow", 1.0)
    if few(of_jastrow):
        share = f"effective sample size of e^(2J) {of_jastrow:.2g} of 1, below {LEAST_ESS:g}"
        found.append(f"the entropy lost by the Jastrow factor is not to be trusted, and so not F and S ({share})")
    chains = observables.get("mcmc", {}).get("doubt")
    if chains:
        found.append(f"averages by Metropolis with neural proposals are not to be trusted: {chains}")
    r_hat = observables.get("r_hat")
    eigenstates = r_hat is not None and math.isnan(r_hat) and observables["acceptance"] > 0  # E_loc of moves is alike
    if r_hat is not None and not mixed(r_hat) and not eigenstates:
        found.append(f"the chains of the evaluation have not mixed ({unmixed(r_hat)})")
    return found
