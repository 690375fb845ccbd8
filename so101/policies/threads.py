"""How many threads a network may use."""

import torch


def use_one_thread() -> None:
    """Run networks on one thread: two threads on two busy cores are ten times slower."""
    torch.set_num_threads(1)
