"""What all tests share."""

from types import SimpleNamespace

import pytest
from hypothesis import settings

from gmmseg.__main__ import main

collect_ignore = ["fuzz"]  # needs atheris, and runs until it is stopped: .ci/run

# The same examples in every run and no deadline: kernels compile in the first one.
settings.register_profile("gmmseg", derandomize=True, deadline=None, max_examples=20)
settings.load_profile("gmmseg")


@pytest.fixture
def run(capsys):
    """The command line in this process: status, out and err of ``run("segment", ...)``."""

    def call(*words):
        status = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return SimpleNamespace(status=status, out=out, err=err)

    return call
