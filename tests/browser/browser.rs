//! A Chromium of its own for a test, driven over WebDriver.
//!
//! What it does: headless, with a new profile, at a given width, language, colours, scripts on or off. It trusts the
//! certificates that it is given, by their keys' hashes, and no others beyond those of the system: no check is switched off.
//! What it never does: reach anything but loopback (every other name is unknown to it), or outlive the test.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use aws_lc_rs::digest;
use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::{CapabilitiesHelper as _, ChromiumLikeCapabilities as _, DesiredCapabilities, WebDriver};
use tokio::time::timeout;
use url::Url;

use crate::pictures;
use crate::process::Program;

/// Longer than any page here takes; what takes longer has failed.
const WITHIN: Duration = Duration::from_secs(30);

/// The colours that the system asks pages for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
    /// Few and of the person's own choosing (`forced-colors`), whatever the page says.
    Forced,
}

/// How pages are looked at.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Of the page, in CSS pixels. Below 600 it is shown as on a phone.
    pub width: u32,
    /// Whether pages' scripts run.
    pub scripts: bool,
    /// The colours asked for.
    pub colours: Colours,
    /// The language asked for: `ja` or `en`.
    pub language: &'static str,
    /// Whether going somewhere waits until all of it is there: some pages hold a part back on purpose.
    pub loads_to_the_end: bool,
}

impl Look {
    /// A phone, 390 px wide, in Japanese.
    pub const PHONE: Self =
        Self { width: 390, scripts: true, colours: Colours::Light, language: "ja", loads_to_the_end: true };
    /// A desk, 1,280 px wide, in Japanese.
    pub const DESK: Self = Self { width: 1280, ..Self::PHONE };

    fn height(self) -> u32 {
        if self.is_phone() { 844 } else { 900 }
    }

    fn is_phone(self) -> bool {
        self.width < 600
    }
}

/// A running Chromium. Dereferences to the session: `goto`, `find`, `execute` and so on are thirtyfour's.
pub struct Browser {
    // In this order: the programs end before their files are removed.
    driver: WebDriver,
    /// Chromedriver, and Chromium below it.
    pub program: Program,
    look: Look,
    _files: TempDir,
}

impl Deref for Browser {
    type Target = WebDriver;

    fn deref(&self) -> &WebDriver {
        &self.driver
    }
}

impl Browser {
    /// A new one that trusts servers with these certificates (PEM) as well.
    pub async fn open(look: Look, trusted: &[&str]) -> Self {
        let mut command = Command::new("chromedriver");
        // Any free port: it says which.
        command.args(["--port=0", "--allowed-ips=127.0.0.1"]);
        let files = TempDir::with_prefix("sekisho-chromium-").unwrap();
        // What it puts aside goes with the profile: it is killed, and cleans nothing up.
        command.env("TMPDIR", files.path());
        let on = |line: &str| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok();
        let (program, port): (_, u16) = Program::start(command, "Debian package `chromium-driver`", on).await;
        let profile = files.path().join("profile");
        let driver = WebDriver::builder(format!("http://127.0.0.1:{port}"), capabilities(look, &profile, trusted))
            .request_timeout(WITHIN)
            .await
            .unwrap_or_else(|error| panic!("no session with Chromium (Debian package `chromium`): {error}"));
        let browser = Self { driver, program, look, _files: files };
        browser.take_on(look).await;
        browser
    }

    /// Whether pages' own scripts run, from the next page on. What a test executes runs in any case, but neither timers nor
    /// promises do.
    pub async fn set_scripts(&self, run: bool) {
        self.tell("Emulation.setScriptExecutionDisabled", json!({"value": !run})).await;
    }

    /// Width, colours, scripts.
    async fn take_on(&self, look: Look) {
        self.set_scripts(look.scripts).await;
        let metrics = json!({
            "width": look.width, "height": look.height(), "deviceScaleFactor": 1, "mobile": look.is_phone()
        });
        self.tell("Emulation.setDeviceMetricsOverride", metrics).await;
        self.show_on("").await;
    }

    /// Shows the page as on paper (`print`) or, with no medium named, on the screen, in the colours asked for.
    async fn show_on(&self, medium: &str) {
        let (scheme, forced) = match self.look.colours {
            Colours::Light => ("light", "none"),
            Colours::Dark => ("dark", "none"),
            Colours::Forced => ("light", "active"),
        };
        let features = json!([
            {"name": "prefers-color-scheme", "value": scheme}, {"name": "forced-colors", "value": forced}
        ]);
        self.tell("Emulation.setEmulatedMedia", json!({"media": medium, "features": features})).await;
    }

