"""Options by what the image is, found by measurement: docs/quality.md has the tables.

The tables tell the part of each set that was tuned on from a third that was kept aside; only for
photos was that third never looked at. Figures in comments are of whole sets, photos apart. The
options of a preset are few on purpose: what did not help is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from gmmseg._check import check_choice
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.mixture.options import EMOptions
from gmmseg.options import SegmentOptions
from gmmseg.regions import RegionOptions
from gmmseg.smoothing import SmoothingOptions

__all__ = [
    "AUTOMATIC",
    "DEFAULT",
    "PRESETS",
    "PRESET_NAMES",
    "ChangedPreset",
    "options_for",
    "preset_name",
]

#: In the place of a preset: choose one by what the image is.
AUTOMATIC = "auto"

#: One covariance for all classes: on the photos tuned on it gave a covering of 0.55 where each
#: class had its own 0.51, on brains without noise a mean Dice of 0.91 instead of 0.82, on nuclei
#: 0.78 instead of 0.60.
_TIED = EMOptions(covariance_type="tied")

#: Options of segmenting by name; "plain" is maximum likelihood and nothing else.
PRESETS: Mapping[str, SegmentOptions] = MappingProxyType(
    {
        "plain": SegmentOptions(),
        "grey": SegmentOptions(em=_TIED),
        # Texture at one fine scale: more scales, of colour too, were not better.
        "photo": SegmentOptions(
            features=FeatureSpec(blur=2.0, local_std=(4.0,)),
            em=_TIED,
            smoothing=SmoothingOptions(beta=1.5),
            regions=RegionOptions(min_area="1.5 %"),
        ),
        # Powers 1, 0.75, 0.5, 0.25 of grey: Dice .781, .799, .787, .773. Smoothing did not help.
        "microscopy": SegmentOptions(
            features=FeatureSpec(colour_space="gray", power=0.75),
            em=_TIED,
        ),
        # Smoothing after EM by 0.2 is better without noise (mean Dice .92 against .89), far worse
        # with 9 % of it (.77 against .86).
        "mri": SegmentOptions(
            em=_TIED,
            smoothing=SmoothingOptions(beta=0.3, inside=True),
        ),
        # Of all covariance types the only one over .87 on both scenes. Free or diagonal ones are
        # better on one of them (.95) and much worse on the other (.78).
        "satellite": SegmentOptions(
            em=EMOptions(covariance_type="tied", n_init=10),
            smoothing=SmoothingOptions(beta=1.0, inside=True),
        ),
    }
)

#: What is meant where nothing is said.
DEFAULT = "plain"

#: What the command line and the doors take.
PRESET_NAMES = (AUTOMATIC, *PRESETS)


def preset_name(image: Image) -> str:
    """The preset that suits an image, by its axes and bands.

    A volume of one band is taken as "mri", one band, or three equal ones, as "grey", a picture in
    colour as "photo", anything else as "satellite". What else a file may be, its owner has to say.

    Examples
    --------
    >>> import numpy as np
    >>> preset_name(Image.from_array(np.arange(60, dtype=np.uint8).reshape(4, 5, 3)))
    'photo'
    >>> preset_name(Image.from_array(np.zeros((4, 5, 7)), axes="YXC"))
    'satellite'
    """
    if image.n_bands == 1:
        return "mri" if image.ndim == 3 else "grey"
    if image.colour and _bands_are_equal(image):
        return "grey"
    return "photo" if image.colour and image.ndim == 2 else "satellite"


def options_for(options: SegmentOptions | str, image: Image) -> SegmentOptions:
    """The options meant: as they are, or those of a preset's name.

    Where pixels lack some of their bands, a preset smooths after EM, not inside.

    Raises
    ------
    InvalidParameterError
        When there is no preset of that name.

    Examples
    --------
    >>> import numpy as np
    >>> options_for("auto", Image.from_array(np.zeros((3, 4, 5), np.uint8), axes="ZYX")).em.n_init
    1
    """
    if isinstance(options, SegmentOptions):
        return options
    name = check_choice(options, "options", PRESET_NAMES)
    preset = PRESETS[preset_name(image) if name == AUTOMATIC else name]
    if preset.smoothing.inside and _has_gaps(image):
        return replace(preset, smoothing=replace(preset.smoothing, inside=False))
    return preset


@dataclass(frozen=True, kw_only=True)
class ChangedPreset:
    """A preset with other values for some fields: how any image is segmented, as plain values.

    Attributes
    ----------
    preset : str
        Of `PRESET_NAMES`.
    changes : dict of dict
        For the parts of `SegmentOptions` by name, the fields that differ from the preset's.

    Examples
    --------
    >>> import numpy as np
    >>> image = Image.from_array(np.zeros((4, 5), np.uint8))
    >>> ChangedPreset(preset="auto", changes={"em": {"n_init": 5}})(image).em.n_init
    5
    """

    preset: str = DEFAULT
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for preset in PRESETS.values():  # what breaks a rule is told before anything is read
            self._changed(preset)

    def __call__(self, image: Image) -> SegmentOptions:
        """The options for an image."""
        return self._changed(options_for(self.preset, image))

    def _changed(self, options: SegmentOptions) -> SegmentOptions:
        parts = {
            name: replace(getattr(options, name), **fields) for name, fields in self.changes.items()
        }
        return replace(options, **parts)


def _bands_are_equal(image: Image) -> bool:
    """Whether a picture in colour is a grey one, as many microscopes and viewers write it."""
    red, green, blue = np.moveaxis(image.data[..., :3], -1, 0)
    return np.array_equal(red, green) and np.array_equal(red, blue)


def _has_gaps(image: Image) -> bool:
    """Whether a pixel has some of its bands, but not all: a field inside EM cannot use it."""
    complete = image.usable(range(image.n_bands), complete=True)
    some = image.valid
    return complete is not None and (some is None or not np.array_equal(complete, some))
