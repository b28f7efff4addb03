//! Clients that nobody here wrote, against a running gateway on loopback with real TLS: fhirclient (Python), fhirclient and
//! fhir-kit-client (npm); and every kind of FHIR resource that it emits, parsed strictly by fhir.resources (Python).
//!
//! `make test` runs these; alone: `cargo test -p sekisho-tests --test interop -- --ignored`. They need what
//! `scripts/install-test-tools interop` installs into `target/test-tools`: versions are fixed there and in
//! `tests/interop/package-lock.json`. Nothing is fetched while they run.

#[cfg(test)]
mod clients;
#[cfg(test)]
mod emitted;

#[cfg(test)]
mod tools {
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use tokio::process::Command;

    /// Longer than anything takes here; what takes longer has failed.
    const DONE_WITHIN: Duration = Duration::from_secs(120);

    /// Where other people's programs are.
    pub fn installed(what: &str) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"));
        let path = target.join("test-tools").join(what);
        assert!(path.exists(), "{} is missing. scripts/install-test-tools interop installs it", path.display());
        std::path::absolute(path).unwrap()
    }

    /// A file beside this one.
    pub fn script(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("interop").join(name)
    }

    /// What a program that must succeed says.
    pub async fn said(command: &mut Command) -> String {
        let ended = tokio::time::timeout(DONE_WITHIN, command.kill_on_drop(true).output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert!(ended.status.success(), "{said}\n{}", String::from_utf8_lossy(&ended.stderr));
        said
    }
}

#[cfg(test)]
mod town {
    use http::Method;
    use sekisho::clock::Clock;
    use sekisho_tests::town::Town;
    use serde_json::json;

    /// The app's client that runs in a browser.
    pub const WEB: &str = "yotsuba-web";

    /// A town in which app and clinic may have the child's records, and the child's id at each.
    pub async fn with_consents() -> (Town, String, String) {
        let bend = |text: String| {
            text.replacen(
                "clients = [\"yotsuba-app\"]\n",
                &format!("clients = [\"yotsuba-app\"]\ndpop_clients = [\"{WEB}\"]\n"),
                1,
            )
        };
        let town = Town::open_with(Clock::system(), bend).await;
        town.world.link_app(town.child(), &town.family.children[0].person.id).await.unwrap();
        let mut held = town.world.phr.held(&town.family.children[0].person.id).unwrap();
        let egg = json!([{"id": "a1", "name": "鶏卵", "recorded": "2026-01-10", "entered": "self"}]);
        held.insert("allergies".to_owned(), egg);
        town.world.phr.put(&town.family.children[0].person.id, held);
        let (_, at_app) = town.consent().await;
        let at_clinic = at_clinic(&town).await;
        // Of the second in which it began the gateway can't tell which proofs were used.
        town.clock.reached(town.clock.now().unwrap().plus_millis(1_000)).await;
        (town, at_app, at_clinic)
    }

    async fn at_clinic(town: &Town) -> String {
        let world = &town.world;
        let token = world.clinic_token_of(town.mother()).unwrap();
        let text = world.json(&world.clinic_http, Method::GET, "/v1/texts/online-consultation", &token, None);
        let hash = text.await.unwrap()["text_hash"].clone();
        let categories = ["identity@1", "condition@1", "medication@1", "allergy@1", "body-weight@1", "body-height@1"];
        let categories = [&categories[..], &["body-temperature@1", "vaccination@1"]].concat();
        let proposal = json!({
            "purpose": "online-consultation", "categories": categories, "until": town.in_seconds(86_400), "text_hash": hash,
            "booking": {"reference": "B-1", "visit_at": town.in_seconds(3_600)},
        });
        let made = world.json(&world.clinic_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await.unwrap();
        let id = made["id"].as_str().unwrap();
        let approval = json!({"subject": town.child(), "text_hash": hash});
        let path = format!("/v1/consents/{id}/approve");
        assert_eq!(town.person(Method::POST, &path, town.mother(), Some(&approval)).await.0, 200);
        let token = world.clinic_token().unwrap();
        let path = format!("/v1/consents/{id}");
        let seen = world.json(&world.clinic_http, Method::GET, &path, &token, None).await.unwrap();
        seen["patient"].as_str().unwrap().to_owned()
    }
}
