"""The site in a real browser: opened from a file, sorted, filtered, at the widths of a desk and of a phone.

Debian's chromium is used through playwright. Where it is missing, CI installs it by apt; elsewhere the tests skip.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from radnet.leaderboard import write_leaderboard
from radnet.leaderboard.index_page import lines_of
from radnet.leaderboard.site import data_script
from radnet.leaderboard.tables import build_tables
from radnet.records import Curve, Difference, Interval, Overlap, Resampled, ResultRecord, write_record

REFERENCE = "balanced_accuracy vs timm:resnet18"
WIDTHS = {"desk": 1280, "phone": 390}
SLOW_S = 15.0
"""Far above what a page may take on a free machine (`benchmarks/leaderboard.py` measures that): CI shares its cores."""

Make = Callable[..., ResultRecord]


def chromium() -> str:
    """Path of the browser; installed where that is CI's business, a reason to skip elsewhere."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None and os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get"):
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "chromium"]):
            done = subprocess.run(["apt-get", *words], capture_output=True, text=True, timeout=600, check=False)
            if done.returncode:
                pytest.skip(f"chromium cannot be installed: apt-get {words[0]}: {done.stderr.strip()[-200:]}")
        found = shutil.which("chromium")
    if found is None:
        pytest.skip("needs a browser: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'radnet[dev]'")
    path = chromium()
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def study_site(make: Make, tmp_path: Path) -> Path:
    """First page of a site with something of everything, hostile names included."""
    records = []
    for task, value, p in (("region", 0.021, 0.001), ("liver", 0.004, 0.6), ("lesion", -0.1, 0.002)):
        for fraction in (1.0, 0.1):
            records.append(make("timm:resnet18", 0.8 - (1 - fraction) / 9, task=task, fraction=fraction))
            records.append(
                make(
                    "run:archive/<img src=x onerror=alert(1)>",
                    0.8 + value - (1 - fraction) / 9,
                    task=task,
                    fraction=fraction,
                    differences={REFERENCE: Difference(value=value, low=value - 0.01, high=value + 0.01, p=p)},
                    per_class={"f1": {"head": Interval(value=0.9, low=0.8, high=0.95), "thorax": None}},
                    curves={"val_accuracy": Curve(over="epoch", at=(0, 1, 2), values=(0.2, None, 0.7))},
                    overlap=Overlap(checked=True, test_items=400, shared_items=3, shared_patients=2),
                    resampled=Resampled(draws="x", values=(0.8, 0.9)),
                )
            )
    records.append(make("random:resnet18", 0.5))
    records.append(make("timm:resnet50", message="No network </script><b>at all</b>"))
    for record in records:
        write_record(record, tmp_path / "results")
    (tmp_path / "results" / "bad<i>.json").write_text("{")
    return write_leaderboard(tmp_path / "results").site


def opened(browser: Any, page: Path, width: int = 1280) -> Any:
    """The page from its file, ready; a script error or a request that leaves the disk fails the test."""
    tab = browser.new_page(viewport={"width": width, "height": 900})
    tab.set_default_timeout(120_000)  # a busy machine is no reason to fail
    tab.on("pageerror", lambda error: pytest.fail(f"script error: {error}"))
    tab.on("request", lambda request: request.url.startswith(("file:", "data:")) or pytest.fail(request.url))
    tab.on("dialog", lambda dialog: pytest.fail(f"a record ran a script: {dialog.message}"))
    tab.goto(page.as_uri())
    tab.wait_for_selector(".tabulator-row")
    return tab


