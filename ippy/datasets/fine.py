"""The pictures behind procedural images, on a grid of half the spacing."""

from torch import Tensor
from torch.utils.data import Dataset

from ippy.datasets.cache import key_of
from ippy.datasets.synthetic import SyntheticDataset

__all__ = ["FinePictures"]


class FinePictures(Dataset):
    """The fine pictures of a procedural data set, for measurements on a finer grid.

    Args:
        images: The data set; its version is 3 or later.

    Raises:
        ValueError: On access, if the version keeps no finer grid.

    Example:
        >>> FinePictures(SyntheticDataset(4, 64, version=3))[3].shape
        torch.Size([1, 128, 128])
    """

    def __init__(self, images: SyntheticDataset) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """Return picture ``index``, float32 ``(1, 2H, 2W)`` in [0, 1], without noise."""
        return self.images.fine(index)

    def cache_key(self) -> list | None:
        """Return everything the pictures depend on, as JSON data; None if the images do not say."""
        key = key_of(self.images)
        return None if key is None else ["fine", *key]
