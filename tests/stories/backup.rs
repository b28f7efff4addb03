//! A backup of a running gateway, and what a restore must not bring back: what was withdrawn or erased after it was made.

use std::path::{Path, PathBuf};

use http::Method;
use sekisho::admin::client::{ask, download};
use sekisho::app::master_key;
use sekisho::backup::restore::{Restore, RestoreError, Restored, restore};
use sekisho::clock::Clock;
use sekisho::config::Config;
use sekisho_tests::town::{StoppedTown, Town};
use serde_json::{Value, json};

/// A town whose gateway is stopped, with a backup of it, and what was kept elsewhere.
struct Kept {
    town: StoppedTown,
    backup: PathBuf,
    checkpoint: Vec<u8>,
    destroyed: Vec<u8>,
}

async fn backed_up(town: &Town) -> PathBuf {
    let to = town.directory.path().join("backup");
    assert!(download(&town.world.socket(), "/backup", &serde_json::Value::Null, &to).await.unwrap() > 10_000);
    to
}

/// The signed checkpoint and the signed list as they are now.
async fn kept(town: &Town) -> (Vec<u8>, Vec<u8>) {
    let text = |answer: Value, name: &str| answer[name].as_str().unwrap().as_bytes().to_vec();
    let checkpoint = text(town.act("/checkpoint", Value::Null).await, "checkpoint");
    let destroyed = ask(&town.world.socket(), Method::GET, "/destroyed", &Value::Null).await.unwrap();
    (checkpoint, text(destroyed, "destroyed"))
}

impl Kept {
    async fn restored(&self, checkpoint: Option<&[u8]>, destroyed: Option<&[u8]>) -> Result<Restored, RestoreError> {
        let config = Config::read(&self.town.world.config).unwrap();
        restore(Restore {
            from: &self.backup,
            config: &config,
            master_key: master_key(&config.server.master_key).unwrap(),
            checkpoint: checkpoint.map(<[u8]>::to_vec),
            destroyed: destroyed.map(<[u8]>::to_vec),
            clock: Clock::system(),
        })
        .await
    }

    fn data(&self) -> PathBuf {
        self.town.directory.path().join("data")
    }

