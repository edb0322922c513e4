"""The page of an atlas in a real browser, from a file."""

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

SIZES = [(390, 844), (1920, 1080)]


@pytest.fixture
def visit(chromium, atlas):
    """Open the atlas at a link; anything that the browser complains of fails the test."""
    complaints, pages = [], []

    def visited(link="", size=SIZES[1]):
        page = chromium.new_page(viewport={"width": size[0], "height": size[1]})
        pages.append(page)
        page.set_default_timeout(120_000)
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{(atlas / 'index.html').as_uri()}{link}")
        page.wait_for_function("performance.getEntriesByName('first view').length > 0")
        return page

    yield visited
    for page in pages:
        page.close()
    assert complaints == []


def images(page):
    nodes = page.locator(".thumbnail").all()
    return [int(node.get_attribute("data-image")) for node in nodes]


def test_it_opens_at_an_image_whose_explanation_moved_first(visit):
    page = visit()
    assert images(page) == [11]
    assert page.inner_text("#title") == "Image 11, class cross"
    assert "flips at level 2" in page.inner_text("#story")
    assert "at level 1, the explanation had moved" in page.inner_text("#story")
    assert page.input_value("#level") == "1"
    captions = page.locator("#panes figcaption").all_inner_texts()
    assert captions[0].startswith("dense")
    assert captions[1].startswith("p, level 1")


def test_filters_choose_images(visit):
    page = visit("#show=all&order=number")
    assert images(page) == [11, 10, 12]
    for filters, expected in (
        ({"show": "flips at 1"}, [12]),
        ({"show": "flips"}, [11, 12]),
        ({"show": "never flips"}, [10]),
        ({"show": "all", "order": "drift"}, [11, 10, 12]),
        ({"label": "0"}, [10]),
    ):
        for name, value in filters.items():
            page.select_option(f"#filters [name={name}]", value)
        page.wait_for_function(f"document.querySelectorAll('.thumbnail').length == {len(expected)}")
        assert images(page) == expected


def test_a_link_leads_to_an_image_and_level(visit):
    page = visit("#image=10&level=2&show=all")
    assert page.inner_text("#title") == "Image 10, class disc"
    assert page.locator("#panes figcaption").all_inner_texts()[1].startswith("p, level 2")
    # What another study had is not here.
    page = visit("#image=99&level=9&pruner=none&explainer=none&seed=5")
    assert page.input_value("#level") == "2"


def test_keys_change_level_image_and_view(visit):
    page = visit("#image=11&level=0&show=all&order=number")
    page.keyboard.press("ArrowRight")
    assert page.input_value("#level") == "1"
    page.keyboard.press("j")
    page.wait_for_function("document.querySelector('#title').textContent.includes('Image 10')")
    assert "image=10&level=1" in page.evaluate("location.hash")
    page.keyboard.press("2")
    page.wait_for_selector("#points svg")
    page.keyboard.press("?")
    assert page.is_visible("#help")


def test_maps_have_the_colours_of_their_values(visit):
    page = visit("#image=10&level=1&show=all")
    found = page.evaluate(
        """() => {
          const canvas = document.querySelector("[data-pane=now] canvas + canvas");
          const pixels = [...canvas.getContext("2d").getImageData(0, 0, 4, 4).data];
          const at = (place) => pixels.slice(4 * place, 4 * place + 3);
          const palette = atlas.received.get("study").palettes.sequential;
          return {first: at(0), last: at(15), ends: [palette.slice(0, 3), palette.slice(-3)]};
        }"""
    )
    assert [found["first"], found["last"]] == found["ends"]


def test_no_difference_is_white(visit):
    page = visit("#image=10&level=1&show=all")
    pixels = page.evaluate(
        """() => [...document.querySelector("[data-pane=difference] canvas + canvas")
          .getContext("2d").getImageData(0, 0, 4, 4).data]"""
    )
    assert min(pixels) >= 253


def test_constant_and_missing_maps_say_so(visit):
    page = visit("#image=12&level=1&show=all")
    pane = page.locator("[data-pane=now]")
    assert "constant: 0.25" in pane.inner_text()
    assert not pane.locator("canvas + canvas").is_visible()
    assert "no difference" in page.locator("[data-pane=difference]").inner_text()


def test_two_pruners_are_compared_at_equal_density_or_accuracy(visit):
    # q has 12% of its weights and no error: p has 10% at level 2, and fewer errors at level 1
    page = visit("#pruner=q&image=10&level=1&show=all")
    first = page.locator("#panes figcaption").first
    page.select_option("#compare", "density p")
    assert first.inner_text().startswith("p, level 2\n10% of weights, accuracy 33%")
    page.select_option("#compare", "accuracy p")
    assert first.inner_text().startswith("p, level 1\n50% of weights, accuracy 67%")


def test_scores_have_the_floor_as_a_band(visit):
    page = visit("#image=11&level=1&show=all")
    spoken = page.locator("#scores svg").first.get_attribute("aria-label")
    assert spoken == "spearman by level: –, −0.50, −0.60; floor 0.50 to 0.50"
    assert page.locator("#scores .band").count() == 2


def test_a_point_of_the_scatter_leads_to_its_image(visit):
    page = visit("#view=scatter&level=1&pruner=p&show=all")
    assert page.locator("#checkpoints [role=button]").count() == 4
    point = page.locator("#points [role=button]", has_text="").filter(visible=True)
    labels = [one.get_attribute("aria-label") for one in point.all()]
    assert len(labels) == 2
    page.locator("#points [role=button][aria-label^='image 10,']").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#title').textContent.includes('Image 10')")
    assert page.is_visible("#images")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("view", ["images", "scatter"])
def test_nothing_is_wider_than_the_window(visit, size, view):
    page = visit(f"#view={view}", size)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "link", ["", "#image=12&level=1&show=all", "#view=scatter", "#view=concepts"]
)
def test_axe_finds_nothing_against_wcag_aa(visit, size, link):
    page = visit(link, size)
    page.wait_for_function("document.querySelector('main svg, main canvas, #crops td') !== null")
    rules = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
    # Style sheets are not read: the browser refuses that for files.
    options = {"runOnly": rules, "preload": False}
    found = axe.Axe().run(page, options=options).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == []


def test_concepts_stand_by_rank_and_level(visit):
    page = visit("#view=concepts&pruner=p")
    page.select_option("#concept-class", "cross")
    page.wait_for_function("document.querySelector('#crops').textContent.includes('cross_p_2')")
    rows = page.locator("#crops tr").all()
    assert [row.locator("td").count() for row in rows] == [0, 2, 2]
    assert rows[1].locator("td").first.inner_text().startswith("cross_dense_1 (1.00)")
    assert rows[2].locator("[role=img]").count() == 4


def test_names_are_shown_by_their_labels(visit):
    page = visit("#image=11&level=1&show=all&explainer=cam")
    options = page.locator("#networks option").all_inner_texts()
    # what has no label is called by its name
    assert {"Grad-CAM at conv2", "gradient", "p", "random"} <= set(options)
    assert page.input_value("#networks [name=explainer]") == "cam"
    assert "explainer=cam" in page.evaluate("location.hash")
    assert "random at equal density" in page.locator("#compare option").all_inner_texts()
    assert page.inner_text("#explainers").startswith("Grad-CAM at conv2")
