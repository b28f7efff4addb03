//! A world around a gateway that is a process of its own, and where its data lies.

use std::path::{Path, PathBuf};

use sekisho::demo::world::World;
use sekisho_adapters::people::{Family, People};
pub use sekisho_tests::process::Running;
use sekisho_tests::process::world;
use sekisho_tests::town::today;

/// The very `main.rs` of the `sekisho` command, built with the tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_sekisho_under_test");
/// Families whose children the load is about.
const FAMILIES: usize = 4;

/// Everything around the gateway, and where its files lie.
pub struct Place {
    pub world: World,
    pub families: Vec<Family>,
    /// The gateway's data directory.
    pub data: PathBuf,
    pub directory: tempfile::TempDir,
}

impl Place {
    /// A world whose gateway keeps its data in `data`, or beside its configuration.
    pub async fn make(data: Option<&Path>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let families: Vec<Family> = People::new(11, today()).families().take(FAMILIES).collect();
        let world = world(directory.path(), families.clone()).await;
        let data = data.map_or_else(|| directory.path().join("data"), Path::to_owned);
        let text = std::fs::read_to_string(&world.config).unwrap();
        let bent = text.replace("data = \"data\"", &format!("data = \"{}\"", data.display()));
        // The load asks again and again about what was just revoked; how often one may is not what is tried here.
        let bent = bent.replace("[server]\n", "[server]\ndenials_per_second_max = 1000000\n");
        assert_ne!(text, bent);
        std::fs::write(&world.config, bent).unwrap();
        Self { world, families, data, directory }
    }

    /// Starts the gateway, under another program where `under` names one.
    pub fn start(&self, under: &[String]) -> Running {
        Running::start(PROGRAM, &self.world.config, under)
    }

    /// Starts it and waits until it serves; what it says instead is shown.
    pub async fn serving(&self) -> Running {
        let mut running = self.start(&[]);
        assert!(running.serves().await, "the gateway does not start:\n{}", running.log());
        running
    }
}