    /// The data directory is moved away, as after a fire.
    fn lost(&self) {
        let away = self.town.directory.path().join(format!("away-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&away);
        if self.data().exists() {
            std::fs::rename(self.data(), &away).unwrap();
        }
    }
}

fn parties() -> Vec<String> {
    ["fuchu-city", "midori-clinic", "my-portal", "yotsuba-phr"].map(str::to_owned).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_backup_holds_comes_back_whole() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    let items = town.items(&patient).await;
    assert_eq!(town.newest_outcome().await, "complete");
    let backup = backed_up(&town).await;
    let (checkpoint, destroyed) = kept(&town).await;
    let digest = town.gateway.app().store.index_digest().unwrap();
    let town = town.stopped().await;
    let kept = Kept { town, backup, checkpoint, destroyed };
    assert!(matches!(kept.restored(None, None).await, Err(RestoreError::There(_))), "it never overwrites");
    kept.lost();
    let done = kept.restored(Some(&kept.checkpoint), Some(&kept.destroyed)).await.unwrap();
    assert_eq!((done.missing, done.destroyed, done.suspended), (Some(0), 0, vec![]));
    let Kept { town, .. } = kept;
    let town = town.started().await;
    assert_eq!(town.gateway.app().store.index_digest().unwrap(), digest);
    assert_eq!(town.items(&patient).await, items);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_withdrawn_or_erased_since_does_not_come_back() {
    let town = Town::open().await;
    let (consent, patient) = town.consent().await;
    let backup = backed_up(&town).await;
    town.world.revoke(town.mother(), &consent).await.unwrap();
    let other = town.people.children.last().unwrap_or(&town.people.parents[1]).clone();
    assert_ne!(other, town.child());
    town.act(&format!("/people/{other}/erase"), json!({})).await;
    let (checkpoint, destroyed) = kept(&town).await;
    let town = town.stopped().await;
    let mut kept = Kept { town, backup, checkpoint, destroyed };
    for (checkpoint, missing) in [(None, None), (Some(kept.checkpoint.clone()), Some(true))] {
        kept.lost();
        let done = kept.restored(checkpoint.as_deref(), Some(&kept.destroyed)).await.unwrap();
        assert_eq!(done.missing.map(|missing| missing > 0), missing, "{done:?}");
        assert_eq!((done.destroyed, &done.suspended), (1, &parties()), "{done:?}");
        let town = kept.town.started().await;
        assert_eq!(town.items(&patient).await, 0, "revoked, though the backup does not know it");
        let records = format!("/people/{other}/records");
        let records = ask(&town.world.socket(), Method::GET, &records, &Value::Null).await.unwrap();
        assert_eq!(records["records"][0]["record"], Value::Null, "erased again");
        kept.town = town.stopped().await;
    }
    // An official lets the party back, knowing what is missing.
    let town = kept.town.started().await;
    for party in parties() {
        town.act(&format!("/parties/{party}/reinstate"), json!({"reason": "確認済み"})).await;
    }
    assert!(town.items(&patient).await > 0, "this is why it was suspended");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_whole_backup_of_this_gateway_restores_nothing() {
    let town = Town::open().await;
    town.consent().await;
    let backup = backed_up(&town).await;
    let again = download(&town.world.socket(), "/backup", &serde_json::Value::Null, &backup).await.unwrap_err();
    assert!(again.to_string().contains("backup"), "{again}");
    let (checkpoint, destroyed) = kept(&town).await;
    let town = town.stopped().await;
    let whole = std::fs::read(&backup).unwrap();
    let kept = Kept { town, backup: backup.clone(), checkpoint, destroyed };
    kept.lost();
    let says = |error: RestoreError, part: &str| {
        assert!(error.to_string().contains(part), "{error}");
        assert!(!kept.data().exists() && !kept.data().with_file_name("data.restoring").exists());
    };
    std::fs::write(&backup, &whole[..whole.len() / 2]).unwrap();
    says(kept.restored(None, None).await.unwrap_err(), "cut off");
    let mut bent = whole.clone();
    bent[whole.len() / 2] ^= 1;
    std::fs::write(&backup, bent).unwrap();
    says(kept.restored(None, None).await.unwrap_err(), "does not open");
    std::fs::write(&backup, "not one").unwrap();
    says(kept.restored(None, None).await.unwrap_err(), "not a backup");
    std::fs::write(&backup, &whole).unwrap();
    says(kept.restored(Some(b"nonsense"), None).await.unwrap_err(), "the checkpoint that was given");
    says(kept.restored(None, Some(&kept.checkpoint)).await.unwrap_err(), "the list of destroyed keys that was given");
    let key = kept.town.directory.path().join("master.key");
    let right = std::fs::read(&key).unwrap();
    std::fs::write(&key, data_encoding::BASE64.encode(&[5; 32])).unwrap();
    says(kept.restored(None, None).await.unwrap_err(), "another master key");
    std::fs::write(&key, right).unwrap();
    kept.restored(None, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_sealed_and_kept_from_others() {
    use std::os::unix::fs::PermissionsExt;
    let town = Town::open().await;
    town.consent().await;
    let backup = backed_up(&town).await;
    assert_eq!(std::fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);
    let bytes = std::fs::read(&backup).unwrap();
    let holds = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    let origin = town.gateway.app().store.ledger_key().origin().to_owned();
    assert!(!holds(origin.as_bytes()) && !holds(b"vault.redb") && !holds(b"yotsuba-phr"));
    assert!(!Path::new(&town.directory.path().join("data/vault.backup")).exists());
    town.gateway.stop().await;
}
