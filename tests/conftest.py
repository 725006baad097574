"""Shared by every test: calm threads, so that two cores carry a whole suite, and the same examples in every run."""

import os

# Both must be set before torch or ONNX Runtime start their thread pools.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings  # noqa: E402

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")

try:
    import torch
except ModuleNotFoundError:  # the core's tests run without the training extra
    pass
else:
    torch.set_num_threads(1)
