//! A town whose gateway is a process of its own: it shares the machine's cores with its clients, as it must here, but no
//! runtime, no memory and no descriptors.

use std::net::SocketAddr;

use sekisho::clock::Clock;
use sekisho::consent::people::rfc3339;
use sekisho::demo::world::World;
use sekisho_adapters::people::{Family, People};
use sekisho_tests::process::{Running, free_port, world};
use sekisho_tests::town::{SEED, manage_at, today};
use tempfile::TempDir;

/// The very `main.rs` of the `sekisho` command, built with the tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_sekisho_under_test");

pub struct Apart {
    pub world: World,
    pub gateway: Running,
    /// The first child of the first family, at the gateway.
    child: String,
    /// The first child of the second.
    other: String,
    management: SocketAddr,
    pub directory: TempDir,
}

impl Apart {
    /// Two enrolled families, and a gateway with these lines more about its server.
    pub async fn open(server: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let families: Vec<Family> = People::new(SEED, today()).families().take(2).collect();
        let world = world(directory.path(), families).await;
        let management = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let text = std::fs::read_to_string(&world.config).unwrap();
        let bent = text.replace("[server]\n", &format!("[server]\nmanagement = \"{management}\"\n{server}"));
        assert_ne!(text, bent);
        std::fs::write(&world.config, bent).unwrap();
        let mut gateway = Running::start(PROGRAM, &world.config, &[]);
        assert!(gateway.serves().await, "the gateway does not start:\n{}", gateway.log());
        let mut children = Vec::new();
        for family in &world.families {
            children.push(world.enrol(family).await.unwrap().children[0].clone());
        }
        let [child, other]: [String; 2] = children.try_into().unwrap();
        Self { world, gateway, child, other, management, directory }
    }

    pub fn mother(&self) -> &str {
        &self.world.families[0].parents[0].id
    }

    /// The mother's consent for her child to the app, for a day: its id, and the child's id at the app.
    pub async fn consent(&self) -> (String, String) {
        self.world.consent(self.mother(), &self.child, &tomorrow()).await.unwrap()
    }

    /// Another family's consent: the child's id at the app, and the app's token for its parent.
    pub async fn other(&self) -> (String, String) {
        let parent = &self.world.families[1].parents[0].id;
        let (_, patient) = self.world.consent(parent, &self.other, &tomorrow()).await.unwrap();
        (patient, self.world.app_token(parent).unwrap())
    }

    /// A number that the management port shows.
    pub async fn number(&self, name: &str) -> u64 {
        let (_, text) = manage_at(self.management, "GET", "/metrics").await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|count| count.parse().ok()).expect("a number")
    }

    /// Stops the gateway, in which nothing may have panicked.
    pub async fn stop(self) {
        let log = self.gateway.stop().await;
        let panics: Vec<&str> = log.lines().filter(|line| line.contains("panicked at")).collect();
        assert!(panics.is_empty(), "something panicked in the gateway: {panics:?}");
    }
}

/// A day from now, RFC 3339.
fn tomorrow() -> String {
    rfc3339(Clock::system().now().unwrap().plus_millis(86_400_000))
}
