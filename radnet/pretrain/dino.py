"""DINO: a student learns to say of small crops what a teacher says of large ones (arXiv 2104.14294).

Shape legend: G global views, V all views, B slices on this rank, D features, K prototypes.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from radnet.configs import validated
from radnet.errors import UsageError
from radnet.pretrain.dino_head import DinoHead
from radnet.pretrain.dino_loss import PendingCenter, dino_terms
from radnet.pretrain.ema import cosine_momentum, follow
from radnet.pretrain.families import CONVOLUTIONAL, RESIDUAL, VIT, fitting_backbone
from radnet.pretrain.method import FEATURES, Method
from radnet.pretrain.moment import Moment
from radnet.views import MultiCropViews, recipe_from_settings

_STUDENT_ONLY = {"dynamic_img_size", "drop_rate", "drop_path_rate", "drop_block_rate", "proj_drop_rate"}
_STUDENT_ONLY |= {"attn_drop_rate", "pos_drop_rate", "patch_drop_rate"}
"""Arguments of a backbone that make the student forget, or see several sizes; the teacher does neither."""

_CHANCES = ("drop_rate", "drop_prob", "attn_drop_p")
"""Where timm's modules hold the probability that they drop something, beside torch's own dropout."""

FEWEST_PROTOTYPES, MOST_PROTOTYPES = 256, 65536
COLDEST, WARMEST = 0.04, 0.07


class DinoSettings(BaseModel):
    """`configs/method/dino.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    output_dim: int = Field(ge=2)
    hidden_dim: int = Field(gt=0)
    bottleneck_dim: int = Field(gt=0)
    student_temperature: float = Field(gt=0)
    teacher_temperature_start: float = Field(gt=0)
    teacher_temperature: float = Field(gt=0)
    temperature_warmup: float = Field(ge=0, le=1)
    momentum: float = Field(ge=0, le=1)
    center_momentum: float = Field(ge=0, lt=1)
    freeze_last_layer_epochs: float = Field(ge=0)
    views: dict[str, Any]


class DINO(Method):
    """DINO on any timm backbone that takes the sizes of the crops; the teacher is exported.

    Args:
        backbone: timm's name of the architecture.
        settings: `configs/method/dino.yaml` as a dictionary, resolved.
        seed: Seed of the initial weights, which teacher and student share.
        backbone_arguments: More arguments of `timm.create_model`; dropout and drop path reach the student alone.
    """

    center: torch.Tensor
    _teacher_temperature: torch.Tensor
    views: MultiCropViews

    def __init__(
        self, backbone: str, settings: dict[str, Any], *, seed: int, backbone_arguments: dict[str, Any]
    ) -> None:
        super().__init__()
        self.settings = own = validated(DinoSettings, settings, "method=dino")
        self.views = recipe = _multicrop(own.views)
        sizes = (recipe.size, recipe.local_size) if recipe.local_views else (recipe.size,)
        families = (RESIDUAL, CONVOLUTIONAL, VIT)
        self.student, features = fitting_backbone(
            backbone, families, backbone_arguments, in_chans=recipe.channels, sizes=sizes, seed=seed
        )
        whole = {key: value for key, value in backbone_arguments.items() if key not in _STUDENT_ONLY}
        self.backbone, _ = fitting_backbone(
            backbone, families, whole, in_chans=recipe.channels, sizes=sizes[:1], seed=seed
        )
        _forget_nothing(self.backbone)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)
            self.student_head, self.teacher_head = (
                DinoHead(features, own.hidden_dim, own.bottleneck_dim, own.output_dim) for _ in range(2)
            )
        self.backbone.load_state_dict(self.student.state_dict())
        self.teacher_head.load_state_dict(self.student_head.state_dict())
        self.backbone.requires_grad_(False)
        self.teacher_head.requires_grad_(False)
        self.register_buffer("center", torch.zeros(own.output_dim))
        self._pending = PendingCenter()
        # a tensor, because a compiled graph would be made anew for every other number
        self.register_buffer("_teacher_temperature", torch.tensor(self._temperature_at(0.0)), persistent=False)

    @classmethod
    def resolve(cls, settings: dict[str, Any], *, slices: int) -> dict[str, Any]:
        """Number of prototypes and the teacher's temperature from the number of slices, unless they are set.

        See `configs/method/dino.yaml` for the rules and their reasons.
        """
        prototypes = settings.get("output_dim")
        if prototypes is None:
            prototypes = prototypes_for(slices)
        temperature = settings.get("teacher_temperature")
        if temperature is None:
            temperature = temperature_for(slices)
        return {**settings, "output_dim": prototypes, "teacher_temperature": temperature}

    @property
    def trained_backbone(self) -> nn.Module:
        """The student."""
        return self.student

    def compile_backbone(self, **options: Any) -> None:
        """Compile student and teacher in place."""
        for network in (self.student, self.backbone):
            network.compile(**{"dynamic": False, **options})

    def forward(self, views: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """See `Method.forward`; `views` are G global ones, then local ones, each (B, C, H, W).

        Returns:
            "loss"; "teacher_entropy" and "marginal_entropy" (see `DinoTerms`); "divergence", the part of the loss
            that is not the teacher's entropy; "center_norm"; and the teacher's features of the first view.
        """
        count, batch = len(self.views.global_blur_probabilities), len(views[0])
        large = torch.cat(list(views[:count]))
        with torch.no_grad():
            seen = self.backbone(large)
        features = [self.student(large)]
        if len(views) > count:
            features.append(self.student(torch.cat(list(views[count:]))))
        with torch.autocast(large.device.type, enabled=False):
            student = self.student_head(torch.cat(features).float()).unflatten(0, (len(views), batch))
            with torch.no_grad():
                teacher = self.teacher_head(seen.float()).unflatten(0, (count, batch))
            terms = dino_terms(
                student,
                teacher,
                self.center,
                student_temperature=self.settings.student_temperature,
                teacher_temperature=self._teacher_temperature,
            )
        if self.training:
            self._pending.add(teacher)
        return {
            **terms._asdict(),
            "divergence": terms.loss.detach() - terms.teacher_entropy,
            "center_norm": self.center.norm(),
            FEATURES: seen[:batch].float(),
        }

    def before_step(self, moment: Moment) -> dict[str, float]:
        """Set the teacher's temperature and say with which momentum the teacher will follow."""
        self._pending.forget()
        temperature = self._temperature_at(moment.progress)
        self._teacher_temperature.fill_(temperature)
        return {"teacher_temperature": temperature, "teacher_momentum": self._momentum_at(moment)}

    def before_update(self, moment: Moment) -> None:
        """Hold the prototypes still in the first epochs, when the teacher knows nothing yet (appendix C)."""
        if moment.epoch < self.settings.freeze_last_layer_epochs:
            self.student_head.prototypes.weight.grad = None

    def after_step(self, moment: Moment) -> None:
        """Let the teacher follow the student, and the centre the teacher."""
        momentum = self._momentum_at(moment)
        follow(self.backbone, self.student, momentum)
        follow(self.teacher_head, self.student_head, momentum)
        self._pending.move(self.center, self.settings.center_momentum)

    def landmarks(self, global_batch: int) -> dict[str, float]:
        """Collapse to a uniform output: ln K."""
        return {"collapse": math.log(self.settings.output_dim)}

    def _momentum_at(self, moment: Moment) -> float:
        return cosine_momentum(moment.progress, start=self.settings.momentum)

    def _temperature_at(self, progress: float) -> float:
        own = self.settings
        share = 1.0 if progress >= own.temperature_warmup else progress / own.temperature_warmup
        return own.teacher_temperature_start + share * (own.teacher_temperature - own.teacher_temperature_start)


def _forget_nothing(network: nn.Module) -> None:
    """Switch off every kind of dropout: several of timm's architectures have some unless told not to."""
    for module in network.modules():
        if isinstance(module, _DropoutNd):
            module.p = 0.0
        for name in _CHANCES:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)


def prototypes_for(slices: int) -> int:
    """K: the power of two below slices / 16, within 256 and 65,536.

    The paper's 65,536 for 1.28 million images are 20 images a prototype; this keeps 16 to 32.
    """
    return 1 << min(max((slices // 16).bit_length() - 1, 8), 16)


def temperature_for(slices: int) -> float:
    """The teacher's last temperature: 0.04 with the fewest prototypes to 0.07 with the most, linear in ln K."""
    share = math.log(prototypes_for(slices) / FEWEST_PROTOTYPES) / math.log(MOST_PROTOTYPES / FEWEST_PROTOTYPES)
    return round(COLDEST + share * (WARMEST - COLDEST), 6)


def _multicrop(settings: dict[str, Any]) -> MultiCropViews:
    recipe = recipe_from_settings({"name": "multicrop", **settings})
    if not isinstance(recipe, MultiCropViews):
        raise UsageError(
            "DINO compares crops of two sizes", seen=settings["name"], fix="Use views@method.views=multicrop"
        )
    if len(recipe.shapes) < 2:
        raise UsageError(
            "DINO compares views with each other, and one view has no other",
            seen=len(recipe.shapes),
            fix="Raise method.views.local_views, or method.views.global_blur_probabilities=[1.0,0.1]",
        )
    return recipe
