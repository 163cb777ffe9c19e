import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from radnet.configs import compose
from radnet.errors import UsageError
from radnet.pretrain.dino import DINO, prototypes_for
from radnet.pretrain.dino_head import DinoHead
from radnet.pretrain.dino_loss import PendingCenter, dino_terms
from radnet.pretrain.ema import cosine_momentum
from radnet.pretrain.moment import Moment
from radnet.pretrain.registry import build_method, resolve_method
from tests.pretrain.methods_for_tests import do_step, random_views, small_method, small_settings
from tests.pretrain.ranks_for_tests import on_ranks

VIEWS, GLOBALS, BATCH, K = 5, 2, 3, 7


def _outputs(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    e = np.exp(logits - logits.max())
    return e / e.sum()


def _slow_loss(student: NDArray[np.float64], teacher: NDArray[np.float64], center: NDArray[np.float64]) -> float:
    """Algorithm 1 of arXiv 2104.14294 with multi-crop (equation 3), a pair and a slice at a time, float64."""
    losses = []
    for t in range(GLOBALS):
        for s in range(VIEWS):
            if s != t:
                for b in range(BATCH):
                    target = _softmax((teacher[t, b] - center) / 0.05)
                    losses.append(-sum(target * np.log(_softmax(student[s, b] / 0.1))))
    return float(np.mean(losses))


def _terms(student: torch.Tensor, teacher: torch.Tensor, center: torch.Tensor):  # type: ignore[no-untyped-def]
    return dino_terms(student, teacher, center, student_temperature=0.1, teacher_temperature=0.05)


def test_the_loss_is_that_of_the_paper() -> None:
    student, teacher, center = _outputs(VIEWS, BATCH, K), _outputs(GLOBALS, BATCH, K, seed=1), _outputs(K, seed=2)
    expected = _slow_loss(student.double().numpy(), teacher.double().numpy(), center.double().numpy())
    terms = _terms(student, teacher, center)
    assert float(terms.loss) == pytest.approx(expected, rel=1e-6)
    targets = [_softmax(row) for row in ((teacher - center) / 0.05).double().numpy().reshape(-1, K)]
    assert float(terms.teacher_entropy) == pytest.approx(
        float(np.mean([-(p * np.log(p)).sum() for p in targets])), rel=1e-5
    )
    mean = np.mean(targets, axis=0)
    assert float(terms.marginal_entropy) == pytest.approx(float(-(mean * np.log(mean)).sum()), rel=1e-5)


def test_a_loss_of_many_prototypes_keeps_its_precision() -> None:
    student, teacher = _outputs(12, 4, 65536), _outputs(2, 4, 65536, seed=1)
    terms = _terms(student, teacher, torch.zeros(65536))
    exact = _terms(student.double(), teacher.double(), torch.zeros(65536).double())
    assert float(terms.loss) == pytest.approx(float(exact.loss), rel=1e-6)


def test_gradients_are_those_of_autograd_in_float64() -> None:
    student = _outputs(VIEWS, BATCH, K).double().requires_grad_()
    teacher, center = _outputs(GLOBALS, BATCH, K, seed=1).double(), _outputs(K, seed=2).double()
    assert torch.autograd.gradcheck(lambda x: _terms(x, teacher, center).loss, (student,))


def test_alike_outputs_cost_the_landmark_of_collapse() -> None:
    method = small_method("dino", "vit")
    same = torch.ones(4, 3, 32)
    terms = _terms(same, same[:2], torch.zeros(32))
    assert method.landmarks(256) == {"collapse": pytest.approx(float(terms.loss), rel=1e-6)}
    assert float(terms.teacher_entropy) == pytest.approx(math.log(32), rel=1e-6)


def test_the_centre_follows_the_mean_of_a_step_and_forgets_a_skipped_one() -> None:
    first, second, lost = (_outputs(GLOBALS, rows, K, seed=rows) for rows in (2, 4, 3))
    center = torch.full((K,), 0.5)
    pending = PendingCenter()
    pending.add(lost)
    pending.forget()
    pending.add(first)
    pending.add(second)
    pending.move(center, momentum=0.9)
    rows = np.concatenate([x.double().numpy().reshape(-1, K) for x in (first, second)])
    assert np.abs(center.numpy() - (0.9 * 0.5 + 0.1 * rows.mean(axis=0))).max() <= 1e-6
    before = center.clone()
    pending.move(center, momentum=0.9)
    assert torch.equal(center, before)


def test_the_centre_of_two_ranks_is_that_of_all_their_slices(tmp_path: Path) -> None:
    outputs = [_outputs(GLOBALS, rows, K, seed=rows) for rows in (2, 3)]

    def moved(rank: int) -> torch.Tensor:
        pending, center = PendingCenter(), torch.zeros(K)
        pending.add(outputs[rank])
        pending.move(center, momentum=0.9)
        return center

    rows = np.concatenate([x.double().numpy().reshape(-1, K) for x in outputs])
    for center in on_ranks(2, moved, tmp_path):
        assert np.abs(center.numpy() - 0.1 * rows.mean(axis=0)).max() <= 1e-6


def test_the_head_gives_cosines_with_its_prototypes() -> None:
    head = DinoHead(6, 16, 8, 10)
    features = _outputs(4, 6)
    with torch.no_grad():
        hidden = head.layers(features)
        expected = torch.nn.functional.cosine_similarity(hidden[:, None], head.prototypes.weight[None], dim=-1)
        assert torch.allclose(head(features), expected, atol=1e-6)
        head.prototypes.weight.mul_(3)
        assert torch.allclose(head(features), expected, atol=1e-6)


def test_teacher_and_student_begin_alike_and_the_teacher_follows() -> None:
    method = small_method("dino", "residual")
    assert isinstance(method, DINO)
    pairs = [(method.backbone, method.student), (method.teacher_head, method.student_head)]
    for teacher, student in pairs:
        assert all(torch.equal(a, b) for a, b in zip(teacher.parameters(), student.parameters(), strict=True))
    before = [value.clone() for teacher, _ in pairs for value in teacher.parameters()]
    do_step(method, torch.optim.SGD(method.parameter_groups(0.0), lr=0.1), random_views(method, 4), 3)
    momentum = 1 - (1 - 0.996) * (math.cos(math.pi * 0.3) + 1) / 2
    students = [value for _, student in pairs for value in student.parameters()]
    now = [value for teacher, _ in pairs for value in teacher.parameters()]
    for was, student, teacher in zip(before, students, now, strict=True):
        assert torch.allclose(teacher, momentum * was + (1 - momentum) * student, atol=1e-7)
    # its norms follow the images that it sees: the large crops
    assert int(method.backbone.bn1.num_batches_tracked) == 1  # type: ignore[union-attr, arg-type]
    assert int(method.student.bn1.num_batches_tracked) == 2  # type: ignore[union-attr, arg-type]


def test_momentum_and_temperature_follow_their_schedules() -> None:
    method = small_method("dino", "vit", teacher_temperature=0.08, temperature_warmup=0.5)
    seen = [method.before_step(Moment(step, 5, 10)) for step in range(10)]
    temperatures = [values["teacher_temperature"] for values in seen]
    assert temperatures[:6] == pytest.approx([0.04, 0.048, 0.056, 0.064, 0.072, 0.08])
    assert temperatures[6:] == pytest.approx([0.08] * 4)
    assert seen[0]["teacher_momentum"] == pytest.approx(0.996)
    assert cosine_momentum(1.0, start=0.996) == 1.0
    # the temperature reaches the loss
    views = random_views(method, 4)
    method.eval()
    entropies = []
    for step in (0, 9):
        method.before_step(Moment(step, 5, 10))
        entropies.append(float(method(views)["teacher_entropy"]))
    assert entropies[0] < entropies[1]


def test_the_prototypes_stand_still_in_the_first_epochs() -> None:
    method = small_method("dino", "vit", freeze_last_layer_epochs=1)
    assert isinstance(method, DINO)
    optimizer = torch.optim.AdamW(method.parameter_groups(0.1), lr=0.1)
    weight = method.student_head.prototypes.weight
    before = weight.detach().clone()
    for step in range(5):  # an epoch of five steps
        do_step(method, optimizer, random_views(method, 4), step)
    assert torch.equal(weight, before)
    do_step(method, optimizer, random_views(method, 4), 5)
    assert not torch.equal(weight, before)


@pytest.mark.parametrize(
    ("slices", "prototypes", "temperature"),
    [(1, 256, 0.04), (8000, 256, 0.04), (100_000, 4096, 0.055), (1_280_000, 65536, 0.07), (12_000_000, 65536, 0.07)],
)
def test_prototypes_and_temperature_follow_the_slices(slices: int, prototypes: int, temperature: float) -> None:
    settings = compose("pretrain", ["data=x", "method=dino"])["method"]
    resolved = resolve_method(settings, slices=slices)
    assert (resolved["output_dim"], resolved["teacher_temperature"]) == (prototypes, pytest.approx(temperature))
    assert prototypes_for(slices) == prototypes
    chosen = resolve_method({**settings, "output_dim": 100, "teacher_temperature": 0.05}, slices=slices)
    assert (chosen["output_dim"], chosen["teacher_temperature"]) == (100, 0.05)
    assert resolve_method(resolved, slices=5) == resolved


def test_drop_path_and_several_sizes_are_the_students_alone() -> None:
    arguments = {"img_size": 48, "depth": 2, "embed_dim": 48, "num_heads": 3, "drop_path_rate": 0.5}
    method = build_method(small_settings("dino"), "vit_tiny_patch16_224", seed=0, backbone_arguments=arguments)
    large = random_views(method, 4)[0]
    assert torch.equal(method.backbone(large), method.backbone(large))
    assert not torch.equal(method.trained_backbone(large), method.trained_backbone(large))
    assert (method.backbone.dynamic_img_size, method.trained_backbone.dynamic_img_size) == (False, True)


@pytest.mark.parametrize(
    ("changes", "backbone", "words"),
    [
        ({"views": {"name": "simclr"}}, "test_resnet", "no such setting of the SimCLR views"),
        ({"views": {"local_views": 0, "global_blur_probabilities": [1.0]}}, "test_resnet", "one view has no other"),
        ({"views": {"local_size": 20}}, "vit_tiny_patch16_224", "patch of 16 px does not divide"),
        ({"views": {"local_size": 4}}, "test_convnext", "residual networks .*; convolutional .*; plain vision"),
        ({"output_dim": None}, "test_resnet", "output_dim"),
        ({"momentum": 1.5}, "test_resnet", "momentum"),
        ({}, "maxvit_tiny_rw_224", "residual networks .*; convolutional .*; plain vision"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(changes: dict[str, object], backbone: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_method(small_settings("dino", **changes), backbone, seed=0)


@pytest.mark.parametrize("backbone", ["ghostnet_050", "rexnetr_100"])
def test_the_teacher_drops_nothing_where_the_architecture_does_by_default(backbone: str) -> None:
    method = build_method(small_settings("dino"), backbone, seed=0, backbone_arguments={})
    assert isinstance(method, DINO)
    method.train()
    images = torch.randn(2, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.manual_seed(0)
        teacher, student = method.backbone(images), method.student(images)
        torch.manual_seed(1)
        assert torch.equal(method.backbone(images), teacher)
        assert not torch.equal(method.student(images), student)
