//! The public port as testssl.sh sees it: nothing at medium or above, with TLS 1.3 alone and with 1.2 beside it; and that it
//! would tell. Needs `testssl` and `openssl`, so only `make test` runs it: `cargo test -p sekisho-tests --test tls -- --ignored`.

#[cfg(test)]
mod tls {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::path::{Path, PathBuf};
    use std::process::{Child, Command, Stdio};

    use sekisho::clock::Clock;
    use sekisho_adapters::certs::Validity;
    use sekisho_tests::town::Town;
    use serde_json::Value;

    /// What testssl.sh says of the test's certificate and not of the server: the development authority publishes no
    /// revocation list, since nobody could fetch it.
    const OF_THE_CERTIFICATE: &[&str] = &["cert_revocation"];

    /// Everything that it found.
    fn findings(port: u16, ca: &Path, out: PathBuf, sections: &[&str]) -> Vec<Value> {
        let mut testssl = Command::new("testssl");
        testssl.args(["--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--ip", "127.0.0.1"]);
        testssl.args(sections).arg("--add-ca").arg(ca).arg("--jsonfile").arg(&out);
        testssl.arg(format!("https://localhost:{port}")).stdin(Stdio::null()).stdout(Stdio::null());
        let status = testssl.status().unwrap_or_else(|error| {
            panic!(
                "testssl does not start: {error}. Install it (Debian package `testssl.sh`; scripts/install-test-tools)"
            )
        });
        // Its exit code counts findings of the environment as well; what counts is what it wrote.
        let text = std::fs::read_to_string(&out).unwrap_or_else(|error| panic!("{status}: {error}"));
        serde_json::from_str::<Vec<Value>>(&text).unwrap()
    }

    fn of<'a>(findings: &'a [Value], id: &str) -> Option<&'a str> {
        findings.iter().find(|f| f["id"] == id).and_then(|f| f["finding"].as_str())
    }

    /// What is medium or above, of the server.
    fn grave(findings: &[Value]) -> Vec<String> {
        let grave = |f: &&Value| {
            let id = f["id"].as_str().unwrap();
            matches!(f["severity"].as_str(), Some("MEDIUM" | "HIGH" | "CRITICAL" | "FATAL"))
                && !OF_THE_CERTIFICATE.contains(&id)
        };
        findings.iter().filter(grave).map(|f| format!("{} {}: {}", f["severity"], f["id"], f["finding"])).collect()
    }

    async fn town(tls12: bool) -> (Town, SocketAddr) {
        let now = Clock::system().now().unwrap().millis();
        let town = Town::open_with(Clock::system(), |text| {
            text.replace("[server]\n", &format!("[server]\ntls12 = {tls12}\n"))
        })
        .await;
        // Long enough that it does not count as about to end.
        let day = 86_400_000;
        let validity = Validity { not_before_ms: now - day, not_after_ms: now + 300 * day };
        let identity = town.world.ca.server(validity).unwrap();
        std::fs::write(town.directory.path().join("server.pem"), identity.cert_pem()).unwrap();
        std::fs::write(town.directory.path().join("server.key"), identity.key_pem()).unwrap();
        town.reload_with(|text| text).await.unwrap();
        let address = town.gateway.address;
        (town, address)
    }

    async fn looked_at(tls12: bool) {
        let (town, address) = town(tls12).await;
        let (ca, out) = (town.directory.path().join("ca.pem"), town.directory.path().join("testssl.json"));
        let findings = tokio::task::spawn_blocking(move || findings(address.port(), &ca, out, &[])).await.unwrap();
        assert!(findings.len() > 80, "only {} findings: it did not look at everything", findings.len());
        let offered = |id| of(&findings, id).unwrap_or_default().starts_with("offered");
        assert!(offered("TLS1_3"), "{:?}", of(&findings, "TLS1_3"));
        assert_eq!(offered("TLS1_2"), tls12);
        assert!(["SSLv2", "SSLv3", "TLS1", "TLS1_1"].iter().all(|old| of(&findings, old) == Some("not offered")));
        assert!(grave(&findings).is_empty(), "{:#?}", grave(&findings));
        town.gateway.stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs testssl.sh; make test runs it"]
    async fn nothing_is_found_at_medium_or_above() {
        looked_at(false).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs testssl.sh; make test runs it"]
    async fn nothing_is_found_at_medium_or_above_with_tls_1_2() {
        looked_at(true).await;
    }

    struct Killed(Child);

    impl Drop for Killed {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "needs testssl.sh; make test runs it"]
    async fn a_weak_server_would_be_found() {
        let (town, _) = town(false).await;
        let directory = town.directory.path().to_owned();
        town.gateway.stop().await;
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let mut server = Command::new("openssl");
        server.args(["s_server", "-quiet", "-www", "-tls1_2", "-cipher", "ALL:@SECLEVEL=0"]);
        server.args(["-accept", &port.to_string(), "-cert"]).arg(directory.join("server.pem"));
        server.arg("-key").arg(directory.join("server.key"));
        let _server = Killed(server.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap());
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        let (ca, out) = (directory.join("ca.pem"), directory.join("weak.json"));
        let sections = ["--protocols", "--server-preference"];
        let findings = tokio::task::spawn_blocking(move || findings(port, &ca, out, &sections)).await.unwrap();
        assert!(grave(&findings).iter().any(|found| found.contains("cipher_order")), "{findings:#?}");
    }
}
