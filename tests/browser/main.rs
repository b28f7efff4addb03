//! Pages as people see them: a real Chromium, driven over WebDriver, against servers on loopback with real TLS.
//!
//! `make test` runs these; alone: `cargo test -p sekisho-tests --test browser -- --ignored`. They need `chromium`,
//! `chromedriver`, `node` and what `tests/browser/package-lock.json` names; `scripts/install-test-tools browser` installs all of it.
//! Screenshots go to `target/screenshots/`.
//!
//! ```ignore
//! let town = Town::open().await;
//! let server = std::fs::read_to_string(town.directory.path().join("server.pem"))?;   // of the gateway and of its issuer
//! let browser = Browser::open(Look { scripts: false, ..Look::PHONE }, &[&server]).await;
//! browser.goto(&town.world.url).await?;
//! browser.assert_accessible().await;
//! browser.screenshot("home").await;
//! ```
//!
//! - [`browser`]: a Chromium of its own for each test: width, language, colours, scripts on or off; screenshots.
//! - [`axe`]: what axe-core finds on the page that is shown.
//! - [`provider`]: npm `oidc-provider`, a certified OpenID provider, as a process of its own.
//! - [`pictures`]: which of the pictures `docs/pages.md` shows; written with `SEKISHO_WRITE_DOCS=1`.
//! - [`process`]: how all of these end with the test, also when it panics.

#[cfg(test)]
mod axe;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod pictures;
#[cfg(test)]
mod process;
#[cfg(test)]
mod provider;

#[cfg(test)]
mod citizens;
#[cfg(test)]
mod clinic;
#[cfg(test)]
mod counter;
#[cfg(test)]
mod grown;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod looks;
mod nurses;
#[cfg(test)]
mod persona_page;
#[cfg(test)]
mod relying_party;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod sign_in;
