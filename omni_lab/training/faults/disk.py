"""Full disk while training: one line that says what is kept, and how to go on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omni_lab.errors import InputError
from omni_lab.training import checkpoint

# no space, quota spent, file too large for the limit, a failing or write-protected disk
REFUSED = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}


class DiskError(InputError):
    """A run could not be written to disk; what stood there before is kept."""


@contextmanager
def full_disk_told(checkpoints: Path) -> Iterator[None]:
    """Refused writes inside the block as one line.

    Parameters
    ----------
    checkpoints : folder of the run's checkpoints

    Raises
    ------
    DiskError
        the disk takes no more; the message names the file and the checkpoint that is kept
    """
    try:
        yield
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        last = checkpoint.newest(checkpoints)
        kept = f"{last} is kept" if last else "no checkpoint was written yet"
        goes = "goes on from it" if last else "begins anew"
        right = f"make room, and the same command {goes}"
        where = error.filename or checkpoints.parent
        raise DiskError(f"{where}: not written ({error.strerror}); {kept}; {right}") from error
