"""A headless Chromium for tests of pages: one that asks no network, at any width, light or dark."""

import json
import shutil

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DRIVERS = ("chromedriver", "chromium-driver")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
)  # fmt: skip
SLOW_S = 300  # on a busy machine; nothing waits so long for nothing


def lacking():
    """What is not installed for these tests; empty where all is there."""
    missing = [] if _found(BROWSERS) else ["Chromium"]
    missing += [] if _found(DRIVERS) else ["its driver (chromium-driver)"]
    try:
        import selenium  # noqa: F401
    except ImportError:
        missing.append("selenium (extra `dev`)")
    return " and ".join(missing)


def _found(names):
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """Chromium with a fresh profile, and what its pages said and asked for."""

    def __init__(self, profile):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        for argument in (*QUIET, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.binary_location = _found(BROWSERS)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(_found(DRIVERS)))
        self.driver.set_page_load_timeout(SLOW_S)
        self.driver.set_script_timeout(SLOW_S)
        self.script("return 0")

    def open(self, path):
        """Open a page, once what the browser itself did is forgotten."""
        self.driver.get("about:blank")
        self.said(), self.asked()
        self.driver.get(path.as_uri())

    def script(self, text, *given):
        """What a script returns."""
        return self.driver.execute_script(text, *given)

    def settle(self):
        """Wait until what was due is drawn, and blocks near the window are filled."""
        self.driver.execute_async_script(
            "const done = arguments[0]; let left = 4;"
            "const next = () => (left-- ? requestAnimationFrame(next) : done()); next();"
        )

    def look(self, width=1200, dark=False):
        """Width of the window in pixels, and the reader's preference for dark pages."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.settle()

    def said(self):
        """Messages of the console since the last call, errors among them."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def asked(self):
        """Addresses that were asked for since the last call, data within the page aside."""
        events = [json.loads(e["message"])["message"] for e in self.driver.get_log("performance")]
        urls = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if not url.startswith("data:")]

    def close(self):
        """End the browser and its driver."""
        self.driver.quit()