    /// The page as it is printed, kept as a picture: nothing to press is on it, and what is folded away on the screen is.
    pub async fn is_printable(&self, name: &str) {
        self.show_on("print").await;
        let seen = "return [...document.querySelectorAll('button, .button, nav, .leave')].filter(e => e.checkVisibility()).length";
        let seen = self.execute(seen, vec![]).await.unwrap();
        let folded = "return [...document.querySelectorAll('details.receipt')].map(e => {
            const printed = e.nextElementSibling, code = e.querySelector('code').textContent;
            return !e.checkVisibility() && printed.checkVisibility() && printed.innerText.includes(code) && code.length > 100 })";
        let folded = self.execute(folded, vec![]).await.unwrap();
        let ink = "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]";
        let ink = self.execute(ink, vec![]).await.unwrap();
        self.screenshot(name).await;
        self.show_on("").await;
        assert_eq!(*seen.json(), json!(0), "{name}: there are buttons on paper");
        let receipts = folded.json().as_array().unwrap().clone();
        assert!(receipts.iter().all(|printed| *printed == json!(true)), "{name}: a receipt is not on paper");
        let twice = "return [...document.querySelectorAll('.on-paper')].filter(e => e.checkVisibility()).length";
        assert_eq!(
            *self.execute(twice, vec![]).await.unwrap().json(),
            json!(0),
            "{name}: what is for paper is on the screen"
        );
        // Forced colours are the person's own.
        if self.look.colours != Colours::Forced {
            assert_eq!(
                *ink.json(),
                json!(["rgb(26, 26, 26)", "rgb(255, 255, 255)"]),
                "{name}: dark ink on white paper"
            );
        }
    }

    /// Waits until its address begins like this, and tells the whole of it: a click returns before what it leads to is there.
    pub async fn arrives_at(&self, start: &str) -> Url {
        let arrived = timeout(WITHIN, async {
            loop {
                let url = self.driver.current_url().await.unwrap();
                if url.as_str().starts_with(start) {
                    return url;
                }
            }
        });
        match arrived.await {
            Ok(url) => url,
            Err(_) => panic!("never came to {start}, but to {:?}", self.driver.current_url().await),
        }
    }

    /// A command of Chromium's own protocol.
    pub async fn tell(&self, command: &str, parameters: Value) -> Value {
        self.driver.cdp().send_raw(command, parameters).await.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// The whole page, also what is below the fold, as `target/screenshots/{name}.png`; tells where. What the documentation
    /// shows goes there as well, when asked for.
    pub async fn screenshot(&self, name: &str) -> PathBuf {
        let path = target().join("screenshots").join(format!("{name}.png"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, self.picture(f64::INFINITY).await).unwrap();
        if let Some(page) = pictures::wanted(name) {
            page.keep(&self.picture(pictures::HEIGHT_MAX).await);
        }
        path
    }

    /// The page from its top, no longer than this.
    async fn picture(&self, height_max: f64) -> Vec<u8> {
        let size = self.tell("Page.getLayoutMetrics", json!({})).await["cssContentSize"].clone();
        let height = size["height"].as_f64().unwrap().min(height_max);
        let clip = json!({"x": 0, "y": 0, "width": self.look.width, "height": height, "scale": 1});
        let shot = self.tell("Page.captureScreenshot", json!({"captureBeyondViewport": true, "clip": clip})).await;
        BASE64.decode(shot["data"].as_str().unwrap().as_bytes()).unwrap()
    }

    /// How it is looked at.
    pub fn look(&self) -> Look {
        self.look
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Else the session would wait for an answer of a program that is about to be killed.
        let _ = self.driver.clone().leak();
    }
}

/// Where builds and what tests leave behind go.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}

fn capabilities(look: Look, profile: &Path, trusted: &[&str]) -> thirtyfour::Capabilities {
    let mut chromium = DesiredCapabilities::chrome();
    let hashes: Vec<String> = trusted.iter().map(|pem| hash(pem)).collect();
    let mut arguments = vec![
        "--headless=new".to_owned(),
        format!("--user-data-dir={}", profile.display()),
        format!("--lang={}", look.language),
        format!("--ignore-certificate-errors-spki-list={}", hashes.join(",")),
        // Whatever else it would like to talk to is nowhere to be found.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1".to_owned(),
    ];
    let quiet = [
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-breakpad",
        "--hide-scrollbars",
        "--force-color-profile=srgb",
    ];
    arguments.extend(quiet.map(str::to_owned));
    if rustix::process::geteuid().is_root() {
        // Chromium's sandbox refuses to run as root. The pages are our own.
        arguments.push("--no-sandbox".to_owned());
    }
    for argument in arguments {
        chromium.add_arg(&argument).unwrap();
    }
    let settings = json!({
        "intl.accept_languages": look.language,
        "signin.allowed": false,
        "credentials_enable_service": false,
        "translate.enabled": false,
    });
    chromium.add_experimental_option("prefs", settings).unwrap();
    let within = u64::try_from(WITHIN.as_millis()).unwrap();
    if !look.loads_to_the_end {
        chromium.set("pageLoadStrategy", json!("none")).unwrap();
    }
    chromium.set("timeouts", json!({"pageLoad": within, "script": within, "implicit": 0})).unwrap();
    chromium.accept_insecure_certs(false).unwrap();
    chromium.into()
}

/// What Chromium knows a key by: the SHA-256 of its `SubjectPublicKeyInfo`.
fn hash(certificate: &str) -> String {
    let (_, pem) = x509_parser::pem::parse_x509_pem(certificate.as_bytes()).unwrap();
    let certificate = pem.parse_x509().unwrap();
    BASE64.encode(digest::digest(&digest::SHA256, certificate.public_key().raw).as_ref())
}
