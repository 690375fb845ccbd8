"""One thread, as in every process of the graph."""

import torch

torch.set_num_threads(1)
