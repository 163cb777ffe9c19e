import copy
import math

import numpy as np
import torch
from torch import nn

from radnet.transfer.lars import LARS


def _slow_lars(
    weights: list[np.ndarray], gradients: list[list[np.ndarray]], decays: list[float], *, lr: float, momentum: float
) -> list[np.ndarray]:
    """Equation 6 of arXiv 1708.03888, element by element in float64, with SimCLR's exclusions and the guard."""
    trust, eps = 0.001, 1e-8
    velocity = [np.zeros_like(one) for one in weights]
    for step in gradients:
        for number, (gradient, decay) in enumerate(zip(step, decays, strict=True)):
            weight = weights[number]
            update = gradient + decay * weight
            size, slope = (math.sqrt(sum(float(x) ** 2 for x in part.ravel())) for part in (weight, gradient))
            if decay > 0 and size > 0 and slope > 0:
                update = update * trust * size / (slope + decay * size + eps)
            velocity[number] = momentum * velocity[number] + update
            weights[number] = weight - lr * velocity[number]
    return weights


def test_it_is_the_papers_update_to_float64_accuracy() -> None:
    generator = np.random.default_rng(0)
    shapes = [(4, 3), (5,), (3, 3), (2, 2)]
    decays = [0.1, 0.0, 0.1, 0.1]
    start = [generator.normal(size=shape) for shape in shapes]
    start[2][:] = 0  # a zero-initialised tensor
    steps = [[generator.normal(size=shape) for shape in shapes] for _ in range(4)]
    for step in steps:
        step[3][:] = 0  # a tensor that never gets a gradient
    weights = [nn.Parameter(torch.from_numpy(one.copy())) for one in start]
    optimizer = LARS(
        [{"params": [weights[0], weights[2], weights[3]], "weight_decay": 0.1}, {"params": [weights[1]]}],
        lr=2.0,
        momentum=0.9,
    )
    for step in steps:
        for weight, gradient in zip(weights, step, strict=True):
            weight.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
    for found, expected in zip(weights, _slow_lars(start, steps, decays, lr=2.0, momentum=0.9), strict=True):
        np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12, atol=1e-15)


def test_a_zero_initialised_tensor_moves() -> None:
    weight = nn.Parameter(torch.zeros(3, 3))
    weight.grad = torch.ones(3, 3)
    LARS([weight], lr=0.1, momentum=0.9, weight_decay=1e-6).step()
    assert torch.allclose(weight, torch.full((3, 3), -0.1))


def test_its_state_goes_on_in_another_optimizer() -> None:
    torch.manual_seed(0)
    first, second = (nn.Linear(4, 4) for _ in range(2))
    second.load_state_dict(first.state_dict())
    one, two = (LARS(net.parameters(), lr=1.0, weight_decay=0.01) for net in (first, second))

    def step(net: nn.Module, optimizer: LARS, seed: int) -> None:
        optimizer.zero_grad()
        net(torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))).square().sum().backward()
        optimizer.step()

    step(first, one, 0)
    second.load_state_dict(first.state_dict())
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    step(first, one, 1)
    step(second, two, 1)
    assert torch.equal(first.weight, second.weight)
