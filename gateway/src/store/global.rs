//! The registry in force, as the ledger's entries about it shaped it.

use std::collections::BTreeMap;
use std::sync::Arc;

use sekisho_policy::{Registry, Rules};

use super::state::step;
use crate::ledger::event::{ConsentText, Event};
use crate::ledger::merkle::Hash;
use crate::store::registry::RegistryText;

/// The registry in force, and how it came about.
#[derive(Clone, Debug)]
pub struct Global {
    /// What is registered, standings included.
    pub registry: Arc<Registry>,
    /// As configured.
    pub text: Arc<RegistryText>,
    /// Every text that people were ever asked to agree to, by hash.
    pub texts: BTreeMap<Hash, Arc<ConsentText>>,
    /// Codes of the parties that are suspended, sorted.
    pub suspended: Vec<String>,
    /// How many entries shaped it.
    pub entries: u64,
    /// Their digest.
    pub digest: Hash,
}

impl Global {
    /// Nothing registered: everything is unknown, and denied.
    #[must_use]
    pub fn empty() -> Self {
        let text = Arc::new(RegistryText::default());
        let registry = text.to_policy(&[]).unwrap_or_else(|_| unreachable_empty());
        Self {
            registry: Arc::new(registry),
            text,
            texts: BTreeMap::new(),
            suspended: Vec::new(),
            entries: 0,
            digest: [0; 32],
        }
    }

    /// Takes in one entry, in ledger order. A registry that this build can't read leaves nothing registered.
    pub fn apply(&mut self, leaf: &Hash, event: Option<&Event>) {
        self.entries += 1;
        self.digest = step(&self.digest, leaf);
        match event {
            Some(Event::RegistryActivated(e)) => {
                self.text = Arc::new(serde_json::from_str(&e.text).unwrap_or_default());
            }
            Some(Event::StandingChanged(e)) => {
                self.suspended.retain(|code| *code != e.party);
                if e.suspended {
                    self.suspended.push(e.party.clone());
                    self.suspended.sort_unstable();
                }
            }
            Some(Event::TextPublished(e)) => {
                self.texts.insert(e.text.hash(), Arc::new(e.text.clone()));
                return;
            }
            _ => return,
        }
        let registry = self.text.to_policy(&self.suspended).unwrap_or_else(|_| unreachable_empty());
        self.registry = Arc::new(registry);
    }
}

fn unreachable_empty() -> Registry {
    #[expect(clippy::expect_used, reason = "nothing can be registered twice in an empty registry")]
    Registry::new(Vec::new(), Vec::new(), Vec::new(), Rules::default()).expect("an empty registry")
}
