"""Density-peaks clustering (Rodriguez and Laio, Science 2014), for methods that merge tokens.

A centre has many neighbours close by, and is far from every token that has more of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Clusters:
    """Which of ``m`` points are centres, and where the others belong.

    Attributes:
        centres: ``[k]`` long, the points that are centres, the best first.
        member: ``[m]`` long, for each point the entry of :attr:`centres` that it belongs to; a
            centre belongs to itself.
    """

    centres: Tensor
    member: Tensor

    def means(self, points: Tensor) -> Tensor:
        """``[k, D]`` the mean of each cluster's ``points [m, D]``."""
        # A product with zeros and ones: adding by index has no fixed order on a GPU.
        places = torch.arange(len(self.centres), device=points.device)
        belongs = (self.member == places[:, None]).to(points)
        return belongs @ points / belongs.sum(dim=1, keepdim=True)


def density_peaks(points: Tensor, clusters: int) -> Clusters:
    """Cluster ``points`` around those that are dense and far from denser ones.

    With ``d_ij = ‖x_i − x_j‖₂ / √D``:

        density      ρ_i = exp(−mean of d_ij² over the ``clusters`` nearest points, i included)
        separation   δ_i = distance to the nearest point of higher density; the largest distance
                     of all for a point that has none
        centres      the ``clusters`` points of largest δ_i · ρ_i

    Each point belongs to its nearest centre. Ties go to the earlier point, and to the better
    centre.

    Args:
        points: ``[m, D]`` float32.
        clusters: how many, 1 to m.

    Seven points on a line, three clusters. Around 1 and 21 points are dense; the third
    centre is 0, because 50 is far from all the others but has no neighbour:

    >>> line = torch.tensor([[0.0], [1.0], [3.0], [20.0], [21.0], [24.0], [50.0]])
    >>> found = density_peaks(line, 3)
    >>> found.centres.tolist(), found.member.tolist()
    ([1, 4, 0], [2, 0, 0, 1, 1, 1, 1])
    """
    # Differences, not products: two equal points are then at distance 0 exactly.
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    distances = distances / points.shape[1] ** 0.5
    nearest = distances.sort(dim=1).values[:, :clusters]
    density = nearest.square().mean(dim=1).neg().exp()
    denser = density > density[:, None]
    separation = distances.where(denser, distances.max()).amin(dim=1)
    ranked = torch.argsort(separation * density, descending=True, stable=True)
    centres = ranked[:clusters]
    member = distances[centres].argmin(dim=0)
    member = member.index_copy(0, centres, torch.arange(clusters, device=member.device))
    return Clusters(centres, member)
