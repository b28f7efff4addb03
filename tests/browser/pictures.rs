//! The pictures that `docs/pages.md` shows: which they are, and how they are kept small.
//!
//! With `SEKISHO_WRITE_DOCS=1` the browser tests write them to `docs/screenshots/`, in few colours (Debian package `pngquant`).
//! Without it they are only looked at: that each is there, is told of, and is small. They show made-up people only.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Longer pages are shown as far as this, in CSS pixels.
pub const HEIGHT_MAX: f64 = 1_800.0;
const BYTES_MAX: u64 = 100_000;
const ALL_BYTES_MAX: u64 = 2_000_000;
const COLOURS: &str = "32";

/// A picture of the documentation: `shot` as a test calls it, `kept` as the documentation does.
pub struct Picture {
    shot: &'static str,
    kept: &'static str,
}

const fn picture(shot: &'static str, kept: &'static str) -> Picture {
    Picture { shot, kept }
}

const PICTURES: &[Picture] = &[
    picture("phone-ja-welcome", "welcome"),
    picture("phone-ja-home-waiting", "home-waiting"),
    picture("looks-phone-ja-proposal", "proposal"),
    picture("looks-phone-ja-preview", "preview"),
    picture("looks-phone-ja-preview-sign-in", "preview-sign-in"),
    picture("looks-phone-ja-preview-down", "preview-down"),
    picture("looks-phone-ja-preview-nothing", "preview-nothing"),
    picture("looks-phone-ja-preview-no-route", "preview-no-route"),
    picture("phone-ja-agreed", "agreed"),
    picture("phone-ja-home", "home"),
    picture("phone-ja-consents", "consents"),
    picture("looks-phone-ja-consent-newer", "consent"),
    picture("phone-ja-log-of-child", "log"),
    picture("phone-ja-line", "line"),
    picture("phone-ja-log-seen", "log-seen"),
    picture("phone-ja-stop", "stop"),
    picture("looks-phone-ja-stopped", "stopped"),
    picture("looks-phone-ja-consent-answered", "consent-answered"),
    picture("phone-ja-refusals", "refusals"),
    picture("eighteen-phone-ja-grown-home", "grown-home"),
    picture("eighteen-phone-ja-grown-refusals", "grown-refusals"),
    picture("looks-phone-ja-channel", "channel"),
    picture("looks-phone-ja-channel-code", "channel-code"),
    picture("phone-ja-links-open", "links"),
    picture("phone-ja-enrol-slip", "enrol"),
    picture("phone-ja-trouble", "trouble"),
    picture("desk-ja-counter-home", "counter-home"),
    picture("desk-ja-counter-person", "counter-person"),
    picture("desk-ja-counter-consent", "counter-consent"),
    picture("desk-ja-counter-recorded", "counter-recorded"),
    picture("desk-ja-counter-withdrawal", "counter-withdrawal"),
    picture("desk-ja-counter-withdrawn", "counter-withdrawn"),
    picture("desk-ja-counter-refusal", "counter-refusal"),
    picture("desk-ja-counter-issued", "counter-issued"),
    picture("desk-ja-counter-anew", "counter-anew"),
    picture("desk-ja-clinic-home", "clinic-home"),
    picture("desk-ja-clinic-check", "clinic-check"),
    picture("desk-ja-clinic-summary", "clinic-summary"),
    picture("desk-ja-clinic-closed", "clinic-closed"),
    picture("desk-ja-nurse-list", "nurse-list"),
    picture("phone-en-dark-nurse-list", "nurse-list-phone"),
    picture("desk-ja-nurse-case-taken", "nurse-case"),
    picture("desk-nurse-stopped-while-writing", "nurse-stopped"),
    picture("desk-ja-nurse-closed", "nurse-closed"),
    picture("desk-ja-nurse-manage", "nurse-manage"),
    picture("desk-ja-nurse-print", "nurse-print"),
    picture("desk-ja-windows", "windows"),
];

/// The picture of the documentation that this shot is, when it is to be written.
pub fn wanted(shot: &str) -> Option<&'static Picture> {
    let write = std::env::var("SEKISHO_WRITE_DOCS").is_ok_and(|value| value == "1");
    PICTURES.iter().find(|picture| write && picture.shot == shot)
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs")
}

impl Picture {
    fn path(&self) -> PathBuf {
        docs().join("screenshots").join(format!("{}.png", self.kept))
    }

    /// Pages are looked at on a desk or on a phone: the shot's name says so.
    fn width(&self) -> u32 {
        if self.shot.contains("desk-") { 1280 } else { 390 }
    }

    /// Puts it where the documentation shows it, in few colours.
    pub fn keep(&self, png: &[u8]) {
        let mut command = Command::new("pngquant");
        command.args([COLOURS, "--nofs", "--strip", "--speed", "1", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running =
            command.spawn().unwrap_or_else(|error| panic!("pngquant (Debian package `pngquant`): {error}"));
        let mut input = running.stdin.take().unwrap();
        // It reads all of it before it writes any.
        input.write_all(png).unwrap();
        drop(input);
        let made = running.wait_with_output().unwrap();
        assert!(made.status.success(), "pngquant: {}", made.status);
        std::fs::create_dir_all(docs().join("screenshots")).unwrap();
        std::fs::write(self.path(), made.stdout).unwrap();
    }
}

/// Width, as a PNG's first chunk tells it.
fn width(png: &[u8]) -> u32 {
    assert_eq!(&png[1..4], b"PNG");
    u32::from_be_bytes(png[16..20].try_into().unwrap())
}

#[test]
fn the_documentation_shows_every_picture_and_all_are_small() {
    let page = std::fs::read_to_string(docs().join("pages.md")).unwrap();
    let mut all = 0;
    for picture in PICTURES {
        let name = format!("screenshots/{}.png", picture.kept);
        assert_eq!(page.matches(&name).count(), 1, "docs/pages.md shows {name} once");
        let png = std::fs::read(picture.path()).unwrap_or_else(|error| panic!("docs/{name}: {error}"));
        let bytes = u64::try_from(png.len()).unwrap();
        assert_eq!(width(&png), picture.width(), "{name}");
        assert!(bytes < BYTES_MAX, "docs/{name} has {bytes} bytes");
        all += bytes;
    }
    assert!(all < ALL_BYTES_MAX, "docs/screenshots has {all} bytes");
    let kept = std::fs::read_dir(docs().join("screenshots")).unwrap().count();
    assert_eq!(kept, PICTURES.len(), "each file of docs/screenshots is one of these");
    assert_eq!(page.matches("screenshots/").count(), PICTURES.len(), "and docs/pages.md shows no other");
}
