//! Pages as people see them: a real Chromium, driven over WebDriver, against servers on loopback with real TLS.
//!
//! `make test` runs these; alone: `cargo test -p sekisho-tests --test browser -- --ignored`. They need `chromium`,
//! `chromedriver`, `node` and what `tests/browser/package-lock.json` names; `scripts/install-test-tools` installs all of it.
//! Screenshots go to `target/screenshots/`.
//!
//! - [`browser`]: a Chromium of its own for each test: width, language, colours, scripts on or off; screenshots.
//! - [`axe`]: what axe-core finds on the page that is shown.
//! - [`provider`]: npm `oidc-provider`, a certified OpenID provider, as a process of its own.
//! - [`process`]: how all of these end with the test, also when it panics.

#[cfg(test)]
mod axe;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod process;
#[cfg(test)]
mod provider;

#[cfg(test)]
mod harness;
#[cfg(test)]
mod persona_page;
#[cfg(test)]
mod sign_in;
