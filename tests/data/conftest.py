"""One folder of small shards for all tests of data sources."""

import pytest
from clip_shards import clip, write_shards


@pytest.fixture(scope="session")
def shards(tmp_path_factory):
    """Ten clips of two seconds in four shards."""
    return write_shards(tmp_path_factory.mktemp("shards") / "ten", [clip(n) for n in range(10)])
