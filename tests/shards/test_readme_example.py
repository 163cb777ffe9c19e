"""The example of the README is code that runs."""

import re
from pathlib import Path

import torch


def test_the_example_in_the_readme(built: Path) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    section = text.split("## Batches for your own loop")[1]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    code = found[1].replace("sets/ct", str(built)).replace("batch_size=64, workers=4", "batch_size=2, workers=1")
    assert code != found[1]
    names: dict[str, object] = {}
    exec(code, names)  # noqa: S102 - the README is ours
    assert isinstance(names["first"], torch.Tensor)
    assert names["first"].shape == (2, 1, 224, 224)
    assert names["first"].dtype == torch.float32
    assert names["state"] == {"epoch": 1, "step": 0}
