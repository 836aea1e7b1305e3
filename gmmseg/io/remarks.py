"""What is worth telling about a reading: quiet notes, and warnings."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Remarks"]


@dataclass
class Remarks:
    """Collected while a file is read.

    The warnings are issued only when the decoder is done, because until then the warnings of
    the packages below are kept from the user.
    """

    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Something plain was done."""
        self.notes.append(text)

    def warn(self, text: str) -> None:
        """Something was dropped, changed or assumed that the user may not expect."""
        self.notes.append(text)
        self.warnings.append(text)
