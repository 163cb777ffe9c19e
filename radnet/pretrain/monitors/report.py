"""A run in words: the note beside the progress bar while it goes on, and what is said at its end."""

from collections.abc import Mapping, Sequence
from statistics import median

from radnet.pretrain.monitors.diagnosis import values
from radnet.pretrain.monitors.findings import Line
from radnet.pretrain.monitors.waiting import verdict


def note(line: Line, epochs: int) -> str:
    """A few words beside the progress bar.

    Args:
        line: The last line of the log.
        epochs: Epochs of the run.
    """
    parts = [f"epoch {int(line['epoch']) + 1}/{epochs}", f"loss {line['loss']:.3f}"]
    if "slices_per_s" in line:
        parts.append(f"{line['slices_per_s']:.0f} slices/s")
    if "waiting_share" in line:
        parts.append(f"waiting {100 * line['waiting_share']:.0f} %")
    return ", ".join(parts)


def summary(
    history: Sequence[Line],
    findings: Sequence[Mapping[str, object]],
    *,
    workers: int,
    cores: int,
    ranks: int,
    knn_metric: str | None,
) -> list[str]:
    """What a run did, a line a sentence.

    Args:
        history: Lines of the log.
        findings: Lines of `diagnosis.jsonl`.
        workers: Loader processes of each rank.
        cores: CPU cores of this machine.
        ranks: Ranks on this machine.
        knn_metric: Name of the online kNN's values, None when there was none.
    """
    if not history:
        return []
    losses = values(history, "loss")
    text = [f"loss {losses[0]:.4g} -> {losses[-1]:.4g} in {int(history[-1]['step'])} steps"] if losses else []
    if rates := values(history, "slices_per_s"):
        text.append(f"{median(rates):.0f} slices/s (median)")
    if shares := values(history, "waiting_share"):
        text.append(verdict(median(shares), workers=workers, cores=cores, ranks=ranks))
    ranked = [line for line in history if "rankme" in line]
    if ranked:
        last = ranked[-1]
        text.append(f"RankMe {last['rankme']:.3g} of at most {last['rankme_limit']:.0f}, on training views")
    if knn_metric is not None and (scores := values(history, knn_metric)):
        name = knn_metric.removeprefix("knn_").replace("_", " ")
        text.append(f"online kNN: {name} {scores[-1]:.3f} at the end, {max(scores):.3f} at its best")
    kinds = list(dict.fromkeys(str(one["code"]) for one in findings))
    text.append(f"findings: {', '.join(kinds)} (diagnosis.jsonl)" if kinds else "no findings")
    return text
