"""Functions and classes that a study names, of the package or of the user's own."""

import importlib
import os
import sys
from typing import Any

from stepscope import collector


@collector.paused()  # a method imports the libraries of models
def resolve(reference: str) -> Any:
    """What "package.module:name" names; a module of one's own lies in the working directory.

    A missing module raises ImportError, a missing name AttributeError.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)
