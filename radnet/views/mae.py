"""One view of a slice for masked reconstruction: MAE (arXiv 2111.06377) on CT.

The paper found that cropping and flipping are all the augmentation that MAE wants, because masking makes every view a
new one (table 1e). So there is no blur, which would change what is to be reconstructed, and no noise, which nobody can
reconstruct. The random window stays: it is no augmentation but the choice of what a CT slice looks like.
"""

from dataclasses import dataclass
from typing import ClassVar

from radnet.views.simclr import SimclrViews


@dataclass(frozen=True)
class MaeViews(SimclrViews):
    """A single cropped and flipped view; the settings are those of `SimclrViews`.

    Raises:
        UsageError: A value makes no sense.
    """

    where: ClassVar[str] = "the MAE views"

    blur_probability: float = 0.0
    noise_hu: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    views: int = 1
