//! Everything that fuzzing left behind, through its target again: `corpus/` (small, chosen for what it reaches) and
//! `crashes/` (each a finding once). All of it is made up.
#![forbid(unsafe_code)]

use std::path::Path;

fn replay(name: &str) {
    let target = sekisho_fuzz::target(name).expect("a target");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut replayed = 0;
    let mut found = Vec::new();
    for folder in ["corpus", "crashes"] {
        let Ok(files) = std::fs::read_dir(here.join(folder).join(name)) else { continue };
        for file in files {
            let file = file.expect("a listing").path();
            let data = std::fs::read(&file).expect("a file that can be read");
            replayed += 1;
            if std::panic::catch_unwind(|| target(&data)).is_err() {
                found.push(file);
            }
        }
    }
    assert!(replayed >= 10, "{name} has a corpus, not {replayed} files");
    assert!(found.is_empty(), "findings of {name}: {found:?}");
}

macro_rules! replays {
    ($($name:ident)*) => { $(#[test] fn $name() { replay(stringify!($name)); })* };
}

replays! { path route token ledger narrow portal phr_app consultation }
