"""Tests in a real browser: run by `make test-browser`, left out of the ordinary suite."""

import shutil

import pytest

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
)


def pytest_configure(config):
    config.addinivalue_line("markers", "browser: needs Chromium; run by make test-browser")


def pytest_collection_modifyitems(config, items):
    if "browser" not in config.getoption("markexpr"):
        skip = pytest.mark.skip(reason="needs a browser; run by make test-browser")
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(skip)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium, 1280 pixels wide, that keeps what pages say and ask for."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("Chromium isn't installed; on Debian: apt-get install chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium isn't installed; make install")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    profile = tmp_path_factory.mktemp("profile")
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}", "--window-size=1280,1000"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield driver
    driver.quit()
