"""Options by what the image is, found by measurement: docs/quality.md has the tables.

The tables tell the part of each set that was tuned on from a third that was kept aside; only for
photos was that third never looked at. Figures in comments are of whole sets, photos apart. The
options of a preset are few on purpose: what did not help is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from gmmseg._check import check_choice
from gmmseg.adapted import (
    bands_are_equal,
    for_brain,
    for_grey,
    for_nuclei,
    for_scene,
    is_stained,
)
from gmmseg.feature_spec import FeatureSpec
from gmmseg.image import Image
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.selection import SelectOptions
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
        # On the photos tuned on (covering, Rand index, variation of information): texture at one
        # scale of 4 pixels .607, .796, 1.68, at two .611, .795, 1.65 (17 photos); without joining
        # like regions .581, .790, 1.80, nearer than 2.5, 3, 3.5 .594, .612, .605 (34). A covariance
        # for each class, ties that edges weaken, and costs of joining by size or by the
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
        # Stained or grey, power and local background are decided by the image: `for_nuclei`.
        "microscopy": SegmentOptions(
            features=FeatureSpec(colour_space="gray"),
            em=_TIED,
        ),
        # A bound of 1, 1.2, 1.5, 1.8, 2 and 3 on the ratio of the variances: mean Dice of the
        # planes tuned on without noise .922, .937, .944, .943, .939, .917. Where there is much
        # noise, `for_brain` takes the field inside EM, which makes cerebrospinal fluid, thin as it
        # is, disappear where there is little: a Dice of .81 instead of .90 without noise, but of
        # .80 instead of .64 with 9 %.
        "mri": SegmentOptions(
            em=EMOptions(max_ratio=1.5),
            smoothing=SmoothingOptions(beta=0.2),
        ),
        # The cube root makes what is darker or brighter by a factor, as slopes are in the sun,
        # nearly normal (Wilson and Hilferty 1931). Accuracy on both whole scenes, Landsat 7 and 5,
        # free covariances: .81 and .99, within a factor of 40 .84, .98, of 50 to 130 .88 to .91,
        # .985 to .996; at 70 .907, .993. Bands as they are: .77, .93 free, .88,
        # .84 bounded, one covariance with a field inside EM .90, .88; the root .89, .99 at 50.
        # With the field inside EM .86, .997. Where a power means nothing: `for_scene`.
        "satellite": SegmentOptions(
            features=FeatureSpec(power=1 / 3),
            em=EMOptions(max_ratio=70.0, n_init=10),
            smoothing=SmoothingOptions(beta=1.0),
        ),
    }
)

#: What of a preset is decided by the image.
_BY_IMAGE: Mapping[str, Callable[[SegmentOptions, Image], SegmentOptions]] = MappingProxyType(
    {"grey": for_grey, "microscopy": for_nuclei, "mri": for_brain, "satellite": for_scene}
)

#: What is meant where nothing is said.
DEFAULT = AUTOMATIC

#: What the command line and the doors take.
PRESET_NAMES = (AUTOMATIC, *PRESETS)


def preset_name(image: Image) -> str:
    """The preset that suits an image, by its axes and bands.

    A volume of one band is taken as "mri", one band, or three equal ones, as "grey", a picture in
    colour as "photo", or as "microscopy" where light shone through a stain (`adapted.is_stained`),
    anything else as "satellite". What else a file may be, its owner has to say.

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
    if image.colour and bands_are_equal(image):
        return "grey"
    if image.colour and image.ndim == 2 and is_stained(image):
        return "microscopy"
    return "photo" if image.colour and image.ndim == 2 else "satellite"


def options_for(
    options: SegmentOptions | str, image: Image, *, boxed: bool = False
) -> SegmentOptions:
    """The options meant: as they are, or those of a preset's name.

    Features of "microscopy", smoothing of "mri" and the power of "satellite" are decided by the
    image. Where pixels lack some
    of their bands, a preset smooths after EM, not inside. For an object in a box (`boxed`) "auto"
    is "plain": colours blurred less than the object's outline is fine, and the smoothing of
    `BoxOptions`.

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
    if name in _BY_IMAGE:
        preset = _BY_IMAGE[name](preset, image)
    if preset.smoothing.inside and _has_gaps(image):
        return replace(preset, smoothing=replace(preset.smoothing, inside=False))
    return preset


#: Options where classes are followed from image to image, by whether these are scenes of many
#: bands: docs/quality-dates.md. A gain and an offset of a date leave one covariance nearly as it
#: is, and bands as they are.
_FOLLOWED = {
    False: PRESETS["plain"],
    True: SegmentOptions(
        em=EMOptions(covariance_type="tied", n_init=10), smoothing=SmoothingOptions(beta=1.0)
    ),
}


@dataclass(frozen=True, kw_only=True)
class ChangedPreset:
    """A preset with other values for some fields: how any image is segmented, as plain values.

    Attributes
    ----------
    preset : str
        Of `PRESET_NAMES`.
    changes : dict of dict
        For the parts of `SegmentOptions` by name, the fields that differ from the preset's.
    boxed : bool
        As in `options_for`.
    followed : bool
        Classes are followed from image to image: "auto" is then one covariance of bands as they
        are, smoothed after EM, for scenes of many bands, and otherwise "plain", because means of
        textures can hardly be followed.

    Examples
    --------
    >>> import numpy as np
    >>> image = Image.from_array(np.zeros((4, 5), np.uint8))
    >>> ChangedPreset(preset="auto", changes={"em": {"n_init": 5}})(image).em.n_init
    5
    """

    preset: str = DEFAULT
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    boxed: bool = False
    followed: bool = False

    def __post_init__(self) -> None:
        for preset in PRESETS.values():  # what breaks a rule is told before anything is read
            self._changed(preset)

    def __call__(self, image: Image) -> SegmentOptions:
        """The options for an image."""
        if self.followed and self.preset == AUTOMATIC:
            options = self._changed(_FOLLOWED[preset_name(image) == "satellite"])
        else:
            options = self._changed(options_for(self.preset, image, boxed=self.boxed))
        told = "inside" in self.changes.get("smoothing", {})
        if told or not options.smoothing.inside or not _undefined(image, options.features):
            return options
        return replace(options, smoothing=replace(options.smoothing, inside=False))

    def of_stream(self, look: Image) -> SegmentOptions:
        """The options for a scene that is read strip by strip, of which this is a look.

        "auto" is then "plain": a field inside EM and textures need the image in one place.
        """
        automatic = self.preset == AUTOMATIC and not self.followed
        return (replace(self, preset="plain") if automatic else self)(look)

    def _changed(self, options: SegmentOptions) -> SegmentOptions:
        parts = {
            name: replace(getattr(options, name), **fields) for name, fields in self.changes.items()
        }
        return replace(options, **parts)


def _undefined(image: Image, features: FeatureSpec) -> bool:
    """Whether an index is not defined somewhere: a gap among features, if not among bands."""
    if not features.indices:
        return False
    some = features.resolve(image)
    complete, used = replace(some, gaps="drop").valid(image), some.valid(image)
    return complete is not None and (used is None or not np.array_equal(complete, used))


def _has_gaps(image: Image) -> bool:
    """Whether a pixel has some of its bands, but not all: a field inside EM cannot use it."""
    complete = image.usable(range(image.n_bands), complete=True)
    some = image.valid
    return complete is not None and (some is None or not np.array_equal(complete, some))
