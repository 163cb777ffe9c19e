"""How other projects call the tensors of their encoders, and what else lies in their files.

Names as the projects publish them:

- reference study (arXiv 2306.17555): `encoder_pretrained.tar` has torchvision's names; finetuned files have `encoder.`
  or `unet.backbone.` before them
- lukemelas/EfficientNet-PyTorch: `_conv_stem`, `_blocks.N._expand_conv`, …
- facebookresearch/moco and moco-v3: `module.encoder_q.`, `module.base_encoder.`
- facebookresearch/mae: a ViT with `decoder_…` beside it
- facebookresearch/dino, dinov2: `backbone.` beside `head.`, `dino_head.`, `ibot_head.`; released backbones are bare
- lightly: `backbone.` of a torchvision model or of its children in order, beside `projection_head.`; pairs of teacher
  and student
- solo-learn: `backbone.` (older: `encoder.`) beside `projector.`, `classifier.`, `momentum_…`
- RadImageNet: `backbone.` of a torchvision model's children in order
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
UNSCALED = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@dataclass(frozen=True)
class Layout:
    """One way to store an encoder.

    Attributes:
        name: What `--layout` calls it.
        project: Whose it is, in words.
        encoders: Prefixes of the encoder's tensors; the first that occurs is taken.
        signs: Regular expressions, one of which some name matches in every file of this layout.
        never: Regular expressions that no name of this layout matches.
        others: Regular expression of names beside the encoder -> what they are.
        inner: The same for names under the encoder's prefix that are no part of it.
        method: How such weights were trained, where the layout tells.
        normalisation: Mean and deviation of the inputs in training, where the project has one; None: timm's for the
            architecture.
        window: Window policy that the project trained with, as settings; None: none is known.
        has_classifier: Whether a last linear layer is a classifier of the encoder's own.
    """

    name: str
    project: str
    encoders: tuple[str, ...]
    signs: tuple[str, ...]
    never: tuple[str, ...] = ()
    others: Mapping[str, str] = field(default_factory=dict)
    inner: Mapping[str, str] = field(default_factory=dict)
    method: str = "not stated"
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = IMAGENET
    window: Mapping[str, object] | None = None
    has_classifier: bool = False

    def fits(self, names: list[str]) -> bool:
        """Whether a file with these names can be of this layout."""
        has_encoder = any(name.startswith(prefix) for prefix in self.encoders for name in names)
        if any(re.match(pattern, name) for pattern in self.never for name in names):
            return False
        return has_encoder and any(re.match(sign, name) for sign in self.signs for name in names)

    def encoder_prefix(self, names: list[str]) -> str | None:
        """The prefix of the encoder's tensors, None when there is none."""
        return next((prefix for prefix in self.encoders if any(name.startswith(prefix) for name in names)), None)

    def other_part(self, name: str, prefix: str) -> str | None:
        """What a tensor is that is no part of the encoder; None when it is part of it, or not known.

        Args:
            name: Its whole name.
            prefix: Of the encoder's names.
        """
        known = {**self.inner, **self.others} if not prefix else self.inner if name.startswith(prefix) else self.others
        return next((meaning for pattern, meaning in known.items() if re.match(pattern, name)), None)


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        name="lukemelas",
        project="lukemelas/EfficientNet-PyTorch",
        encoders=("_",),
        signs=(r"_conv_stem\.", r"_blocks\.0\._depthwise_conv\."),
        method="supervised",
        normalisation=None,
        has_classifier=True,
    ),
    Layout(
        name="moco",
        project="facebookresearch/moco and moco-v3",
        encoders=("encoder_q.", "base_encoder."),
        signs=(r"encoder_q\.", r"base_encoder\."),
        others={
            r"(encoder_k|momentum_encoder)\.": "momentum encoder",
            r"queue": "queue of negatives",
            r"predictor\.": "predictor",
        },
        inner={r"encoder_q\.fc\.|base_encoder\.(fc|head)\.": "projection head"},
        method="moco",
    ),
    Layout(
        name="mae",
        project="facebookresearch/mae",
        encoders=("",),
        signs=(r"decoder_(embed|pred|blocks|pos_embed)",),
        inner={r"decoder_": "decoder", r"mask_token$": "mask token"},
        method="mae",
    ),
    Layout(
        name="dino",
        project="facebookresearch/dino and dinov2",
        encoders=("backbone.", ""),
        signs=(
            r"head\.last_layer\.",
            r"(dino|ibot)_head\.",
            r"mask_token$",
            r"backbone\.mask_token$",
            # LayerScale alone is no sign: timm's own deit3 has it, too, under the same names
            r"register_tokens$",
            r"blocks\.\d+\.\d+\.ls1\.",
            r"blocks\.(\d+\.)?\d+\.mlp\.w12\.",
        ),
        others={
            r"head\.(mlp|last_layer)\.": "projection head",
            r"(dino|ibot)_head\.": "projection head",
        },
        inner={r"(backbone\.)?mask_token$": "mask token"},
        method="dino",
    ),
    Layout(
        name="reference-study",
        project="the reference study (arXiv 2306.17555)",
        encoders=("unet.backbone.", "encoder."),
        signs=(r"unet\.backbone\.", r"encoder\.(conv1|layer1)\."),
        never=(r"(projector|predictor|prototypes|momentum_|projection_head)",),
        others={r"unet\.(?!backbone\.)": "U-Net decoder", r"(fc|head|classifier|linear)\.": "head"},
        inner={r"encoder\.fc\.|unet\.backbone\.fc\.": "head"},
        method="simclr",
        normalisation=UNSCALED,
        window={"policy": "minmax"},
    ),
    Layout(
        name="lightly",
        project="lightly",
        encoders=("teacher_backbone.", "teacher.backbone.", "query_backbone.", "backbone.vit.", "backbone."),
        signs=(
            r"(teacher_|student_)?projection_head",
            r"(teacher|student)_(backbone|head)\.",
            r"(teacher|student)\.backbone\.",
            r"(query|key)_(backbone|projection_head)\.",
            r"backbone\.vit\.",
            r"backbone_momentum\.",
            r"(online_classifier|prediction_head|decoder)\.",
        ),
        others={
            r"backbone\.mask_token$": "mask token",
            r"student_backbone\.|student\.|backbone_momentum\.|key_backbone\.|backbone\.(?!vit\.)": "other encoder",
            r".*projection_head": "projection head",
            r"(teacher|student)_head\.|teacher\.head\.|prediction_head|prototypes": "projection head",
            r"online_classifier\.": "classifier of an online probe",
            r"criterion\.|.*memory_bank|.*queue": "state of the loss",
            r"decoder\.": "decoder",
        },
        inner={r"backbone\.vit\.mask_token$": "mask token"},
    ),
    Layout(
        name="radimagenet",
        project="RadImageNet (children of a torchvision model in order)",
        encoders=("backbone.", "encoder."),
        signs=(r"(backbone|encoder)\.0\.(weight|conv0\.weight)$",),
        others={r"(fc|classifier)\.": "classifier"},
        method="supervised",
        normalisation=HALF,
    ),
    Layout(
        name="solo-learn",
        project="solo-learn",
        encoders=("backbone.", "encoder."),
        signs=(
            r"projector\.",
            r"classifier\.",
            r"momentum_(backbone|encoder|projector)\.",
            r"predictor\.",
            r"prototypes",
        ),
        others={
            r"(momentum_)?(projector|predictor|head|prototypes|encoder|backbone)": "heads and momentum networks",
            r"(momentum_)?classifier\.": "classifier of an online probe",
            r"queue|dino_loss|.*_loss": "state of the loss",
        },
    ),
    Layout(
        name="prefixed",
        project="an encoder under a prefix (VICReg, SimSiam, Barlow Twins and others)",
        encoders=("backbone.", "encoder.", "model.", "net.", "trunk."),
        signs=(r"(backbone|encoder|model|net|trunk)\.",),
        others={r"(projector|predictor|head|fc|classifier|bn)\.": "head"},
    ),
    Layout(
        name="plain",
        project="a bare model of torchvision or timm, such as the reference study's encoder_pretrained.tar",
        encoders=("",),
        signs=(r".",),
        others={r"(projection_head|prototypes)\.": "projection head"},
        normalisation=None,
        has_classifier=True,
    ),
)
"""In the order in which a file is tried: the first that fits is taken unless one is named."""

WRAPPERS = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every name."""
