import pytest
import torch

from radnet.errors import UsageError
from radnet.pretrain.families import VIT, fitting_backbone


def _fitted(architecture: str, *sizes: int, **arguments: object) -> tuple[torch.nn.Module, int]:
    return fitting_backbone(architecture, (VIT,), arguments, in_chans=1, sizes=sizes, seed=0)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet", "test_vit"])
def test_it_takes_every_size_that_was_asked_for(architecture: str) -> None:
    backbone, features = _fitted(architecture, 64, 32)
    for size in (64, 32):
        assert backbone(torch.zeros(2, 1, size, size)).shape == (2, features)


def test_one_size_needs_no_interpolation_of_positions() -> None:
    backbone, _ = _fitted("test_vit", 64)  # of those that timm makes to interpolate
    assert not backbone.dynamic_img_size
    assert backbone.pos_embed.shape[1] == 1 + 16  # type: ignore[union-attr]


def test_an_image_size_that_was_stated_is_kept() -> None:
    with pytest.raises(UsageError, match=r"backbone_arguments\.img_size"):
        _fitted("test_vit", 64, img_size=32)


def test_whole_patches_only() -> None:
    with pytest.raises(UsageError, match=r"patch of 16 px does not divide a view of 40 px .*For example (32|48) px"):
        _fitted("test_vit", 40)


def test_arguments_may_have_any_name_of_timm_but_those_that_views_and_seed_decide() -> None:
    backbone, features = _fitted("resnet10t", 32, channels=[8, 16, 24, 32], stem_width=8)
    assert (backbone(torch.zeros(2, 1, 32, 32)).shape[1], features) == (32, 32)
    with pytest.raises(UsageError, match=r"not free.*in_chans, seed"):
        _fitted("resnet10t", 32, seed=1, in_chans=3)


def test_mistaken_arguments_are_not_taken_for_a_wrong_family() -> None:
    with pytest.raises(UsageError, match="correct backbone_arguments"):
        _fitted("test_resnet", 64, img_size=64)
