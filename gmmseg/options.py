"""How images are segmented: the options of all steps as one value."""

from __future__ import annotations

from dataclasses import dataclass

from gmmseg.bias import BiasOptions
from gmmseg.feature_spec import FeatureSpec
from gmmseg.hints import BoxOptions
from gmmseg.mixture.merging import MergeOptions
from gmmseg.mixture.options import EMOptions
from gmmseg.mixture.selection import SelectOptions
from gmmseg.priors import PriorOptions
from gmmseg.regions import RegionOptions
from gmmseg.smoothing import SmoothingOptions
from gmmseg.stability import StabilityOptions

__all__ = ["SegmentOptions"]


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """How images are segmented.

    As it stands: plain maximum likelihood, each pixel for itself. `gmmseg.presets` has values that
    were found by measurement.

    Attributes
    ----------
    features : FeatureSpec
        What pixels are told apart by.
    em : EMOptions
        How the mixture is fitted.
    selection : SelectOptions
        How the number of classes is chosen where it is not given.
    smoothing : SmoothingOptions
        How neighbouring pixels are taken into account; off by default, but for a box.
    merging : MergeOptions
        Whether a class is one Gaussian, or several that were merged.
    regions : RegionOptions
        What becomes of specks, holes and neighbouring regions; all stay by default.
    box : BoxOptions
        How an object in a box is found.
    bias : BiasOptions
        Whether a smooth factor over the image is estimated and removed; off by default.
    stability : StabilityOptions
        How stability is found out where it is asked for.
    priors : PriorOptions
        How much prior maps count, where there are any.
    """

    features: FeatureSpec = FeatureSpec()
    em: EMOptions = EMOptions()
    selection: SelectOptions = SelectOptions()
    smoothing: SmoothingOptions = SmoothingOptions()
    merging: MergeOptions = MergeOptions()
    regions: RegionOptions = RegionOptions()
    box: BoxOptions = BoxOptions()
    bias: BiasOptions = BiasOptions()
    stability: StabilityOptions = StabilityOptions()
    priors: PriorOptions = PriorOptions()
