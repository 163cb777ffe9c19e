"""Names of the classes of the MedMNIST sets, in the order of their numbers."""

import re
from collections.abc import Mapping
from types import MappingProxyType

_ORGANS = (
    *("bladder", "femur-left", "femur-right", "heart", "kidney-left", "kidney-right", "liver", "lung-left"),
    *("lung-right", "pancreas", "spleen"),
)
CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pathmnist": (
            *("adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal colon mucosa"),
            *("cancer-associated stroma", "colorectal adenocarcinoma epithelium"),
        ),
        "chestmnist": (
            *("atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia"),
            *("pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia"),
        ),
        "dermamnist": (
            *("actinic keratoses and intraepithelial carcinoma", "basal cell carcinoma"),
            *("benign keratosis-like lesions", "dermatofibroma", "melanoma", "melanocytic nevi", "vascular lesions"),
        ),
        "octmnist": ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
        "pneumoniamnist": ("normal", "pneumonia"),
        "retinamnist": ("0", "1", "2", "3", "4"),
        "breastmnist": ("malignant", "normal, benign"),
        "bloodmnist": (
            *("basophil", "eosinophil", "erythroblast", "immature granulocytes", "lymphocyte", "monocyte"),
            *("neutrophil", "platelet"),
        ),
        "tissuemnist": (
            *("collecting duct, connecting tubule", "distal convoluted tubule", "glomerular endothelial cells"),
            *("interstitial endothelial cells", "leukocytes", "podocytes", "proximal tubule segments"),
            "thick ascending limb",
        ),
        "organamnist": _ORGANS,
        "organcmnist": _ORGANS,
        "organsmnist": _ORGANS,
    }
)
_SIZE = re.compile(r"_(28|64|128|224)$")


def classes_of(stem: str) -> tuple[str, ...] | None:
    """The classes of the set whose file is called so (`pathmnist`, `pathmnist_224`); None for others."""
    return CLASSES.get(_SIZE.sub("", stem.casefold()))
