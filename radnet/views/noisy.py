"""The evaluation view with noise on its grey values, for tests of how much noise a model bears.

The reference study adds Gaussian noise to images scaled to [0, 1] (arXiv 2306.17555, experiment E3: standard deviations
from 1e-4 to 5e-2 on training images). The magnitude of an MR image is not Gaussian but Rician: both parts of a complex
signal have noise (Gudbjartsson & Patz 1995, "The Rician distribution of noisy MRI data", Magn Reson Med 34).

Shape legend: C channels, Y rows, X columns.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from radnet.views.evaluation import EvaluationView
from radnet.views.pixels import Image
from radnet.views.settings import require

NOISES = ("gaussian", "rician")


@dataclass(frozen=True)
class NoisyView(EvaluationView):
    """`EvaluationView` with noise, which the generator draws, on the grey values before their normalisation.

    Nothing is cut off: noise keeps its distribution at black and white. Where one plane serves three channels they all
    see the same noise, as they would that of a scanner.

    Attributes:
        noise: "gaussian" or "rician".
        noise_std: Standard deviation, as a share of the range of grey values.
    """

    where: ClassVar[str] = "the noisy view"

    noise: str = "gaussian"
    noise_std: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.noise in NOISES, "noise is gaussian or rician", self.noise, self.where, "noise=gaussian")
        require(
            0 < self.noise_std < 1, "noise_std lies between 0 and 1", self.noise_std, self.where, "For example 0.01"
        )

    def grey(self, image: Image, generator: np.random.Generator) -> NDArray[np.float32]:
        """Grey values with noise, float32, (1 or C, size, size); they may leave [0, 1]."""
        clean = super().grey(image, generator)
        noisy = clean + np.float32(self.noise_std) * generator.standard_normal(clean.shape, dtype=np.float32)
        if self.noise == "gaussian":
            return np.asarray(noisy)
        imaginary = np.float32(self.noise_std) * generator.standard_normal(clean.shape, dtype=np.float32)
        return np.asarray(np.hypot(noisy, imaginary))
