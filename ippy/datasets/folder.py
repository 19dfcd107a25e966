"""A folder of CT slices, one subfolder per patient."""

import os
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

from ippy.images import as_shape, read_grey

__all__ = ["MayoDataset"]


class MayoDataset(Dataset):
    """A folder of PNG slices, one subfolder per patient, such as the Mayo chest CT data.

    The files are those that match ``data_path/*/*.png`` or ``.PNG``, in sorted order, read by
    :func:`ippy.images.read_grey`. Source: McCollough et al., Low Dose CT Image and Projection
    Data, TCIA 2020.

    Args:
        data_path: Folder that holds the patients' folders, for instance ``Mayo/train``.
        data_shape: Image size in pixels, an int for a square or ``(H, W)``.

    Raises:
        FileNotFoundError: If the folder is missing or holds no ``*/*.png``.
    """

    def __init__(self, data_path: str | os.PathLike, data_shape: int | Sequence[int]) -> None:
        self.data_path, self.data_shape = Path(data_path), as_shape(data_shape)
        self.files = sorted(self.data_path.glob("*/*.[pP][nN][gG]"))
        if not self.files:
            problem = "holds no file */*.png" if self.data_path.is_dir() else "does not exist"
            raise FileNotFoundError(
                f"the data folder {str(data_path)!r} {problem}; expected <data_path>/<patient>/"
                "<slice>.png, so give the folder one level above those of the patients, such as "
                "Mayo/train, or use SyntheticDataset, which needs no files"
            )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """Return slice ``index``, float32 ``(1, H, W)`` in [0, 1]."""
        return read_grey(self.files[index], self.data_shape)

    def cache_key(self) -> list:
        """Return everything the images depend on, as JSON data."""
        files = [(f.parts[-2:], f.stat().st_size, f.stat().st_mtime_ns) for f in self.files]
        return ["mayo", str(self.data_path.resolve()), self.data_shape, files]
