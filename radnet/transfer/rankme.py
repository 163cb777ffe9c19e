"""RankMe, the effective rank of features: watched while a run goes on, and reported of what it exports.

Shape legend: N rows (slices), D feature dimensions.
"""

import torch
from torch import Tensor

EPSILON = 1e-7
"""As in the paper."""


def rankme(features: Tensor) -> float:
    """Effective rank: the exponential of the entropy of the normalised singular values.

    p_k = sigma_k / sum(sigma) + 1e-7, RankMe = exp(-sum p_k log p_k), over min(N, D) singular values of the features
    as they are, not centred (Garrido et al. 2023, arXiv 2210.02885, equations 1 and 2). Singular values come from
    the eigenvalues of the smaller Gram matrix in float64, about ten times quicker than a decomposition of the
    features; what this adds to the smallest of them, 1e-8 of the largest, is less than the paper's epsilon.

    Args:
        features: (N, D), any floating dtype and device.

    Returns:
        Between 1 and min(N, D); 0 when all features are zero; NaN when one is not finite.
    """
    rows = features.detach().double()
    if not bool(torch.isfinite(rows).all()):
        return float("nan")
    gram = rows @ rows.T if rows.shape[0] < rows.shape[1] else rows.T @ rows
    sigma = torch.linalg.eigvalsh(gram).clamp_min(0).sqrt()
    total = sigma.sum()
    if float(total) == 0:
        return 0.0
    share = sigma / total + EPSILON
    return float(torch.exp(-(share * share.log()).sum()))