def test_table_sorts_and_filters(browser: Any, study_site: Path) -> None:
    tab = opened(browser, study_site)
    assert tab.inner_text("#shown") == "14 of 14 rows"
    assert "3 test items and 2 test patients were in its pretraining set" in tab.inner_text("#grid")
    tab.click(".tabulator-col[tabulator-field=score] .tabulator-col-title")
    scores = tab.evaluate("RADNET_GRID.getRows('active').map(row => row.getData().score)")
    known = [score for score in scores if score is not None]
    assert known == sorted(known, reverse=True)
    assert scores[-1] is None, "a row without a score stands last"
    tab.click(".tabulator-col[tabulator-field=score] .tabulator-col-title")
    scores = tab.evaluate("RADNET_GRID.getRows('active').map(row => row.getData().score)")
    assert scores[0] == min(known)
    assert scores[-1] is None
    tab.select_option("[data-filter=task]", "liver")
    assert tab.inner_text("#shown") == "4 of 14 rows"
    tab.select_option("[data-filter=fraction]", "0.1")
    assert tab.inner_text("#shown") == "2 of 14 rows"
    tab.select_option("[data-filter=arm]", "in-domain")
    assert tab.locator("#grid .tabulator-row").count() == 1
    tab.click("#reset")
    assert tab.inner_text("#shown") == "14 of 14 rows"
    tab.fill("#search", "lesion IN-domain")
    tab.wait_for_function("document.getElementById('shown').textContent === '2 of 14 rows'")
    tab.close()


def test_matrix_and_cells_can_be_walked(browser: Any, study_site: Path) -> None:
    tab = opened(browser, study_site)
    assert tab.locator("#matrix-1").is_visible()
    assert not tab.locator("#matrix-2").is_visible()
    tab.select_option("#matrix-picker", "matrix-2")
    assert not tab.locator("#matrix-1").is_visible()
    assert tab.locator("#matrix-2").is_visible()
    assert tab.locator("#curves img").count() == 3
    assert tab.evaluate("[...document.querySelectorAll('#curves img')].every(i => i.loading === 'lazy')")
    tab.select_option("[data-filter=arm]", "in-domain")
    tab.locator("#grid .tabulator-row a").first.click()
    tab.wait_for_selector("h1.cell-title")
    text = tab.inner_text("main")
    for words in ("Scores of each class", "Learning curves", "cannot be scored", "3 of 400 test items", "not finite"):
        assert words in text
    assert "<img src=x" in tab.inner_text("h1")
    assert tab.locator(".curve polyline").count() == 2
    tab.close()


@pytest.mark.parametrize("where", WIDTHS)
def test_page_fits_its_screen(browser: Any, study_site: Path, tmp_path: Path, where: str) -> None:
    """RADNET_SCREENSHOTS=DIRECTORY keeps the pictures: look at them after every change of the page."""
    kept = Path(os.environ.get("RADNET_SCREENSHOTS", tmp_path))
    tab = opened(browser, study_site, WIDTHS[where])
    assert tab.evaluate("document.documentElement.scrollWidth") <= WIDTHS[where], "nothing hangs over the side"
    picture = tab.screenshot(path=kept / f"index-{where}.png", full_page=True)
    assert len(picture) > 20_000
    assert tab.locator(".tabulator-row").first.is_visible()
    for column, shown in (("score", True), ("model", True), ("p", where == "desk")):
        assert tab.locator(f".tabulator-col[tabulator-field={column}]").is_visible() is shown
    if where == "phone":
        tab.locator(".tabulator-responsive-collapse-toggle").first.click()
        assert "Difference to ImageNet" in tab.locator(".tabulator-responsive-collapse").first.inner_text()
    for page in sorted((study_site.parent / "cells").glob("*.html"))[:2]:
        tab.goto(page.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= WIDTHS[where]
    tab.screenshot(path=kept / f"cell-{where}.png", full_page=True)
    tab.close()


def test_thousands_of_rows_are_quick(browser: Any, study_site: Path, make: Make) -> None:
    lines = lines_of(build_tables([make(f"run:a/{number}", 0.5 + number / 400) for number in range(100)]))
    many = [line | {"model": f"{line['model']}-{copy}", "score": line["score"] + copy / 1000}
            for copy in range(50) for line in lines]  # fmt: skip
    (study_site.parent / "data.js").write_text(data_script(many))
    tab = opened(browser, study_site)
    assert tab.inner_text("#shown") == "5000 of 5000 rows"
    paint_s = tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
    sort_s = tab.evaluate(SORT) / 1000
    assert paint_s < SLOW_S
    assert sort_s < SLOW_S
    assert tab.locator("#grid .tabulator-row").count() < 200, "only what is seen is built"
    tab.close()


SORT = """async () => {
  const start = performance.now();
  RADNET_GRID.setSort("score", "desc");
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return performance.now() - start;
}"""
