"""Records to make tables of."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from radnet.records import (
    Counts,
    Environment,
    Interval,
    ModelCard,
    ProtocolCard,
    ResultRecord,
    TaskCard,
    cell_hash,
)

ENVIRONMENT = Environment(
    radnet="0", python="3", torch="2", timm="1", platform="Linux x86_64", cpu_count=2, device="cpu"
)
ARMS = {"timm": "imagenet", "random": "random", "run": "in-domain", "local-dir": "other"}


@pytest.fixture
def make() -> Callable[..., ResultRecord]:
    """Builds a record from a model name, a value and what else differs from the usual."""

    def build(
        name: str,
        value: float | None = None,
        half: float = 0.05,
        *,
        weights: str = "",
        message: str = "",
        seed: int = 0,
        fraction: float = 1.0,
        task: str = "region",
        manifest: str = "a" * 64,
        protocol: str = "knn",
        settings: dict[str, Any] | None = None,
        synthetic_task: bool = False,
        synthetic_model: bool = False,
        others: dict[str, Interval] | None = None,
        patients: int = 40,
        **fields: Any,
    ) -> ResultRecord:
        sha = None if value is None else (weights or f"{hash_of(name):064x}")
        model = ModelCard(
            name=name,
            arm=ARMS[name.partition(":")[0]],
            architecture="resnet18",
            weights_sha256=sha,
            pretraining={"timm": "ImageNet-1k", "random": "none"}.get(name.partition(":")[0], "our CT"),
            method=None,
            parameters=11_000_000,
            in_chans=1,
            synthetic=synthetic_model,
        )
        card = TaskCard(
            name=task,
            manifest_hash=manifest,
            metric="balanced_accuracy",
            classes=("head", "thorax", "abdomen"),
            synthetic=synthetic_task,
        )
        settings = {"k": 20, "temperature": 0.07} if settings is None else settings
        how = ProtocolCard(name=protocol, settings=settings, hash=f"{hash_of(repr((protocol, settings))):064x}")
        metrics = {}
        if value is not None:
            metrics = {"balanced_accuracy": Interval(value=value, low=value - half, high=value + half)}
        counts = Counts(
            train_items=100, val_items=40, test_items=400, train_patients=60, val_patients=20, test_patients=patients
        )
        content = {
            "created": "2026-01-31T12:00:00+00:00",
            "status": "unavailable" if value is None else "done",
            "message": message,
            "model": model,
            "task": card,
            "protocol": how,
            "fraction": fraction,
            "seed": seed,
            "counts": None if value is None else counts,
            "metrics": metrics | (others or {}),
            "environment": ENVIRONMENT,
            "wall_time_s": 1.0,
            "cell": cell_hash(model, card, how, fraction, seed),
        }
        return ResultRecord(**(content | fields))

    return build


def hash_of(text: str) -> int:
    """A number that is the same in every process, unlike `hash`."""
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


@pytest.fixture
def study(make: Callable[..., ResultRecord]) -> list[ResultRecord]:
    """A small comparison with everything that a table can hold."""
    reference = "balanced_accuracy vs timm:resnet18"
    area = {"macro_auroc": Interval(value=0.97, low=0.95, high=0.98)}
    return [
        make("timm:resnet18", 0.90, others=area),
        make(
            "run:runs/simclr",
            0.88,
            others=area,
            differences={reference: Interval(value=-0.02, low=-0.045, high=0.005)},
        ),
        make("random:resnet18", 0.60, seed=0, weights="1" * 64),
        make("random:resnet18", 0.64, seed=1, weights="2" * 64),
        make("timm:resnet50", message="No network, and no such weights in the cache; use local-dir:PATH"),
        make("timm:resnet18", 1.0, 0, task="phantom | regions", synthetic_task=True, patients=6, protocol="linear",
             settings={"C": [0.1, 1.0]}, selected={"C": 1.0, "not_converged": [1.0]}, fraction=0.1),
    ]  # fmt: skip
