//! Who revokes, and the clock that is held to it. Its thread does nothing else and is connected beforehand: what is timed is
//! the gateway, not how soon a runtime full of readers gets round to one more task.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sekisho_adapters::certs::{ALPN_H1, client_config};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::apart::Apart;
use crate::http1::{self, Http1};
use crate::revocation::Under;

pub struct Revoker {
    go: oneshot::Sender<()>,
    done: JoinHandle<Acknowledged>,
}

/// An acknowledged revocation.
pub struct Acknowledged {
    pub took: Duration,
    /// What had arrived of each release when it came.
    pub arrived: Vec<u64>,
    /// How many the gateway says that it cut.
    pub cut: usize,
}

impl Revoker {
    /// Connected, with what it takes to revoke, and to see at once what has arrived of these.
    pub async fn ready(town: &Apart, consent: &str, under: &[Under]) -> Self {
        let world = &town.world;
        let (host, address) = (http1::authority(world), http1::address(world));
        let browser = Arc::new(client_config(world.ca.roots().unwrap(), None, ALPN_H1).unwrap());
        let token = world.person_token(town.mother()).unwrap();
        let head = format!(
            "POST /v1/consents/{consent}/revoke HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
        );
        let under = under.to_vec();
        let (go, told) = oneshot::channel();
        let (connected, is_connected) = oneshot::channel();
        let revoking = async move {
            let mut http = Http1::over(http1::connect(address, browser).await);
            connected.send(()).unwrap();
            told.await.unwrap();
            let began = Instant::now();
            http.send(head.as_bytes()).await;
            let answer = http.answer().await.expect("an acknowledgement");
            let took = began.elapsed();
            let arrived = under.iter().map(|under| under.reader.arrived()).collect();
            assert_eq!(answer.status, 200, "{}", answer.body);
            let receipt: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
            let cut = receipt["summary"]["transfers_cut"].as_u64().unwrap() as usize;
            Acknowledged { took, arrived, cut }
        };
        let done = tokio::task::spawn_blocking(|| {
            Builder::new_current_thread().enable_all().build().unwrap().block_on(revoking)
        });
        is_connected.await.unwrap();
        Self { go, done }
    }

    pub async fn revoke(self) -> Acknowledged {
        self.go.send(()).unwrap();
        self.done.await.unwrap()
    }
}

/// Times of `fdatasync` of a group of entries, on the disk of the ledger.
pub struct Syncs {
    file: std::fs::File,
    pub times: Vec<Duration>,
}

impl Syncs {
    pub fn beside(town: &Apart) -> Self {
        Self { file: std::fs::File::create(town.directory.path().join("syncs")).unwrap(), times: Vec::new() }
    }

    pub fn measure(&mut self) {
        for _ in 0..5 {
            self.file.write_all(&[7; 2048]).unwrap();
            let began = Instant::now();
            self.file.sync_data().unwrap();
            self.times.push(began.elapsed());
        }
    }
}
