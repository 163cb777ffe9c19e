"""Verbs of the views: which recipes there are, and what they make of a set."""

from pathlib import Path
from typing import Annotated

import typer

from radnet.cli.experiments import Overrides

Split = Annotated[str | None, typer.Option(help="train, val or test; default: all slices.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    views = typer.Typer(no_args_is_help=True, help="Views: what a network sees of a slice.")
    views.command("list")(recipes)
    views.command("preview")(preview)
    app.add_typer(views, name="views")


def recipes() -> None:
    """Every recipe with the views it makes and the window it looks through."""
    from rich.table import Table

    from radnet.configs import compose, names_in
    from radnet.console import show
    from radnet.views import recipe_from_settings

    table = Table(title="recipes of views")
    for column in ("recipe", "views (channels x side)", "window", "what it is"):
        table.add_column(column, overflow="fold")
    for name in names_in("views"):
        recipe = recipe_from_settings(compose("preview", [f"views={name}"])["views"])
        shapes = [f"{channels} x {side} px" for channels, side, _ in recipe.shapes]
        counts = ", ".join(f"{shapes.count(shape)} of {shape}" for shape in dict.fromkeys(shapes))
        summary = str(type(recipe).__doc__).strip().splitlines()[0]
        table.add_row(name, counts, str(recipe.describe()["window"]["policy"]), summary)
    show(table)


def preview(
    shards: Annotated[Path, typer.Argument(help="A shard set.")],
    out: Annotated[Path, typer.Argument(help="PNG to write.")],
    overrides: Overrides = None,
    slices: Annotated[int, typer.Option(min=1, max=64, help="Slices, one a row, spread over series and regions.")] = 6,
    split: Split = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of slices and views; the run's seed shows its views.")] = 0,
    epoch: Annotated[int, typer.Option(min=0, help="Epoch whose views are drawn.")] = 0,
) -> None:
    """Draw slices beside their views: radnet views preview SET OUT.png views=multicrop views.noise_hu=0.

    The views are those that a run with this recipe and seed sees in this epoch. The recipe is views=NAME
    (radnet views list), its window window@views.window=NAME.
    """
    from radnet.configs import compose
    from radnet.console import say
    from radnet.errors import UsageError
    from radnet.files import explained_disk_errors, write_atomically
    from radnet.shards import ShardSet
    from radnet.views import recipe_from_settings
    from radnet.views.preview import Shown, choose, draw

    if out.suffix.lower() != ".png":
        raise UsageError("The preview is a PNG", seen=out.name, fix=f"Name it {out.stem}.png")
    recipe = recipe_from_settings(compose("preview", overrides or [])["views"])
    opened = ShardSet.open(shards)
    rows = opened.rows(split)
    if not len(rows):
        raise UsageError("No slice is in this split", seen=split, fix="Leave --split out to take all slices")
    chosen = choose(opened.index.iloc[rows][["series_key", "body_region"]], slices, seed)
    shown = []
    for row in rows[chosen]:
        entry = opened.index.iloc[row]
        caption = f"{entry['body_region'] or 'region unknown'}, row {row}"
        shown.append(Shown(image=opened.read_image(int(row)), caption=caption, seed=(seed, epoch, int(row))))
    with explained_disk_errors(out):
        write_atomically(out, draw(shown, recipe))
    say(f"preview: {out}")
