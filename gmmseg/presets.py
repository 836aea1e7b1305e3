"""Options by what the image is, found by measurement: docs/quality.md has the tables.

The tables tell the part of each set that was tuned on from a third that was kept aside; only for
photos was that third never looked at. Figures in comments are of whole sets, photos apart. The
options of a preset are few on purpose: what did not help is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from gmmseg._check import check_choice
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.selection import SelectOptions
from gmmseg.options import SegmentOptions
from gmmseg.regions import RegionOptions
from gmmseg.smoothing import SmoothingOptions

__all__ = ["AUTOMATIC", "DEFAULT", "PRESETS", "PRESET_NAMES", "options_for", "preset_name"]

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
        # On the photos tuned on (covering, Rand index, variation of information): texture at one
        # scale of 4 pixels .607, .796, 1.68, at two .611, .795, 1.65 (17 photos); without joining
        # like regions .581, .790, 1.80, nearer than 2.5, 3, 3.5 .594, .612, .605 (34). A covariance
        # for each class, ties that edges weaken, place, and costs of joining by size or by the
        # contrast along the border were not better. With the scale of colours for texture in the
        # start: .623, .813, 1.62 (31). k="auto" among 1 to 8 classes .590, .764, 1.70, among 4 to 8
        # .618, .801, 1.67. The grid is the size of those photos.
        "photo": SegmentOptions(
            features=FeatureSpec(blur=2.0, local_std=(2.0, 6.0), working_pixels=150_000),
            em=_TIED,
            selection=SelectOptions(k_range=tuple(range(4, 9))),
            smoothing=SmoothingOptions(beta=1.5),
            regions=RegionOptions(min_area="0.75 %", merge_distance=3.0),
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
DEFAULT = AUTOMATIC

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


def options_for(
    options: SegmentOptions | str, image: Image, *, boxed: bool = False
) -> SegmentOptions:
    """The options meant: as they are, or those of a preset's name.

    Where pixels lack some of their bands, a preset smooths after EM, not inside. For an object in
    a box (`boxed`) "auto" is "plain": colours blurred less than the object's outline is fine, and
    the smoothing of `BoxOptions`.

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
    if name == AUTOMATIC:
        name = "plain" if boxed else preset_name(image)
    preset = PRESETS[name]
    if preset.smoothing.inside and _has_gaps(image):
        return replace(preset, smoothing=replace(preset.smoothing, inside=False))
    return preset


def _bands_are_equal(image: Image) -> bool:
    """Whether a picture in colour is a grey one, as many microscopes and viewers write it."""
    red, green, blue = np.moveaxis(image.data[..., :3], -1, 0)
    return np.array_equal(red, green) and np.array_equal(red, blue)


def _has_gaps(image: Image) -> bool:
    """Whether a pixel has some of its bands, but not all: a field inside EM cannot use it."""
    complete = image.usable(range(image.n_bands), complete=True)
    some = image.valid
    return complete is not None and (some is None or not np.array_equal(complete, some))
