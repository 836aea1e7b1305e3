"""Tell the tissues of a head apart: cerebrospinal fluid, grey and white matter.

Three Gaussians, neighbours that pull each other, and a bias field; no atlas, no training. Writes
the label map <stem>_labels.nii.gz (0 outside the mask, 1..3 from dark to bright), the volumes
<stem>_tissue.json, and slices to look at, <stem>_mosaic.png. The table of volumes goes to stderr;
--json prints the sidecar on stdout.

    gmmseg tissue T1.nii.gz --mask brain.nii.gz
    gmmseg tissue T1.nii.gz -i T2.nii.gz -o out/ --probability-maps
    gmmseg tissue T1.nii.gz --naming fsl -o sub1
"""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from gmmseg._optional import import_optional
from gmmseg.cli import option_groups as groups
from gmmseg.cli.bias_options import add_bias, changed_bias
from gmmseg.cli.console import Console
from gmmseg.cli.destinations import check_not_an_input
from gmmseg.cli.each import run_each
from gmmseg.cli.help_options import add_priors
from gmmseg.cli.inputs import Input, read_mask_of
from gmmseg.cli.values import number_or_auto
from gmmseg.errors import InvalidParameterError
from gmmseg.io import ReadOptions, printable
from gmmseg.io.dicom_seg import SEG_TYPES
from gmmseg.outputs import check_outputs
from gmmseg.priors import PriorOptions
from gmmseg.tissue import CONTRASTS, Tissue, TissueOptions, tissue
from gmmseg.tissue_files import NAMINGS, TissueOutputs, planned_tissue, write_tissue

__all__ = ["add_arguments", "run"]


def add_arguments(parser: ArgumentParser) -> None:
    """What ``gmmseg tissue`` takes."""
    parser.usage = "gmmseg tissue T1 [-i T2 ...] [-o OUT] [--mask FILE] [options]"
    parser.add_argument("inputs", nargs="?", metavar="T1", help="a volume, or a DICOM folder")
    parser.add_argument(
        "-i",
        "--modality",
        dest="modalities",
        metavar="FILE",
        action="append",
        default=[],
        help="a further modality of the same head on the same grid; may be repeated",
    )
    parser.add_argument(
        "--contrast",
        dest="kind",
        choices=tuple(CONTRASTS),
        default=TissueOptions().contrast,
        help="which modality the first is: what is dark in t1 is bright in t2 "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--mask", metavar="FILE", help="a volume of the same size: 0 = not brain (default: told)"
    )
    parser.add_argument(
        "--smooth",
        dest="beta",
        metavar="BETA",
        type=number_or_auto,
        default=TissueOptions().beta,
        help="what a neighbour of the same tissue is worth, in nats (default: by the image)",
    )
    add_priors(parser)
    _add_outputs(parser)
    groups.add_threads(parser)
    add_bias(parser)
    groups.add_messages(parser)


def _add_outputs(parser: ArgumentParser) -> None:
    """`TissueOutputs`, and where the files go."""
    default = TissueOutputs()
    group = parser.add_argument_group("outputs")
    group.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="a folder, or the first part of all names (default: beside the first input)",
    )
    group.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    group.add_argument(
        "--naming",
        choices=tuple(NAMINGS),
        default=default.naming,
        help="fsl: _seg, fractions _pve_0 ...; ants: Segmentation, Posteriors01 ... "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--probability-maps",
        dest="probabilities",
        action="store_true",
        help="probability of each tissue: one file of four dimensions",
    )
    group.add_argument(
        "--fractions",
        action="store_true",
        help="how much of each tissue is in every voxel, which borders run through: one file of "
        "four dimensions, and their volumes in the table",
    )
    group.add_argument(
        "--histogram",
        action="store_true",
        help="the values and the density of each class, as a picture (extra plot)",
    )
    group.add_argument(
        "--mosaic",
        action=BooleanOptionalAction,
        default=default.mosaic,
        help="slices in three planes with the classes in colour (default: written)",
    )
    group.add_argument(
        "--bias-field",
        metavar="FILE",
        help="write the field too: the first modality is what was read, divided by this",
    )
    group.add_argument(
        "--corrected", action="store_true", help="write the modalities without their fields"
    )
    group.add_argument(
        "--save-model",
        dest="model",
        action="store_true",
        help="write the mixture, for gmmseg plot and describe",
    )
    group.add_argument(
        "--dicom-seg",
        dest="seg",
        choices=SEG_TYPES,
        help="write a DICOM SEG that refers to the images, too; the input must be DICOM",
    )


