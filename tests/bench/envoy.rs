//! Envoy as an enforcing TLS proxy: client certificates, HTTP `ext_authz` to the same no-op that nginx asks, keep-alive TLS to
//! the upstream. Set up to be quick: one worker, no access log, no request ids, no statistics of its filters' own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Failure;
use crate::child::{OTHER_CORE, PROXY_CORE, Process, find, free_port};
use crate::nginx::{as_it_is, order};
use crate::rounds::{Plan, Proxy};
use crate::world::World;

/// Where `scripts/install-test-tools bench` puts it, below the target directory; else it is looked up.
const INSTALLED: &str = "test-tools/lib";

fn program(target: &Path) -> Result<PathBuf, Failure> {
    let python = std::fs::read_dir(target.join(INSTALLED)).into_iter().flatten().flatten();
    let installed = python.map(|version| version.path().join("site-packages/envoy/_bin/envoy"));
    installed.into_iter().find(|file| file.is_file()).or_else(|| find("envoy")).ok_or_else(|| {
        "Envoy is not installed, so there is nothing to compare with: run scripts/install-test-tools bench, or leave it \
         out with --only nginx,relay,sekisho"
            .into()
    })
}

/// The version line, or why there is no Envoy.
pub fn version(target: &Path) -> Result<String, Failure> {
    let said = Command::new(program(target)?).arg("--version").output()?;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let said = text.split_once("version:").map_or("", |(_, said)| said);
    let version = said.split('/').nth(1).ok_or("Envoy does not say its version")?;
    Ok(format!("envoy/{version}"))
}

/// Starts a no-op of its own and Envoy.
pub async fn start(world: &World, target: &Path, upstream: u16, plan: &Plan) -> Result<Proxy, Failure> {
    let mut no_op = Process::role("no-op-envoy", OTHER_CORE, &world.work, &["no-op"])?;
    let no_op_port = no_op.port().await?;
    let port = free_port()?;
    let file = world.work.join("envoy.yaml");
    std::fs::write(&file, configuration(&world.work, port, upstream, no_op_port))?;
    let file = file.to_str().ok_or("the target directory's name is not UTF-8")?;
    let log = world.work.join("envoy.log");
    let arguments = ["-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"];
    let mut process = Process::start("envoy", PROXY_CORE, &log, &program(target)?, &arguments)?;
    process
        .accepts(port, Duration::from_secs(20))
        .await
        .map_err(|e| format!("{e}\n{}", std::fs::read_to_string(&log).unwrap_or_default()))?;
    let order = order(port, as_it_is(world), plan);
    Ok(Proxy { name: "envoy", process, asks: Some(no_op), order })
}

fn configuration(work: &Path, port: u16, upstream: u16, no_op: u16) -> String {
    let work = work.display();
    let tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
    let http = "type.googleapis.com/envoy.extensions.filters.http";
    format!(
        r#"static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": {tls}.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}}
            tls_certificates:
            - {{certificate_chain: {{filename: {work}/server.pem}}, private_key: {{filename: {work}/server.key}}}}
            validation_context: {{trusted_ca: {{filename: {work}/ca.pem}}}}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          codec_type: HTTP1
          generate_request_id: false
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              request_headers_to_remove: [authorization]
              routes:
              - match: {{prefix: /fhir/}}
                route: {{cluster: records, host_rewrite_literal: localhost}}
          http_filters:
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": {http}.ext_authz.v3.ExtAuthz
              http_service:
                server_uri: {{uri: "http://127.0.0.1:{no_op}", cluster: decision, timeout: 5s}}
          - name: envoy.filters.http.router
            typed_config:
              "@type": {http}.router.v3.Router
              suppress_envoy_headers: true
  clusters:
  - name: records
    type: STATIC
    load_assignment:
      cluster_name: records
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream}}}}}}}
    transport_socket:
      name: envoy.transport_sockets.tls
      typed_config:
        "@type": {tls}.UpstreamTlsContext
        sni: localhost
        common_tls_context:
          tls_params: {{tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3}}
          validation_context:
            trusted_ca: {{filename: {work}/ca.pem}}
            match_typed_subject_alt_names:
            - {{san_type: DNS, matcher: {{exact: localhost}}}}
  - name: decision
    type: STATIC
    load_assignment:
      cluster_name: decision
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {no_op}}}}}}}
"#
    )
}
