//! At the municipality, without a network: opening a package, and making the key that packages are sealed to.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use jiff::tz::Offset;

use super::say;
use crate::clock::Clock;
use crate::package::csv::Encoding;
use crate::package::print::Printed;
use crate::package::write::{self, Options};
use crate::package::{KeyPair, open};

#[derive(Subcommand)]
pub(super) enum PackageCommand {
    /// Check a package and write its lists: CSV, JSON, and one list to print for each district
    Open {
        /// The package
        file: PathBuf,
        /// The municipality's key, as `package key` writes it
        #[arg(long)]
        key: PathBuf,
        /// Verifier key of the gateway that signed it (name+id+base64), or a file that holds it
        #[arg(long)]
        signer: String,
        /// New directory for what is written
        #[arg(long)]
        out: PathBuf,
        /// CSV in Shift_JIS; letters that it doesn't have are named and replaced by 〓
        #[arg(long)]
        shift_jis: bool,
        /// Reasons on the printed lists
        #[arg(long)]
        reasons: bool,
    },
    /// Make a key pair: the file stays with the municipality, the public key is printed for the gateway's configuration
    Key {
        /// New file for the key
        #[arg(long)]
        out: PathBuf,
    },
}

pub(super) fn run(command: PackageCommand) -> Result<(), String> {
    match command {
        PackageCommand::Open { file, key, signer, out, shift_jis, reasons } => {
            let encoding = if shift_jis { Encoding::ShiftJis } else { Encoding::Utf8 };
            open_package(&file, &key, &signer, &out, encoding, reasons)
        }
        PackageCommand::Key { out } => make_key(&out),
    }
}

fn open_package(
    file: &Path,
    key: &Path,
    signer: &str,
    out: &Path,
    encoding: Encoding,
    reasons: bool,
) -> Result<(), String> {
    let key = zeroize::Zeroizing::new(std::fs::read_to_string(key).map_err(|e| format!("{}: {e}", key.display()))?);
    let key = KeyPair::read(&key).map_err(|e| format!("鍵のファイルを読めません。/ {e}"))?;
    let signer = if signer.contains('+') {
        signer.to_owned()
    } else {
        std::fs::read_to_string(signer).map_err(|e| format!("{signer}: {e}"))?.trim().to_owned()
    };
    let mut from = File::open(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let now = Clock::system().now().map_err(|e| e.to_string())?;
    let now = jiff::Timestamp::from_millisecond(now.millis()).map_err(|e| e.to_string())?;
    let checked = open::check(&mut from, &key, &signer, now).map_err(|e| e.to_string())?;
    let at = Offset::constant(9).to_datetime(now).strftime("%Y-%m-%d %H:%M").to_string();
    let options = Options { encoding, reasons, printed: Printed { by: system_user(), at } };
    let written = write::write(&mut from, &key, &checked, out, &options).map_err(|e| e.to_string())?;
    let head = &checked.head;
    say(&format!(
        "{} {} {}: {} 件、{} 地区、回収 {} 件。写し {}、{} まで有効。→ {} / {} cases, {} districts, {} recalled; copy {}, valid until {}",
        head.municipality_ja,
        head.municipality,
        head.week,
        written.rows,
        written.districts,
        head.withdrawn.len(),
        head.copy,
        head.valid_until,
        out.display(),
        written.rows,
        written.districts,
        head.withdrawn.len(),
        head.copy,
        head.valid_until,
    ));
    let (missing, count) = &written.missing;
    for one in missing {
        say(&write::said(one));
    }
    if *count > 0 {
        say(&format!("Shift_JIS にない文字: 全部で {count} / letters that Shift_JIS doesn't have: {count} in all"));
    }
    Ok(())
}

fn make_key(out: &Path) -> Result<(), String> {
    let pair = KeyPair::generate();
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(out);
    let written = file.and_then(|mut file| {
        file.write_all(pair.file().as_bytes())?;
        file.sync_all()
    });
    written.map_err(|e| format!("{}: {e}", out.display()))?;
    say(pair.public());
    Ok(())
}

/// The name of whoever runs this, as the system has it; the environment could say anything.
fn system_user() -> String {
    let id = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(id)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {id}"))
}
