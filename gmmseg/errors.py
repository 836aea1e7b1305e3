"""Everything that gmmseg raises or warns about.

    GmmsegError
    ├── InvalidParameterError      (ValueError)         an argument or option breaks its rule
    ├── InvalidDataError           (ValueError)         the pixels or rows cannot be fitted
    ├── ReadError                  (OSError)            a file cannot be read
    │   ├── MissingFileError       (FileNotFoundError)
    │   ├── UnsupportedFormatError
    │   ├── AmbiguousAxesError     (ValueError)
    │   └── TooManyPixelsError     (ValueError)
    ├── WriteError                 (OSError)            a file cannot be written
    │   └── OutputExistsError      (FileExistsError)
    ├── ModelFormatError           (ValueError)         a model file is malformed or too new
    └── MissingDependencyError     (ImportError)        an optional package is not installed

    GmmsegWarning                  (UserWarning)
    ├── ConvergenceWarning                              EM stopped before it converged
    ├── DegenerateDataWarning                           something was repaired, the fit went on
    └── ImageWarning                                    the file was read, something was changed

Every message says what was wrong, with the value, and what to do about it.
"""

__all__ = [
    "AmbiguousAxesError",
    "ConvergenceWarning",
    "DegenerateDataWarning",
    "GmmsegError",
    "GmmsegWarning",
    "ImageWarning",
    "InvalidDataError",
    "InvalidParameterError",
    "MissingDependencyError",
    "MissingFileError",
    "ModelFormatError",
    "OutputExistsError",
    "ReadError",
    "TooManyPixelsError",
    "UnsupportedFormatError",
    "WriteError",
]


class GmmsegError(Exception):
    """Base class of all errors that gmmseg raises on purpose."""


class InvalidParameterError(GmmsegError, ValueError):
    """An argument or option breaks its rule."""


class InvalidDataError(GmmsegError, ValueError):
    """The pixels or rows cannot be fitted."""


class ReadError(GmmsegError, OSError):
    """A file cannot be read."""


class MissingFileError(ReadError, FileNotFoundError):
    """There is no such file."""


class UnsupportedFormatError(ReadError):
    """The file is of a kind that gmmseg does not read."""


class AmbiguousAxesError(ReadError, ValueError):
    """The meaning of the array's axes cannot be known without being told."""


class TooManyPixelsError(ReadError, ValueError):
    """The header declares more pixels than the limit allows."""


class WriteError(GmmsegError, OSError):
    """A file cannot be written."""


class OutputExistsError(WriteError, FileExistsError):
    """The output is there already and overwriting was not asked for."""


class ModelFormatError(GmmsegError, ValueError):
    """A model file is malformed, or newer than this version understands."""


class MissingDependencyError(GmmsegError, ImportError):
    """An optional package is not installed or cannot be loaded."""


class GmmsegWarning(UserWarning):
    """Base class of all warnings that gmmseg issues."""


class ConvergenceWarning(GmmsegWarning):
    """EM stopped at its limit of iterations before it converged."""


class DegenerateDataWarning(GmmsegWarning):
    """Something was repaired so that the fit could go on."""


class ImageWarning(GmmsegWarning):
    """The file was read, but something in it was changed, dropped or assumed."""
