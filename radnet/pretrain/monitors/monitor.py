"""The observer of a pretraining run: cheap at every step, thorough now and then, in words where it matters."""

import json
import math
import os
import time
from collections.abc import Mapping
from typing import Any

from radnet.console import say, warn
from radnet.files import explained_disk_errors, write_atomically
from radnet.pretrain.moment import Moment
from radnet.pretrain.monitors.best import Best, BestKeeper
from radnet.pretrain.monitors.curves import FACTS, draw_curves
from radnet.pretrain.monitors.diagnosis import diagnose, window_of
from radnet.pretrain.monitors.findings import Bulletin, RunFacts
from radnet.pretrain.monitors.history import History, read_lines
from radnet.pretrain.monitors.online_knn import LabelledSlices, OnlineKnn, labelled_slices
from radnet.pretrain.monitors.rankme import NewestFeatures, embedding_std
from radnet.pretrain.monitors.report import summary
from radnet.pretrain.monitors.settings import MonitorSettings
from radnet.pretrain.monitors.waiting import Pace
from radnet.pretrain.monitors.writers import Guarded, open_writers, require_wandb
from radnet.pretrain.observer import RunDescription, StepSeen
from radnet.pretrain.settings import PretrainSettings
from radnet.transfer.rankme import rankme
from radnet.views import EvaluationView

LOG, DIAGNOSIS = "log.jsonl", "diagnosis.jsonl"
_RANKME_A_RUN = 50
_MIN_EVERY = 20


def monitor_of(settings: PretrainSettings, view: EvaluationView) -> "Monitor":
    """The monitor that a run's settings ask for, after what it needs was checked.

    Args:
        settings: The run's settings.
        view: What the backbone sees of a slice of the online kNN: the export's own preprocessing.

    Raises:
        UsageError: The set for the online kNN cannot be used, or W&B was asked for and is not installed.
    """
    require_wandb(settings.monitors.wandb)
    return Monitor(settings.monitors, labelled_slices(settings.monitors.knn, settings.data), view)