def run(args: Namespace) -> int:
    """Segment one head."""
    words = [word for word in (args.inputs, *args.modalities) if word is not None]
    if not words:
        raise InvalidParameterError("the volume is missing: gmmseg tissue T1.nii.gz")
    sources = [Input(word) for word in words]
    outputs = TissueOutputs(
        naming=args.naming,
        probabilities=args.probabilities,
        fractions=args.fractions,
        histogram=args.histogram,
        mosaic=args.mosaic,
        corrected=args.corrected,
        model=args.model,
        seg=args.seg,
    )
    if args.histogram:
        import_optional("matplotlib")  # told before the work, not after
    options = _options_of(args)
    plan = planned_tissue(_base_of(args, sources[0]), len(options.names), outputs)
    if args.bias_field is not None:
        plan["bias"] = Path(args.bias_field)
    read = [source.path for source in sources if source.path is not None]
    others = [Path(word) for word in (args.mask, *(args.priors or ())) if word]
    check_not_an_input(plan.values(), [*read, *others])
    check_outputs(plan, overwrite=args.overwrite)
    console = groups.console_of(args)

    def work(source: Input, places: dict[str, Path], summary: dict[str, Any]) -> None:
        started = time.perf_counter()
        found = _segmented(sources, args, options, console)
        more = {"inputs": [Path(word).name for word in words], "contrast": args.kind}
        write_tissue(found, places, more=more, seg=args.seg, overwrite=args.overwrite)
        _tell(source, found, places, console, time.perf_counter() - started)
        written = {name: str(path) for name, path in places.items()}
        summary |= found.to_dict() | more | {"input": source.word, "outputs": written}

    return run_each({sources[0]: plan}, work, console, json=args.json)


def _options_of(args: Namespace) -> TissueOptions:
    default = TissueOptions(
        contrast=args.kind,
        beta=args.beta,
        priors=PriorOptions(weight=args.prior_weight),
        fractions=args.fractions or args.naming == "fsl",
    )
    return replace(default, bias=changed_bias(args, default.bias))


def _base_of(args: Namespace, source: Input) -> str:
    """The first part of all names. Those of ANTs begin at once after what the user typed."""
    joint = "_" if args.naming == "ants" else ""
    if args.output is None:
        return f"{source.base}{joint}"
    if args.output.endswith(("/", os.sep)) or Path(args.output).is_dir():
        return f"{Path(args.output) / source.base.name}{joint}"
    return str(args.output)


def _segmented(
    sources: list[Input], args: Namespace, options: TissueOptions, console: Console
) -> Tissue:
    images = [source.read(ReadOptions()) for source in sources]
    mask = None if args.mask is None else read_mask_of(images[0], args.mask, ReadOptions())
    with console.telling_of_compilation(), console.iterations() as callback:
        found = tissue(
            images,
            options,
            mask=mask,
            priors=args.priors,
            threads=args.threads,
            callback=callback,
        )
        found.rows  # noqa: B018 - computed under the bar
    return found


def _tell(
    source: Input, found: Tissue, plan: dict[str, Path], console: Console, seconds: float
) -> None:
    if found.mask_note:
        console.say(f"{source.name}: {found.mask_note}")
    for note in found.segmentation.image.notes:
        console.detail(f"{source.name}: {printable(note)}")
    for warning in found.segmentation.warnings:
        console.warn(f"{source.name}: {warning}")
    names = ", ".join(printable(path) for path in plan.values())
    console.say(f"{source.name}: {seconds:.1f} s -> {names}")
    console.say(found.summary())
