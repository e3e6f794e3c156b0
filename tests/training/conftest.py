"""Training ends with a collection of garbage, which takes longer than a few steps of training do."""

import gc

import pytest


@pytest.fixture(autouse=True, scope="package")
def what_is_imported_is_no_garbage():
    """Modules and their annotations are left out of every collection, also in forked processes."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
