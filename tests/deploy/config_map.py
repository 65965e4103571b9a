"""A mounted config map or secret, whose files are replaced as Kubernetes' kubelet replaces them."""

import os
import shutil
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import final


@final
class MountedMap:
    """Folder whose files change all at once (`pkg/volume/util/atomic_writer.go` of Kubernetes).

        system.yaml -> ..data/system.yaml
        ..data -> ..2026_11_30_05_00_00.1
        ..2026_11_30_05_00_00.1/system.yaml

    A change is a new folder with a time in its name, and one rename of a link over `..data`; the
    old folder is removed at once.
    """

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        folder.mkdir()
        self.folder = folder
        self._numbers = count(1)
        self.replace(files)
        for name in files:
            (folder / name).symlink_to(Path("..data", name))

    def replace(self, files: Mapping[str, str]) -> None:
        """Replace the contents; the names are those there were."""
        data = self.folder / "..data"
        old = data.readlink() if data.is_symlink() else None
        new = f"..2026_11_30_05_00_00.{next(self._numbers)}"
        (self.folder / new).mkdir()
        for name, text in files.items():
            (self.folder / new / name).write_text(text)
            (self.folder / new / name).chmod(0o440)
        link = self.folder / "..data_tmp"
        link.symlink_to(new)
        os.replace(link, data)  # noqa: PTH105
        if old is not None:
            shutil.rmtree(self.folder / old)
