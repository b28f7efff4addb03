//! What axe-core finds on the page that is shown: all of its rules, best practices included.

use std::fmt::Write as _;

use serde::Deserialize;

use crate::browser::{Browser, target};

/// Hands back what readers of the report need; axe's own results are megabytes.
const RUN: &str = "
    const done = arguments[arguments.length - 1];
    axe.run(document, {resultTypes: ['violations']}).then(found => done({
        rules: found.passes.length + found.violations.length,
        violations: found.violations.map(rule => ({
            id: rule.id, impact: rule.impact || 'minor', help: rule.help,
            places: rule.nodes.map(node => ({
                selector: node.target.join(' '), html: node.html.slice(0, 200), why: node.failureSummary || ''
            }))
        }))
    }), error => done({rules: 0, violations: [], error: String(error)}));
";
/// With fewer rules than this that had something to say, it has not looked at a page of ours.
const RULES_MIN: usize = 10;

#[derive(Debug, Deserialize)]
struct Found {
    rules: usize,
    violations: Vec<Violation>,
    error: Option<String>,
}

/// A rule that the page breaks, and where.
#[derive(Debug, Deserialize)]
pub struct Violation {
    /// axe's name of the rule.
    pub id: String,
    impact: String,
    help: String,
    places: Vec<Place>,
}

#[derive(Debug, Deserialize)]
struct Place {
    selector: String,
    html: String,
    why: String,
}

impl Browser {
    /// The rules that the page breaks.
    pub async fn violations(&self) -> Vec<Violation> {
        let path = target().join("test-tools/node_modules/axe-core/axe.min.js");
        let script = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("axe-core: {}: {error}. scripts/install-test-tools browser installs it", path.display())
        });
        // Beside the page's own scripts and policies, as a person's tools would run it. Axe itself needs timers: a page that
        // was loaded without scripts stays as it was loaded.
        self.set_scripts(true).await;
        self.execute(script, vec![]).await.unwrap();
        let found = self.execute_async(RUN, vec![]).await.unwrap();
        self.set_scripts(self.look().scripts).await;
        let found: Found = found.convert().unwrap();
        assert!(found.error.is_none(), "axe: {:?}", found.error);
        assert!(found.rules >= RULES_MIN, "axe had something to say about {} rules only: is this a page?", found.rules);
        found.violations
    }

    /// Panics with what is wrong and where, if anything is.
    pub async fn assert_accessible(&self) {
        let violations = self.violations().await;
        assert!(violations.is_empty(), "{}", self.report(&violations).await);
    }

    async fn report(&self, violations: &[Violation]) -> String {
        let at = self.current_url().await.map(|url| url.path().to_owned()).unwrap_or_default();
        let mut report = format!("axe finds {} rules broken at {at}, {:?}:\n", violations.len(), self.look());
        for rule in violations {
            let _ = writeln!(report, "\n{} ({}): {}", rule.id, rule.impact, rule.help);
            for place in &rule.places {
                let _ = writeln!(report, "  at {}\n     {}", place.selector, place.html);
                place.why.lines().for_each(|line| {
                    let _ = writeln!(report, "     {line}");
                });
            }
        }
        report
    }
}
