"""Out of memory: which knob to turn."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from radnet.errors import RadnetError
from radnet.pretrain.settings import PretrainSettings


@contextmanager
def explained_out_of_memory(settings: PretrainSettings) -> Iterator[None]:
    """Turn an allocation that failed into an error that names the settings that need less memory.

    Raises:
        RadnetError: A GPU or the computer has no memory left.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError | MemoryError) and "can't allocate memory" not in str(error):
            raise
        knobs = [f"accumulate={2 * settings.accumulate} (the same batch_size in smaller pieces)"]
        if settings.precision == "fp32":
            knobs.append("precision=bf16")
        if not settings.activation_checkpointing:
            knobs.append("activation_checkpointing=true")
        knobs += [f"batch_size={max(settings.batch_size // 2, 2)}", "a smaller method.views.size or backbone"]
        raise RadnetError(
            f"Out of memory with batch_size={settings.batch_size} and accumulate={settings.accumulate}",
            seen=str(error).splitlines()[0][:200],
            fix="Any of: " + ", ".join(knobs) + "; more processes share a batch, too",
        ) from error
