//! `sekisho batch`: the nurses' week by hand, over the operators' socket of the running server.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use http::Method;
use serde_json::{Value, json};

use super::{block_on, say, say_error};
use crate::admin::client::{ask, download, each_line};

/// What to do with a week.
#[derive(Subcommand)]
pub(super) enum BatchCommand {
    /// Show what would go to whom and why, without sending anything (role `auditor`; the look is recorded)
    Plan {
        /// ISO week such as 2026-W47 (default: the one that is due)
        #[arg(long)]
        week: Option<String>,
        /// A municipality's code as a party (default: all)
        #[arg(long)]
        municipality: Option<String>,
        /// Operators' socket
        #[arg(long)]
        socket: PathBuf,
    },
    /// Collect every service and make a week up; doing it again adds what came since (role `operator`)
    Run {
        /// ISO week such as 2026-W47 (default: the one that is due)
        #[arg(long)]
        week: Option<String>,
        /// A municipality's code as a party (default: all)
        #[arg(long)]
        municipality: Option<String>,
        /// Operators' socket
        #[arg(long)]
        socket: PathBuf,
    },
    /// Write a copy of a package into a file, sealed, for one-way transfer; it counts as released then (role `official`)
    Write {
        /// The package (pkg-…)
        package: String,
        /// The municipality's code as a party
        #[arg(long)]
        municipality: String,
        /// File to write; must not be there yet
        #[arg(long)]
        to: PathBuf,
        /// Operators' socket
        #[arg(long)]
        socket: PathBuf,
    },
}

pub(super) fn batch(command: BatchCommand) -> Result<(), String> {
    match command {
        BatchCommand::Plan { week, municipality, socket } => plan(&socket, week, municipality),
        BatchCommand::Run { week, municipality, socket } => run(&socket, week, municipality),
        BatchCommand::Write { package, municipality, to, socket } => write(&socket, &package, &municipality, &to),
    }
}

fn of(week: Option<String>, municipality: Option<String>) -> Value {
    let mut of = json!({});
    for (name, value) in [("week", week), ("municipality", municipality)] {
        if let (Some(value), Some(members)) = (value, of.as_object_mut()) {
            members.insert(name.to_owned(), Value::from(value));
        }
    }
    of
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn plan(socket: &Path, week: Option<String>, municipality: Option<String>) -> Result<(), String> {
    let asked = of(week, municipality);
    let plan = block_on(async { ask(socket, Method::POST, "/batch/plan", &asked).await.map_err(|e| e.to_string()) })?;
    for one in list(&plan, "municipalities") {
        let cases = list(one, "cases");
        let count = |goes: &str| cases.iter().filter(|case| text(case, "goes") == goes).count();
        say(&format!(
            "{} {}: {} cases; full {}, identity only {}, nothing {} / 事例 {} 件（内容まで {}、氏名等のみ {}、提供なし {}）",
            text(one, "municipality"),
            text(one, "week"),
            cases.len(),
            count("full"),
            count("identity-only"),
            count("nothing"),
            cases.len(),
            count("full"),
            count("identity-only"),
            count("nothing"),
        ));
        for case in cases {
            let reasons: Vec<&str> = list(case, "reasons").iter().filter_map(Value::as_str).collect();
            say(&format!(
                "  {}\t{}\t{}\t{}\t{}",
                text(case, "case"),
                text(case, "goes"),
                text(case, "urgency"),
                reasons.join(","),
                text(case, "why"),
            ));
        }
    }
    say("Nothing was sent. / 何も送っていません。");
    Ok(())
}

fn run(socket: &Path, week: Option<String>, municipality: Option<String>) -> Result<(), String> {
    let mut asked = of(week, municipality);
    if let Some(members) = asked.as_object_mut() {
        members.insert("collect".to_owned(), Value::from(true));
    }
    let (mut failed, mut done) = (None, false);
    let mut line = |line: Value| {
        if let Some(error) = line.get("error").and_then(Value::as_str) {
            failed = Some(error.to_owned());
        } else if line.get("done").is_some() {
            done = true;
        } else if line.get("new_cases").is_some() {
            say(&format!(
                "{} {}: {} new cases / 新しい事例 {} 件",
                text(&line, "municipality"),
                text(&line, "week"),
                number(&line, "new_cases"),
                number(&line, "new_cases"),
            ));
        } else if line.get("rejected").is_some() {
            say(&format!(
                "{} records, {} flagged, {} urgent, {} rejected, {} returned / 記録 {} 件、要ケア {} 件、緊急 {} 件、受け取れず {} 件、差し戻し {} 件",
                number(&line, "collected"),
                number(&line, "flagged"),
                number(&line, "urgent"),
                number(&line, "rejected"),
                number(&line, "returned"),
                number(&line, "collected"),
                number(&line, "flagged"),
                number(&line, "urgent"),
                number(&line, "rejected"),
                number(&line, "returned"),
            ));
        } else {
            progress(&line);
        }
    };
    block_on(async { each_line(socket, "/batch/run", &asked, &mut line).await.map_err(|e| e.to_string()) })?;
    match failed {
        Some(error) => Err(error),
        None if done => Ok(()),
        None => Err("the server broke off; run it again: nothing is lost or doubled / 途中で切れました。もう一度実行してください".to_owned()),
    }
}

/// Where errors go, so that the outcome can be kept in a file.
fn progress(line: &Value) {
    match line.get("municipality").and_then(Value::as_str) {
        Some(municipality) => say_error(&format!("{municipality}: {} …", number(line, "cases"))),
        None => say_error(&format!("{} records, {} flagged …", number(line, "collected"), number(line, "flagged"))),
    }
}

fn write(socket: &Path, package: &str, municipality: &str, to: &Path) -> Result<(), String> {
    let asked = json!({"package": package, "municipality": municipality});
    let bytes = block_on(async { download(socket, "/batch/write", &asked, to).await.map_err(|e| e.to_string()) })?;
    say(&format!("{}: {bytes} bytes, sealed to the municipality's key / 自治体の鍵で封をしました", to.display()));
    Ok(())
}
