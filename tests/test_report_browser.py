"""The report in a real browser: everything moves, sorts and filters; names do nothing."""

import pytest
from browser import complaints, prefer, requests, resize, start_browser
from report_folder import HOSTILE, N_SCANS, ODD, write_folder

import gmmseg
from gmmseg.report import write_image_report, write_report

pytestmark = pytest.mark.browser

ALL = N_SCANS + 5

#: Elements that stick out at the right of another, but for what scrolls by itself.
WIDE = """
    const right = arguments[0].getBoundingClientRect().right + 1;
    return [...arguments[0].querySelectorAll("*")]
        .filter((e) => !e.closest(".scroll, .skip, .hidden, .name, h2"))
        .filter((e) => e.getBoundingClientRect().right > right)
        .map((e) => e.outerHTML.slice(0, 120) + e.getBoundingClientRect().right);
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = write_folder(tmp_path_factory.mktemp("browser"))
    write_report(out)
    seg = gmmseg.segment(out.parent / "in" / HOSTILE, 2, "plain")
    write_image_report(seg, out / "single.html")
    return out


@pytest.fixture(scope="module")
def browser():
    driver = start_browser()
    yield driver
    driver.quit()


class Page:
    """What a person sees and does."""

    def __init__(self, driver, path):
        self.driver = driver
        resize(driver, 1300, 900)
        prefer(driver, prefers_color_scheme="light")
        driver.get_log("performance")
        driver.get(path.as_uri())

    def js(self, code, *arguments):
        return self.driver.execute_script(code, *arguments)

    def all(self, selector):
        return self.driver.find_elements("css selector", selector)

    def one(self, selector):
        return self.driver.find_element("css selector", selector)

    def style(self, selector, name):
        return self.js(
            "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]",
            selector, name,
        )  # fmt: skip

    def click(self, element):
        self.js("arguments[0].click()", element)

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def wait(self, code, *arguments):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 20, 0.05).until(lambda _: self.js(code, *arguments))

    def choose(self, selector, value):
        self.js(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('change'))",
            self.one(selector), value,
        )  # fmt: skip

    def radio(self, value):
        self.click(self.one(f".toolbar input[value={value}]"))

    @property
    def cards(self):
        return [element.get_attribute("textContent") for element in self.all(".card .name")]

    @property
    def focused(self):
        return self.driver.switch_to.active_element


@pytest.fixture
def page(folder, browser):
    page = Page(browser, folder / "report.html")
    page.wait("return document.querySelectorAll('.card img[src]').length > 2")
    yield page
    assert complaints(browser) == []
    assert requests(browser) == [(folder / "report.html").as_uri()]
    assert page.all("img[onerror]") == []


def test_failures_and_outliers_come_first(page):
    names = page.cards
    assert len(names) == ALL
    assert names[:2] == ["broken.png", ODD]
    tiles = [tile.text.split("\n") for tile in page.all(".tile")]
    assert tiles[:4] == [["Images", str(ALL)], ["Failed", "1"], ["To look at", "1"],
                         ["Not done yet", "1"]]  # fmt: skip
    assert "crash: it <died>" in page.one(".failures").text
    assert "covers 9" in page.one(".card.odd .why").text


def test_the_slider_moves_the_overlay(page):
    slider = page.one(".toolbar input[type=range]")
    assert page.style(".card .above", "opacity") == "0.6"
    page.js("arguments[0].focus()", slider)
    page.press("\ue012" * 10)  # arrow left
    assert page.style(".card .above", "opacity") == "0.5"
    assert page.one(".toolbar output").text == "50 %"
    assert slider.get_attribute("aria-label") == "Opacity: Classes over Image"


def test_layers_are_chosen(page):
    picture = ".card.done .above"
    before = page.one(picture).get_attribute("src")
    page.choose(".toolbar .compare select", "uncertainty")
    page.wait("return document.querySelector(arguments[0]).src !== arguments[1]", picture, before)
    below = page.one(".card.done .stack img").get_attribute("src")
    assert below.startswith("data:image/webp")
    assert below != before


def test_the_wipe(page):
    page.radio("wipe")
    page.js("arguments[0].focus()", page.one(".toolbar input[type=range]"))
    page.press("\ue011")  # Home
    assert page.style(".card .above", "clipPath") == "inset(0px 100% 0px 0px)"
    assert page.style(".card .above", "opacity") == "1"
    page.press("\ue010")  # End
    assert page.style(".card .above", "clipPath") in ("inset(0px 0% 0px 0px)", "inset(0px)")


def test_the_wipe_follows_the_pointer(page):
    from selenium.webdriver.common.action_chains import ActionChains

    page.radio("wipe")
    page.click(page.one(".card.done .open"))
    stack = page.one("dialog .stack")
    width = stack.size["width"]
    drag = ActionChains(page.driver).move_to_element(stack).click_and_hold()
    drag.move_by_offset(-width // 4, 0).release().perform()
    assert page.one("dialog output").text == "25 %"
    assert (
        abs(page.js("return document.querySelector('dialog .edge').offsetLeft") / width - 0.25)
        < 0.02
    )


def test_the_table_sorts(page):
    page.radio("table")
    names = lambda: [e.get_attribute("textContent") for e in page.all("tbody .link")]  # noqa: E731
    heads = {head.text.split("\n")[0]: head for head in page.all("thead th")}
    assert heads["status"].get_attribute("aria-sort") == "ascending"
    assert names()[:2] == ["broken.png", ODD]
    by_share = heads["class 2"].find_element("css selector", "button")
    page.click(by_share)
    assert names()[-2:] == [ODD, "broken.png"]  # what has no value comes last
    assert heads["class 2"].get_attribute("aria-sort") == "ascending"
    page.click(by_share)
    assert names()[0] == ODD
    assert names()[-1] == "broken.png"
    assert heads["class 2"].get_attribute("aria-sort") == "descending"
    assert heads["status"].get_attribute("aria-sort") is None
    page.click(heads["file"].find_element("css selector", "button"))
    assert names() == sorted(names(), key=names().index)
    assert [name for name in names() if "scan" in name] == [
        f"a/scan {i:02d}.png" for i in range(12)
    ]
    assert not page.one(".toolbar .compare").is_displayed()


def test_the_gallery_sorts(page):
    page.choose(".toolbar > .field select", "share-2")
    assert page.cards[-2:] == [ODD, "broken.png"]


def test_filters(page):
    search = page.one("input[type=search]")
    search.send_keys("SCAN 1")
    assert page.cards == ["a/scan 10.png", "a/scan 11.png"]
    assert page.one(".count").text == f"2 of {ALL} files"
    assert page.one(".count").get_attribute("role") == "status"
    page.radio("failed")
    assert page.cards == []
    assert page.one(".empty").text == "No file is like that."
    search.clear()
    search.send_keys(" ", "\ue003")
    assert page.cards == ["broken.png"]
    page.radio("odd")
    assert page.cards == [ODD]


def test_a_hostile_name_does_nothing(page):
    assert HOSTILE in page.cards
    page.one("input[type=search]").send_keys("onerror")
    page.click(page.one(".card .open"))
    assert page.one("#dialog-title").text == HOSTILE
    assert page.one("dialog .viewer img").get_attribute("alt") == f"{HOSTILE}: Image"
    assert not page.js("return window.alerted")
    links = [a.get_attribute("href") for a in page.all("dialog .links a")]
    assert all(link.startswith("file:///") and "<" not in link for link in links)
    for link in links:
        assert page.driver.current_url.rsplit("/", 1)[0] in link


def test_the_policy_stops_what_is_put_in(folder, browser):
    page = Page(browser, folder / "report.html")
    page.js("""
        document.body.insertAdjacentHTML("beforeend", '<img src=x onerror="window.alerted = 1">');
        const script = document.createElement("script");
        script.textContent = "window.alerted = 2";
        document.body.append(script);
    """)
    page.wait("return document.readyState === 'complete'")
    asked = browser.execute_async_script(
        "const done = arguments[0];"
        "fetch('https://example.org/').then(() => done('sent'), () => done('stopped'))"
    )
    assert asked == "stopped"
    assert page.js("return window.alerted") is None
    assert len(complaints(browser)) >= 3
    assert all("Content Security Policy" in text for text in complaints(browser))


def test_keyboard_only(page):
    for _ in range(60):
        page.press("\ue004")  # Tab
        if page.focused.get_attribute("class") == "open":
            break
    label = page.focused.get_attribute("aria-label")
    assert label == "Open broken.png, Failed"
    page.press("\ue007")  # Enter
    assert page.one("#dialog-title").text == "broken.png"
    assert page.js("return document.querySelector('dialog').contains(document.activeElement)")
    page.press("\ue014")  # arrow right
    assert page.one("#dialog-title").text == ODD
    assert page.all("dialog figure svg[role=img]")
    page.press("\ue012")
    assert page.one("#dialog-title").text == "broken.png"
    page.press("\ue00c")  # Escape
    page.wait("return !document.querySelector('dialog').open")
    assert page.focused.get_attribute("aria-label") == label
    page.press("/")
    assert page.focused.get_attribute("type") == "search"


def test_everything_has_a_name(page):
    """Roles and names as a screen reader hears them."""
    page.click(page.one(".card.done .open"))
    tree = page.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    heard = {
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in tree if not node["ignored"] and "role" in node
    }  # fmt: skip
    roles = (
        "button",
        "slider",
        "combobox",
        "radio",
        "searchbox",
        "image",
        "dialog",
        "table",
        "link",
    )
    assert [role for role, name in heard if role in roles and not name] == []
    assert {"dialog", "slider", "table", "radio", "link"} <= {role for role, _ in heard}
    assert page.one("html").get_attribute("lang") == "en"


def test_themes(page):
    def paper():
        return page.style("html", "backgroundColor")

    light = paper()
    prefer(page.driver, prefers_color_scheme="dark")
    dark = paper()
    assert light != dark
    button = page.one("#theme")
    page.click(button)
    assert (button.text, paper()) == ("Theme: light", light)
    page.click(button)
    prefer(page.driver, prefers_color_scheme="light")
    assert (button.text, paper()) == ("Theme: dark", dark)
    page.click(button)
    assert (button.text, paper()) == ("Theme: auto", light)


def test_motion_is_reduced(page):
    prefer(page.driver, prefers_reduced_motion="no-preference")
    assert page.style(".card", "transitionDuration") != "0s"
    prefer(page.driver, prefers_reduced_motion="reduce")
    assert page.style(".card", "transitionDuration") == "0s"


@pytest.mark.parametrize("width", [320, 400, 800, 1600])
def test_windows_of_all_widths(page, width):
    resize(page.driver, width, 800)
    page.js("document.querySelector('#files').scrollIntoView()")
    page.wait("return document.querySelectorAll('.card img[src]').length > 2")
    assert page.js(WIDE, page.one("html")) == []
    page.click(page.one(".card.done .open"))
    assert page.js(WIDE, page.one("dialog")) == []


def test_pictures_far_away_are_not_held(page):
    assert page.style(".card", "contentVisibility") == "auto"
    resize(page.driver, 320, 400)
    page.js("scrollTo(0, 0)")
    page.wait("return document.querySelectorAll('.card:last-child img[src]').length === 0")
    page.js("document.querySelector('.card:last-child').scrollIntoView()")
    page.wait("return document.querySelectorAll('.card:last-child img[src]').length === 2")


def test_a_report_of_one_image(folder, browser):
    page = Page(browser, folder / "single.html")
    assert page.one("h1").text == HOSTILE
    assert len(page.all("figure svg")) == 4
    assert page.one(".classes").text.count("%") == 2
    page.click(page.one(".viewer input[value=wipe]"))
    assert page.style(".viewer .above", "clipPath") == "inset(0px 40% 0px 0px)"
    assert complaints(browser) == []
    assert requests(browser) == [(folder / "single.html").as_uri()]
