"""The page in Chromium."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from surefoot.report.report import make_report
from tests.report.support import QUICK, make_run

pytestmark = pytest.mark.slow

ARGUMENTS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1200,2000"
)


def program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    assert found, f"{names[0]} is missing: apt-get install chromium chromium-driver"
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    for argument in (*ARGUMENTS.split(), f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(argument)
    options.binary_location = program("chromium", "chromium-browser", "google-chrome")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(program("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("page")
    for task in ("cheetah-run", "walker-run"):
        measured = {"critic_weight_norm": 2.0, "q_bias_mean": 0.5, "critic_weight_norm/torso/dense_0": 1.5}
        make_run(folder / "runs" / f"sac-{task}", task=task, diagnostics=measured)
        make_run(folder / "runs" / f"sac-2-{task}", task=task, utd=2)
        make_run(folder / "runs" / f"x-{task}", task=task, name="<img src=x onerror=alert(1)>", total=40_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("surefoot.report.report.draw_all", lambda *_: None)
        yield make_report([folder / "runs"], folder / "report", QUICK)


@pytest.fixture
def opened(browser: webdriver.Chrome, page: Path) -> Iterator[webdriver.Chrome]:
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    browser.get(page.as_uri())
    WebDriverWait(browser, 60).until(lambda b: b.execute_script("return document.body.dataset.ready") == "yes")
    yield browser
    assert browser.get_log("browser") == []


def plot(browser: webdriver.Chrome, name: str, what: str) -> Any:
    return browser.execute_script(f"return document.getElementById('{name}').{what}")


def names(browser: webdriver.Chrome, name: str) -> list[str]:
    drawn = plot(browser, name, "data.map((t) => [t.name, t.showlegend])")
    return [label for label, shown in drawn if shown is not False]


def choose(browser: webdriver.Chrome, name: str, text: str) -> None:
    Select(browser.find_element(By.ID, name)).select_by_visible_text(text)


def test_page_draws_every_figure_and_escapes_names(opened: webdriver.Chrome) -> None:
    for name in ("curves", "bars", "utd", "profile", "improvement", "clock", "diagnostics"):
        assert opened.find_element(By.ID, name).find_elements(By.CSS_SELECTOR, "svg.main-svg"), name
    for name in ("curves", "finals", "clock"):
        caption = opened.find_element(By.ID, f"{name}-caption").text
        assert "IQM, 95% stratified bootstrap intervals; 2 seeds per task." in caption, name
    assert "lowest to highest seed; 2 seeds" in opened.find_element(By.ID, "diagnostics-caption").text
    assert not opened.find_elements(By.CSS_SELECTOR, "img")
    assert "<img src=x onerror=alert(1)>" in opened.find_element(By.TAG_NAME, "body").text


def test_task_selection_changes_curves_tables_and_published_curves(opened: webdriver.Chrome) -> None:
    assert opened.find_element(By.ID, "profile-box").is_displayed()
    suite = plot(opened, "curves", "data.length")
    choose(opened, "view", "cheetah-run")
    assert "XQC UTD 2" in names(opened, "curves")
    assert "protocols" in opened.find_element(By.ID, "curves-caption").text
    assert not opened.find_element(By.ID, "profile-box").is_displayed()
    assert opened.find_element(By.CSS_SELECTOR, "[data-view='cheetah-run']").is_displayed()
    assert not opened.find_element(By.CSS_SELECTOR, "[data-view='suite-dmc']").is_displayed()
    opened.find_element(By.ID, "published").click()
    assert plot(opened, "curves", "data.length") == suite


def test_settings_are_shown_on_hover_and_in_a_table(opened: webdriver.Chrome) -> None:
    about = plot(opened, "curves", "data.filter((t) => t.meta).map((t) => t.meta)")
    assert "sac UTD 2<br>UTD 2" in about
    settings = opened.find_element(By.CSS_SELECTOR, "[data-view='suite-dmc'] .settings")
    settings.find_element(By.TAG_NAME, "summary").click()
    assert "sac UTD 2" in [cell.text for cell in settings.find_elements(By.TAG_NAME, "th")]
    assert "batch_size: 256" in settings.text


def test_unfinished_runs_are_listed_first(opened: webdriver.Chrome) -> None:
    caption = opened.find_element(By.CSS_SELECTOR, "details.notes").text
    assert caption.startswith("Runs: 4 finished, 2 stopped.")
    assert "is unfinished (stopped): evaluated up to env step 20,000 of 40,000" in caption


def test_aggregate_selection_changes_curves(opened: webdriver.Chrome) -> None:
    assert plot(opened, "curves", "layout.yaxis.title.text") == "score, IQM"
    choose(opened, "aggregate", "mean")
    assert plot(opened, "curves", "layout.yaxis.title.text") == "score, mean"
    assert "Mean, 95% stratified" in opened.find_element(By.ID, "curves-caption").text


def test_axis_selection_changes_to_wall_clock(opened: webdriver.Chrome) -> None:
    assert plot(opened, "curves", "layout.xaxis.title.text") == "env steps"
    assert plot(opened, "curves", "data[2].x") == [0, 10_000, 20_000]
    choose(opened, "axis", "wall-clock")
    assert plot(opened, "curves", "layout.xaxis.title.text") == "wall-clock of a run, minutes"
    assert plot(opened, "curves", "data[2].x") == pytest.approx([0, 100 / 60, 200 / 60])


def test_legend_toggles_an_algorithm_with_its_interval(opened: webdriver.Chrome) -> None:
    def visible() -> list[Any]:
        return plot(opened, "curves", "data.filter((t) => t.legendgroup === 'sac UTD 1').map((t) => t.visible ?? true)")

    assert visible() == [True] * 3
    entries = opened.find_elements(By.CSS_SELECTOR, "#curves .legend .traces")
    entry = next(entry for entry in entries if entry.text == "sac UTD 1")
    entry.find_element(By.CSS_SELECTOR, ".legendtoggle").click()
    WebDriverWait(opened, 10).until(lambda _: visible() == ["legendonly"] * 3)


def test_diagnostics_follow_the_view(opened: webdriver.Chrome) -> None:
    choose(opened, "view", "walker-run")
    assert "walker-run, over env steps" in opened.find_element(By.ID, "diagnostics-caption").text
    assert names(opened, "diagnostics") == ["sac UTD 1"]
    titles = plot(opened, "diagnostics", "layout.annotations.map((a) => a.text)")
    assert titles == ["<b>Critic weight norm</b>", "<b>Normalised Q bias, mean</b>"]


def test_layers_are_drawn_when_opened(opened: webdriver.Chrome) -> None:
    box = opened.find_element(By.ID, "layers-box")
    assert not box.is_displayed()  # layers of several tasks are not aggregated
    choose(opened, "view", "walker-run")
    assert box.is_displayed()
    assert plot(opened, "layers", "data") is None
    box.find_element(By.TAG_NAME, "summary").click()
    WebDriverWait(opened, 10).until(lambda b: plot(b, "layers", "data") is not None)
    assert names(opened, "layers") == ["sac UTD 1"]
    (title,) = plot(opened, "layers", "layout.annotations.map((a) => a.text)")
    assert title.endswith("torso/dense_0</b>")
    assert box.find_elements(By.CSS_SELECTOR, "svg.main-svg")


def test_dark_mode_has_light_text(opened: webdriver.Chrome) -> None:
    features = [{"name": "prefers-color-scheme", "value": "dark"}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    WebDriverWait(opened, 10).until(lambda b: plot(b, "curves", "layout.font.color") == "#e6edf3")
    assert opened.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"


def test_print_layout_is_light_and_fits_the_paper(opened: webdriver.Chrome) -> None:
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": dark})
    WebDriverWait(opened, 10).until(lambda b: plot(b, "curves", "layout.width") == 690)
    assert plot(opened, "curves", "layout.font.color") == "#1b1f24"
    assert plot(opened, "bars", "layout.width") == 335
    assert not opened.find_element(By.CSS_SELECTOR, ".controls").is_displayed()


def test_page_offers_no_upload(opened: webdriver.Chrome) -> None:
    buttons = opened.execute_script("return [...document.querySelectorAll('.modebar-btn')].map((b) => b.dataset.title)")
    assert "Zoom in" in buttons
    assert [button for button in buttons if re.search("share|cloud|studio|edit|plotly", button, re.IGNORECASE)] == []
    assert plot(opened, "curves", "_context.plotlyServerURL") == ""
    assert not opened.execute_script(
        "return [...document.querySelectorAll('a')].some((a) => a.href.startsWith('http'))"
    )


BOXES = """
const figure = document.getElementById(arguments[0]);
const box = (e) => (({ left, top, right, bottom }) => [left, top, right, bottom])(e.getBoundingClientRect());
const boxes = (selector) => [...figure.querySelectorAll(selector)].map(box).filter((b) => b[2] > b[0]);
return [box(figure), ...[".legendtext", ".xtick", ".ytick", ".infolayer text[class$=title]"].map(boxes)];
"""


@pytest.mark.parametrize("width", [400, 700])
@pytest.mark.parametrize("view", ["DM Control, 2 tasks", "cheetah-run"])
def test_plots_are_readable_in_a_narrow_window(view: str, width: int, opened: webdriver.Chrome) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        choose(opened, "view", view)
        WebDriverWait(opened, 10).until(lambda b: plot(b, "curves", "layout.width") < width)
        assert opened.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        for name in ("curves", "utd", "clock", "diagnostics", *(["profile"] if view.endswith("tasks") else [])):
            figure, legend, x_ticks, y_ticks, titles = opened.execute_script(BOXES, name)
            texts = x_ticks + y_ticks + titles
            lowest = max(box[3] for box in x_ticks + titles)
            assert legend, name
            assert all(box[1] >= lowest and box[3] <= figure[3] for box in legend), name
            assert all(figure[0] <= box[0] and box[2] <= figure[2] + 1 for box in texts), name
            assert [(a, b) for a, b in itertools.combinations(texts, 2) if overlap(a, b)] == [], name
            assert plot(opened, name, "_fullLayout._size.w") > 220, name
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def overlap(a: list[float], b: list[float]) -> bool:
    """Whether two boxes (left, top, right, bottom) overlap by more than a pixel."""
    return min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 1


def test_no_printed_figure_is_higher_than_a_page(opened: webdriver.Chrome) -> None:
    choose(opened, "view", "walker-run")
    opened.execute_script(
        "const view = data.views[byId('view').value];"
        "view.diagnostics = Array.from({ length: 14 }, () => view.diagnostics[0]);"
    )
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    WebDriverWait(opened, 10).until(lambda b: plot(b, "curves", "layout.width") == 690)
    script = "return [...document.querySelectorAll('.figure')].map((e) => [e.id, e.clientHeight])"
    drawn = dict(opened.execute_script(script))
    assert max(drawn.values()) <= 960
    assert [name for name in drawn if name.startswith("diagnostics")] == ["diagnostics", "diagnostics-9"]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
    WebDriverWait(opened, 10).until(lambda b: not b.find_elements(By.ID, "diagnostics-9"))


def test_page_prints_to_pdf(opened: webdriver.Chrome) -> None:
    import base64

    printed = base64.b64decode(opened.print_page())
    assert printed.startswith(b"%PDF")
    assert len(printed) > 20_000
