"""Where the processes of a run meet: a corner of torchrun's store that no earlier attempt has written to.

torchrun keeps one store for all attempts of a run. After a restart it still holds the addresses of processes that are
gone, and whoever reads one of those waits for the dead. The number of restarts cannot tell attempts apart, because the
agents of several nodes count for themselves. So rank 0 of an attempt takes a new name. The others ask under that name,
each with a name of its own that the answer must repeat, which the dead cannot do.
"""

import time
import uuid
from datetime import timedelta

from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

PATIENCE = timedelta(seconds=2)
"""So long others wait for an answer before they look whether there is a new name."""


def store_of_this_attempt(timeout: timedelta) -> tuple[Store, int, int]:
    """Meet the other processes.

    Args:
        timeout: How long to wait for them.

    Returns:
        An empty store, this process's rank, and the number of processes.

    Raises:
        RuntimeError: They did not come in time.
    """
    store, rank, world_size = next(rendezvous("env://", timeout=timeout))
    store.set_timeout(timeout)
    own = uuid.uuid4().hex
    if rank == 0:
        name = own
        store.set("radnet/name", name)
        for other in range(1, world_size):
            asking = store.get(f"radnet/{name}/asks/{other}").decode()  # waits for it
            store.set(f"radnet/{name}/answers/{asking}", "here")
    else:
        name = _name_that_answers(store, rank, own, time.monotonic() + timeout.total_seconds())
    return PrefixStore(f"radnet/{name}/group", store), rank, world_size


def _name_that_answers(store: Store, rank: int, own: str, deadline_s: float) -> str:
    while True:
        name = str(store.get("radnet/name").decode())
        store.set(f"radnet/{name}/asks/{rank}", own)
        try:
            store.wait([f"radnet/{name}/answers/{own}"], PATIENCE)
        except distributed.DistStoreError:
            if time.monotonic() > deadline_s:
                raise
        else:
            return name
