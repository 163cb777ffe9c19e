"""`radnet export, publish, import`: weights on their way out and in."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from radnet.cli.build import Overwrite

Choice = Literal["last", "best", "ema", "student", "averaged"]
Onnx = Annotated[bool, typer.Option("--onnx", help="Write model.onnx, too, checked against torch (extra: onnx).")]
NewExport = Annotated[Path, typer.Argument(help="Directory of the export.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command("export")(export)
    app.command("publish")(publish)
    app.command("import")(import_)


def export(
    run: Annotated[Path, typer.Argument(help="A run directory of radnet pretrain, finished or not.")],
    out: NewExport,
    weights: Annotated[
        Choice | None,
        typer.Option(
            help="last: the newest checkpoint (default); best: the best online kNN on validation patients; ema: the "
            "teacher of DINO, student: what it follows; averaged: the mean of checkpoints."
        ),
    ] = None,
    step: Annotated[int | None, typer.Option(help="The checkpoint after so many steps; default: the newest.")] = None,
    average: Annotated[
        int | None, typer.Option(min=1, help="Average the weights of so many checkpoints up to it; default: all.")
    ] = None,
    onnx: Onnx = False,
    overwrite: Overwrite = False,
) -> None:
    """Export weights of a run so that timm.create_model("local-dir:OUT", pretrained=True) loads them."""
    from radnet.console import say
    from radnet.pretrain.run import export_run

    export_run(run, out, weights=weights, step=step, average=average, overwrite=overwrite, onnx=onnx)
    say(f'exported: timm.create_model("local-dir:{out}", pretrained=True, num_classes=0)')


def publish(
    export: Annotated[Path, typer.Argument(help="An export, from radnet export or radnet import.")],
    target: Annotated[str, typer.Argument(help="local-dir:DIRECTORY or hf-hub:ORG/NAME.")],
    results: Annotated[
        Path | None,
        typer.Option(help="Directory of result records; those of these weights go into the card. Default: results."),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="A shard set that was trained on, for its counts; once for each set."),
    ] = None,
    licence: Annotated[str | None, typer.Option(help="Of the weights, such as cc-by-4.0.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a private repository on the hub.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Publish an export with its whole model card, fetch it again and compare the features.

    Afterwards timm knows it, too: import radnet; timm.create_model("radnet_NAME", pretrained=True).
    """
    from radnet.console import say
    from radnet.models.publish import publish as run

    known = results or (Path("results") if Path("results").is_dir() else None)
    done = run(
        export,
        target,
        results=known,
        data=tuple(data or ()),
        licence=licence,
        private=private,
        overwrite=overwrite,
    )
    say(f"{done.compared} comparisons of features: equal; {done.results} result record(s) in the card")
    named = f', or after import radnet "{done.name}"' if done.name else ""
    say(f'published: timm.create_model("{done.source}", pretrained=True){named}')


def import_(
    weights: Annotated[Path, typer.Argument(help="A file of weights: safetensors, or what torch.save wrote.")],
    architecture: Annotated[str, typer.Option(help="timm's name of the architecture, such as resnet50.")],
    out: Annotated[Path, typer.Option(help="Directory of the export.")],
    layout: Annotated[
        str | None, typer.Option(help="How the file is made: lukemelas, moco, mae, dino, … Default: recognised.")
    ] = None,
    member: Annotated[
        str | None, typer.Option(help="Which set of tensors of a checkpoint with several: teacher, student, …")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Leave out tensors of the file with such names: 'probe.*'.")
    ] = None,
    missing: Annotated[
        list[str] | None, typer.Option(help="Tensors of the architecture that may be missing and stay untrained.")
    ] = None,
    classifier: Annotated[bool, typer.Option(help="Keep a classifier that is the encoder's own.")] = True,
    argument: Annotated[
        list[str] | None, typer.Option(help="More for timm.create_model, KEY=VALUE: global_pool=avg.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, help="Side of the pictures in evaluation.")] = None,
    mean: Annotated[str | None, typer.Option(help="Normalisation, one value or one a channel: 0.5,0.5,0.5.")] = None,
    std: Annotated[str | None, typer.Option(help="Normalisation, one value or one a channel.")] = None,
    window: Annotated[
        str | None, typer.Option(help="brain, soft_tissue, lung, bone, full, minmax, or multi (one a channel).")
    ] = None,
    method: Annotated[str | None, typer.Option(help="How the weights were trained: simclr, supervised, …")] = None,
    trained_on: Annotated[str, typer.Option(help="On what, in a few words: ImageNet-1k.")] = "",
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "",
    url: Annotated[str | None, typer.Option(help="Where they come from.")] = None,
    arm: Annotated[
        Literal["in-domain", "imagenet", "other"], typer.Option(help="Side of a comparison that they stand on.")
    ] = "other",
    every_tensor: Annotated[bool, typer.Option("--every-tensor", help="A row of the table for every tensor.")] = False,
    onnx: Onnx = False,
    overwrite: Overwrite = False,
) -> None:
    """Import weights of another project as an export like radnet's own. Nothing in the file is executed.

    Whatever is missing or unexpected is an error, unless --missing or --ignore names it.
    """
    from radnet.cli.import_table import import_table, key_values, numbers, window_named
    from radnet.console import say, show
    from radnet.models.foreign import ImportRequest, import_weights

    request = ImportRequest(
        weights=weights,
        architecture=architecture,
        layout=layout,
        member=member,
        ignore=tuple(ignore or ()),
        missing=tuple(missing or ()),
        classifier=classifier,
        arguments=key_values(argument or []),
        size=size,
        mean=numbers(mean),
        std=numbers(std),
        window=window_named(window),
        method=method,
        trained_on=trained_on,
        licence=licence,
        url=url,
        arm=arm,
    )
    done = import_weights(request, out, overwrite=overwrite, onnx=onnx)
    show(import_table(done, architecture, every_tensor=every_tensor))
    say(f'imported: timm.create_model("local-dir:{out}", pretrained=True)')
