"""What `train_long_context.sh` starts on every GPU: the stage of albums, whose rows the ring's processes share."""

from __future__ import annotations

import argparse
import sys

from omni_lab.cli.commands import configured
from omni_lab.errors import OmniLabError
from omni_lab.training.run import RunFolder
from omni_lab.training.trainer import train_stages
from omni_lab.world.albums.lessons import AlbumLessons


def main() -> None:
    """Train, or go on where the run folder stands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--preset", default="small", help="tiny, small or full_7b (default: %(default)s)"
    )
    parser.add_argument(
        "--out", required=True, metavar="FOLDER", help="run folder, the same on every node"
    )
    parser.add_argument(
        "settings", nargs="*", metavar="KEY=VALUE", help="as `omni-lab config` lists them"
    )
    arguments = parser.parse_args()
    try:
        config = configured(arguments.preset, ["sequence.layout=F4", *arguments.settings])
        train_stages(config, RunFolder(arguments.out, config), [AlbumLessons(config)])
    except OmniLabError as fault:
        print(f"train_long_context: {fault}", file=sys.stderr)
        sys.exit(fault.exit_code)


if __name__ == "__main__":
    main()
