//! Commands that keep: backup, restore, the report of who received what; and pruning, which ends keeping.

use std::path::Path;

use http::Method;
use serde_json::Value;

use super::{block_on, options, read, say, write_out};
use crate::admin::client::{ask, download};
use crate::app::master_key;
use crate::backup::restore::{self, Restore, Restored};
use crate::clock::Clock;
use crate::config::Config;
use crate::consent::people::rfc3339;
use crate::store::{Pruning, Store};

/// Columns of the report, as the operators' socket names them.
const COLUMNS: [&str; 14] = [
    "decision",
    "at",
    "route",
    "subject",
    "recipient",
    "person",
    "source",
    "purpose",
    "categories",
    "by_legal_basis",
    "outcome",
    "items",
    "bytes",
    "sha256",
];

pub(super) fn backup(to: &Path, socket: &Path) -> Result<(), String> {
    let bytes =
        block_on(async { download(socket, "/backup", &serde_json::Value::Null, to).await.map_err(|e| e.to_string()) })?;
    say(&format!(
        "backup written: {} ({bytes} bytes). Keep it apart from the master key; without that key it opens for nobody",
        to.display()
    ));
    Ok(())
}

pub(super) fn restore(
    from: &Path,
    config: &Config,
    checkpoint: Option<&Path>,
    destroyed: Option<&Path>,
) -> Result<(), String> {
    let asked = Restore {
        from,
        config,
        master_key: master_key(&config.server.master_key).map_err(|e| e.to_string())?,
        checkpoint: checkpoint.map(read).transpose()?,
        destroyed: destroyed.map(read).transpose()?,
        clock: Clock::system(),
    };
    let list_given = asked.destroyed.is_some();
    let restored = block_on(async { restore::restore(asked).await.map_err(|e| e.to_string()) })?;
    say(&told(&restored, config, list_given));
    Ok(())
}

fn told(restored: &Restored, config: &Config, list_given: bool) -> String {
    let Restored { entries, missing, destroyed, suspended } = restored;
    let mut told = format!(
        "restored: {} with {entries} ledger entries, verified; {destroyed} keys destroyed again",
        config.server.data.display()
    );
    match missing {
        Some(0) => told.push_str("\nnothing is missing: the checkpoint that was given is of this ledger"),
        Some(missing) => told.push_str(&format!("\n{missing} entries are missing that had been acknowledged")),
        None => told.push_str("\nwhether entries are missing can't be told: no checkpoint from elsewhere was given"),
    }
    if !suspended.is_empty() {
        told.push_str(&format!(
            "\nrevocations may be among them, so these parties are suspended: {}. Find out what is missing, then \
             `sekisho act /parties/CODE/reinstate` for each",
            suspended.join(", ")
        ));
    }
    if !list_given && *missing != Some(0) {
        told.push_str(
            "\nno list of destroyed keys was given: people who were erased after the backup was made are back. Erase them \
             again",
        );
    }
    told
}

pub(super) fn prune(config: &Config, dry_run: bool) -> Result<(), String> {
    let years = config.server.records_kept_years;
    let done = &mut |segment| say(&format!("segment {segment} pruned …"));
    let Pruning { before, entries, segments, bytes, earlier, kept } =
        Store::prune(&options(config)?, years, dry_run, done).map_err(|e| e.to_string())?;
    let before = rfc3339(before);
    let kept = format!("{kept} entries stay whole; {earlier} had been pruned before");
    say(&match (entries, dry_run) {
        (0, _) => format!(
            "nothing to prune: no decision, outcome or operator's look from before {before} lies in a segment that is no \
             longer written. {kept}"
        ),
        (_, true) => format!(
            "{entries} entries from before {before} would be pruned, in {segments} segments, and {bytes} bytes be freed. \
             {kept}. Nothing was changed. If {before} is not {years} years ago, look at the clock first"
        ),
        (_, false) => format!(
            "{entries} entries from before {before} were pruned, in {segments} segments, and {bytes} bytes freed. {kept}. \
             The ledger verifies. The next start rebuilds the index. Backups from before still hold what was pruned: \
             destroy them when their time is over"
        ),
    });
    Ok(())
}

pub(super) fn report(since: &str, until: Option<String>, party: Option<String>, socket: &Path) -> Result<(), String> {
    let mut csv = csv::Writer::from_writer(Vec::new());
    csv.write_record(COLUMNS).map_err(|e| e.to_string())?;
    let (mut after, mut erased, mut pruned) = (None::<u64>, 0, None::<String>);
    loop {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("since", since);
        for (name, value) in [("until", &until), ("party", &party), ("after", &after.map(|after| after.to_string()))] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        let path = format!("/releases?{}", query.finish());
        let told = block_on(async { ask(socket, Method::GET, &path, &Value::Null).await.map_err(|e| e.to_string()) })?;
        for line in told.get("releases").and_then(Value::as_array).into_iter().flatten() {
            let cells = COLUMNS.map(|name| cell(line.get(name).unwrap_or(&Value::Null)));
            csv.write_record(cells).map_err(|e| e.to_string())?;
        }
        // Of the whole rest of the period each time: the first page has told all of them.
        erased = erased.max(told.get("erased").and_then(Value::as_u64).unwrap_or_default());
        pruned = told.get("pruned_before").and_then(Value::as_str).map(str::to_owned).or(pruned);
        after = told.get("more_after").and_then(Value::as_u64);
        if after.is_none() {
            break;
        }
    }
    write_out(&csv.into_inner().map_err(|e| e.to_string())?)?;
    if let Some(before) = pruned {
        super::say_error(&format!(
            "decisions older than {before} were pruned when their time was over: they are not in this list"
        ));
    }
    if erased > 0 {
        super::say_error(&format!(
            "{erased} decisions of this period can't be read any more: their keys were destroyed when their time was over"
        ));
    }
    Ok(())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}
