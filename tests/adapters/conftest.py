"""One folder per family of image-text-to-text models, made once."""

import pytest
from vision_language import FAMILIES


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    made = {}

    def folder(family):
        if family not in made:
            made[family] = FAMILIES[family](tmp_path_factory.mktemp(family.replace(".", "-")))
        return str(made[family])

    return folder