class Monitor:
    """Watches a run as `configs/monitors/` says; an `Observer`.

    Values of the log are those of rank 0, features too; the ranks share the work of the online kNN.

    Args:
        settings: `monitors` of the run's settings.
        labelled: The slices of the online kNN, from `labelled_slices`; None for none.
        view: What the backbone sees of them.
    """

    def __init__(self, settings: MonitorSettings, labelled: LabelledSlices | None, view: EvaluationView) -> None:
        self._settings, self._labelled, self._view = settings, labelled, view
        self._pace, self._own_s, self._watched_s = Pace(), 0.0, 0.0
        self._features = NewestFeatures(settings.features_rows)
        self._history, self._bulletin = History(), Bulletin()
        self._writers: list[Guarded] = []
        self._wandb_id: str | None = None
        self._run: RunDescription | None = None
        self._knn: OnlineKnn | None = None
        self._best: BestKeeper | None = None
        self._diagnosed_step = 0
        self._untold: dict[str, float] = {}  # measured since the last line of the log

    def start(self, run: RunDescription) -> None:
        """See `Observer`: open what is written to, and read what an interrupted run has logged."""
        self._run = run
        if self._labelled is not None:
            self._knn = OnlineKnn(self._labelled, self._view, self._settings.knn, run.processes)
        self._rankme_every = min(self._settings.features_every_steps, max(run.total_steps // _RANKME_A_RUN, _MIN_EVERY))
        self._knn_every = max(1, round(self._settings.knn.every_epochs * run.steps_per_epoch))
        self._facts = _facts(run)
        if not run.processes.is_main:
            return
        if self._labelled is not None:
            self._best = BestKeeper(run.out, run.first_step)
            say(self._labelled.summary())
        for line in read_lines(run.out / LOG, run.first_step):
            self._history.add(line)
        kept = read_lines(run.out / DIAGNOSIS, run.first_step)
        write_atomically(run.out / DIAGNOSIS, "".join(json.dumps(line) + "\n" for line in kept))
        write_atomically(run.out / FACTS, json.dumps(_for_curves(run, self._labelled), indent=2) + "\n")
        self._writers, self._wandb_id = open_writers(
            self._settings,
            run.out,
            run.settings.model_dump(mode="json"),
            first_step=run.first_step,
            wandb_id=self._wandb_id,
        )

    def step(self, seen: StepSeen) -> dict[str, float]:
        """See `Observer`."""
        started_s = time.perf_counter()
        run, done = self._started(), seen.moment.step + 1
        if seen.moment.step > run.first_step:  # the first batch waits for the workers to start
            # what watching took after the step before is no part of the training's speed
            self._pace.add(seen.waited_s, max(seen.step_s - self._own_s, seen.waited_s), seen.slices)
        self._watched_s += self._own_s
        self._own_s = 0.0
        line: dict[str, float] = {}
        if self._knn is not None and (done % self._knn_every == 0 or done == run.total_steps):
            scores = self._knn(run.method.backbone)
            line |= scores
            for metric, score in scores.items():
                if self._best is not None and math.isfinite(score):
                    self._best.consider(Best(done, metric, score), run.method.backbone)
        if run.processes.is_main:
            line |= self._look_at_features(seen, done)
            if seen.is_logged:
                line |= self._speed()
        self._own_s += time.perf_counter() - started_s
        self._untold |= {name: value for name, value in line.items() if math.isfinite(value)}
        if not seen.is_logged:
            return {}
        told, self._untold = self._untold, {}
        return told

    def logged(self, line: Mapping[str, float]) -> None:
        """See `Observer`: pass the line on, and think about it now and then."""
        started_s = time.perf_counter()
        self._history.add(line)
        for writer in self._writers:
            writer.write(int(line["step"]), {name: value for name, value in line.items() if math.isfinite(value)})
        step, window = int(line["step"]), self._facts.window_steps
        if step >= self._started().total_steps or step - self._diagnosed_step >= max(window // 4, 1):
            self._diagnosed_step = step
            self._diagnose()
        self._own_s += time.perf_counter() - started_s

    def checkpoint(self, moment: Moment) -> None:
        """See `Observer`: what dashboards were given is on disk no later than the weights."""
        for writer in self._writers:
            writer.flush()

    def finish(self) -> None:
        """See `Observer`: draw the curves and sum the run up."""
        run = self._started()
        if not run.processes.is_main:
            return
        if self._settings.curves:
            try:
                say(f"curves: {draw_curves(run.out)}")
            except Exception as error:  # whatever it is, a figure is not worth a finished run
                warn(f"The curves could not be drawn ({type(error).__name__}: {error})")
        text = summary(
            self._history.lines,
            read_lines(run.out / DIAGNOSIS),
            workers=run.settings.workers,
            cores=_cores(),
            ranks=_local_ranks(),
            knn_metric=None if self._labelled is None else f"knn_{self._labelled.task.metric}",
        )
        for sentence in text:
            say(sentence)

    def close(self) -> None:
        """See `Observer`."""
        for writer in self._writers:
            writer.close()
        if self._labelled is not None:
            self._labelled.shards.close()

    def state_dict(self) -> dict[str, Any]:
        """See `Observer`: which findings were told, what W&B calls the run, and what waits for its line."""
        said = {code: list(steps) for code, steps in self._bulletin.said.items()}
        return {"said": said, "wandb_id": self._wandb_id, "untold": dict(self._untold)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """See `Observer`."""
        self._bulletin.said = {code: list(steps) for code, steps in state.get("said", {}).items()}
        self._wandb_id = state.get("wandb_id")
        self._untold = dict(state.get("untold", {}))

    def _started(self) -> RunDescription:
        if self._run is None:
            raise ValueError("start comes before everything else")
        return self._run

    def _look_at_features(self, seen: StepSeen, done: int) -> dict[str, float]:
        """Deviation with every line; RankMe over the newest rows every `_rankme_every` steps and at the end."""
        if seen.features is None:
            return {}
        line: dict[str, float] = {}
        if seen.is_logged:
            line["features_std"] = float(embedding_std(seen.features))
        due = min(-(-done // self._rankme_every) * self._rankme_every, self._started().total_steps)
        if due - done < -(-self._settings.features_rows // len(seen.features)):
            self._features.add(seen.features)
        if done == due:
            rows = self._features.newest()
            line |= {"rankme": rankme(rows), "rankme_rows": len(rows), "rankme_limit": min(rows.shape)}
            self._features.clear()
        return line

    def _speed(self) -> dict[str, float]:
        if not self._pace.slices:
            return {}
        line = {
            "slices_per_s": self._pace.slices_per_s,
            "waiting_share": self._pace.waiting_share,
            "watching_share": self._watched_s / max(self._pace.spent_s + self._watched_s, 1e-9),
        }
        self._pace.reset()
        self._watched_s = 0.0
        return line

    def _diagnose(self) -> None:
        run = self._started()
        for news in self._bulletin.news(diagnose(self._history.lines, self._facts), self._facts.window_steps):
            warn(news.text())
            path = run.out / DIAGNOSIS
            with explained_disk_errors(path), path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(news.as_line()) + "\n")


def _facts(run: RunDescription) -> RunFacts:
    warmup = round(run.settings.schedule.warmup_epochs * run.steps_per_epoch)
    return RunFacts(
        settings=run.settings.model_dump(mode="json"),
        landmarks=run.landmarks,
        grace_steps=max(warmup, min(run.total_steps // 20, 2000)),
        window_steps=window_of(
            run.settings.monitors.diagnosis_steps,
            total_steps=run.total_steps,
            log_every_steps=run.settings.log_every_steps,
        ),
    )


def _for_curves(run: RunDescription, labelled: LabelledSlices | None) -> dict[str, Any]:
    """What the figure needs besides the log."""
    knn = None
    if labelled is not None:
        knn = {
            "task": labelled.task.name,
            "metric": labelled.task.metric,
            "classes": len(labelled.task.classes),
            "chance": labelled.chance,
            "train_slices": labelled.voters,
            "val_slices": labelled.asked,
        }
    return {
        "method": run.settings.method["name"],
        "backbone": run.settings.backbone,
        "landmarks": run.landmarks,
        "steps_per_epoch": run.steps_per_epoch,
        "total_steps": run.total_steps,
        "knn": knn,
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _local_ranks() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
