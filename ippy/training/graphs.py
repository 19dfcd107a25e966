"""A training step as one CUDA graph: hundreds of small kernels that start as one."""

import threading
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

__all__ = ["RecordedStep"]

#: One recording at a time: other threads may train meanwhile, but not record.
_RECORDING = threading.Lock()


class RecordedStep:
    """What ``step`` does on the current stream, recorded once and played again for every batch.

    Small networks leave a GPU waiting for Python most of the time. Recorded, a step costs one
    call, and several threads can train on one GPU beside each other.

    Args:
        step: Function of a batch that changes parameters in place and gives a number as a tensor;
            it has been called before, so that everything it needs is there.
        batch: Tensors of the shapes that all batches will have; nothing is computed with them.
    """

    def __init__(self, step: Callable[..., Tensor], batch: Sequence[Tensor]) -> None:
        self.batch = [tensor.clone(memory_format=torch.preserve_format) for tensor in batch]
        self.graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.current_stream()
        with (
            _RECORDING,
            torch.cuda.graph(self.graph, stream=stream, capture_error_mode="thread_local"),
        ):
            self.number = step(*self.batch)

    def __call__(self, *batch: Tensor) -> Tensor:
        """Play the step on a batch; the number is overwritten by the next call."""
        for kept, new in zip(self.batch, batch, strict=True):
            kept.copy_(new)
        self.graph.replay()
        return self.number
