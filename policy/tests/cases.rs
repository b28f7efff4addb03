//! The stories in `tests/policy_cases/` come out as they say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

mod story;

use std::path::{Path, PathBuf};

use sekisho_policy::decide;
use story::jiff_text::Instant;
use story::words::{records, registry, request, tell};
use story::{Registered, Story};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/policy_cases")
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

/// Every difference between what a story says and what is decided.
fn differences(registered: &Registered, story: &Story) -> Vec<String> {
    let (registry, records) = (registry(registered, story), records(story));
    let mut out = Vec::new();
    if story.title.ja.is_empty() || story.title.en.is_empty() || story.rules.is_empty() || story.steps.is_empty() {
        out.push("a story has a title in both languages, rules, and steps".to_owned());
    }
    for step in &story.steps {
        let asked = request(story, step.request.as_ref().unwrap_or(&story.request));
        let (kept, withheld, until) = tell(&decide(&records, &registry, &asked, step.now.0));
        let said_until = step.until.as_deref().map(|text| match text {
            "no end" => sekisho_policy::Timestamp::MAX,
            text => Instant::parse(text).unwrap().0,
        });
        let at = step.now.0.millis();
        if kept != step.kept {
            out.push(format!("at {at} kept {kept:?}, said {:?}", step.kept));
        }
        if withheld != step.withheld {
            out.push(format!("at {at} withheld {withheld:?}, said {:?}", step.withheld));
        }
        if until != said_until {
            out.push(format!("at {at} until {until:?}, said {said_until:?}"));
        }
    }
    out
}

#[test]
fn every_story_comes_out_as_it_says() {
    let registered: Registered = read(&folder().join("common/registry.json")).expect("the common registry");
    let entries = std::fs::read_dir(folder()).expect("the folder of stories");
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).filter(|p| p.is_file()).collect();
    files.sort();
    assert!(files.len() >= 30, "only {} stories", files.len());
    let mut failed = Vec::new();
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let result = read(file).map(|story: Story| (differences(&registered, &story), story.title.en));
        match result {
            Ok((none, title)) if none.is_empty() => println!("ok      {name}: {title}"),
            Ok((differences, title)) => failed.push(format!("{name}: {title}\n    {}", differences.join("\n    "))),
            Err(why) => failed.push(format!("{name}: {why}")),
        }
    }
    assert!(failed.is_empty(), "{} of {} stories differ:\n{}", failed.len(), files.len(), failed.join("\n"));
}

#[test]
fn every_rule_has_a_story() {
    let mut told = std::collections::BTreeSet::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let story: Story = read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            told.extend(story.rules);
        }
    }
    let rules: std::collections::BTreeSet<String> = (1..=17).map(|n| format!("P-{n}")).collect();
    assert_eq!(told, rules);
}
